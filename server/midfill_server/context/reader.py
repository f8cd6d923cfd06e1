"""A process that reads files for the index: nothing here waits for it, and it may break down.

Python lets one thread run at a time, and tree-sitter keeps that right while it parses: in the
server's own process, thousands of files would make it stutter. Grammars are also C code, and these
are all the files that somebody has.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import subprocess
import sys
from contextlib import suppress
from typing import BinaryIO, cast

from midfill_server.context.entries import FileEntry
from midfill_server.context.reading import read_entry

__all__ = ["Reader", "ReaderDiedError", "main"]

_MODULE = "midfill_server.context.reader"
_NICENESS = 10
# No file takes nearly as long: a parser that is not done by then never is.
_MAX_READ_S = 60.0
_END_S = 1.0


class ReaderDiedError(Exception):
    """The process ended, or could not be started."""


class Reader:
    """The process. ``read`` and ``release`` are for one thread, ``kill`` is for any.

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

    def kill(self) -> None:
        """End the process, whatever it does; returns at once."""
        self._process.kill()

    def release(self) -> None:
        """End the process and give back what belongs to it."""
        self.kill()
        for pipe in (self._to, self._from):
            # What was not sent to a process that has ended need not be.
            with suppress(OSError):
                pipe.close()
        # One that waits for a disk of another machine ends when that answers.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)


def main() -> None:
    """Read what is asked for until nobody asks."""
    # Ctrl-C in a terminal is for the server; this one ends with its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        os.nice(_NICENESS)
    while True:
        try:
            path = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        # Nobody could wait for a parser that never ends, nor interrupt it.
        faulthandler.dump_traceback_later(_MAX_READ_S, exit=True)
        found = read_entry(str(path))
        faulthandler.cancel_dump_traceback_later()
        pickle.dump(found, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
