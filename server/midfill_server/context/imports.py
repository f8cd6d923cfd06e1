"""What a file imports from the workspace, with what others must know of it to use it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

from midfill_server.context.entries import FileEntry, Signature
from midfill_server.context.index import WorkspaceIndex
from midfill_server.context.lookup import Target
from midfill_server.context.reading import read_text
from midfill_server.context.resolve import targets
from midfill_server.context.statements import ImportStatement, import_statements
from midfill_server.context.table import key_of

__all__ = ["ImportedName", "Imports"]

_MAX_TARGETS = 64
# A package gives on what it imports itself, and that may be given on again.
_MAX_GIVEN_ON = 3
# Of a file that is imported as a whole: which of them are of use is decided where they are used.
_MAX_DEFINITIONS = 60

_EVERYTHING = "*"
_DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedName:
    """A name that is imported from the file ``path``, called ``alias`` where it is imported.

    ``name`` is ``*`` for everything in the file, and ``""`` for the file itself as a module, whose
    members are then written after ``alias``. ``definitions`` are those of the name, then of its
    members; they are missing as long as the file is not read yet.
    """

    name: str
    alias: str
    path: str
    definitions: tuple[Signature, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resolved:
    """Where what some statements import lies. ``version`` is that of the workspace's files."""

    statements: tuple[ImportStatement, ...]
    version: int
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What was told last of a file, and of what it was made."""

    resolved: _Resolved
    entries: tuple[FileEntry | None, ...]
    names: tuple[ImportedName, ...]


class Imports:
    """Remembers what the files that are edited import. ``names`` is for one thread.

    Where an import leads is found out in the background of the index, as soon as it changes; until
    then the answer is that of before.
    """

    def __init__(self, index: WorkspaceIndex) -> None:
        self._index = index
        # Written in the background, a whole value at a time.
        self._resolved: dict[str, _Resolved] = {}
        self._known: dict[str, _Known] = {}
        self._underway: dict[str, tuple[tuple[ImportStatement, ...], int]] = {}

    def names(self, path: str, text: str, language_id: str) -> tuple[ImportedName, ...]:
        """Return what ``text``, the file ``path`` as it is edited now, imports, in its order.

        ``language_id`` is the ``id`` of a ``Language``. Takes a millisecond at most, mostly less.
        """
        known = self._look(path, text, language_id)
        return known.names if known is not None else ()

    def forget(self, path: str) -> None:
        """Drop a file that was closed."""
        for known in (self._resolved, self._known, self._underway):
            known.pop(key_of(path), None)

    def _look(self, path: str, text: str, language_id: str) -> _Known | None:
        key, version = key_of(path), self._index.version
        statements = import_statements(text, language_id)
        resolved = self._resolved.get(key)
        wanted = (statements, version)
        is_new = resolved is None or (resolved.statements, resolved.version) != wanted
        if is_new and self._underway.get(key) != wanted:
            self._underway[key] = wanted
            self._index.later(partial(self._resolve, path, language_id, statements))
        return self._with_definitions(key, resolved) if resolved is not None else None

    def _with_definitions(self, key: str, resolved: _Resolved) -> _Known:
        paths = dict.fromkeys(target.path for target in resolved.targets)
        entries = {path: self._index.file(path) for path in paths}
        known = self._known.get(key)
        if known is not None and known.resolved is resolved:
            # The same objects, not equal ones: that is one look at each.
            pairs = zip(known.entries, entries.values(), strict=True)
            if all(before is now for before, now in pairs):
                return known
        for path, entry in entries.items():
            if entry is None:
                # Others took its place in memory.
                self._index.later(partial(self._read, path))
        names = tuple(
            name for target in resolved.targets for name in _names(target, entries[target.path])
        )
        known = _Known(resolved=resolved, entries=tuple(entries.values()), names=names)
        self._known[key] = known
        return known

    # -- in the background ------------------------------------------------------------------------

    def _read(self, path: str) -> None:
        self._index.read(path)

    def _resolve(
        self, path: str, language_id: str, statements: tuple[ImportStatement, ...]
    ) -> None:
        key, version = key_of(path), self._index.version
        found: list[Target] = []
        for statement in statements:
            for target in targets(statement, path, language_id, self._index):
                if key_of(target.path) != key:
                    further = self._followed(target, language_id, _MAX_GIVEN_ON)
                    found += islice(further, _MAX_TARGETS - len(found))
        self._resolved[key] = _Resolved(
            statements=statements, version=version, targets=tuple(found)
        )

    def _followed(self, target: Target, language_id: str, depth: int) -> Iterator[Target]:
        """Yield where names are defined that a file only imports and gives on."""
        self._index.rest()
        entry = self._index.read(target.path)
        defined = entry.names if entry is not None else frozenset[str]()
        away = [name for name in target.names if name[0] not in {*defined, _EVERYTHING, _DEFAULT}]
        is_empty = not defined and (not target.names or target.names[0][0] == _EVERYTHING)
        kept = tuple(name for name in target.names if name not in away)
        if kept or not target.names:
            yield Target(path=target.path, names=kept, alias=target.alias)
        if depth == 0 or not (away or is_empty):
            return
        text = read_text(target.path) or ""
        for statement in import_statements(text, language_id):
            taken = _taken(statement, target, away)
            if taken is None:
                continue
            for further in targets(taken, target.path, language_id, self._index):
                yield from self._followed(further, language_id, depth - 1)


def _taken(
    statement: ImportStatement, target: Target, away: list[tuple[str, str]]
) -> ImportStatement | None:
    """Return what of an import of a file is given on to who takes ``away`` from that file."""
    here = dict(away)
    if any(name == _EVERYTHING for name, _ in statement.names):
        names = tuple(away) or statement.names
    elif away:
        names = tuple((name, here[alias]) for name, alias in statement.names if alias in here)
    else:
        names = statement.names
    if not names:
        return None
    return ImportStatement(module=statement.module, names=names, alias="")


def _names(target: Target, entry: FileEntry | None) -> Iterator[ImportedName]:
    every = entry.definitions if entry is not None else ()
    for name, alias in target.names or (("", target.alias),):
        if name in ("", _EVERYTHING):
            found = every
        else:
            called = alias if name == _DEFAULT else name
            found = tuple(one for one in every if one.name == called and not one.container)
            found += tuple(one for one in every if one.container == called)
            # Who imports a default gives it any name; a class may be found inside of another.
            found = found or (
                every if name == _DEFAULT else tuple(one for one in every if one.name == name)
            )
        yield ImportedName(
            name=name, alias=alias, path=target.path, definitions=found[:_MAX_DEFINITIONS]
        )
