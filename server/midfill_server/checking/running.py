"""Runs a checker's command: bounded in time and output, and ended with all that it started."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Event, Thread
from typing import IO

from midfill_engine.cancel import CancelToken
from midfill_server.checking.base import CheckCancelledError, CheckFailedError
from midfill_server.checking.shadow import scratch

__all__ = ["Output", "end", "run", "start"]

MAX_OUTPUT_BYTES = 8 * 1024 * 1024
_POLL_S = 0.02
_READ_BYTES = 64 * 1024
# Windows hands what stands in the arguments of a batch file to a shell.
_NOT_FOR_BATCH = re.compile(r"[\"%&|<>^!\r\n]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a command said; its streams as text, with what is no UTF-8 replaced."""

    status: int
    stdout: str
    stderr: str


def start(
    command: Sequence[str], *, environment: Mapping[str, str], cwd: str
) -> subprocess.Popen[bytes]:
    """Start a command, without a shell, at the head of a group of its own. ``end`` ends it."""
    if os.name == "nt" and command[0].lower().endswith((".cmd", ".bat")):
        odd = next((word for word in command if _NOT_FOR_BATCH.search(word)), None)
        if odd is not None:
            raise CheckFailedError(f"{odd!r} cannot be handed to {command[0]} on Windows.")
    try:
        return subprocess.Popen(
            tuple(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=dict(environment),
            start_new_session=os.name == "posix",
            creationflags=_creation_flags(),
        )
    except (OSError, ValueError) as error:
        # A null character in an argument is a ValueError.
        raise CheckFailedError(f"{command[0]} cannot be started: {error}") from error


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and everything it started, and close what leads to it."""
    _kill(process)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    cancel: CancelToken,
    timeout_s: float,
    stdin: bytes = b"",
    cwd: str | None = None,
    max_bytes: int = MAX_OUTPUT_BYTES,
) -> Output:
    """Run a command to its end.

    Without ``cwd`` it works in an empty folder of its own, so that nothing that happens to lie
    around is taken for part of it. Raises ``CheckFailedError`` if it takes longer than
    ``timeout_s`` or says more than ``max_bytes``, and ``CheckCancelledError`` if it is cancelled.
    """
    if cwd is None:
        with scratch() as folder:
            return run(
                command,
                environment=environment,
                cancel=cancel,
                timeout_s=timeout_s,
                stdin=stdin,
                cwd=folder,
                max_bytes=max_bytes,
            )
    if cancel.cancelled:
        raise CheckCancelledError("The check was cancelled.")
    process = start(command, environment=environment, cwd=cwd)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    stdout = _Reader(process.stdout, max_bytes)
    stderr = _Reader(process.stderr, max_bytes)
    writer = Thread(target=_write, args=(process.stdin, stdin), daemon=True)
    try:
        for thread in (stdout, stderr, writer):
            thread.start()
        _wait(process, (stdout, stderr), command[0], cancel, timeout_s)
    finally:
        _kill(process)
        for thread in (stdout, stderr, writer):
            # The pipes ended with the processes that held them.
            thread.join(timeout=1.0)
        end(process)
    status = process.returncode
    return Output(status=status, stdout=stdout.text, stderr=stderr.text)


class _Reader(Thread):
    """Reads a stream to its end, or until there is too much of it."""

    def __init__(self, stream: IO[bytes], max_bytes: int) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self.ended = Event()
        self.is_too_much = False

    def run(self) -> None:
        size = 0
        with contextlib.suppress(OSError, ValueError):
            while part := os.read(self._stream.fileno(), _READ_BYTES):
                size += len(part)
                if size > self._max_bytes:
                    self.is_too_much = True
                    break
                self._parts.append(part)
        self.ended.set()

    @property
    def text(self) -> str:
        return b"".join(self._parts).decode("utf-8", "replace")


def _write(stream: IO[bytes], data: bytes) -> None:
    # A command may end without having read all of it.
    with contextlib.suppress(OSError, ValueError):
        stream.write(data)
    with contextlib.suppress(OSError, ValueError):
        stream.close()


def _wait(
    process: subprocess.Popen[bytes],
    readers: Sequence[_Reader],
    name: str,
    cancel: CancelToken,
    timeout_s: float,
) -> None:
    """Wait until the command has said all and ended."""
    deadline_s = time.monotonic() + timeout_s
    for reader in readers:
        while not reader.ended.wait(_POLL_S):
            _refuse(name, cancel, deadline_s, timeout_s)
        if reader.is_too_much:
            raise CheckFailedError(f"{name} says more than can be read.")
    while True:
        try:
            process.wait(_POLL_S)
            return
        except subprocess.TimeoutExpired:
            _refuse(name, cancel, deadline_s, timeout_s)


def _refuse(name: str, cancel: CancelToken, deadline_s: float, timeout_s: float) -> None:
    if cancel.cancelled:
        raise CheckCancelledError("The check was cancelled.")
    if time.monotonic() > deadline_s:
        raise CheckFailedError(f"{name} took longer than {timeout_s:g} s.")


def _kill(process: subprocess.Popen[bytes]) -> None:
    if os.name == "posix":
        # It leads its group; what it left running there ends too.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        _kill_below(process.pid)
    process.kill()


def _kill_below(pid: int) -> None:
    import psutil

    try:
        below = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return
    for one in below:
        with contextlib.suppress(psutil.Error):
            one.kill()


def _creation_flags() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
    return 0
