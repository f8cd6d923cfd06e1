"""What a model is shown of other files, beside the text around the cursor: the one entry point."""

from __future__ import annotations

import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from midfill_engine.types import ContextChunk
from midfill_server.context.choice import apart, chosen_outlines, chosen_passages
from midfill_server.context.entries import Signature
from midfill_server.context.imports import ImportedName, Imports
from midfill_server.context.index import WorkspaceIndex
from midfill_server.context.outlines import Key, Thing, things
from midfill_server.context.passages import Passage
from midfill_server.context.problems import Problem, Problems
from midfill_server.context.project import Projects
from midfill_server.context.recent import RecentPlaces
from midfill_server.context.scope import Scope, scope_at
from midfill_server.context.siblings import Siblings, subject_of
from midfill_server.context.similar import Scored, distinct
from midfill_server.context.visible import may_be_named, may_be_shown, path_of, shown_path
from midfill_server.document import Snapshot
from midfill_server.syntax import Language, SyntaxTree, language_of

__all__ = ["MAX_CHARACTERS", "Surroundings", "path_of"]

MAX_CHARACTERS = 4000
"""All chunks together have no more, by default."""

_MAX_DOCUMENTS = 32
# Names that the workspace knows are looked up for so many of those around the cursor.
_MAX_LOOKED_UP = 60
_MIN_NAME_CHARS = 4

_MAX_PASSAGES = 3
_MAX_RECENT = 8
# Less alike than this is noise to a small model.
_LEAST_ALIKE = 0.22
# What is shown already may stay with so much.
_LEAST_KEPT = 0.16
# What was edited lately, or is about the same, need not be so alike.
_EDITED, _VISITED, _SAME_SUBJECT = 1.4, 1.15, 1.25

