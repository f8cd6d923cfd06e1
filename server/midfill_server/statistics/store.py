"""The file of figures: an SQLite database that any number of servers may write to at once.

It is opened for each batch and closed again, so nothing is held between batches and no timer or
thread is needed here. SQLite's rollback journal, unlike its write-ahead log, also works in a home
folder on a network file system. The name of the file carries the version of its tables: a table
that changes would be another file. A new one is made beside those that are there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from midfill_engine.errors import MidfillError
from midfill_server.database import delete, make_private, opened
from midfill_server.source import Source
from midfill_server.statistics.feedback import Feedback
from midfill_server.statistics.record import Record

if TYPE_CHECKING:
    # It takes a hundredth of a second to import, and a few Pythons are built without it.
    import sqlite3

__all__ = [
    "DAYS_KEPT",
    "RECORDS_KEPT",
    "Recorder",
    "clear_records",
    "read_feedback",
    "read_records",
]

RECORDS_KEPT = 100_000
"""The newest so many are kept in each table, about 20 MB in all."""
DAYS_KEPT = 90
"""What is older is deleted."""

_DAY_S = 24 * 60 * 60
# At most so many wait for a disk that cannot be written to.
_PENDING_KEPT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """Where the rows of one class are kept; ``created`` are its columns in SQL.

    ``read`` makes what a row has of what SQLite gives, where that is not the same.
    """

    name: str
    columns: tuple[str, ...]
    created: str
    read: Mapping[str, Callable[[object], object]]

    @property
    def create(self) -> tuple[str, ...]:
        return (
            f"CREATE TABLE IF NOT EXISTS {self.name} (id INTEGER PRIMARY KEY, {self.created})",
            f"CREATE INDEX IF NOT EXISTS {self.name}_when ON {self.name} (when_s)",
        )

    @property
    def insert(self) -> str:
        places = ", ".join("?" * len(self.columns))
        return f"INSERT INTO {self.name} ({', '.join(self.columns)}) VALUES ({places})"


_COMPLETIONS = _Table(
    name="completions",
    columns=tuple(field.name for field in fields(Record)),
    created="""
        when_s INTEGER NOT NULL,
        language_id TEXT NOT NULL,
        model_id TEXT NOT NULL,
        source TEXT NOT NULL,
        first_ms REAL,
        total_ms REAL NOT NULL,
        shown INTEGER NOT NULL,
        prefilled_tokens INTEGER NOT NULL,
        reused_tokens INTEGER NOT NULL,
        generated_tokens INTEGER NOT NULL,
        drafted_tokens INTEGER NOT NULL,
        accepted_tokens INTEGER NOT NULL""",
    read={"source": lambda value: Source(str(value)), "shown": bool},
)
_SUGGESTIONS = _Table(
    name="suggestions",
    columns=tuple(field.name for field in fields(Feedback)),
    created="""
        when_s INTEGER NOT NULL,
        language_id TEXT NOT NULL,
        model_id TEXT NOT NULL,
        sureness REAL,
        invoked INTEGER NOT NULL,
        characters INTEGER NOT NULL,
        lines INTEGER NOT NULL,
        confirmed INTEGER NOT NULL,
        shown_ms REAL,
        accepted INTEGER NOT NULL,
        accepted_characters INTEGER NOT NULL""",
    read={"invoked": bool, "confirmed": bool, "accepted": bool},
)
_TABLES: tuple[tuple[type[Record | Feedback], _Table], ...] = (
    (Record, _COMPLETIONS),
    (Feedback, _SUGGESTIONS),
)
_LOG = logging.getLogger(__name__)


class Recorder:
    """Collects records and feedback and writes them in batches to the database at ``path``.

    A kill loses what was added since the last flush and harms nothing that was written. A disk that
    cannot be written to is logged once; the newest records then wait in memory for the next flush.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._pending: list[Record | Feedback] = []
        self._has_complained = False

    @property
    def pending(self) -> int:
        """How many records the next flush would write."""
        return len(self._pending)

    def add(self, record: Record | Feedback) -> None:
        """Keep ``record`` for the next flush; takes microseconds, on any thread."""
        with self._lock:
            self._pending.append(record)
            if len(self._pending) > _PENDING_KEPT:
                del self._pending[0]

    def flush(self) -> None:
        """Write what was added, and delete what is too old; some 20 ms, mostly the disk's."""
        with self._lock:
            batch, self._pending = self._pending, []
        if not batch:
            return
        try:
            _append(self._path, batch, self._clock())
        except MidfillError as error:
            with self._lock:
                self._pending = (batch + self._pending)[-_PENDING_KEPT:]
            if not self._has_complained:
                self._has_complained = True
                _LOG.warning("no figures for `midfill stats` can be written now: %s", error)

    def close(self) -> None:
        """Write what is left."""
        self.flush()


