"""Offsets in code points to and from line and character, in the three encodings of LSP.

The encodings differ only in how wide a character counts (LSP 3.17, ``positionEncoding``). Lone
surrogates, which JSON can carry, count as one UTF-16 unit or three UTF-8 bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum

from midfill_server.document.lines import LineTable

__all__ = ["PositionEncoding", "offset_at", "position_at"]

_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_ASTRAL = re.compile(r"[\U00010000-\U0010ffff]")


class PositionEncoding(StrEnum):
    """The unit in which ``character`` of a position counts."""

    UTF8 = "utf-8"
    UTF16 = "utf-16"
    UTF32 = "utf-32"


def offset_at(
    text: str, lines: LineTable, line: int, character: int, encoding: PositionEncoding
) -> int:
    """Return the offset of a position, clamped to its line and to the text.

    A position in the middle of a character means the start of that character.
    """
    if line >= lines.count:
        return lines.length
    start, end = lines.span(line, text)
    extra = 0
    for index, width in _wide_characters(text, start, end, encoding):
        units_before = index - start + extra
        if units_before >= character:
            break
        if units_before + width > character:
            return index
        extra += width - 1
    return min(start + max(character - extra, 0), end)


def position_at(
    text: str, lines: LineTable, offset: int, encoding: PositionEncoding
) -> tuple[int, int]:
    """Return line and character of ``offset``; an offset inside a line end means its start."""
    line = lines.line_of(offset)
    start, end = lines.span(line, text)
    offset = min(offset, end)
    extra = sum(width - 1 for _, width in _wide_characters(text, start, offset, encoding))
    return line, offset - start + extra


def _wide_characters(
    text: str, start: int, end: int, encoding: PositionEncoding
) -> Iterator[tuple[int, int]]:
    """Yield index and width of the characters that count as more than one unit."""
    # str.isascii costs nothing, and nearly all code is ASCII.
    if encoding is PositionEncoding.UTF32 or text.isascii():
        return
    pattern = _NOT_ASCII if encoding is PositionEncoding.UTF8 else _ASTRAL
    for match in pattern.finditer(text, start, end):
        yield match.start(), _width(ord(match.group()), encoding)


def _width(code_point: int, encoding: PositionEncoding) -> int:
    if encoding is PositionEncoding.UTF16:
        return 2
    if code_point < 0x800:
        return 2
    return 3 if code_point < 0x10000 else 4
