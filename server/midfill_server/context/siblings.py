"""The passages of files beside the one that is edited: read in the background, a few at a time."""

from __future__ import annotations

import os
import re
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from functools import partial

from midfill_server.context.index import WorkspaceIndex
from midfill_server.context.passages import Passage, passages, words_of
from midfill_server.context.reading import read_text
from midfill_server.context.similar import Pool
from midfill_server.document import Snapshot
from midfill_server.exclusion.secrets import holds_private_key, keeps_secrets
from midfill_server.syntax import SyntaxTree, language_of

__all__ = ["Siblings", "subject_of"]

# So many files beside one are read, and so many are kept of all.
_MAX_BESIDE = 20
_MAX_FILES = 64
_AGAIN_S = 60.0
_MAX_PARSED_CHARS = 32 * 1024

_TEST = re.compile(r"^(?:tests?[_-])|(?:[._-](?:tests?|spec)|Tests?|Spec)$")


class Siblings:
    """Keeps ``pool`` filled with the open documents and the files beside them.

    Everything but what runs in the background of the index belongs to one thread.
    """

    def __init__(
        self, index: WorkspaceIndex, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.pool = Pool()
        self._index = index
        self._clock = clock
        self._asked_s: dict[str, float] = {}
        # Which state of a document is cut into passages, or will be.
        self._cut: dict[str, Snapshot] = {}
        self._changed_ns: dict[str, int] = {}
        self._ready: deque[tuple[str, tuple[Passage, ...]]] = deque()
        self._order: OrderedDict[str, None] = OrderedDict()

    def look(self, path: str, text: str, others: Sequence[tuple[str, Snapshot]]) -> None:
        """Have what is beside ``path``, and the open documents ``others``, put into the pool soon.

        Of many documents, the last ones are.
        What is ready since the last call is in it when this one returns.
        """
        while self._ready:
            done, found = self._ready.popleft()
            self.pool.put(done, found)
            self._order[done] = None
            self._order.move_to_end(done)
            while len(self._order) > _MAX_FILES:
                gone, _ = self._order.popitem(last=False)
                self.pool.remove(gone)
                self._changed_ns.pop(gone, None)
                self._cut.pop(gone, None)
        for other, snapshot in others[-_MAX_BESIDE:]:
            if other != path and self._cut.get(other) is not snapshot:
                self._cut[other] = snapshot
                self._index.later(partial(self._cut_document, other, snapshot))
        asked_s, now_s = self._asked_s.get(path), self._clock()
        if asked_s is None or now_s - asked_s > _AGAIN_S:
            if len(self._asked_s) > _MAX_FILES:
                self._asked_s.clear()
            self._asked_s[path] = now_s
            self._index.later(partial(self._read_beside, path, text))

    def forget(self, path: str) -> None:
        """Hear that a document was closed: what counts is the file again."""
        self._cut.pop(path, None)
        self._changed_ns.pop(path, None)

    # -- in the background ------------------------------------------------------------------------

    def _read_beside(self, path: str, text: str) -> None:
        language = language_of("", path)
        words = words_of(text[: 64 * 1024], language)
        ranked: list[tuple[bool, float, str]] = []
        subject = subject_of(path)
        for other in self._index.files_in(os.path.dirname(path)):
            self._index.rest()
            entry = self._index.file(other)
            if other == path or entry is None or keeps_secrets(other):
                continue
            its_words = entry.identifiers
            both = len(words & its_words)
            alike = both / (len(words) + len(its_words) - both + 1)
            ranked.append((subject_of(other) != subject, -alike, other))
        tests = _tests_of(path, self._index)
        beside = [other for _, _, other in sorted(ranked)[: _MAX_BESIDE - len(tests)]]
        for other in (*tests, *beside):
            entry = self._index.read(other)
            if other in self._cut or entry is None:
                continue
            if self._changed_ns.get(other) != entry.changed_ns:
                self._changed_ns[other] = entry.changed_ns
                self._put(other, read_text(other) or "")

    def _cut_document(self, path: str, snapshot: Snapshot) -> None:
        if self._cut.get(path) is snapshot:
            self._put(path, snapshot.text, snapshot.language_id)

    def _put(self, path: str, text: str, language_id: str = "") -> None:
        language = language_of(language_id, path)
        found: tuple[Passage, ...] = ()
        if not holds_private_key(text):
            # Nothing else runs while a text is parsed: a large one is cut at its empty lines.
            tree = SyntaxTree.parse(text, language) if len(text) <= _MAX_PARSED_CHARS else None
            self._index.rest()
            found = passages(path, text, tree, language)
        self._ready.append((path, found))


def subject_of(path: str) -> str:
    """Return what a file is about by its name: a test is about what it tests."""
    stem = os.path.basename(path).partition(".")[0]
    if stem != (rest := os.path.basename(path).removesuffix(os.path.splitext(path)[1])):
        # ``foo.test.ts``
        stem = rest
    return _TEST.sub("", stem).lower()


def _tests_of(path: str, index: WorkspaceIndex) -> tuple[str, ...]:
    """Return the files elsewhere that test ``path``."""
    stem, extension = os.path.splitext(os.path.basename(path))
    found: dict[str, None] = {}
    for pattern in ("test_{}", "{}_test", "{}.test", "{}.spec", "{}Test", "{}_spec"):
        found.update(dict.fromkeys(index.files_ending(pattern.format(stem) + extension)))
    return tuple(other for other in found if other != path)[:2]
