"""Stretches of a text that are worth showing by themselves: whole blocks of a few lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from midfill_server.syntax import Language, SyntaxTree, definitions, identifiers

__all__ = ["MAX_LINES", "Lines", "Passage", "block_around", "passages", "words_of"]

MAX_LINES = 60
"""No passage is longer."""

# Whole definitions are put together until there are so many lines.
_ENOUGH_LINES = 24
# What stands around a place that no block of fitting size holds.
_MARGIN_LINES = 8
_MAX_PASSAGES = 60
_MIN_WORD_CHARS = 3

# A line that begins with one of these belongs to the block that it ends.
_CLOSERS = ("}", ")", "]", "end")

_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """A text in lines, without their ends; ``depths`` are the widths of the white space before
    them, ``None`` for those that are empty."""

    lines: tuple[str, ...]
    depths: tuple[int | None, ...]

    @classmethod
    def of(cls, text: str) -> Lines:
        """Split ``text``."""
        lines = tuple(_LINE_END.split(text))
        return cls(lines=lines, depths=tuple(map(_depth, lines)))

    def text(self, start: int, stop: int) -> str:
        """Return some lines as one text, with a line end behind each."""
        return "".join(line + "\n" for line in self.lines[start:stop])


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Lines of a file, the first of which is line ``line``, and the names that are used in them."""

    path: str
    line: int
    text: str
    words: frozenset[str]


def passages(
    path: str, text: str, tree: SyntaxTree | None, language: Language | None
) -> tuple[Passage, ...]:
    """Cut a file into passages: at its definitions where its tree is known, else at empty lines."""
    lines = Lines.of(text)
    found: list[Passage] = []
    for start, stop in _stretches(_cuts(lines, text, tree), len(lines.lines)):
        stretch = lines.text(start, stop).strip("\n") + "\n"
        words = words_of(stretch, language)
        if words:
            found.append(Passage(path=path, line=start, text=stretch, words=words))
        if len(found) == _MAX_PASSAGES:
            break
    return tuple(found)


def words_of(text: str, language: Language | None) -> frozenset[str]:
    """Return the names in a text that say something about what it does."""
    return frozenset(word for word in identifiers(text, language) if len(word) >= _MIN_WORD_CHARS)


def block_around(lines: Lines, first: int, last: int) -> range:
    """Return the lines of the largest block around some lines that is at most ``MAX_LINES`` long.

    A block is a line and what is indented below it.
    """
    count = len(lines.lines)
    first = max(0, min(first, count - 1))
    last = max(first, min(last, count - 1))
    best = range(max(first - _MARGIN_LINES, 0), min(last + _MARGIN_LINES, count))
    best = best[:MAX_LINES]
    head: int | None = first
    while head is not None:
        block = range(head, _end_of_block(lines, head, last))
        if len(block) > MAX_LINES:
            break
        if len(block) > 1:
            best = block
        head = _header_above(lines, head)
    return best


def _header_above(lines: Lines, line: int) -> int | None:
    """Return the nearest line above with less indentation."""
    depth = lines.depths[line]
    for above in range(line - 1, max(line - 4 * MAX_LINES, -1), -1):
        found = lines.depths[above]
        if found is not None and (depth is None or found < depth):
            return above
    return None


def _end_of_block(lines: Lines, head: int, last: int) -> int:
    """Return the line behind the block that begins at ``head`` and goes on at least to ``last``."""
    depth = lines.depths[head] or 0
    end = head + 1
    for line in range(head + 1, min(head + 2 * MAX_LINES, len(lines.lines))):
        found = lines.depths[line]
        if found is None:
            continue
        closes = lines.lines[line].lstrip().startswith(_CLOSERS)
        if found <= depth and line > last and not (found == depth and closes):
            break
        end = line + 1
    return max(end, last + 1)


def _cuts(lines: Lines, text: str, tree: SyntaxTree | None) -> list[int]:
    """Return the lines at which something new begins."""
    if tree is not None:
        starts = [0, *(one.start for one in definitions(tree))]
        found: list[int] = []
        line = at = 0
        for start in sorted(starts):
            line += len(_LINE_END.findall(text, at, start))
            at = start
            found.append(line)
        if len(found) > 1:
            return sorted(set(found))
    return [
        line
        for line in range(len(lines.lines))
        if line == 0 or (lines.depths[line] is not None and lines.depths[line - 1] is None)
    ]


def _stretches(cuts: Sequence[int], count: int) -> list[tuple[int, int]]:
    """Put what lies between the cuts together to stretches that are neither short nor long."""
    found: list[tuple[int, int]] = []
    start = 0
    for cut, after in zip(cuts, [*cuts[1:], count], strict=True):
        if cut > start and after - start > _ENOUGH_LINES:
            found.append((start, cut))
            start = cut
        while after - start > MAX_LINES:
            found.append((start, start + MAX_LINES))
            start += MAX_LINES
    if count > start:
        found.append((start, count))
    return found


def _depth(line: str) -> int | None:
    stripped = line.lstrip()
    return len(line[: len(line) - len(stripped)].expandtabs(4)) if stripped else None
