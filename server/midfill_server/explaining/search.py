"""Looks for what a name means: in its file, in what that imports, in the project."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property

from midfill_server.context.entries import Signature
from midfill_server.context.gather import Surroundings
from midfill_server.context.imports import ImportedName
from midfill_server.context.lookup import nearest
from midfill_server.context.scope import scope_at
from midfill_server.context.visible import may_be_named, path_of, shown_path
from midfill_server.document import Snapshot
from midfill_server.explaining.bindings import binding_of
from midfill_server.explaining.documentation import documentation
from midfill_server.explaining.files import ReadFile
from midfill_server.explaining.meaning import (
    MAX_HEADER_CHARS,
    MAX_MEANINGS,
    MAX_SOURCE_CHARS,
    Meaning,
    defined,
    header_end,
    header_of,
    outdented,
)
from midfill_server.syntax import (
    Definition,
    Language,
    SyntaxTree,
    definitions,
    enclosing,
    imports,
    language_of,
)

__all__ = ["OWN", "Search"]

_RECEIVER = re.compile(
    r"([\w$]*)(?:\([^()\n]*\)|\[[^\[\]\n]*\])?[ \t]*(?:\?\.|!\.|(?<!\.)\.|->|::|\\)[ \t]*@?\Z"
)
OWN = frozenset({"self", "this", "cls", "$this", "Self", "static", "super", "base"})
"""What code calls the object that it belongs to."""
_FAMILIES = (
    frozenset({"javascript", "javascriptreact", "typescript", "typescriptreact"}),
    frozenset({"c", "cpp"}),
)


class Search:
    """Looks for the meanings of one name at one place; what is looked at twice is kept."""

    def __init__(
        self,
        snapshot: Snapshot,
        tree: SyntaxTree,
        name: str,
        start: int,
        surroundings: Surroundings | None,
    ) -> None:
        self._snapshot = snapshot
        self._tree = tree
        self._text = snapshot.text
        self._language = tree.language
        self._name = name
        self._start = start
        self._surroundings = surroundings
        self._path = path_of(snapshot.uri) or ""
        roots = surroundings.index.roots if surroundings is not None else ()
        self._shown = shown_path(self._path, roots) if self._path else ""
        match = _RECEIVER.search(self._text[max(start - 200, 0) : start])
        self._is_member = match is not None
        self._receiver = match[1] if match is not None else ""

    def meanings(self) -> Iterable[Meaning]:
        """Return the meanings, the likeliest first."""
        found = self._itself() or self._import_line()
        if found:
            return found
        if self._is_member:
            return self._member()
        return self._local() or self._in_file() or self._imported() or self._known()

    # -- in this file ------------------------------------------------------------------------------

    @cached_property
    def _here(self) -> tuple[Definition, ...]:
        return definitions(self._tree)

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        """The names of the classes around the cursor, innermost first."""
        units = enclosing(self._tree, self._start)
        names = [re.split(r"[<\[\s(]", unit.name, maxsplit=1)[0] for unit in units]
        names = [name for unit, name in zip(units, names, strict=True) if unit.kind == "class"]
        found = tuple(name.rpartition("::")[2] for name in reversed(names) if name)
        if found:
            return found
        # Where methods stand outside of what they belong to, their definitions say to what.
        return tuple(
            one.container
            for one in self._here
            if one.container and one.start <= self._start < one.end
        )[-1:]

    def _itself(self) -> list[Meaning]:
        """Return the definition in whose header its own name is what the cursor is at."""
        holding = [
            one
            for one in self._here
            if one.name == self._name and one.start <= self._start < one.end
        ]
        for one in reversed(holding):
            read = self._read
            if self._start < header_end(read, one) and self._is_first_of(one):
                return [self._defined(one)]
        return []

    def _is_first_of(self, one: Definition) -> bool:
        """Whether the cursor is at the first place where a definition has its name."""
        pattern = re.compile(rf"(?<![\w$]){re.escape(self._name)}(?![\w$])")
        first = pattern.search(self._text, one.start, one.end)
        return first is not None and first.start() == self._start

    def _local(self) -> list[Meaning]:
        """Return what the functions around the cursor bind."""
        found = binding_of(self._tree, self._name, self._start, in_file=False)
        if found is None or found.kind == "import":
            return []
        return [self._bound(found.kind, found.owner, found.signature, found.start, found.end)]

    def _in_file(self) -> list[Meaning]:
        named = [one for one in self._here if one.name == self._name]
        own = [one for one in named if one.container in self._classes]
        # Python and JavaScript reach members by a receiver only.
        needs_receiver = self._language.id == "python" or self._language.id in _FAMILIES[0]
        chosen = [one for one in named if not one.container]
        if not needs_receiver:
            chosen = own or chosen or named
        elif own and any(one.start <= self._start < one.end for one in own):
            chosen = own
        if chosen:
            return [self._defined(one) for one in chosen[:MAX_MEANINGS]]
        found = binding_of(self._tree, self._name, self._start, in_file=True)
        if found is None or found.kind == "import":
            return []
        return [self._bound(found.kind, "", found.signature, found.start, found.end)]

    def _member(self) -> list[Meaning]:
        """Return what a name behind a dot may be."""
        named = [one for one in self._here if one.name == self._name]
        if self._receiver in OWN or (not self._receiver and self._text[self._start - 1] == "@"):
            own = [one for one in named if one.container in self._classes]
            if own:
                return [self._defined(own[0])]
        owners = self._owners()
        for owner in owners:
            inside = [one for one in named if one.container == owner]
            if inside:
                return [self._defined(inside[0])]
        theirs = [
            one
            for imported in self._all_imported
            for one in imported.definitions
            if one.name == self._name and self._may_be_of(imported, one, owners)
        ]
        if theirs:
            return self._signatures(theirs[:1])
        inside = [one for one in named if one.container]
        if inside and len({one.container for one in inside}) <= MAX_MEANINGS:
            return [self._defined(one) for one in inside[:MAX_MEANINGS]]
        known = self._allowed(self._named_in_index())
        told = [one for one in known if one.container and one.container in owners]
        used = [one for one in known if one.container and self._mentions(one.container)]
        return self._signatures(self._chosen(told or used))

    def _owners(self) -> list[str]:
        """Return the names that may be the type of what the cursor stands behind."""
        scope = scope_at(self._tree, self._text, self._start, self._language)
        types = [name for name in scope.urgent if name[:1].isupper()]
        return list(dict.fromkeys([self._receiver, *types])) if self._receiver else types[:1]

    def _may_be_of(self, imported: ImportedName, one: Signature, owners: Sequence[str]) -> bool:
        if imported.name == "":
            called = re.split(r"[./:\\]", imported.alias)[-1]
            return not one.container and called == self._receiver
        return bool(one.container) and one.container in owners

    # -- in other files ----------------------------------------------------------------------------

    @cached_property
    def _all_imported(self) -> tuple[ImportedName, ...]:
        if self._surroundings is None or not self._path:
            return ()
        return self._surroundings.imported(self._path, self._text, self._language.id)

    def _import_line(self) -> list[Meaning]:
        """Return what a name in an import statement is."""
        held = [one for one in imports(self._tree) if one.start <= self._start < one.end]
        if not held:
            return []
        found = self._imported() or self._module()
        return found or [self._outside(self._text[held[0].start : held[0].end])]

    def _imported(self) -> list[Meaning]:
        every = self._all_imported
        single = [one for one in every if self._name in (one.alias, one.name)]
        for one in single:
            if one.name not in ("", "*"):
                return self._signatures(one.definitions[:1]) or [self._lies_in(one)]
            if one.name == "":
                return [self._lies_in(one)]
        spread = [
            two
            for one in every
            if one.name == "*"
            for two in one.definitions
            if two.name == self._name and not two.container
        ]
        if spread:
            return self._signatures(spread[:1])
        line = self._line_of_import()
        return [self._outside(line)] if line else []

    def _line_of_import(self) -> str:
        """Return the statement that imports the name from who knows where."""
        pattern = re.compile(rf"(?<![\w$]){re.escape(self._name)}(?![\w$])")
        for one in imports(self._tree):
            written = self._text[one.start : one.end]
            if pattern.search(written):
                return written
        return ""

    def _module(self) -> list[Meaning]:
        for one in self._all_imported:
            stem = one.path.replace("\\", "/").rpartition("/")[2].partition(".")[0]
            parts = re.split(r"[./:\\]", one.alias)
            if self._name in (stem, *parts):
                return [self._lies_in(one)]
        return []

    def _known(self) -> list[Meaning]:
        """Return what the project calls so, where no import says which it is."""
        known = [one for one in self._allowed(self._named_in_index()) if not one.container]
        importing = self._language.id == "python" or self._language.id in _FAMILIES[0]
        if importing and len(known) != 1:
            return []
        return self._signatures(self._chosen(known))

    def _named_in_index(self) -> tuple[Signature, ...]:
        if self._surroundings is None:
            return ()
        return self._surroundings.index.definitions_named(self._name)

    def _allowed(self, found: Iterable[Signature]) -> list[Signature]:
        roots = self._surroundings.index.roots if self._surroundings is not None else ()
        return [
            one
            for one in found
            if _is_same(self._language, one.path) and may_be_named(one.path, self._path, roots)
        ]

    def _chosen(self, found: Sequence[Signature]) -> list[Signature]:
        """Return the nearest, or some where none is nearer than the others."""
        paths = list(dict.fromkeys(one.path for one in found))
        if len(paths) > 1:
            best = nearest(paths, self._path)
            others = [path for path in paths if path != best]
            # Asked the other way round, the first of equals is another one.
            if nearest([*others, best], self._path) == best:
                paths = [best]
        return [one for one in found if one.path in paths][:MAX_MEANINGS]

    def _mentions(self, name: str) -> bool:
        return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", self._text) is not None

    # -- as meanings -------------------------------------------------------------------------------

    @cached_property
    def _read(self) -> ReadFile:
        return ReadFile(
            text=self._text, language=self._language, tree=self._tree, definitions=self._here
        )

    def _defined(self, one: Definition) -> Meaning:
        return defined(one, self._read, self._path, self._shown)

    def _bound(self, kind: str, owner: str, signature: str, start: int, end: int) -> Meaning:
        source = self._text[start:end]
        about = ""
        if kind in ("function", "class"):
            signature = header_of(source.partition("{")[0].partition("\n")[0])
            header_end = start + len(source.partition("\n")[0])
            about = documentation(
                self._text, start=start, header_end=header_end, language=self._language
            )
        return Meaning(
            name=self._name,
            kind=kind,
            owner=owner,
            signature=signature,
            path=self._path,
            shown=self._shown,
            line=self._snapshot.lines.line_of(start),
            documentation=about,
            source=outdented(self._text, start, end)[:MAX_SOURCE_CHARS],
        )

    def _signatures(self, found: Iterable[Signature]) -> list[Meaning]:
        roots = self._surroundings.index.roots if self._surroundings is not None else ()
        return [
            Meaning(
                name=one.name,
                kind=one.kind,
                owner=one.container,
                signature=one.text,
                path=one.path,
                shown=shown_path(one.path, roots),
            )
            for one in found
            if may_be_named(one.path, self._path, roots)
        ]

    def _lies_in(self, one: ImportedName) -> Meaning:
        """Return what an import of a whole module, or of something not found in it, means."""
        roots = self._surroundings.index.roots if self._surroundings is not None else ()
        return Meaning(
            name=self._name,
            kind="module" if one.name in ("", "*") else "import",
            owner="",
            signature=" ".join(self._line_of_import().split())[:MAX_HEADER_CHARS] or self._name,
            path=one.path,
            shown=shown_path(one.path, roots),
        )

    def _outside(self, line: str) -> Meaning:
        return Meaning(
            name=self._name,
            kind="import",
            owner="",
            signature=" ".join(line.split())[:MAX_HEADER_CHARS],
            path="",
            shown="",
        )


def _is_same(language: Language, path: str) -> bool:
    other = language_of("", path)
    if other is None or other.id == language.id:
        return other is not None
    return any(language.id in family and other.id in family for family in _FAMILIES)
