"""The entries of all files that were read, by path and by name, within a bound."""

from __future__ import annotations

import os
from collections import OrderedDict
from threading import Lock

from midfill_server.context.entries import FileEntry, Signature

__all__ = ["EntryTable", "key_of"]

# A name that so many files define (``__init__``, ``main``) tells nothing about which is meant.
_MAX_FILES_OF_A_NAME = 16


def key_of(path: str) -> str:
    """Return what is the same for every spelling of a path."""
    return os.path.normcase(os.path.normpath(path))


class EntryTable:
    """Entries whose estimated memory is at most ``max_bytes``. Safe to use from several threads.

    The lock is held for microseconds: who reads never waits for a file.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = Lock()  # of everything below
        # What was asked for last is at the end, and goes last.
        self._entries: OrderedDict[str, FileEntry] = OrderedDict()
        self._paths: dict[str, tuple[str, ...]] = {}
        self._bytes = 0

    def put(self, entry: FileEntry, *, asked_for: bool) -> bool:
        """Keep an entry in place of that of the same path; returns whether it is kept.

        One that was ``asked_for`` makes those go that were not asked for the longest. Another is
        kept only where there is room, and is the first to go.
        """
        # Unpacked before the lock is taken.
        key, cost, names = key_of(entry.path), entry.cost_bytes, entry.names
        with self._lock:
            was_there = self._drop(key)
            if cost > self._max_bytes or (
                not asked_for and not was_there and self._bytes + cost > self._max_bytes
            ):
                return False
            while self._bytes + cost > self._max_bytes:
                self._drop(next(iter(self._entries)))
            self._entries[key] = entry
            if not asked_for and not was_there:
                self._entries.move_to_end(key, last=False)
            self._bytes += cost
            for name in names:
                paths = self._paths.get(name, ())
                if len(paths) < _MAX_FILES_OF_A_NAME:
                    self._paths[name] = (*paths, key)
        return True

    def remove(self, path: str) -> None:
        """Forget a file."""
        with self._lock:
            self._drop(key_of(path))

    def get(self, path: str, *, asked_for: bool = True) -> FileEntry | None:
        """Return the entry of a file."""
        key = key_of(path)
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None and asked_for:
                self._entries.move_to_end(key)
        return entry

    def named(self, name: str) -> tuple[Signature, ...]:
        """Return the definitions of that name in all files, or at least in the first sixteen."""
        with self._lock:
            entries = [self._entries[key] for key in self._paths.get(name, ())]
        return tuple(signature for entry in entries for signature in entry.named(name))

    def paths(self) -> tuple[str, ...]:
        """Return the paths of all entries."""
        with self._lock:
            entries = list(self._entries.values())
        return tuple(entry.path for entry in entries)

    @property
    def count(self) -> int:
        """How many entries there are."""
        return len(self._entries)

    @property
    def bytes(self) -> int:
        """The memory that they take, as estimated."""
        return self._bytes

    def _drop(self, key: str) -> bool:
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self._bytes -= entry.cost_bytes
        for name in entry.names:
            left = tuple(path for path in self._paths.get(name, ()) if path != key)
            if left:
                self._paths[name] = left
            else:
                self._paths.pop(name, None)
        return True