def read_records(path: Path, *, since_s: float | None = None) -> list[Record]:
    """Return what is kept, from ``since_s`` on, oldest first. Raises ``MidfillError``.

    No file is no records.
    """
    return [Record(**values) for values in _rows(path, _COMPLETIONS, since_s)]  # pyright: ignore[reportArgumentType] - the table says the types


def read_feedback(path: Path, *, since_s: float | None = None) -> list[Feedback]:
    """Return what became of suggestions, in the same way."""
    return [Feedback(**values) for values in _rows(path, _SUGGESTIONS, since_s)]  # pyright: ignore[reportArgumentType] - the table says the types


def clear_records(path: Path) -> int | None:
    """Delete all figures; return of how many completions, ``None``: a damaged file was deleted.

    Raises ``MidfillError`` if the file cannot be changed.
    """
    if not path.exists():
        return 0
    import sqlite3

    try:
        with _open(path) as database:
            there = [table.name for _, table in _TABLES if _has_table(database, table)]
            if not there:
                return 0
            # A suggestion that is known of was an answer to one completion at least.
            count = max(database.execute(f"DELETE FROM {name}").rowcount for name in there)
            # Without it the deleted figures could still be read from the file.
            database.execute("VACUUM")
            return count
    except MidfillError as error:
        # SQLite reports by this very class, and by no other, that a file is not what it should be.
        if type(error.__cause__) is not sqlite3.DatabaseError:
            raise
    delete(path)
    return None


def _append(path: Path, batch: Sequence[Record | Feedback], now_s: float) -> None:
    # When somebody works is nobody else's business.
    make_private(path)
    with _open(path) as database:
        # One transaction that has the right to write from its start: two servers take turns, and
        # neither can find the table half made. Closing the database undoes what was not committed.
        database.execute("BEGIN IMMEDIATE")
        for kind, table in _TABLES:
            rows = [
                [getattr(one, name) for name in table.columns]
                for one in batch
                if isinstance(one, kind)
            ]
            if rows:
                _put(database, table, rows, now_s)
        database.execute("COMMIT")


def _put(
    database: sqlite3.Connection, table: _Table, rows: Sequence[Sequence[object]], now_s: float
) -> None:
    """Write rows of one table, and delete what it has too many of."""
    for statement in table.create:
        database.execute(statement)
    database.executemany(table.insert, rows)
    oldest_s = now_s - DAYS_KEPT * _DAY_S
    database.execute(f"DELETE FROM {table.name} WHERE when_s < ?", (oldest_s,))
    database.execute(
        f"DELETE FROM {table.name} WHERE id <= (SELECT max(id) FROM {table.name}) - ?",
        (RECORDS_KEPT,),
    )


def _rows(path: Path, table: _Table, since_s: float | None) -> list[dict[str, object]]:
    """Return the rows of a table as what its class is made of, oldest first."""
    if not path.exists():
        return []
    with _open(path) as database:
        if not _has_table(database, table):
            return []
        rows = database.execute(
            f"SELECT {', '.join(table.columns)} FROM {table.name} WHERE when_s >= ? "
            "ORDER BY when_s, id",
            (since_s or 0,),
        )
        return [
            {
                name: table.read[name](value) if name in table.read else value
                for name, value in zip(table.columns, row, strict=True)
            }
            for row in rows
        ]


def _open(path: Path) -> AbstractContextManager[sqlite3.Connection]:
    return opened(path, if_damaged=". `midfill stats --clear` deletes it")


def _has_table(database: sqlite3.Connection, table: _Table) -> bool:
    # A kill at the very first moment leaves an empty file, which is an empty database.
    found = database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table.name,))
    return found.fetchone() is not None
