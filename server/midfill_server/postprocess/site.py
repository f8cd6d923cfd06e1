"""What the filters see of the text around the cursor."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from midfill_server.postprocess.brackets import open_quote, unmatched
from midfill_server.postprocess.lines import Line, lines_of, width
from midfill_server.syntax import Kind, Language, Place, SyntaxTree, outside_of_text, place_at

__all__ = ["DEFINITION", "Length", "Site"]

# As much of the text around the cursor as is looked at.
_WINDOW_CHARACTERS = 4 * 1024
_LINES = 10
_DEFAULT_UNIT = "    "
_WIDEST_UNIT = 8
# What a model writes for one level where the document has tabs, and the other way round.
_TAB_COLUMNS = 4
_TABS = "\t"
# There a blank in place of a tab is an error, however lists are continued.
_ONLY_TABS = frozenset({"makefile"})
_MOSTLY_TABS = frozenset({"go"})
_PROSE = frozenset({Kind.STRING, Kind.COMMENT, Kind.DOCSTRING})

DEFINITION = re.compile(
    r"\s*(?:@|(?:export|default|public|private|protected|internal|static|abstract|final|async|pub"
    r"(?:\(\w+\))?|override|unsafe|virtual|inline)\s+)*"
    r"(?:def|class|fn|func|function|interface|struct|enum|impl|trait|module|namespace)\b"
)
"""The beginning of a line that defines something, in many languages."""


class Length(StrEnum):
    """How much a user wants to be offered."""

    LINE = "line"
    BLOCK = "block"
    AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The text around the cursor, as far as the filters look at it.

    ``line_before`` and ``line_after`` are the two parts of the cursor's line. ``before_lines`` and
    ``after_lines`` are the nearest ten lines around it that are not blank, in the order of the
    text and without blanks at their ends; ``next_line`` is the first of the latter, or ``""``.
    ``before`` and ``after`` are the windows around the cursor; ``open_brackets`` and ``open_quote``
    are what is open there. ``definition_widths`` are the indentations of the definitions above, the
    nearest first. ``tree`` is the document's, and ``cursor`` an offset in it.
    """

    line_before: str
    line_after: str
    next_line: str
    before_lines: tuple[str, ...] = ()
    after_lines: tuple[str, ...] = ()
    before: str = ""
    after: str = ""
    open_brackets: str = ""
    open_quote: str = ""
    definition_widths: tuple[int, ...] = ()
    language: Language | None = None
    place: Place = field(default_factory=lambda: Place(kind=Kind.PLAIN))
    tree: SyntaxTree | None = None
    cursor: int = 0
    indent_unit: str = _DEFAULT_UNIT
    line_end: str = "\n"
    length: Length = Length.AUTO
    eagerness: str = "balanced"

    @classmethod
    def around(
        cls,
        text: str,
        cursor: int,
        *,
        tree: SyntaxTree | None = None,
        language: Language | None = None,
        length: Length = Length.AUTO,
        eagerness: str = "balanced",
    ) -> Site:
        """Look at ``text`` around ``cursor``; ``tree`` is that of the same text, or ``None``."""
        before = text[max(cursor - _WINDOW_CHARACTERS, 0) : cursor]
        after = text[cursor : cursor + _WINDOW_CHARACTERS]
        *above, here = lines_of(before)
        rest, *below = lines_of(after)
        before_lines = tuple(line.content.rstrip() for line in above if not line.is_blank)
        after_lines = tuple(line.content.rstrip() for line in below if not line.is_blank)
        language = language or (tree.language if tree is not None else None)
        unit = _indent_unit((here.content, *before_lines[::-1], *after_lines), language)
        return cls(
            line_before=here.content,
            line_after=rest.content,
            next_line=after_lines[0] if after_lines else "",
            before_lines=before_lines[-_LINES:],
            after_lines=after_lines[:_LINES],
            before=before,
            after=after,
            open_brackets=unmatched(text[_code_start(tree, cursor) : cursor], language)[1],
            open_quote=open_quote(here.content, language),
            language=language,
            place=place_at(tree, text, cursor) if tree is not None else Place(kind=Kind.PLAIN),
            tree=tree,
            cursor=cursor,
            definition_widths=tuple(
                width(line, _tab_columns(unit))
                for line in reversed(before_lines)
                if DEFINITION.match(line)
            ),
            indent_unit=unit,
            line_end=_line_end(before, after),
            length=length,
            eagerness=eagerness,
        )

    @property
    def rest(self) -> str:
        """What follows the cursor on its line, blanks at both ends left out."""
        return self.line_after.strip()

    @property
    def is_prose(self) -> bool:
        """Whether brackets and indentation mean nothing at the cursor, as in a comment."""
        if self.language is not None and not self.language.quotes:
            return True
        return self.place.kind in _PROSE and not self.open_quote

    @property
    def is_empty_line(self) -> bool:
        """Whether nothing stands before the cursor on its line."""
        return not self.line_before.strip()

    @property
    def tab_columns(self) -> int:
        """How many blanks stand for a tab, in the document or in what a model writes for it."""
        return _tab_columns(self.indent_unit)

    def whole(self, line: Line) -> str:
        """Return a line of a text as it will stand in the file, up to what follows the cursor."""
        return self.line_before + line.content if line.start == 0 else line.content

    def width(self, line: str) -> int:
        """Return how far ``line`` is indented, in columns, whatever the blanks are."""
        return width(line, self.tab_columns)


def _code_start(tree: SyntaxTree | None, cursor: int) -> int:
    """Return where to look for brackets from: from within a string all would be inside out."""
    start = max(cursor - _WINDOW_CHARACTERS, 0)
    outside = outside_of_text(tree, start) if tree is not None else start
    return outside if outside < cursor else start


def _tab_columns(unit: str) -> int:
    return _TAB_COLUMNS if unit == _TABS else len(unit)


def _indent_unit(lines: Iterable[str], language: Language | None) -> str:
    """Return what one level of indentation is in ``lines``, those first that tell the most."""
    id = language.id if language else ""
    if id in _ONLY_TABS:
        return _TABS
    last: int | None = None
    for line in lines:
        if line.startswith(_TABS):
            return _TABS
        now = width(line, _TAB_COLUMNS)
        step = abs(now - last) if last is not None else 0
        if 2 <= step <= _WIDEST_UNIT:
            return " " * step
        last = now
    return _TABS if id in _MOSTLY_TABS else _DEFAULT_UNIT


def _line_end(before: str, after: str) -> str:
    """Return the line end that is nearest to the cursor."""
    found = re.findall(r"\r\n|\n|\r", before[-1000:]) or re.findall(r"\r\n|\n|\r", after)[:1]
    # Nobody has written files with a lone carriage return since 2001; it would be an accident.
    return "\r\n" if found and found[-1] == "\r\n" else "\n"
