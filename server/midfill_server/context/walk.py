"""The files of the workspace, folder by folder, those near the open files first."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from midfill_server.exclusion.ignore import Ignore

__all__ = ["Folder", "Found", "walk"]

# Somebody may open the root of a disk, or have data beside the code.
_MAX_FOLDERS = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file as it lies on disk; ``changed_ns`` is the time of its last change."""

    path: str
    changed_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder with those of its files that are not ignored, by name."""

    path: str
    files: tuple[Found, ...]


def walk(
    roots: Sequence[str],
    ignore: Ignore,
    near: Sequence[str] = (),
    rest: Callable[[], None] = lambda: None,
    wants: Callable[[str], bool] = lambda path: True,
) -> Iterator[Folder]:
    """Yield every folder that is not ignored once, with the files whose paths it ``wants``.

    ``rest`` is called often. There is an end to it: of very many folders, the first are met.
    Begins with what lies below the folders of the files ``near``, then below those above them.
    Links are followed as far as they lead to folders that were not met yet.
    """
    met: set[tuple[int, int] | str] = set()
    for start in _starts([os.path.normpath(root) for root in roots], near):
        waiting = deque([] if ignore.ignored(start, folder=True) else [start])
        while waiting and len(met) < _MAX_FOLDERS:
            path = waiting.popleft()
            if not _meets_first(path, met):
                continue
            files: list[Found] = []
            below: list[str] = []
            for entry in _entries(path):
                rest()
                found = _look(entry, ignore, wants)
                if isinstance(found, Found):
                    files.append(found)
                elif found is not None and len(waiting) + len(below) < _MAX_FOLDERS:
                    below.append(found)
            # The order of a folder is that of its disk; ours is the same everywhere.
            waiting.extend(sorted(below))
            files.sort(key=lambda file: file.path)
            yield Folder(path=path, files=tuple(files))


def _starts(roots: Sequence[str], near: Sequence[str]) -> Iterator[str]:
    """Yield the folders to begin at: each contains those before it, or is beside them."""
    for path in near:
        folder = os.path.dirname(os.path.normpath(path))
        for root in roots:
            # The root of a disk ends with a separator already.
            inside = os.path.normcase(root.rstrip(os.sep) + os.sep)
            above = folder
            while os.path.normcase(above + os.sep).startswith(inside):
                yield above
                if (parent := os.path.dirname(above)) == above:
                    break
                above = parent
    yield from roots


def _meets_first(path: str, met: set[tuple[int, int] | str]) -> bool:
    try:
        status = os.stat(path)
        # What is the same folder by another name has the same number, where folders have one.
        same = (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)
    except OSError:
        return False
    if same in met:
        return False
    met.add(same)
    return True


def _entries(path: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            yield from entries
    except OSError:
        # It may have been deleted meanwhile, or is not ours to read.
        return


def _look(
    entry: os.DirEntry[str], ignore: Ignore, wants: Callable[[str], bool]
) -> Found | str | None:
    """Return a file, the path of a folder, or ``None`` for what is ignored or neither."""
    try:
        if entry.is_dir():
            # A virtual environment may have any name.
            is_foreign = os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))
            ignored = is_foreign or ignore.ignores_here(entry.path, folder=True, size_bytes=0)
            return None if ignored else entry.path
        # Its name costs nothing to look at, all else does.
        if not wants(entry.path) or not entry.is_file():
            return None
        status = entry.stat()
        if ignore.ignores_here(entry.path, folder=False, size_bytes=status.st_size):
            return None
    except OSError:
        return None
    return Found(path=entry.path, changed_ns=status.st_mtime_ns)
