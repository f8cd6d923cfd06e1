"""The project that a session works in: read in the background, and told of what is edited."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from midfill_server.context.gather import Surroundings
from midfill_server.context.index import WorkspaceIndex
from midfill_server.context.problems import Problem
from midfill_server.context.visible import path_of
from midfill_server.document import Snapshot
from midfill_server.settings import ContextSettings

__all__ = ["Workspace"]

_MB = 1024 * 1024


class Workspace:
    """Owns the index of a session's folders; all but ``busy`` is for the event loop's thread."""

    def __init__(self) -> None:
        self._index = WorkspaceIndex()
        self._surroundings = Surroundings(self._index)
        self._opened_with: tuple[ContextSettings, tuple[str, ...]] | None = None
        self._codes: dict[str, Counter[str]] = {}

    @property
    def surroundings(self) -> Surroundings | None:
        """What is known around each document, another one after ``open``.

        ``None`` where nothing of other files is to be shown.
        """
        is_wanted = self._opened_with is not None and self._opened_with[0].enabled
        return self._surroundings if is_wanted else None

    def open(
        self, settings: ContextSettings, roots: Sequence[str], documents: Iterable[Snapshot]
    ) -> None:
        """Begin to read ``roots``, if they or the settings are others than before.

        ``documents`` are those that are open.
        """
        wanted = settings, tuple(roots)
        if wanted == self._opened_with:
            return
        self._opened_with = wanted
        self.close()
        self._index = WorkspaceIndex(
            max_files=settings.max_files, max_bytes=settings.memory_mb * _MB
        )
        self._surroundings = self._surroundings.over(self._index)
        if settings.enabled:
            near = (path_of(snapshot.uri) for snapshot in documents)
            self._index.start(roots, [path for path in near if path is not None])

    def opened(self, snapshot: Snapshot) -> None:
        """Hear of a document that was opened."""
        self._surroundings.opened(snapshot)

    def changed(self, snapshot: Snapshot) -> None:
        """Hear of a document's text as it is now."""
        self._surroundings.changed(snapshot)

    def visited(self, uri: str, line: int) -> None:
        """Hear that the cursor rests in a line."""
        self._surroundings.visited(uri, line)

    def saved(self, uri: str) -> None:
        """Hear that a document's file is another one now."""
        path = path_of(uri)
        if path is not None:
            self._index.update(path)

    def closed(self, uri: str) -> None:
        """Hear that a document was closed."""
        self._surroundings.closed(uri)

    def told(self, uri: str, problems: Sequence[Problem], version: int | None) -> None:
        """Hear what is wrong in a document."""
        self._codes[uri] = Counter(one.code for one in problems)
        self._surroundings.told(uri, problems, version)

    def count(self, uri: str, code: str) -> int | None:
        """Return how often ``code`` is wrong in a document; ``None`` if nobody tells of it."""
        told = self._codes.get(uri)
        return None if told is None else told[code]

    def busy(self, is_busy: bool) -> None:
        """Hear whether the model works: reading in the background waits for it. From any thread."""
        if is_busy:
            self._index.pause()
        else:
            self._index.resume()

    def close(self) -> None:
        """End reading."""
        self._index.stop()
