"""A process that reads files for the index: nothing here waits for it, and it may break down.

Python lets one thread run at a time, and tree-sitter keeps that right while it parses: in the
server's own process, thousands of files would make it stutter. Grammars are also C code, and these
are all the files that somebody has.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from typing import BinaryIO, cast

from midfill_server.context.entries import FileEntry
from midfill_server.context.reading import read_entry

__all__ = ["Reader", "ReaderDiedError", "main"]

_MODULE = "midfill_server.context.reader"
_NICENESS = 10


class ReaderDiedError(Exception):
    """The process ended, or could not be started."""


class Reader:
    """The process. ``read`` and ``release`` are for one thread, ``close`` is for any.

    Raises ``ReaderDiedError`` where it cannot be started.
    """

    def __init__(self) -> None:
        # Flags of Windows: less urgent than what somebody waits for, and no window.
        flags = 0
        if sys.platform == "win32":
            flags = subprocess.BELOW_NORMAL_PRIORITY_CLASS | subprocess.CREATE_NO_WINDOW
        # Not even a module in the folder where the server was started may stand in for ours (-P).
        command = [sys.executable, "-P", "-m", _MODULE]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                creationflags=flags,
            )
        except OSError as error:
            raise ReaderDiedError(str(error)) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to = cast("BinaryIO", self._process.stdin)
        self._from = cast("BinaryIO", self._process.stdout)
        try:
            # Answered at once by a process that works: there is no such file.
            self.read("")
        except ReaderDiedError:
            self.release()
            raise

    def read(self, path: str) -> FileEntry | None:
        """Return what ``read_entry`` returns for a file. Raises ``ReaderDiedError``."""
        try:
            pickle.dump(path, self._to)
            self._to.flush()
            found = pickle.load(self._from)
        except (OSError, ValueError, EOFError, pickle.UnpicklingError) as error:
            raise ReaderDiedError(f"the process that reads files ended at {path!r}") from error
        return found if isinstance(found, FileEntry) else None

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()

    def release(self) -> None:
        """End the process and give back what belongs to it; for the thread that reads."""
        self.close()
        for pipe in (self._to, self._from):
            try:
                pipe.close()
            except OSError:
                # What was not sent to a process that has ended need not be.
                continue


def main() -> None:
    """Read what is asked for until nobody asks."""
    if sys.platform != "win32":
        os.nice(_NICENESS)
    while True:
        try:
            path = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(read_entry(str(path)), sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
