"""SQLite files of one user, that any number of servers may use at once: opened, made, deleted."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from midfill_engine.errors import MidfillError

if TYPE_CHECKING:
    # It takes a hundredth of a second to import, and a few Pythons are built without it.
    import sqlite3

__all__ = ["delete", "make_private", "opened"]

# A server that ends waits no longer for another one that writes at that moment.
_BUSY_TIMEOUT_S = 0.5


@contextmanager
def opened(path: Path, *, if_damaged: str) -> Generator[sqlite3.Connection]:
    """Open a database; whatever goes wrong with it becomes a ``MidfillError``.

    ``if_damaged`` ends the message for a file that is none: what to do about it.
    """
    try:
        import sqlite3
    except ImportError as error:
        raise MidfillError("this Python was built without sqlite3") from error
    try:
        # Transactions are begun and ended here by hand: what Python does itself differs by version.
        connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        with closing(connection):
            yield connection
    except sqlite3.OperationalError as error:
        raise MidfillError(f"{path} cannot be used: {error}") from error
    except (sqlite3.Error, ValueError) as error:
        raise MidfillError(f"{path} is damaged: {error}{if_damaged}") from error


def make_private(path: Path) -> None:
    """Have a file and its folder there, for nobody else to read. Raises ``MidfillError``."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise MidfillError(f"{path} cannot be written: {error.strerror or error}") from error


def delete(path: Path) -> None:
    """Delete a database and its journal. Raises ``MidfillError``."""
    try:
        path.unlink(missing_ok=True)
        path.with_name(path.name + "-journal").unlink(missing_ok=True)
    except OSError as error:
        raise MidfillError(f"{path} cannot be deleted: {error.strerror or error}") from error
