"""Guesses at the bracket that closes a block, where indentation shows that it ends."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from midfill_server.fixing.brackets import CLOSERS
from midfill_server.fixing.case import Case, Ready
from midfill_server.fixing.edits import TextEdit

__all__ = ["missing_ends", "only_closes"]

_MAX_GUESSES = 6
_MAX_LINES = 20_000
_STRINGS = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`")
_COMMENT = re.compile(r"(?:#|//).*|/\*.*?\*/")
_NO_CODE = re.compile(r"\s*(?:#|//|/?\*)")
# What goes on behind a bracket in the same line.
_GOES_ON = re.compile(r"(?:else|catch|finally|from|while|satisfies)\b|=>|:")


@dataclass(slots=True)
class _Line:
    start: int
    text: str
    indent: str = field(init=False)

    def __post_init__(self) -> None:
        self.indent = self.text[: len(self.text) - len(self.text.lstrip())]

    @property
    def code_end(self) -> int:
        return self.start + len(self.text.rstrip())


@dataclass(slots=True)
class _Block:
    """What a line opens at its end; ``closers`` is what closes it, the innermost first."""

    indent: str
    closers: str


def missing_ends(case: Case) -> Iterator[Ready]:
    """Yield the text with a block closed before the first line that is not indented as it is.

    A parser notices much later that a bracket is missing, often at the end of the file.
    """
    found = list(_missing(case))
    # Mostly it is above the place where the parser gave up.
    at = case.diagnostic.start
    found.sort(key=lambda one: (one[0] > at, abs(one[0] - at)))
    for place, new in found[:_MAX_GUESSES]:
        yield Ready(text=case.replaced(place, place, new))


def only_closes(edits: Sequence[TextEdit]) -> bool:
    """Return whether edits put brackets in that close something, and nothing else."""
    return all(edit.start == edit.end and re.fullmatch(r"[\s)\]}]+", edit.new) for edit in edits)


def _missing(case: Case) -> Iterator[tuple[int, str]]:
    """Yield where a bracket is missing, and what is to be put in."""
    open_: list[_Block] = []
    last: _Line | None = None
    for line in _lines(case):
        while open_ and _is_over(open_[-1], line):
            block = open_.pop()
            if len(line.indent) >= len(block.indent):
                yield from _not_closed_by(line, block, last)
                # It is what closes the block; what is around it goes on.
                break
            if last is not None:
                yield last.code_end, f"\n{block.indent}{block.closers}"
        closers = _opened(line.text)
        if closers:
            open_.append(_Block(indent=line.indent, closers=closers))
        last = line
    for block in reversed(open_):
        if last is not None:
            yield last.code_end, f"\n{block.indent}{block.closers}"


def _lines(case: Case) -> Iterator[_Line]:
    """Yield the lines that have code."""
    lines = case.snapshot.lines
    for number in range(min(lines.count, _MAX_LINES)):
        start, end = lines.span(number, case.text)
        text = case.text[start:end]
        if text.strip() and not _NO_CODE.match(text):
            yield _Line(start=start, text=text)


def _is_over(block: _Block, line: _Line) -> bool:
    """Return whether a line is no longer inside of a block."""
    spare = 1 if _GOES_ON.match(line.text.lstrip()) else 0
    return len(line.indent) <= len(block.indent) + spare


def _not_closed_by(line: _Line, block: _Block, last: _Line | None) -> Iterator[tuple[int, str]]:
    """Yield what is missing before, or in, the line with which a block ends."""
    at = line.start + len(line.indent)
    rest = line.text.lstrip()
    if _GOES_ON.match(rest) and len(block.closers) == 1:
        yield at, block.closers + ("" if rest[0] == ":" else " ")
    elif rest[0] not in ")]},;.":
        if last is not None:
            yield last.code_end, f"\n{block.indent}{block.closers}"
    else:
        for closer in block.closers:
            if rest[:1] != closer:
                yield at, closer
                return
            rest, at = rest[1:], at + 1


def _opened(text: str) -> str:
    """Return what closes the brackets that are open at the end of a line, which one of them is."""
    code = _COMMENT.sub("", _STRINGS.sub("''", text)).rstrip()
    if code[-1:] not in CLOSERS:
        return ""
    open_: list[str] = []
    for character in code:
        if character in CLOSERS:
            open_.append(CLOSERS[character])
        elif character in ")]}" and open_ and open_[-1] == character:
            open_.pop()
    return "".join(reversed(open_))
