"""Whether a fix did what it promised: the diagnostic is gone, and nothing new is there."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from midfill_server.checking.finding import Finding

__all__ = ["LineEdit", "Verdict", "is_apart", "line_edits", "reproduced", "verdict"]

_LINE_END = re.compile(r"\r\n|\n|\r")
_BLANKS = re.compile(r"\s+")
_WORDS = re.compile(r"\w+")
# What servers write behind the message of the compiler they are made of.
_ASIDES = re.compile(r"\s*(?:\((?:fix(?:es)? available|aka '[^']*')\)|\[[\w.-]+\])\s*$")
_QUOTED = re.compile(r"['\"`\u2018]([^'\"`\u2018\u2019]+)['\"`\u2019]")
_NEAR_LINES = 2
_LIKENESS = 0.8
# Editors show these as faded text, if at all: the opinion that something is not used, mostly.
_SILENT = frozenset({"hint"})
_MAX_COMPARED_LINES = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class LineEdit:
    """Lines ``[first, last)`` of the old text became lines ``[new_first, new_last)`` of the new."""

    first: int
    last: int
    new_first: int
    new_last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a fix did. ``added`` is of the text with the fix."""

    removed: bool
    added: tuple[Finding, ...]

    @property
    def is_good(self) -> bool:
        """Whether the fix may be called verified."""
        return self.removed and not self.added


def reproduced(found: Sequence[Finding], target: Finding) -> Finding | None:
    """Return the finding that is what an editor shows as ``target``; ``None`` if none is.

    It says the same, or has the same code and says something alike, in nearly the same lines.
    """
    rated = [
        (likeness, -abs(one.first_line - target.first_line), -index, one)
        for index, one in enumerate(found)
        if (likeness := _likeness(one, target)) > 0 and _is_near(one, target)
    ]
    return max(rated, key=lambda rate: rate[:3])[3] if rated else None


def line_edits(old: str, new: str) -> tuple[LineEdit, ...]:
    """Return which lines of ``old`` became which lines of ``new``."""
    before, after = (_LINE_END.split(text) for text in (old, new))
    start = 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        start += 1
    behind = 0
    while (
        behind < min(len(before), len(after)) - start and before[-1 - behind] == after[-1 - behind]
    ):
        behind += 1
    old_end, new_end = len(before) - behind, len(after) - behind
    if start == old_end and start == new_end:
        return ()
    if max(old_end, new_end) - start > _MAX_COMPARED_LINES:
        return (LineEdit(first=start, last=old_end, new_first=start, new_last=new_end),)
    inner = SequenceMatcher(None, before[start:old_end], after[start:new_end], autojunk=False)
    return tuple(
        LineEdit(first=start + a, last=start + b, new_first=start + c, new_last=start + d)
        for kind, a, b, c, d in inner.get_opcodes()
        if kind != "equal"
    )


def verdict(
    before: Sequence[Finding],
    after: Sequence[Finding],
    target: Finding,
    edits: Sequence[LineEdit],
) -> Verdict:
    """Compare what was found in the old text with what is found in the new one.

    ``target`` is one of ``before`` (``reproduced`` finds it). What is found after is held against
    what was found before: the same message at the same place, else anywhere, but each of them
    once. What is left over was added by the fix. Where the target is what remains, it was not
    removed. Both is judged strictly: a message that changed its wording counts as new.
    """
    left = list(before)
    if target not in left:
        # It would be said to be removed just because it never was there.
        return Verdict(removed=False, added=())
    unplaced: list[Finding] = []
    for one in after:
        same = [
            was for was in left if _says(was) == _says(one) and _is_at(was.first_line, one, edits)
        ]
        if same:
            left.remove(same[0])
        else:
            unplaced.append(one)
    added: list[Finding] = []
    for one in unplaced:
        same = [was for was in left if _says(was) == _says(one)]
        if not same:
            added.append(one)
            continue
        # If it may be the target as well as another one, that is the target somewhere else.
        left.remove(target if target in same else same[0])
    return Verdict(
        removed=left.count(target) == list(before).count(target),
        added=tuple(one for one in added if one.severity not in _SILENT),
    )


def is_apart(one: Finding, edits: Sequence[LineEdit], old: str, new: str) -> bool:
    """Return whether a finding of the text ``new`` has nothing to do with what was edited.

    It is in no line that was edited, and no name that it quotes stands in one, before or after.
    After wrong syntax was fixed, that is what the checker could not see before.
    """
    if any(
        edit.new_first <= one.last_line and one.first_line < max(edit.new_last, edit.new_first + 1)
        for edit in edits
    ):
        return False
    before, after = _LINE_END.split(old), _LINE_END.split(new)
    edited = (
        line
        for edit in edits
        for line in (*before[edit.first : edit.last], *after[edit.new_first : edit.new_last])
    )
    words = {word for name in _QUOTED.findall(one.message) for word in _WORDS.findall(name)}
    return not any(words & set(_WORDS.findall(line)) for line in edited)


def _is_at(old_line: int, one: Finding, edits: Sequence[LineEdit]) -> bool:
    """Return whether a line of the old text is where something is found in the new one."""
    starts = [edit.first for edit in edits]
    index = bisect_right(starts, old_line) - 1
    if index < 0:
        return one.first_line == old_line
    edit = edits[index]
    if old_line < edit.last:
        # Within what was changed no line is another one for sure.
        return edit.new_first <= one.first_line < max(edit.new_last, edit.new_first + 1)
    return one.first_line == old_line - edit.last + edit.new_last


def _says(one: Finding) -> tuple[str, str, str]:
    return one.source, one.code, _plain(one.message)


def _plain(message: str) -> str:
    # Servers indent the lines of long messages, some with blanks that do not break.
    plain = _BLANKS.sub(" ", message).strip()
    return _ASIDES.sub("", plain).rstrip(" .")


def _is_near(one: Finding, target: Finding) -> bool:
    if one.first_line <= target.last_line and target.first_line <= one.last_line:
        return True
    return abs(one.first_line - target.first_line) <= _NEAR_LINES


def _likeness(one: Finding, target: Finding) -> float:
    """Return how much two say the same: 1 at most, 0 for not at all."""
    own, wanted = _plain(one.message).casefold(), _plain(target.message).casefold()
    if own == wanted:
        return 1.0
    if own and wanted and (own.startswith(wanted) or wanted.startswith(own)):
        # Some add what else they know below the message.
        return 0.95
    words, wanted_words = set(_WORDS.findall(own)), set(_WORDS.findall(wanted))
    if not words or not wanted_words or _named(own) != _named(wanted):
        # The same kind of problem with another name is another problem.
        return 0.0
    share = len(words & wanted_words) / max(len(words), len(wanted_words))
    is_same_code = bool(one.code) and one.code.casefold() == target.code.casefold()
    needed = _LIKENESS / 2 if is_same_code else _LIKENESS
    return share * 0.9 if share >= needed else 0.0


def _named(message: str) -> frozenset[str]:
    return frozenset(_QUOTED.findall(message))
