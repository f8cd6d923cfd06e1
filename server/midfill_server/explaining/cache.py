"""What was explained already: in memory, and in a file beside the statistics.

The file holds explanations by the hash of what was explained, and none of the code itself (but
what an explanation quotes). It is an SQLite database that several servers may write to, opened for
each batch and closed again; a kill loses what was not written and harms nothing.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from midfill_engine.errors import MidfillError
from midfill_server.database import delete, make_private, opened

if TYPE_CHECKING:
    import sqlite3

__all__ = [
    "BYTES_KEPT",
    "DAYS_KEPT",
    "ExplanationCache",
    "clear_explanations",
    "explanations_beside",
]

BYTES_KEPT = 5_000_000
"""Of more, what was used the longest ago is deleted."""
DAYS_KEPT = 90
"""What nobody looked at for longer is deleted."""

_FILE = "explanations-1.sqlite3"
_DAY_S = 24 * 60 * 60
# What a row takes besides its text.
_ROW_BYTES = 200
_MAX_TEXT_CHARS = 20_000

_CREATE = """CREATE TABLE IF NOT EXISTS explanations (
    key TEXT PRIMARY KEY,
    used_s INTEGER NOT NULL,
    text TEXT NOT NULL
)"""
_TRIM = """DELETE FROM explanations WHERE key IN (
    SELECT key FROM (
        SELECT key, sum(length(CAST(text AS BLOB)) + ?) OVER (ORDER BY used_s DESC, key) AS total
        FROM explanations
    ) WHERE total > ?
)"""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    text: str
    used_s: int

    @property
    def bytes(self) -> int:
        return len(self.text.encode("utf-8", "replace")) + _ROW_BYTES


class ExplanationCache:
    """Texts by key; ``path`` is the file, ``None`` keeps them in memory alone.

    ``get`` and ``put`` take microseconds and look at memory only. ``load`` and ``flush`` use the
    disk: they are for another thread than the event loop's. Whatever is wrong with the disk is
    logged once, and explanations are kept in memory then.
    """

    def __init__(self, path: Path | None, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()  # of all below
        self._rows: OrderedDict[str, _Row] = OrderedDict()
        self._bytes = 0
        self._pending: dict[str, _Row] = {}
        self._has_complained = False

    @property
    def pending(self) -> int:
        """How many explanations the next flush would write."""
        return len(self._pending)

    def get(self, key: str) -> str | None:
        """Return what was kept under ``key``."""
        now_s = int(self._clock())
        with self._lock:
            row = self._rows.get(key)
            if row is None:
                return None
            self._rows.move_to_end(key)
            if now_s - row.used_s > _DAY_S:
                # Once a day is often enough to say that somebody still looks at it.
                self._pending[key] = self._rows[key] = replace(row, used_s=now_s)
            return row.text

    def put(self, key: str, text: str, *, lasting: bool = True) -> None:
        """Keep ``text`` under ``key``, in memory only if not ``lasting``.

        A very long text is not kept.
        """
        if len(text) > _MAX_TEXT_CHARS:
            return
        row = _Row(text=text, used_s=int(self._clock()))
        with self._lock:
            self._keep(key, row)
            if lasting and self._path is not None:
                self._pending[key] = row

    def load(self) -> None:
        """Take what the file has into memory."""
        if self._path is None or not self._path.exists():
            return
        try:
            rows = _read(self._path, int(self._clock()) - DAYS_KEPT * _DAY_S)
        except MidfillError as error:
            self._complain(error)
            return
        with self._lock:
            newer, self._rows, self._bytes = self._rows, OrderedDict(), 0
            for key, row in (*rows.items(), *newer.items()):
                self._keep(key, row)

    def flush(self) -> None:
        """Write what is new, and delete what is too old or too much."""
        with self._lock:
            batch, self._pending = self._pending, {}
        if not batch or self._path is None:
            return
        try:
            _write(self._path, batch, int(self._clock()))
        except MidfillError as error:
            with self._lock:
                # Memory has them too, so that what waits is bounded by what is kept there.
                kept = {key: row for key, row in batch.items() if key in self._rows}
                self._pending = kept | self._pending
            self._complain(error)

    def clear(self) -> None:
        """Forget what is in memory; ``clear_explanations`` deletes what is in the file."""
        with self._lock:
            self._rows.clear()
            self._pending.clear()
            self._bytes = 0

    def _keep(self, key: str, row: _Row) -> None:
        before = self._rows.pop(key, None)
        self._bytes += row.bytes - (before.bytes if before is not None else 0)
        self._rows[key] = row
        while self._bytes > BYTES_KEPT:
            gone, oldest = self._rows.popitem(last=False)
            self._bytes -= oldest.bytes
            self._pending.pop(gone, None)

    def _complain(self, error: MidfillError) -> None:
        if not self._has_complained:
            self._has_complained = True
            _log.warning("explanations are kept in memory only: %s", error)


def explanations_beside(statistics: Path | None) -> Path | None:
    """Return the file of explanations, which lies beside that of the statistics."""
    return statistics.with_name(_FILE) if statistics is not None else None


def clear_explanations(path: Path) -> int | None:
    """Delete the file's explanations and return how many; ``None`` for those of a damaged file.

    Raises ``MidfillError`` if the file cannot be deleted.
    """
    if not path.exists():
        return 0
    count: int | None = None
    with contextlib.suppress(MidfillError):
        count = len(_read(path, 0))
    # Whole: what is only deleted in a database can still be read from its file.
    delete(path)
    return count


def _read(path: Path, since_s: int) -> dict[str, _Row]:
    """Return what a file has, what was used last at the end."""
    with _open(path) as database:
        found = "SELECT 1 FROM sqlite_master WHERE name = 'explanations'"
        if database.execute(found).fetchone() is None:
            return {}
        rows = database.execute(
            "SELECT key, used_s, text FROM explanations WHERE used_s >= ? ORDER BY used_s, key",
            (since_s,),
        )
        return {
            str(key): _Row(text=str(text), used_s=int(used_s))
            for key, used_s, text in rows
            if isinstance(used_s, int)
        }


def _write(path: Path, batch: Mapping[str, _Row], now_s: int) -> None:
    # What somebody had explained is nobody else's business.
    make_private(path)
    with _open(path) as database:
        # One transaction that may write from its start: two servers take turns.
        database.execute("BEGIN IMMEDIATE")
        database.execute(_CREATE)
        database.executemany(
            "INSERT OR REPLACE INTO explanations (key, used_s, text) VALUES (?, ?, ?)",
            ((key, row.used_s, row.text) for key, row in batch.items()),
        )
        oldest_s = now_s - DAYS_KEPT * _DAY_S
        database.execute("DELETE FROM explanations WHERE used_s < ?", (oldest_s,))
        database.execute(_TRIM, (_ROW_BYTES, BYTES_KEPT))
        database.execute("COMMIT")


def _open(path: Path) -> AbstractContextManager[sqlite3.Connection]:
    return opened(path, if_damaged="; it may be deleted")
