"""One thing that a name may mean, as people and prompts are told of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from midfill_server.explaining.documentation import documentation
from midfill_server.explaining.files import ReadFile
from midfill_server.syntax import Definition, enclosing

__all__ = [
    "MAX_HEADER_CHARS",
    "MAX_MEANINGS",
    "MAX_SOURCE_CHARS",
    "Meaning",
    "Symbol",
    "defined",
    "header_end",
    "header_of",
    "outdented",
]

MAX_MEANINGS = 3
"""Of more, nobody can choose."""
MAX_SOURCE_CHARS = 20_000
_MAX_HEADER_LINES = 12
_MAX_PLACES = 4
MAX_HEADER_CHARS = 700


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """One definition that a name may refer to.

    ``kind`` is one of ``syntax.Definition``'s, or ``variable``, ``parameter``, ``module``,
    ``import`` (of something that lies outside of the project). ``owner`` is the class or function
    that it belongs to, or ``""``. ``path`` is absolute, ``""`` where it is not known; ``shown`` is
    the same for people, in the workspace and with slashes. ``line`` is 0-based.

    ``source`` is the definition's text, ``""`` where only its signature is known.
    ``documentation`` is text for people that nobody checked: it is not safe to render.
    """

    name: str
    kind: str
    owner: str
    signature: str
    path: str
    shown: str
    line: int | None = None
    documentation: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbol:
    """A name at ``[start, end)`` of a document, and what defines it, the likeliest first.

    Without meanings nothing of the project defines it, or it is not known which of many does.
    """

    name: str
    start: int
    end: int
    language_id: str
    meanings: tuple[Meaning, ...]


def defined(one: Definition, read: ReadFile, path: str, shown: str) -> Meaning:
    """Return the meaning that a definition of a file is, with its text and documentation."""
    body_start = header_end(read, one)
    header = read.text[one.start : body_start]
    is_short = one.kind in ("constant", "field", "type") and "\n" not in header
    return Meaning(
        name=one.name,
        kind=one.kind,
        owner=one.container,
        signature=one.signature if is_short else header_of(header) or one.signature,
        path=path,
        shown=shown,
        line=read.text.count("\n", 0, one.start),
        documentation=documentation(
            read.text, start=one.start, header_end=body_start, language=read.language
        ),
        source=outdented(read.text, one.start, one.end)[:MAX_SOURCE_CHARS],
    )


def outdented(text: str, start: int, end: int) -> str:
    """Return a stretch of a text without the indentation of the line that it begins in."""
    line_start = text.rfind("\n", 0, start) + 1
    blank = len(text[line_start:start]) - len(text[line_start:start].lstrip())
    first, *rest = text[start:end].split("\n")
    lines = [line[min(blank, len(line) - len(line.lstrip())) :] for line in rest]
    return "\n".join([first, *lines])


def header_end(read: ReadFile, one: Definition) -> int:
    """Return where the header of a definition ends, and its body begins."""
    if read.tree is None or one.kind in ("constant", "field", "type"):
        return one.end
    # Decorators may have the name, too.
    pattern = re.compile(rf"(?<![\w$]){re.escape(one.name)}(?![\w$])")
    for _, match in zip(
        range(_MAX_PLACES), pattern.finditer(read.text, one.start, one.end), strict=False
    ):
        for unit in enclosing(read.tree, match.end()):
            if unit.start >= one.start and one.name in unit.name and match.end() <= unit.header_end:
                return unit.header_end
    first = read.text.find("\n", one.start, one.end)
    return first if first >= 0 else one.end


def header_of(header: str) -> str:
    """Return a header as it is written, without what opens the body."""
    lines = header.expandtabs(4).split("\n")
    rest = [line for line in lines[1:] if line.strip()]
    # Its first line begins behind its indentation, the others do not.
    depth = len(rest[-1]) - len(rest[-1].lstrip()) if rest else 0
    dedented = [lines[0], *(line[min(depth, len(line) - len(line.lstrip())) :] for line in rest)]
    written = "\n".join(line.rstrip() for line in dedented[:_MAX_HEADER_LINES])
    written = written.rstrip("{ \n")
    return written[:MAX_HEADER_CHARS]
