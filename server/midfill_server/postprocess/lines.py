"""Lines of a text, and how alike two of them are: the small measures that several filters take."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

__all__ = ["Line", "alike", "is_trivial", "lines_of", "width", "within_edits"]

_LINE = re.compile(r"([^\r\n]*)(\r\n|[\r\n]|\Z)")
_WORD = re.compile(r"\w")
_SPELLING = re.compile(r"[\s;,]+|(?<!\w)'|'(?!\w)|\"")


class Line(NamedTuple):
    """One line of a text: ``content`` begins at ``start`` and is followed by ``ending``."""

    start: int
    content: str
    ending: str

    @property
    def stop(self) -> int:
        """Where the content ends."""
        return self.start + len(self.content)

    @property
    def end(self) -> int:
        """Where the next line begins."""
        return self.stop + len(self.ending)

    @property
    def is_blank(self) -> bool:
        """Whether nothing is to be seen on it."""
        return not self.content.strip()


# Every filter asks for the same lines, one after the other.
@lru_cache(maxsize=64)
def lines_of(text: str) -> tuple[Line, ...]:
    """Return the lines of ``text``; the last has no ending, and may be empty."""
    lines: list[Line] = []
    for match in _LINE.finditer(text):
        lines.append(Line(match.start(), match[1], match[2]))
        if not match[2]:
            break
    return tuple(lines)


def width(line: str, tab_columns: int) -> int:
    """Width of the blanks that ``line`` begins with, a tab being up to so many columns wide."""
    blanks = line[: len(line) - len(line.lstrip(" \t"))]
    return len(blanks.expandtabs(tab_columns))


def is_trivial(line: str) -> bool:
    """Whether a line has no word: brackets and such are the same in many places."""
    return not _WORD.search(line)


def alike(line: str, other: str) -> bool:
    """Whether two lines differ in blanks, quotation marks, commas and semicolons only.

    A letter or a digit of difference makes another line: ``a[i - 1]`` often stands above
    ``a[i + 1]``.
    """
    if is_trivial(line):
        return line.strip() == other.strip()
    return _SPELLING.sub("", line) == _SPELLING.sub("", other)


def within_edits(text: str, other: str, most: int) -> bool:
    """Whether ``text`` becomes ``other`` by at most ``most`` insertions, deletions, exchanges."""
    if abs(len(text) - len(other)) > most:
        return False
    row = list(range(len(other) + 1))
    for i, character in enumerate(text, 1):
        # Further from the diagonal than that nothing can be near enough.
        first, last = max(i - most, 1), min(i + most, len(other))
        above, row[0] = row[first - 1], i
        left = row[0] if first == 1 else most + 1
        for j in range(first, last + 1):
            cost = above + (character != other[j - 1])
            above = row[j] if j < i + most else most + 1
            left = row[j] = min(cost, above + 1, left + 1)
        if min(row[first : last + 1]) > most:
            return False
    return row[len(other)] <= most
