"""Runs one program that a model wrote, within limits; started by ``benchmarks.sandbox`` only.

A script of its own, which imports nothing of the project: the program finds nothing here but the
standard library. Standard input has the task as JSON; the report goes to the file it names.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable
from typing import cast

__all__: list[str] = []

_MEGABYTE = 1024 * 1024
_DETAIL_CHARACTERS = 300
_START = (
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "pty.spawn",
    "subprocess.Popen",
)
_SIGNALS = ("os.kill", "os.killpg", "signal.pthread_kill")
_CHANGES = (
    "os.chmod",
    "os.chown",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
    "os.utime",
    "shutil.rmtree",
)


def main() -> None:
    """Read the task, take away what the program must not have, run it, and report."""
    task = cast("dict[str, str | int]", json.load(sys.stdin))
    report = os.dup(int(task["report"]))
    os.close(int(task["report"]))
    _close_input()
    _limit(task)
    sys.addaudithook(_guard(os.path.realpath(os.getcwd())))
    program, token = str(task["program"]), str(task["token"])
    del task
    verdict, detail = _run(program)
    # The token is written by nobody who left early: what it stands beside was reached.
    answer = {"token": token, "verdict": verdict, "detail": detail[:_DETAIL_CHARACTERS]}
    os.write(report, json.dumps(answer).encode())


def _run(program: str) -> tuple[str, str]:
    """Return the verdict and what was raised, if anything."""
    try:
        exec(compile(program, "program.py", "exec"), {"__name__": "__main__"})
    except AssertionError as error:
        return "failed", f"AssertionError: {error}"
    except BaseException as error:
        # Whatever a program raises, SystemExit among it, says that its tests did not all pass.
        return "error", _described(error)
    return "passed", ""


def _described(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:
        # The program made the exception, and with it what tells about it.
        return type(error).__name__


def _close_input() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _limit(task: dict[str, str | int]) -> None:
    seconds, memory = int(task["cpu_seconds"]), int(task["memory_mb"]) * _MEGABYTE
    limits = {
        "RLIMIT_CPU": seconds,
        "RLIMIT_AS": memory,
        "RLIMIT_DATA": memory,
        "RLIMIT_FSIZE": int(task["file_mb"]) * _MEGABYTE,
        "RLIMIT_NOFILE": 64,
        "RLIMIT_CORE": 0,
        # No process beside this one; the superuser is not bound by it, so a hook forbids it too.
        "RLIMIT_NPROC": 0,
    }
    for name, most in limits.items():
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        try:
            resource.setrlimit(kind, (most, most))
        except (OSError, ValueError):
            # macOS knows some of them and sets none; whoever started this watches memory as well.
            continue


def _guard(folder: str) -> Callable[[str, tuple[object, ...]], None]:
    """Return a hook that lets nothing happen outside of this process and of ``folder``.

    It keeps accidents in, not somebody who tries to get out: the limits and the namespaces of the
    system are for that.
    """

    def is_inside(path: object) -> bool:
        if isinstance(path, int):
            return True
        if not isinstance(path, str | bytes | os.PathLike):
            return True
        whole = os.path.realpath(os.fsdecode(cast("str | bytes", path)))
        return whole == os.devnull or os.path.commonpath((whole, folder)) == folder

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in _START:
            raise PermissionError(f"{event}: a program may start no other")
        if event in _SIGNALS:
            raise PermissionError(f"{event}: a program may stop no other")
        if event.startswith("socket.") and event not in ("socket.__new__", "socket.gethostname"):
            raise PermissionError(f"{event}: there is no network")
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and not is_inside(path):
                raise PermissionError(f"{path!r} lies outside of the program's folder")
        elif event in _CHANGES and not all(map(is_inside, arguments[:2])):
            raise PermissionError(f"{event}: outside of the program's folder")

    return hook


if __name__ == "__main__":
    main()
