"""The shadow of a project: a temporary folder where one file has another text.

It mirrors the project by links: real folders only along the path of that one file, and in each
a link to everything else. So it costs the same for a large project as for a small one, and the
project itself is never written to. (What a tool writes *through* a link it would write to the
project: tools are told to write nothing, and what one of them insists on writing is copied.)
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Collection, Generator
from dataclasses import dataclass, replace

from midfill_server.checking.base import CheckFailedError
from midfill_server.checking.finding import Finding
from midfill_server.checking.programs import lies_in
from midfill_server.process import process_exists

__all__ = ["Shadow", "encoded", "make_scratch", "remove", "scratch", "shadow_of", "sweep"]

MAX_ENTRIES = 4000
"""How many things a folder on the way to the file may hold."""

_MAX_COPY_BYTES = 4 * 1024 * 1024
_PREFIX = "midfill-check-"
_NAME = re.compile(r"midfill-check-(\d+)-\w+\Z")
# No checker needs these, and some would write to them.
_LEFT_OUT = frozenset(
    {".git", ".hg", ".svn", ".mypy_cache", ".ruff_cache", ".pytest_cache", "__pycache__"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """A shadow: its folder in place of the project's, and the file in it that differs."""

    project: str
    folder: str
    path: str

    def unshadowed(self, finding: Finding) -> Finding:
        """Return a finding whose message speaks of the project instead of its shadow."""
        message = finding.message.replace(self.folder, self.project)
        return replace(finding, message=message)


def encoded(text: str) -> bytes:
    """Return a text as checkers read it. What no UTF-8 has becomes a question mark."""
    return text.encode("utf-8", "replace")


def make_scratch() -> str:
    """Make an empty folder, for ``remove``; ``sweep`` finds it if the server dies before."""
    return os.path.realpath(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))


@contextlib.contextmanager
def scratch() -> Generator[str]:
    """Make an empty folder that is gone in the end."""
    folder = make_scratch()
    try:
        yield folder
    finally:
        remove(folder)


@contextlib.contextmanager
def shadow_of(
    project: str, path: str, text: str, *, copied: Collection[str] = ()
) -> Generator[Shadow]:
    """Make the shadow of the folder ``project`` in which the file ``path`` has the text ``text``.

    ``copied`` are names of files and of folders of files that a tool may write to.
    """
    project, path = os.path.abspath(project), os.path.abspath(path)
    if not lies_in(path, project) or path == project:
        raise CheckFailedError(f"{path} does not lie in {project}.")
    with scratch() as folder:
        top = os.path.join(folder, os.path.basename(project) or "project")
        os.mkdir(top)
        real, shade = project, top
        *folders, name = os.path.relpath(path, project).split(os.sep)
        for following in folders:
            _mirror(real, shade, following, copied)
            real, shade = os.path.join(real, following), os.path.join(shade, following)
            _make(shade)
        _mirror(real, shade, name, copied)
        shade = os.path.join(shade, name)
        try:
            # Never through a link, which would lead into the project: where the case of letters
            # does not count, the file may be there under a name that looks different.
            with open(shade, "xb") as file:
                file.write(encoded(text))
        except OSError as error:
            raise CheckFailedError(f"No shadow of {path} can be made: {error}") from error
        yield Shadow(project=project, folder=top, path=shade)


def sweep(*, older_than_s: float = 600.0) -> int:
    """Remove what servers left that were killed; return how many folders that were."""
    removed = 0
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if _is_stale(entry, older_than_s):
                    remove(entry.path)
                    removed += 1
    return removed


def _is_stale(entry: os.DirEntry[str], older_than_s: float) -> bool:
    """Return whether a folder is one of ours, of a process that is gone.

    A process may be gone only for us, where two containers share a folder: hence the age.
    """
    named = _NAME.match(entry.name)
    if named is None or not entry.is_dir(follow_symlinks=False):
        return False
    status = entry.stat(follow_symlinks=False)
    if sys.platform != "win32" and status.st_uid != os.getuid():
        return False
    return time.time() - status.st_mtime >= older_than_s and not process_exists(int(named[1]))


def _make(folder: str) -> None:
    try:
        os.mkdir(folder)
    except OSError as error:
        raise CheckFailedError(f"No shadow can be made: {error}") from error


def _mirror(real: str, shade: str, without: str, copied: Collection[str]) -> None:
    """Link everything in the folder ``real`` into the folder ``shade``, but the one name."""
    try:
        with os.scandir(real) as entries:
            for count, entry in enumerate(entries):
                if count >= MAX_ENTRIES:
                    raise CheckFailedError(f"{real} holds too many files for a shadow of it.")
                if _is(entry, real, without) or entry.name in _LEFT_OUT:
                    continue
                target = os.path.join(shade, entry.name)
                if entry.name in copied:
                    _copy(entry, target)
                else:
                    _link(entry, target)
    except FileNotFoundError:
        # A new file in a new folder.
        return
    except OSError as error:
        raise CheckFailedError(f"No shadow of {real} can be made: {error}") from error


def _is(entry: os.DirEntry[str], folder: str, name: str) -> bool:
    """Return whether an entry is what ``name`` means there, in whatever case it is written."""
    if entry.name == name:
        return True
    if entry.name.casefold() != name.casefold():
        return False
    with contextlib.suppress(OSError):
        return os.path.samefile(entry.path, os.path.join(folder, name))
    return False


def _link(entry: os.DirEntry[str], target: str) -> None:
    try:
        os.symlink(entry.path, target, target_is_directory=entry.is_dir())
    except OSError:
        if sys.platform != "win32":
            raise
        # Windows lets not everybody make symbolic links.
        if entry.is_dir():
            import _winapi

            _winapi.CreateJunction(entry.path, target)
        else:
            _copy(entry, target)


def _copy(entry: os.DirEntry[str], target: str) -> None:
    """Copy a file, or the files of a folder; what is no plain file or too large stays out."""
    if entry.is_dir():
        os.mkdir(target)
        with os.scandir(entry.path) as entries:
            for below in list(entries)[:MAX_ENTRIES]:
                if not below.is_dir():
                    _copy(below, os.path.join(target, below.name))
        return
    status = entry.stat()
    if stat.S_ISREG(status.st_mode) and status.st_size <= _MAX_COPY_BYTES:
        shutil.copyfile(entry.path, target)


def remove(folder: str) -> None:
    """Remove a folder; links in it go, and what they lead to stays."""
    shutil.rmtree(folder, ignore_errors=True)
