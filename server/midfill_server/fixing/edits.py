"""The least that has to be changed to make one text of another, and how that is called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

__all__ = ["TextEdit", "applied", "edits_between", "hunks", "summary"]

_LINES = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
_MAX_COMPARED_LINES = 2000
_MAX_SUMMARY_CHARS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEdit:
    """The characters ``[start, end)`` of a text become ``new``."""

    start: int
    end: int
    new: str


def edits_between(old: str, new: str) -> tuple[TextEdit, ...]:
    """Return the edits that make ``new`` of ``old``, in order, each as small as it can be."""
    return tuple(_trimmed(old, edit) for edit in hunks(old, new))


def hunks(old: str, new: str) -> tuple[TextEdit, ...]:
    """Return the same edits with whole lines."""
    before, after = _LINES.findall(old), _LINES.findall(new)
    head = 0
    while head < min(len(before), len(after)) and before[head] == after[head]:
        head += 1
    tail = 0
    while tail < min(len(before), len(after)) - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    left, right = before[head : len(before) - tail], after[head : len(after) - tail]
    if not left and not right:
        return ()
    starts = [sum(map(len, before[:head]))]
    for line in left:
        starts.append(starts[-1] + len(line))
    if max(len(left), len(right)) > _MAX_COMPARED_LINES:
        return (TextEdit(start=starts[0], end=starts[-1], new="".join(right)),)
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    return tuple(
        TextEdit(start=starts[a], end=starts[b], new="".join(right[c:d]))
        for kind, a, b, c, d in matcher.get_opcodes()
        if kind != "equal"
    )


def applied(old: str, edits: Sequence[TextEdit]) -> str:
    """Return ``old`` with edits made, which are in order and do not overlap."""
    parts: list[str] = []
    at = 0
    for edit in edits:
        parts += (old[at : edit.start], edit.new)
        at = edit.end
    return "".join((*parts, old[at:]))


def summary(old: str, edits: Sequence[TextEdit]) -> str:
    """Return in a few words what edits do: for the title of an action."""
    if not edits:
        return ""
    edit = edits[0]
    start, end, new = edit.start, edit.end, edit.new
    # Parts of words say nothing.
    while (
        start and _is_word(old[start - 1 : start]) and _is_word((old[start:end] + new)[:1] or "x")
    ):
        start -= 1
        new = old[start] + new
    while end < len(old) and _is_word(old[end]) and _is_word((new or old[start:end])[-1:]):
        new += old[end]
        end += 1
    was, now = _short(old[start:end]), _short(new)
    more = f" and {len(edits) - 1} more" if len(edits) > 1 else ""
    if not was:
        return f"insert {now}{more}" if now else f"change blanks{more}"
    return f"{was} → {now}{more}" if now else f"remove {was}{more}"


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _short(text: str) -> str:
    plain = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return plain if len(plain) <= _MAX_SUMMARY_CHARS else plain[: _MAX_SUMMARY_CHARS - 1] + "…"


def _trimmed(old: str, edit: TextEdit) -> TextEdit:
    start, end, new = edit.start, edit.end, edit.new
    head = 0
    while head < min(end - start, len(new)) and old[start + head] == new[head]:
        head += 1
    if (
        head
        and old[start + head - 1] == "\r"
        and "\n" in (old[start + head : end] + new[head:])[:1]
    ):
        # A line end of two characters is one thing.
        head -= 1
    tail = 0
    while tail < min(end - start, len(new)) - head and old[end - 1 - tail] == new[-1 - tail]:
        tail += 1
    if tail and old[end - tail] == "\n" and "\r" in (old[end - tail - 1] + new[-tail - 1 :][:1]):
        tail -= 1
    return TextEdit(start=start + head, end=end - tail, new=new[head : len(new) - tail])
