"""All that is known of one diagnostic: the text, its tree, where the fix may be, who else knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from midfill_engine.types import ContextChunk, Request
from midfill_server.context.entries import FileEntry, Signature
from midfill_server.document import Snapshot
from midfill_server.fixing.diagnostic import Diagnostic, Kind, kind_of, quoted_names
from midfill_server.fixing.scope import Scope, scope_of
from midfill_server.syntax import Language, SyntaxTree, language_of

__all__ = ["Asked", "Case", "Definitions", "Idea", "Ready"]

_MAX_PARSE_S = 3.0
_WORD = re.compile(r"[^\W\d]\w*")


class Definitions(Protocol):
    """What the files of the project define; ``WorkspaceIndex`` is it. For any thread."""

    @property
    def roots(self) -> tuple[str, ...]:
        """The folders of the project."""
        ...

    def definitions_named(self, name: str) -> tuple[Signature, ...]:
        """Return the definitions of that name."""
        ...

    def file(self, path: str) -> FileEntry | None:
        """Return what is known of a file."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A new text of the document that took no model. ``drops``: code is gone from it.

    What drops code is only worth something where a checker confirms it.
    """

    text: str
    drops: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question for a model; ``read`` makes new texts of the document of its answer.

    ``enough`` says of an answer that grows whether more of it would be read.
    """

    request: Request
    read: Callable[[str], Iterable[str]]
    enough: Callable[[str], bool]


Idea: TypeAlias = Ready | Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A diagnostic on a snapshot. ``path`` is the file's, ``""`` where there is none.

    ``others`` are further diagnostics of the same text. ``context`` is what a model may be shown of
    other files.
    """

    diagnostic: Diagnostic
    snapshot: Snapshot
    language: Language | None
    tree: SyntaxTree | None
    scope: Scope
    kind: Kind
    path: str = ""
    others: tuple[Diagnostic, ...] = ()
    definitions: Definitions | None = None
    context: tuple[ContextChunk, ...] = field(default=())

    @classmethod
    def of(
        cls,
        diagnostic: Diagnostic,
        snapshot: Snapshot,
        *,
        path: str = "",
        others: Iterable[Diagnostic] = (),
        definitions: Definitions | None = None,
        context: tuple[ContextChunk, ...] = (),
    ) -> Case:
        """Look at a diagnostic; parses the text."""
        language = language_of(snapshot.language_id, path or snapshot.uri)
        tree = SyntaxTree.parse(snapshot.text, language, limit_s=_MAX_PARSE_S)
        kind = kind_of(diagnostic)
        if kind is Kind.OTHER and not diagnostic.code and tree is not None and tree.root.has_error:
            # What is wrong with the syntax has no code with some checkers, and many names.
            kind = Kind.SYNTAX
        return cls(
            diagnostic=diagnostic,
            snapshot=snapshot,
            language=language,
            tree=tree,
            scope=scope_of(snapshot, tree, diagnostic),
            kind=kind,
            path=path,
            others=tuple(others),
            definitions=definitions,
            context=context,
        )

    @property
    def text(self) -> str:
        """The document's text."""
        return self.snapshot.text

    @property
    def eol(self) -> str:
        """How the lines of the document end."""
        found = re.search(r"\r\n|\n|\r", self.text)
        return found[0] if found is not None else "\n"

    @property
    def language_id(self) -> str:
        """The language's own id, ``""`` for an unknown one."""
        return self.language.id if self.language is not None else ""

    def line_span(self, offset: int) -> tuple[int, int]:
        """Return where the line of ``offset`` starts and where its content ends."""
        lines = self.snapshot.lines
        return lines.span(lines.line_of(offset), self.text)

    def next_line(self, offset: int) -> int:
        """Return where the line behind that of ``offset`` starts; the end of the text at most."""
        lines = self.snapshot.lines
        line = lines.line_of(offset) + 1
        return lines.start_of(line) if line < lines.count else len(self.text)

    def replaced(self, start: int, end: int, new: str) -> str:
        """Return the text with ``new``, whose lines may end with a plain newline, in place."""
        if self.eol != "\n":
            new = re.sub(r"\r\n|\n", self.eol, new)
        return "".join((self.text[:start], new, self.text[end:]))

    def wrong_name(self) -> tuple[int, int] | None:
        """Return where the name stands that the diagnostic is about."""
        start, end = self.diagnostic.start, self.diagnostic.end
        line_end = self.line_span(start)[1]
        for name in quoted_names(self.diagnostic.message):
            last = name.rpartition(".")[2]
            if not _WORD.fullmatch(last):
                continue
            for stop in (end, line_end):
                found = re.compile(rf"\b{re.escape(last)}\b").search(
                    self.text, start, max(stop, end)
                )
                if found is not None:
                    return found.span()
        return self._word_at(start, end)

    def _word_at(self, start: int, end: int) -> tuple[int, int] | None:
        begin = self.line_span(start)[0]
        for found in _WORD.finditer(self.text, begin, max(end, start) + 120):
            if found.start() <= start <= found.end() and found.end() >= end:
                return found.span()
            if found.start() > start:
                break
        return None
