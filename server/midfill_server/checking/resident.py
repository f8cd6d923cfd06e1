"""A checker that stays: started once, asked often, gone when nobody asks for a while."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from threading import RLock, Thread, Timer
from typing import IO, TypeVar

from midfill_engine.cancel import CancelToken
from midfill_server.checking.base import CheckCancelledError, CheckFailedError
from midfill_server.checking.running import end, start
from midfill_server.checking.shadow import make_scratch, remove
from midfill_server.checking.shapes import Object, as_object

__all__ = ["Resident", "Residents"]

IDLE_S = 120.0
"""How long a resident checker waits for the next question."""

_MAX_RESIDENTS = 3
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_MAX_HEADER_BYTES = 4096
_POLL_S = 0.02

_R = TypeVar("_R", bound="Resident")


class Resident:
    """A process that is talked to in JSON, each message of which is headed by its length.

    Not for several threads at once: ``Residents`` sees to that.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        # An empty folder: what works there finds nothing that it would take for its own.
        self._folder = make_scratch()
        self._process = self._started(command, environment)
        self._messages: queue.SimpleQueue[Object | None] = queue.SimpleQueue()
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        assert self._process.stdin is not None
        # Whoever writes to a process that is busy may have to wait until it reads.
        self._unsent: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        for work, stream in (
            (self._read, self._process.stdout),
            (_drain, self._process.stderr),
            (self._send_all, self._process.stdin),
        ):
            Thread(target=work, args=(stream,), daemon=True).start()

    def _started(
        self, command: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        try:
            return start(command, environment=environment, cwd=self._folder)
        except CheckFailedError:
            remove(self._folder)
            raise

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def write(self, data: bytes) -> None:
        """Send bytes, soon. If nobody reads them, there is no answer."""
        self._unsent.put(data)

    def next_message(self, cancel: CancelToken, deadline_s: float) -> Object:
        """Return the next thing that it says. Raises ``CheckFailedError`` if that takes long."""
        while True:
            try:
                message = self._messages.get(timeout=_POLL_S)
            except queue.Empty:
                if cancel.cancelled:
                    raise CheckCancelledError("The check was cancelled.") from None
                if time.monotonic() > deadline_s:
                    raise CheckFailedError("The checker did not answer in time.") from None
                continue
            if message is None:
                raise CheckFailedError("The checker ended without an answer.")
            return message

    def close(self) -> None:
        """End it, and all that it started."""
        self._unsent.put(None)
        end(self._process)
        remove(self._folder)

    def _send_all(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):
            while (data := self._unsent.get()) is not None:
                stream.write(data)
                stream.flush()

    def _read(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):
            while (message := _message(stream)) is not None:
                self._messages.put(message)
        self._messages.put(None)


class Residents:
    """Owns the resident checkers of a session: one of each kind and project, few at a time."""

    def __init__(self, *, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._kept: dict[object, tuple[Resident, float]] = {}
        # Whoever asks one waits for the other: checks come one at a time anyway.
        self._lock = RLock()
        self._timer: Timer | None = None
        self._folders: dict[str, str] = {}

    def folder(self, key: str) -> str:
        """Return a folder for what a tool wants to keep from run to run of this session."""
        with self._lock:
            if key not in self._folders:
                self._folders[key] = make_scratch()
            return self._folders[key]

    def ask(
        self, key: object, make: Callable[[], _R], kind: type[_R], question: Callable[[_R], object]
    ) -> None:
        """Ask the resident ``key`` a question; it is made by ``make`` if there is none.

        If it fails, it ends: the next question goes to a new one. A question that is cancelled is
        no failure: its answer, which may come later, must not be taken for that of the next.
        """
        with self._lock:
            known = self._kept.pop(key, None)
            resident = known[0] if known is not None else None
            if resident is not None and not resident.alive:
                resident.close()
                resident = None
            if not isinstance(resident, kind):
                resident = make()
            try:
                question(resident)
            except CheckCancelledError:
                # It goes on working for nobody, and is there for the next question.
                self._keep(key, resident)
                raise
            except BaseException:
                resident.close()
                raise
            self._keep(key, resident)

    def _keep(self, key: object, resident: Resident) -> None:
        self._kept[key] = resident, time.monotonic()
        while len(self._kept) > _MAX_RESIDENTS:
            self._kept.pop(next(iter(self._kept)))[0].close()
        self._watch()

    @property
    def count(self) -> int:
        """How many run."""
        with self._lock:
            return len(self._kept)

    def close(self) -> None:
        """End all of them."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            while self._kept:
                self._kept.popitem()[1][0].close()
            while self._folders:
                remove(self._folders.popitem()[1])

    def _watch(self) -> None:
        """Look later whether somebody still asks."""
        if self._timer is None and self._kept:
            self._timer = Timer(self._idle_s, self._end_idle)
            self._timer.daemon = True
            self._timer.start()

    def _end_idle(self) -> None:
        with self._lock:
            self._timer = None
            now_s = time.monotonic()
            for key, (resident, asked_s) in list(self._kept.items()):
                if now_s - asked_s >= self._idle_s:
                    del self._kept[key]
                    resident.close()
            self._watch()


def _message(stream: IO[bytes]) -> Object | None:
    """Read one message; ``None`` at the end, and for what is none."""
    length = None
    while (line := stream.readline(_MAX_HEADER_BYTES)).strip() or length is None:
        if not line:
            return None
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            length = int(value)
    if length > _MAX_MESSAGE_BYTES:
        return None
    data = stream.read(length)
    return as_object(json.loads(data)) if len(data) == length else None


def _drain(stream: IO[bytes]) -> None:
    """Read what nobody wants, so that its writer does not wait for a reader."""
    with contextlib.suppress(OSError, ValueError):
        while os.read(stream.fileno(), 65536):
            pass
