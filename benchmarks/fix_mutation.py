"""What a mutation is: a mistake put into a file that had none, and the tools to make one."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TypeVar

__all__ = ["BREAKING", "CLASSES", "Mutation", "cut", "entry", "mixed", "shuffled", "typo"]

CLASSES = (
    "undefined name",
    "missing import",
    "wrong attribute",
    "wrong argument count",
    "unused name",
    "type mismatch",
    "missing return",
    "syntax error",
    "bad indentation",
)
"""What is done to a file. Only Python has indentation that can be bad."""

BREAKING = frozenset({"syntax error", "bad indentation"})
"""What makes a text that is no program."""

_WORD = re.compile(r"\w+")
_NEIGHBOURS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """A text with a mistake in it, made at the character ``at`` of it."""

    text: str
    at: int


def cut(text: str, start: int, end: int, new: str = "") -> Mutation:
    """Return the mutation that has ``new`` in the place of ``[start, end)``."""
    return Mutation(text=text[:start] + new + text[end:], at=start)


def entry(spans: Sequence[tuple[int, int]], at: int) -> tuple[int, int]:
    """Return what goes with one entry of a list, whose entries are at ``spans``: a comma too."""
    start, end = spans[at]
    if at + 1 < len(spans):
        return start, spans[at + 1][0]
    return (spans[at - 1][1] if at else start), end


def shuffled(items: Iterable[_T], rng: random.Random) -> list[_T]:
    """Return the items in an order that ``rng`` decides."""
    found = list(items)
    rng.shuffle(found)
    return found


def mixed(ways: Sequence[Iterable[_T]], rng: random.Random) -> Iterator[_T]:
    """Yield items of each way in turns, in an order of its own: none crowds others out."""
    rows = zip_longest(*(shuffled(way, rng) for way in shuffled(ways, rng)))
    yield from (item for item in chain.from_iterable(rows) if item is not None)


def typo(name: str, text: str, rng: random.Random) -> str | None:
    """Return ``name`` as one mistypes it, as no word of ``text``; ``None`` if that is not found."""
    known = set(_WORD.findall(text))
    for _ in range(8):
        at = rng.randrange(1, len(name))
        match rng.randrange(4):
            case 0:
                new = name[:at] + name[at + 1 :]
            case 1:
                new = name[:at] + name[at] + name[at:]
            case 2:
                new = name[: at - 1] + name[at] + name[at - 1] + name[at + 1 :]
            case _:
                new = name[:at] + _neighbour(name[at], rng) + name[at + 1 :]
        if new not in known and new.isidentifier():
            return new
    return None


def _neighbour(letter: str, rng: random.Random) -> str:
    """Return a letter beside it on the keyboard."""
    row = next((row for row in _NEIGHBOURS if letter in row), None)
    if row is None:
        return letter
    at = row.index(letter)
    return rng.choice([row[near] for near in (at - 1, at + 1) if 0 <= near < len(row)])
