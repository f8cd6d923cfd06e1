"""Runs Python that a model wrote: in a process of its own, with limits, without a network.

The program gets an empty folder, an empty environment and nothing on its standard input. Time,
processor time, memory, size of files and number of processes are bounded; where Linux lets users
make namespaces it has no network and no processes but its own, and elsewhere hooks in the
interpreter forbid both. That keeps accidents in. It is no prison for a program that was written
to get out: who fears such code runs the benchmark in a virtual machine.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO, cast

__all__ = ["Limits", "Sandbox", "SandboxError", "Trial", "Verdict"]

_RUNNER = Path(__file__).with_name("sandboxed.py")
_POLL_S = 0.05
_REPORT_BYTES = 64 * 1024
_MEGABYTE = 1024 * 1024
# A namespace of users is what lets anybody make the other two. With the first process of the
# namespace of processes, all others in it end.
_NAMESPACES = ("--user", "--map-current-user", "--net", "--pid", "--fork", "--kill-child")
_ENVIRONMENT = {
    # Sets have the same order in every run; one thread, as more processes are not allowed.
    "PYTHONHASHSEED": "0",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}


class SandboxError(RuntimeError):
    """Programs cannot be run here within limits; says why."""


class Verdict(StrEnum):
    """What became of a program; only ``PASSED`` counts."""

    PASSED = "passed"
    """It ran to its end: every assertion held."""
    FAILED = "failed"
    """An assertion did not hold."""
    TIMEOUT = "timeout"
    """Its time was over."""
    ERROR = "error"
    """It raised something else, left early, or was stopped by another limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one program may use. ``memory_mb`` bounds its address space where the system can."""

    seconds: float = 5.0
    memory_mb: int = 1024
    file_mb: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The verdict on one program; ``detail`` is what was raised, for people."""

    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """Runs programs one at a time or from several threads at once.

    ``prefix`` is the command that takes the network away, empty where there is none.
    """

    limits: Limits = field(default_factory=Limits)
    prefix: tuple[str, ...] = ()

    @classmethod
    def open(cls, limits: Limits | None = None) -> Sandbox:
        """Look what this system can do. Raises ``SandboxError`` where limits cannot be set."""
        if os.name != "posix":
            raise SandboxError(
                "Programs that a model wrote run only where their memory and time can be limited: "
                "on Linux and macOS. On Windows, use WSL."
            )
        return cls(limits=limits or Limits(), prefix=_without_network())

    @property
    def described(self) -> str:
        """How well programs are kept in, for people and for the result."""
        if self.prefix:
            return "limits, no network (namespaces)"
        return "limits; network and processes are forbidden by hooks in the interpreter only"

    def run(self, program: str) -> Trial:
        """Run ``program`` to its end, or to the end of what it may use; leaves nothing behind."""
        token = secrets.token_hex(16)
        with (
            tempfile.TemporaryDirectory(prefix="midfill-trial-") as folder,
            tempfile.TemporaryFile() as report,
            tempfile.TemporaryFile("w+", encoding="utf-8") as task,
        ):
            json.dump(
                {
                    "program": program,
                    "token": token,
                    "report": report.fileno(),
                    "cpu_seconds": math.ceil(self.limits.seconds) + 1,
                    "memory_mb": self.limits.memory_mb,
                    "file_mb": self.limits.file_mb,
                },
                task,
            )
            task.seek(0)
            process = subprocess.Popen(
                # Not even the folder of the script is looked through for modules.
                (*self.prefix, sys.executable, "-s", "-P", "-B", str(_RUNNER)),
                stdin=task,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env=_ENVIRONMENT,
                pass_fds=(report.fileno(),),
                # A session of its own: one signal reaches all that it started.
                start_new_session=True,
            )
            try:
                stopped = self._wait(process)
            finally:
                _end(process)
            return stopped or _verdict(report, token, process.returncode)

    def _wait(self, process: subprocess.Popen[bytes]) -> Trial | None:
        """Wait until the program ends; return why it had to be stopped, if it had to."""
        end_s = time.monotonic() + self.limits.seconds
        while True:
            left_s = end_s - time.monotonic()
            try:
                process.wait(timeout=max(0.0, min(_POLL_S, left_s)))
                return None
            except subprocess.TimeoutExpired:
                pass
            if left_s <= 0:
                return Trial(verdict=Verdict.TIMEOUT, detail=f"{self.limits.seconds:g} s are over")
            if _resident_bytes(process.pid) > self.limits.memory_mb * _MEGABYTE:
                return Trial(verdict=Verdict.ERROR, detail="it used too much memory")


def _verdict(report: IO[bytes], token: str, status: int | None) -> Trial:
    """Return what the runner wrote, if it was the runner: whoever left early knows no token."""
    report.seek(0)
    try:
        said = cast("dict[str, str]", json.loads(report.read(_REPORT_BYTES)))
        if said["token"] == token:
            return Trial(verdict=Verdict(said["verdict"]), detail=said["detail"])
    except (ValueError, KeyError, TypeError):
        pass
    return Trial(verdict=Verdict.ERROR, detail=f"it ended before its tests did (status {status})")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill whatever is left of the program and of what it started."""
    # All may have ended; macOS says so with the second of them.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _resident_bytes(pid: int) -> int:
    """Memory of a process and of those below it: not every system bounds the address space."""
    import psutil

    try:
        root = psutil.Process(pid)
        return sum(one.memory_info().rss for one in (root, *root.children(recursive=True)))
    except psutil.Error:
        # It has ended meanwhile.
        return 0


def _without_network() -> tuple[str, ...]:
    """Return the command under which a program has no network; empty where there is none."""
    unshare = shutil.which("unshare") if sys.platform == "linux" else None
    if unshare is None:
        return ()
    command = (unshare, *_NAMESPACES)
    try:
        # Some systems forbid namespaces to users, and containers often do.
        subprocess.run((*command, "true"), capture_output=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return command
