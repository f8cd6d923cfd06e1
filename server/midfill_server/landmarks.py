"""Which lines of a document say where the cursor is, and where what follows may be cut.

A prompt holds less than a long file. Of what lies too far before the cursor, the engine keeps the
most important of these lines; the file after the cursor it cuts preferably where a unit ends.
"""

from __future__ import annotations

from collections.abc import Iterator

from midfill_engine.types import Landmark
from midfill_server.syntax import SyntaxTree, enclosing, imports
from midfill_server.syntax.ends import ends

__all__ = ["breaks", "landmarks"]

# More than any prompt has room for, and than need be looked at with every new split.
_MAX_LANDMARKS = 64
_SUFFIX_CHARS = 16 * 1024


def landmarks(tree: SyntaxTree | None, prefix_start: int, start: int) -> tuple[Landmark, ...]:
    """Return what matters of the text ``[prefix_start, start)``, most important first.

    The headers of the functions and classes around ``start``, the innermost first; then what is
    imported. Offsets count from ``prefix_start``. Without a tree nothing is known.
    """
    found: list[Landmark] = []
    for first, end in _important(tree, start):
        if prefix_start <= first < start:
            mark = Landmark(start=first - prefix_start, end=min(end, start) - prefix_start)
            found.append(mark)
    return tuple(found[:_MAX_LANDMARKS])


def breaks(tree: SyntaxTree | None, cursor: int, suffix_chars: int) -> tuple[int, ...]:
    """Return where units end in the ``suffix_chars`` characters behind ``cursor``, counted from it.

    The ends of functions, classes and types, in order.
    """
    stop = cursor + min(suffix_chars, _SUFFIX_CHARS)
    return tuple(end - cursor for end in ends(tree, cursor, stop))


def _important(tree: SyntaxTree | None, start: int) -> Iterator[tuple[int, int]]:
    for unit in reversed(enclosing(tree, start)):
        yield unit.start, unit.header_end
    for statement in imports(tree):
        yield statement.start, statement.end
