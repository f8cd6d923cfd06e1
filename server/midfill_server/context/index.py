"""The index of the workspace: read by one thread in the background, looked up without waiting."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from midfill_server.context.entries import FileEntry, Signature
from midfill_server.context.pace import Pace, StoppedError
from midfill_server.context.reader import Reader, ReaderDiedError
from midfill_server.context.reading import read_entry
from midfill_server.context.table import EntryTable, key_of
from midfill_server.context.walk import Folder, Found, walk
from midfill_server.exclusion.ignore import Ignore
from midfill_server.syntax import language_of

__all__ = ["IndexState", "WorkspaceIndex"]

_log = logging.getLogger(__name__)

_MAX_FILES = 10_000
_MAX_BYTES = 64 * 1024 * 1024
# Of more, the oldest are out of date.
_MAX_JOBS = 1000

# To start a process takes as long as to read so many files.
_WORTH_A_PROCESS = 25
_MAX_DEATHS = 3

# How long what lies on disk is taken for unchanged where no editor tells of changes.
_WALK_AGAIN_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexState:
    """How far the index is: files that were found, that are in it, and their memory (estimated).

    ``complete``: all files that were found have been read, or there is no room for more.
    """

    found: int
    files: int
    bytes: int
    complete: bool


class _Listing:
    """The files that a walk found. Only the index's thread writes it.

    Nothing is ever taken away, so that other threads can read meanwhile.
    """

    def __init__(self) -> None:
        self.folders: dict[str, list[str]] = {}
        self.by_name: dict[str, list[str]] = {}
        self.keys: set[str] = set()

    def add(self, path: str) -> None:
        if key_of(path) in self.keys:
            return
        self.keys.add(key_of(path))
        folder, name = os.path.split(path)
        self.folders.setdefault(key_of(folder), []).append(path)
        self.by_name.setdefault(name, []).append(path)


class WorkspaceIndex:
    """What the files of the workspace define and use.

    ``start`` begins to read them on a thread of its own; after ``open``, ``step`` does the same
    without one, a piece at a time. Look-ups come from any thread and never wait for a file.
    """

    def __init__(
        self,
        *,
        max_files: int = _MAX_FILES,
        max_bytes: int = _MAX_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_files = max_files
        self._clock = clock
        self._table = EntryTable(max_bytes)
        self._roots: tuple[str, ...] = ()
        self._near: tuple[str, ...] = ()
        self._ignore = Ignore(())
        self._thread: threading.Thread | None = None
        self._pace: Pace | None = None
        self._wake = threading.Event()
        # What is to be done, the most urgent first. Any thread may append to a deque.
        self._jobs: deque[Callable[[], None]] = deque(maxlen=_MAX_JOBS)
        self._changed: deque[str] = deque(maxlen=_MAX_JOBS)
        self._unread: deque[Found] = deque()
        self._walk: Iterator[Folder] | None = None
        # What the walk found so far; the first one can be looked up while it grows.
        self._next = _Listing()
        self._listing = self._next
        self._walked_s: float | None = None
        self._asked = False
        self._version = 0
        # The thread's own; another one may only kill it.
        self._reader: Reader | None = None
        self._can_start = True
        # What a process died of would be the end of the server, too.
        self._deadly: set[str] = set()

    def start(self, roots: Sequence[str], near: Sequence[str] = ()) -> None:
        """Begin to read the folders in the background; ``near`` are the files that are open."""
        self.stop()
        self.open(roots, near)
        self._pace = Pace()
        self._thread = threading.Thread(
            target=self._run, args=(self._pace,), name="midfill-index", daemon=True
        )
        self._thread.start()

    def open(self, roots: Sequence[str], near: Sequence[str] = ()) -> None:
        """Say which folders to read, what is near the files ``near`` first. Nothing is read yet."""
        self._roots = tuple(os.path.normpath(root) for root in roots)
        self._near = tuple(near)
        self._ignore = Ignore(self._roots)
        self._listing = _Listing()
        self._begin_walk(self._listing)

    def stop(self, timeout_s: float = 1.0) -> None:
        """End the thread; what was read stays. Does nothing without one."""
        if self._thread is None or self._pace is None:
            return
        self._pace.stop()
        self._wake.set()
        reader = self._reader
        if reader is not None:
            # The thread may be waiting for it.
            reader.kill()
        self._thread.join(timeout_s)
        if not self._thread.is_alive():
            # One that waits for a slow disk is told to stop when it goes on.
            self._pace = None
        self._thread = None

    def pause(self) -> None:
        """Stand still while somebody else needs the processor, until ``resume``."""
        if self._pace is not None:
            self._pace.pause()

    def resume(self) -> None:
        """Go on."""
        if self._pace is not None:
            self._pace.resume()

    def update(self, path: str) -> None:
        """Have a file read again that was saved, made or deleted."""
        self._changed.append(path)
        self._wake.set()

    def later(self, job: Callable[[], None]) -> None:
        """Have something done in the background, before anything else that is to be done there."""
        self._jobs.append(job)
        self._wake.set()

    # -- looked up from any thread ---------------------------------------------------------------

    def file(self, path: str) -> FileEntry | None:
        """Return what is known of a file; ``None`` if it is not read yet, or never is."""
        self._asked = True
        return self._table.get(path)

    def definitions_named(self, name: str) -> tuple[Signature, ...]:
        """Return the definitions of that name in all files, but no more than sixteen files."""
        self._asked = True
        return self._table.named(name)

    def files_in(self, folder: str) -> tuple[str, ...]:
        """Return the source files that lie directly in a folder of the workspace, by name."""
        return tuple(self._listing.folders.get(key_of(folder), ()))

    def files_ending(self, tail: str) -> tuple[str, ...]:
        """Return the source files of the workspace whose path ends with ``a/b.py``.

        The tail is whole names with slashes between them, the last one with its extension. What
        is near the open files comes first.
        """
        parts = tail.split("/")
        ending = os.sep + os.path.join(*parts)
        return tuple(
            path for path in self._listing.by_name.get(parts[-1], ()) if path.endswith(ending)
        )

    def ignored(self, path: str) -> bool:
        """Return whether a file is nothing to look at: ignored, or outside of the workspace."""
        return self._ignore.ignored(path)

    @property
    def roots(self) -> tuple[str, ...]:
        """The folders of the workspace."""
        return self._roots

    @property
    def version(self) -> int:
        """Grows when there are other files than before, which may be what is imported."""
        return self._version

    @property
    def state(self) -> IndexState:
        """How far it is."""
        return IndexState(
            found=len(self._listing.keys),
            files=self._table.count,
            bytes=self._table.bytes,
            complete=self._walked_s is not None and not self._unread,
        )

    # -- done in the background -------------------------------------------------------------------

    def step(self) -> bool:
        """Do one piece: a job, a folder, or a file. Returns whether there was anything to do."""
        if self._jobs:
            self._jobs.popleft()()
        elif self._changed:
            self._look_again(self._changed.popleft())
        elif self._walk is not None:
            self._walk_on(self._walk)
        elif self._unread:
            self._read_unread()
        elif self._asked and self._clock() - (self._walked_s or 0.0) >= _WALK_AGAIN_S:
            self._begin_walk(_Listing())
        else:
            return False
        return True

    def read(self, path: str) -> FileEntry | None:
        """Return what is in a file, reading it if it is not known yet. For jobs: it takes time.

        The file may lie outside of the workspace, or be ignored: somebody imports it.
        """
        entry = self._table.get(path)
        if entry is None:
            entry = self._read_here(path)
            if entry is not None:
                self._table.put(entry, asked_for=True)
        return entry

    def rest(self) -> None:
        """Let others go first; jobs call it often. Raises ``StoppedError`` at the end."""
        if self._pace is not None:
            self._pace.rest()

    def _run(self, pace: Pace) -> None:
        while True:
            try:
                pace.rest()
                if not self.step():
                    self._wake.wait(_WALK_AGAIN_S)
                    self._wake.clear()
            except StoppedError:
                self._release_reader()
                return
            except Exception:
                # A piece is to the index what a request is to the server: the others go on.
                _log.exception("a part of the workspace could not be read")

    def _begin_walk(self, listing: _Listing) -> None:
        self._asked = False
        self._unread.clear()
        self._next = listing
        self._walk = walk(self._roots, self._ignore, self._near, self.rest, _is_source)

    def _walk_on(self, walk: Iterator[Folder]) -> None:
        folder = next(walk, None)
        for file in folder.files if folder is not None else ():
            self.rest()
            if len(self._next.keys) >= self._max_files:
                _log.info("only the %d files next to the open ones are read", self._max_files)
                folder = None
                break
            self._next.add(file.path)
            known = self._table.get(file.path, asked_for=False)
            is_new = known is None or known.changed_ns != file.changed_ns
            if is_new and key_of(file.path) not in self._deadly:
                self._unread.append(file)
        if folder is None:
            self._end_walk()

    def _end_walk(self) -> None:
        self._walk = None
        if self._walked_s is None or self._listing.keys != self._next.keys:
            self._version += 1
        self._walked_s = self._clock()
        self._listing = self._next
        for path in self._table.paths():
            self.rest()
            # Imported from outside of the workspace, or no longer there.
            if key_of(path) not in self._listing.keys:
                self._look_again(path)

    def _look_again(self, path: str) -> None:
        known = self._table.get(path, asked_for=False)
        try:
            changed_ns = os.stat(path).st_mtime_ns
        except OSError:
            self._table.remove(path)
            return
        if known is not None and known.changed_ns == changed_ns:
            return
        if not _is_source(path) or (known is None and self._ignore.ignored(path)):
            return
        entry = self._read_here(path)
        if entry is None:
            self._table.remove(path)
            return
        self._table.put(entry, asked_for=True)
        if not self._ignore.ignored(path) and key_of(path) not in self._listing.keys:
            self._listing.add(path)
            self._version += 1

    def _read_unread(self) -> None:
        try:
            entry = self._read_one_of_many(self._unread[0].path)
            if entry is not None and not self._table.put(entry, asked_for=False):
                _log.info("%d files fill the memory of the index", self._table.count)
                self._unread.clear()
        finally:
            # Not before: as long as it is there, the index is not complete.
            if self._unread:
                self._unread.popleft()
            if not self._unread:
                self._release_reader()

    def _read_one_of_many(self, path: str) -> FileEntry | None:
        """Have a process read a file, where there is a thread that can wait for it."""
        is_worth_it = len(self._unread) >= _WORTH_A_PROCESS and self._can_start
        if self._reader is None and self._pace is not None and is_worth_it:
            try:
                self._reader = Reader()
            except ReaderDiedError as error:
                self.rest()
                self._can_start = False
                _log.info("%s; files are read without it", error)
        if self._reader is None:
            return self._read_here(path)
        try:
            return self._reader.read(path)
        except ReaderDiedError as error:
            self._release_reader()
            self.rest()
            self._deadly.add(key_of(path))
            _log.warning("%s", error)
            if len(self._deadly) >= _MAX_DEATHS:
                _log.warning("%d files are left out for that", len(self._unread))
                self._deadly.update(key_of(file.path) for file in self._unread)
                self._unread.clear()
            return None

    def _read_here(self, path: str) -> FileEntry | None:
        return None if key_of(path) in self._deadly else read_entry(path, self.rest)

    def _release_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.release()


def _is_source(path: str) -> bool:
    language = language_of("", path)
    return language is not None and language.grammar is not None
