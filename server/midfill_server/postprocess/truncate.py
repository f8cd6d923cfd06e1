"""Where a completion ends, judged by the text that already follows the cursor.

A small model runs on: it writes what is already there once more, or the next function. These cuts
look at lines, indentation and brackets only; they know no language.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Cut", "Site", "truncate", "visible", "whole_lines"]

_CLOSING = re.compile(r"[\s)\]}>'\"`;,:]*")
_INDENTED_LINE = re.compile(r"(?:\r\n|[\r\n])(?P<indent>[ \t]*)(?P<first>[^\s])")
_WHOLE_LINE = re.compile(r"\s*\S[^\r\n]*[\r\n]")
_BLOCK_OPENERS = (":", "{", "(", "[", "=>", "->")
_OPENERS = "([{"
_CLOSERS = ")]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The text around the cursor, as far as the cuts look at it.

    ``line_before`` and ``line_after`` are the two parts of the cursor's line. ``next_line`` is
    the first line after it that is not blank, without trailing blanks (``""``: there is none).
    """

    line_before: str
    line_after: str
    next_line: str

    @classmethod
    def around(cls, prefix: str, suffix: str) -> Site:
        """Look at the text before and after the cursor."""
        line_start = max(prefix.rfind("\n"), prefix.rfind("\r")) + 1
        line_end = re.search(r"[\r\n]", suffix)
        if line_end is None:
            return cls(line_before=prefix[line_start:], line_after=suffix, next_line="")
        following = re.compile(r"[^\r\n]*\S[^\r\n]*").search(suffix, line_end.start())
        return cls(
            line_before=prefix[line_start:],
            line_after=suffix[: line_end.start()],
            next_line=following.group().strip("\r\n").rstrip() if following else "",
        )

    @property
    def rest(self) -> str:
        """What follows the cursor on its line, blanks at both ends left out."""
        return self.line_after.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A completion so far. ``settled``: nothing that is generated from here on can matter."""

    text: str
    settled: bool


def truncate(raw: str, site: Site) -> Cut:
    """End ``raw`` where it leaves the cursor's line for no good reason, or repeats what follows.

    The cuts depend only on what has been generated before them, so they hold for every longer text.
    """
    text = raw
    line_end = re.search(r"[\r\n]", raw)
    if site.rest and line_end is not None:
        line = raw[: line_end.start()]
        # Text that is not just closing brackets belongs behind the completion, on this line; and
        # a line that comes to what follows the cursor is complete (``visible`` drops that end).
        if not _CLOSING.fullmatch(site.line_after) or len(_without_rest(line, site)) < len(line):
            text = line
    text = text[: _line_to_complete(text, site)]
    text = text[: _closes_again(text, site)]
    text = text[: _repeats_next_line(text, site)]
    text = text[: _leaves_block(text, site)]
    return Cut(text=text, settled=len(text) < len(raw))


def visible(cut: Cut, site: Site, *, final: bool) -> str:
    """Return what to show of a completion, ``""`` if that is nothing but blanks.

    While more may come (``final=False``), an end that may turn out to repeat the text after the
    cursor is held back, so that what is shown only ever grows.
    """
    text = cut.text
    if not final and not cut.settled:
        text = text[: _held_from(text, site)]
    else:
        text = _without_rest(text, site)
    # Between words of one line a blank at the end matters; at the end of a line it is litter.
    text = text.rstrip("\r\n") if site.rest else text.rstrip()
    return text if text.strip() else ""


def whole_lines(raw: str) -> str:
    """Drop the last line of a text that ran into its limit, unless it is the only one.

    Half a line that nobody asked for has to be deleted by hand; half of the cursor's own line is
    still a start.
    """
    line_end = max(raw.rfind("\n"), raw.rfind("\r"))
    return raw[:line_end] if raw[: max(line_end, 0)].strip() else raw


def _line_to_complete(text: str, site: Site) -> int:
    """Return where ``text`` ends the line that is being typed.

    Somebody in the midst of a line is shown that line: it is what can be judged at a glance, and it
    is there soonest. After an indentation, or behind a line that opens a block, more may come.
    """
    before = site.line_before.strip()
    if not before:
        return len(text)
    first = re.search(r"[\r\n]", text)
    if first is None:
        return len(text)
    if text[: first.start()].strip():
        return first.start()
    if before.endswith(_BLOCK_OPENERS):
        return len(text)
    # The line was complete: one more is offered.
    following = _WHOLE_LINE.match(text, first.start())
    return following.end() - 1 if following else len(text)


def _closes_again(text: str, site: Site) -> int:
    """Return where ``text`` closes the bracket that the text after the cursor closes already."""
    awaited = site.rest[:1]
    if not awaited or awaited not in _CLOSERS:
        return len(text)
    depth = 0
    for index, character in enumerate(text):
        if character in _OPENERS:
            depth += 1
        elif character in _CLOSERS:
            if depth == 0 and character == awaited:
                return index
            depth = max(depth - 1, 0)
    return len(text)


def _repeats_next_line(text: str, site: Site) -> int:
    """Return where a whole line of ``text`` equals the next line of the file."""
    if not site.next_line:
        return len(text)
    start = 0
    for match in re.finditer(r"\r\n|[\r\n]|\Z", text):
        line = text[start : match.start()]
        whole = site.line_before + line if start == 0 else line
        # The last line may still grow: it counts only when its line end has come.
        if whole.rstrip() == site.next_line and match.group():
            return start
        start = match.end()
    return len(text)


def _leaves_block(text: str, site: Site) -> int:
    """Return where a line of ``text`` is indented less than the cursor's own line.

    What comes there belongs to an outer block, which the user has not asked for. One line of
    closing brackets is let through where the file does not close the block itself.
    """
    own = _indent_width(site.line_before)
    for match in _INDENTED_LINE.finditer(text):
        if _indent_width(match["indent"]) >= own:
            continue
        closes = match["first"] in _CLOSERS
        if closes and site.next_line[:1] not in tuple(_CLOSERS):
            line_end = re.compile(r"[\r\n]|\Z").search(text, match.end())
            return line_end.start() if line_end else len(text)
        return match.start()
    return len(text)


def _indent_width(line: str) -> int:
    """Width of the blanks that ``line`` begins with, a tab counting up to the next eighth."""
    expanded = line.expandtabs(8)
    return len(expanded) - len(expanded.lstrip(" "))


def _held_from(text: str, site: Site) -> int:
    """Return from where on the end of ``text`` may be a repetition in the making."""
    start = max(text.rfind("\n"), text.rfind("\r")) + 1
    line = text[start:] if start else site.line_before + text
    if line.strip() and site.next_line.startswith(line.rstrip()):
        return start
    held = 0
    for end in _ends(site):
        beginnings = (n for n in range(min(len(end), len(text)), 0, -1) if text.endswith(end[:n]))
        held = max(held, next(beginnings, 0))
    # Blanks may follow a repetition that is whole already.
    return min(len(text) - held, len(_without_rest(text, site)))


def _without_rest(text: str, site: Site) -> str:
    """Drop an end of ``text`` that repeats what follows the cursor, on its line or the next."""
    start = max(text.rfind("\n"), text.rfind("\r")) + 1
    line = text[start:] if start else site.line_before + text
    if site.next_line and line.rstrip() == site.next_line:
        return text[:start]
    bare = text.rstrip()
    for end in _ends(site):
        if bare.endswith(end):
            return bare[: len(bare) - len(end)]
    return text


def _ends(site: Site) -> tuple[str, ...]:
    """Return what a completion may repeat at its end, the longer form first.

    With its leading blank: "a + b" before " + b" should leave "a", not "a ". Closing brackets are
    not among it: whether they repeat is seen from what they close.
    """
    if not site.rest or site.rest[0] in _CLOSERS:
        return ()
    return (site.line_after.rstrip(), site.rest)