_IMPORT_LINE = re.compile(r"\s*(?:import|from|use|using|require|include|#\s*include|extern)\b")
# In these nothing of another file can be used by its name without an import; but values of its
# classes can.
_IMPORTING = frozenset({"python", "javascript", "javascriptreact", "typescript", "typescriptreact"})
_SCRIPTS = _IMPORTING - {"python"}
_CS = frozenset({"c", "cpp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """What was given last for a document: the texts of things by their keys, and the passages."""

    outlines: Mapping[Key, str]
    passages: tuple[Passage, ...]


class Surroundings:
    """What one session knows around its documents. Belongs to the event loop's thread.

    ``index`` is started, stopped and updated by its owner. Texts are looked at only where they are
    in memory: what has to be read first is there at one of the next calls.
    """

    def __init__(
        self, index: WorkspaceIndex, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._index = index
        self._imports = Imports(index)
        self._projects = Projects(index, clock=clock)
        self._siblings = Siblings(index, clock=clock)
        self._recent = RecentPlaces(clock)
        self._problems = Problems()
        self._given: OrderedDict[str, _Given] = OrderedDict()

    def over(self, index: WorkspaceIndex) -> Surroundings:
        """Return the same for other folders: what an editor told of its documents stays known."""
        others = Surroundings(index)
        others._recent, others._problems = self._recent, self._problems
        return others

    @property
    def index(self) -> WorkspaceIndex:
        """What the files of the workspace define."""
        return self._index

    def imported(self, path: str, text: str, language_id: str) -> tuple[ImportedName, ...]:
        """Return what a file as it is edited now imports from the workspace."""
        return self._imports.names(path, text, language_id)

    @property
    def repo(self) -> str:
        """The name of the workspace's first folder, ``""`` without any."""
        return os.path.basename(self._index.roots[0]) if self._index.roots else ""

    def path_of(self, uri: str) -> str:
        """Return a document's path in the workspace, with ``/``; of another, what there is."""
        path = path_of(uri)
        return uri.rpartition("/")[2] if path is None else shown_path(path, self._index.roots)

    # -- what an editor tells ----------------------------------------------------------------------

    def opened(self, snapshot: Snapshot) -> None:
        """Hear of a document."""
        self._recent.opened(snapshot)

    def changed(self, snapshot: Snapshot) -> None:
        """Hear of a document's text as it is now."""
        edit = self._recent.changed(snapshot)
        if edit is not None:
            self._problems.changed(snapshot.uri, edit, snapshot.version)

    def visited(self, uri: str, line: int) -> None:
        """Hear that the cursor rests in a line of an open document."""
        self._recent.visited(uri, line)

    def closed(self, uri: str) -> None:
        """Hear that a document was closed."""
        self._recent.closed(uri)
        self._problems.forget(uri)
        self._given.pop(uri, None)
        path = path_of(uri)
        if path is not None:
            self._imports.forget(path)
            self._siblings.forget(path)

    def told(self, uri: str, problems: Sequence[Problem], version: int | None = None) -> None:
        """Hear what is wrong in a document; ``version``: of the text that this speaks of."""
        self._problems.told(uri, problems, version)

    # -- what is shown -----------------------------------------------------------------------------

    def gather(
        self,
        *,
        uri: str,
        language: Language | None,
        text: str,
        tree: SyntaxTree | None,
        cursor: int,
        max_characters: int = MAX_CHARACTERS,
        remembers: bool = True,
    ) -> tuple[ContextChunk, ...]:
        """Return what may help at ``cursor``, the most useful first; mostly the same as last time.

        First what others must know of the things that are used there, then passages that are
        alike, then what is wrong nearby, and on a line that imports what the project depends on.
        All texts together have at most ``max_characters``. Not ``remembers``: the next call need
        not keep to what this one returned. Never raises.
        """
        path = path_of(uri)
        if path is None or language is None:
            return ()
        scope = scope_at(tree, text, cursor, language)
        given = self._given.get(uri) or _Given(outlines={}, passages=())
        room = max_characters
        old = {
            key: outline
            for key, outline in given.outlines.items()
            if may_be_named(key[0], path, self._index.roots)
        }
        found = self._things(path, text, language, scope)
        outlines = chosen_outlines(found, scope, language, old, room)
        room -= sum(len(outline) + 1 for outline in outlines.values())
        passages = self._passages(path, uri, text, scope, given.passages, outlines, room)
        room -= sum(len(passage.text) for passage in passages)
        if remembers:
            self._give(uri, _Given(outlines=outlines, passages=passages))
        chunks = [*self._by_file(outlines), *map(self._chunk, passages)]
        for note in self._notes(uri, path, language, text, cursor):
            if len(note.text) <= room:
                room -= len(note.text)
                chunks.append(note)
        return tuple(chunks)

    def _give(self, uri: str, given: _Given) -> None:
        self._given[uri] = given
        self._given.move_to_end(uri)
        if len(self._given) > _MAX_DOCUMENTS:
            self._given.popitem(last=False)

    # -- signatures --------------------------------------------------------------------------------

    def _things(self, path: str, text: str, language: Language, scope: Scope) -> list[Thing]:
        """Return what is used around the cursor and defined elsewhere, the nearest first."""
        imported = self._imports.names(path, text, language.id)
        found: dict[Key, Thing] = {}
        near = frozenset(scope.names)
        single = {one.alias: one for one in imported if one.name not in ("", "*")}
        spread = {
            thing.head.name: thing
            for one in imported
            if one.name in ("", "*")
            for thing in things(_used(one, near))
        }
        for name in scope.names[:_MAX_LOOKED_UP]:
            here: tuple[Thing, ...] = ()
            if name in single:
                here = things(single[name].definitions)
            elif name in spread:
                here = (spread[name],)
            elif len(name) >= _MIN_NAME_CHARS and _may_be_elsewhere(name, language, scope):
                here = self._known(name, path, text, language, scope)
            found.update((one.key, one) for one in here if one.key not in found)
        for one in _later(imported, scope, text):
            for thing in things(one.definitions):
                found.setdefault(thing.key, thing)
        # A method is shown in its class, where that is shown.
        whole = [one for one in found.values() if not one.head.container or one.owner not in found]
        return self._allowed(whole, path)

    def _allowed(self, found: Sequence[Thing], path: str) -> list[Thing]:
        paths = {one.head.path for one in found}
        allowed = {other for other in paths if may_be_named(other, path, self._index.roots)}
        return [one for one in found if one.head.path in allowed]

    def _known(
        self, name: str, path: str, text: str, language: Language, scope: Scope
    ) -> tuple[Thing, ...]:
        """Return what the workspace calls ``name``, if that is one thing that can be meant here."""
        signatures = self._index.definitions_named(name)
        if len({(one.path, one.container) for one in signatures}) != 1:
            return ()
        head = signatures[0]
        is_test = _is_test(head.path) and not _is_test(path)
        if head.path == path or is_test or not _same_language(head.path, language):
            return ()
        if head.container:
            # Classes that are not from here have members of the same name.
            used = name in scope.members and re.search(rf"\b{re.escape(head.container)}\b", text)
            return (Thing(head=head),) if used else ()
        if language.id in _IMPORTING and head.kind not in ("class", "type"):
            # It is something of this file's that has the same name.
            return ()
        entry = self._index.file(head.path)
        members = entry.definitions if entry is not None else ()
        return (Thing(head=head, members=tuple(one for one in members if one.container == name)),)

    def _by_file(self, outlines: Mapping[Key, str]) -> Iterator[ContextChunk]:
        """Yield one chunk for each file, the file of the most useful thing first."""
        texts: dict[str, list[str]] = {}
        for (path, _, _), text in outlines.items():
            texts.setdefault(path, []).append(text)
        for path, found in texts.items():
            yield ContextChunk(
                path=shown_path(path, self._index.roots), text="\n".join(found) + "\n"
            )

    # -- passages ----------------------------------------------------------------------------------

    def _passages(
        self,
        path: str,
        uri: str,
        text: str,
        scope: Scope,
        given: tuple[Passage, ...],
        outlines: Mapping[Key, str],
        room: int,
    ) -> tuple[Passage, ...]:
        """Return the passages that are like the surroundings, and say what is not shown already."""
        snapshots = [(path_of(one.uri), one) for one in self._recent.snapshots()]
        others = [(other, one) for other, one in snapshots if other is not None]
        self._siblings.look(path, text, others)
        shown = _headers("\n".join(outlines.values()))
        ranked = [
            one
            for one in self._ranked(path, uri, scope)
            if one.passage.text.strip() not in text
            and not shown & _headers(one.passage.text)
            and may_be_shown(one.passage.path, one.passage.text, self._index)
        ]
        best = distinct((one for one in ranked if one.score >= _LEAST_ALIKE), _MAX_PASSAGES)
        return chosen_passages(given, best, ranked, room)

    def _ranked(self, path: str, uri: str, scope: Scope) -> list[Scored]:
        """Return the passages that are alike at all, the best first, none twice."""
        pool, subject = self._siblings.pool, subject_of(path)
        same = {other for other in pool.paths if subject_of(other) == subject}
        recent, bonus = self._recent_passages(uri)
        found = [
            replace(one, score=one.score * times)
            for one, times in zip(pool.score(scope.weights, recent), bonus, strict=True)
        ]
        found += [
            replace(one, score=one.score * _SAME_SUBJECT) if one.passage.path in same else one
            for one in pool.rank(scope.weights, without=path)
        ]
        found = [one for one in found if one.score >= _LEAST_KEPT]
        found.sort(key=lambda one: -one.score)
        return apart(found)

    def _recent_passages(self, uri: str) -> tuple[list[Passage], list[float]]:
        """Return the places where somebody was lately, and how much more each counts for that."""
        found: list[Passage] = []
        bonus: list[float] = []
        for place in self._recent.places(without=uri):
            path = path_of(place.uri)
            if path is None:
                continue
            found.append(
                Passage(path=path, line=place.text_line, text=place.text, words=place.words)
            )
            bonus.append(_EDITED if place.edited else _VISITED)
            if len(found) == _MAX_RECENT:
                break
        return found, bonus

    def _chunk(self, passage: Passage) -> ContextChunk:
        shown = shown_path(passage.path, self._index.roots)
        return ContextChunk(path=shown, text=passage.text, volatile=True)

    # -- the rest ----------------------------------------------------------------------------------

    def _notes(
        self, uri: str, path: str, language: Language, text: str, cursor: int
    ) -> Iterator[ContextChunk]:
        """Yield what is wrong nearby, and what the project uses, as comments."""
        problems = self._problems.near(uri, text.count("\n", 0, cursor))
        if problems:
            told = language.comment("\n".join(problems))
            shown = shown_path(path, self._index.roots)
            yield ContextChunk(path=shown, text=told + "\n", volatile=True)
        start = text.rfind("\n", 0, cursor) + 1
        if _IMPORT_LINE.match(text[start:cursor]):
            project = self._projects.of(path, language.id)
            if project is not None and project.dependencies:
                told = language.comment(project.text)
                shown = shown_path(project.path, self._index.roots)
                yield ContextChunk(path=shown, text=told + "\n")


def _used(imported: ImportedName, near: frozenset[str]) -> tuple[Signature, ...]:
    """Return what of a module or a whole file is used around the cursor."""
    if imported.name == "" and _called(imported) not in near:
        return ()
    return tuple(one for one in imported.definitions if one.name in near or one.container in near)


def _later(imported: Sequence[ImportedName], scope: Scope, text: str) -> list[ImportedName]:
    """Return what may be used in the next line, the sooner if it is not used anywhere yet."""
    near = frozenset(scope.names)
    found = [one for one in imported if one.name not in ("", "*") and one.alias not in near]
    found.sort(key=lambda one: text.count(one.alias) > 1)
    module = [one for one in imported if one.name == "" and _called(one) == scope.receiver]
    return [*module, *found]


def _may_be_elsewhere(name: str, language: Language, scope: Scope) -> bool:
    """Return whether a name that is not imported can be one of another file."""
    return language.id not in _IMPORTING or name in scope.members or name[:1].isupper()


def _called(imported: ImportedName) -> str:
    """Return the last part of what a module is called: ``b`` of ``import a.b``."""
    return re.split(r"\.|::", imported.alias)[-1]


def _is_test(path: str) -> bool:
    return subject_of(path) != os.path.splitext(os.path.basename(path))[0].lower()


def _same_language(path: str, language: Language) -> bool:
    other = language_of("", path)
    return other is not None and (
        other.id == language.id or any({other.id, language.id} <= few for few in (_SCRIPTS, _CS))
    )


def _headers(text: str) -> frozenset[str]:
    """Return the lines by which a text can be known, without what ends them."""
    lines = (line.strip().rstrip(" .:{};") for line in text.split("\n"))
    return frozenset(line for line in lines if len(line) > 16)
