"""Filters for where a text leaves what the cursor is in: its line, its block, its definition."""

from __future__ import annotations

import re

from midfill_server.postprocess.brackets import CLOSERS, in_long_string
from midfill_server.postprocess.case import Case
from midfill_server.postprocess.extent import Extent, extent_of, opens_block
from midfill_server.postprocess.following import repeats_rest
from midfill_server.postprocess.lines import Line, lines_of
from midfill_server.postprocess.site import DEFINITION, Length, Site

__all__ = ["half_a_line", "leaves_block", "leaves_line", "next_unit", "one_line", "opens_fence"]

_CLOSING = re.compile(r"[\s)\]}>'\"`;,:]*")
_FENCE = "```"
# One blank line parts paragraphs, two part what has little to do with each other.
_BLANK_LINES = 2
# A line for the preprocessor stands at the margin, whatever it is in.
_PREPROCESSED = frozenset({"c", "cpp", "csharp", "objective-c"})


def leaves_line(text: str, case: Case) -> int:
    """Return the end of the first line where text that is no closing bracket follows the cursor.

    That text belongs behind the completion, on this line. A line that comes to what follows the
    cursor is complete as well.
    """
    site = case.site
    first = lines_of(text)[0]
    if not site.rest or not first.ending:
        return len(text)
    if _CLOSING.fullmatch(site.line_after) and repeats_rest(first.content, case) == first.stop:
        return len(text)
    return first.stop


def one_line(text: str, case: Case) -> int:
    """Return where ``text`` ends the line that is being typed, or the one line that is wanted.

    Somebody in the midst of a line is shown that line: it is what can be judged at a glance, and it
    is there soonest. Where the line was complete, one more is offered.
    """
    site = case.site
    first = lines_of(text)[0]
    if site.length is Length.BLOCK or not first.ending:
        return len(text)
    if not site.is_empty_line and not first.is_blank:
        return first.stop
    if extent_of(site).extent is Extent.BLOCK:
        return len(text)
    whole = next((line for line in lines_of(text) if not line.is_blank), None)
    return whole.stop if whole is not None and whole.ending else len(text)


def leaves_block(text: str, case: Case) -> int:
    """Return where a line of ``text`` is indented less than the block of the cursor is.

    What comes there belongs to an outer block, which nobody has asked for. One line of closing
    brackets is let through where the file does not close the block itself.
    """
    site = case.site
    lines = [line for line in lines_of(text) if not line.is_blank]
    own = _block_width(lines, site)
    end = 0
    for line in lines:
        if line.start == 0 or site.width(line.content) >= own:
            end = line.stop
            continue
        if _stands_anywhere(text, line, site):
            continue
        closes = line.content.strip()[0] in CLOSERS
        if closes and site.next_line.strip()[:1] not in tuple(CLOSERS):
            return line.stop
        return end
    return len(text)


def _stands_anywhere(text: str, line: Line, site: Site) -> bool:
    """Whether the indentation of a line tells nothing of the block that it is in."""
    if line.content.startswith("#") and site.language and site.language.id in _PREPROCESSED:
        return True
    return in_long_string(text[: line.start], site.language, site.open_quote)


def next_unit(text: str, case: Case) -> int:
    """Return where another definition or paragraph begins behind what ``text`` began with."""
    site = case.site
    first: Line | None = None
    blank, end = 0, 0
    for line in lines_of(text):
        if line.is_blank:
            blank += 1
            continue
        if first is None or first.content.lstrip().startswith("@"):
            # What decorates a definition belongs to it.
            first = line
        elif blank >= _BLANK_LINES or (
            blank
            and DEFINITION.match(first.content)
            and site.width(line.content) <= site.width(site.line_before + first.content)
        ):
            return end
        blank, end = 0, line.stop
    return len(text)


def opens_fence(text: str, case: Case) -> int:
    """Return where ``text`` ends a block of Markdown: a chat model takes its leave there."""
    if case.site.is_prose or _FENCE in case.site.before:
        return len(text)
    for line in lines_of(text):
        if line.content.lstrip().startswith(_FENCE):
            return line.start
    return len(text)


def half_a_line(text: str, case: Case) -> int:
    """Return the end of the last whole line of a text that did not come to its end.

    Half a line that nobody asked for has to be deleted by hand; half of the cursor's own line is
    still a start.
    """
    if not case.half:
        return len(text)
    line_end = max(text.rfind("\n"), text.rfind("\r"), 0)
    return len(text[:line_end].rstrip("\r\n")) if text[:line_end].strip() else len(text)


def _block_width(lines: list[Line], site: Site) -> int:
    """Return the indentation of the block that the text is in."""
    own = site.width(site.line_before)
    if not lines:
        return own
    first = lines[0]
    if not site.is_empty_line:
        inner = site.width(first.content)
        return inner if first.start and inner > own and opens_block(site.line_before) else own
    if site.line_before:
        return own
    # At the margin of an empty line the cursor says nothing of the block: what stays inside of the
    # function or class around it is wanted.
    inner = site.width(first.content)
    following = site.width(site.next_line)
    if following and not DEFINITION.match(site.next_line):
        inner = min(inner, following)
    return next((at + 1 for at in site.definition_widths if at < inner), 1 if inner else 0)
