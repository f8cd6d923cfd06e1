"""What is not looked at: ignore files, folders of tools, hidden and huge files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

__all__ = ["MAX_FILE_BYTES", "Ignore", "folders_with", "midfillignore_names", "repository_of"]

MAX_FILE_BYTES = 256 * 1024
"""Larger files are mostly generated or data."""

_GIT = ".gitignore"
_OWN = ".midfillignore"

# What tools write and install. Nobody's own code lies there, listed in an ignore file or not.
_TOOL_FOLDERS = (
    "node_modules bower_components jspm_packages site-packages __pycache__ __pypackages__ venv "
    "dist build target out obj vendor third_party Pods DerivedData htmlcov "
    "cmake-build-debug cmake-build-release bazel-bin bazel-out bazel-testlogs _build"
)

# These hold no text, or none that a person wrote, whatever their size.
_ENDINGS = (
    ".min.js .min.css .map .bundle.js .lock .pyc .pyo .so .dylib .dll .exe .o .a .lib .class .jar "
    ".war .wasm .zip .gz .bz2 .xz .zst .7z .tar .rar .png .jpg .jpeg .gif .bmp .ico .webp .tiff "
    ".pdf .mp3 .mp4 .ogg .wav .mov .avi .woff .woff2 .ttf .otf .eot .sqlite .db .bin .dat .onnx "
    ".gguf .safetensors .npy .npz .pkl .parquet .pb .svg"
)

_TOOLS = frozenset(_TOOL_FOLDERS.split())
_UNREADABLE = tuple(_ENDINGS.split())

# How long an ignore file is taken for unchanged without looking.
_FRESH_S = 1.0


class _Rules:
    """The lines of the ignore files called ``names`` (the later ones count more) of each folder.

    A file is read again when it has changed, which is looked at once a second.
    """

    def __init__(self, names: Sequence[str], clock: Callable[[], float]) -> None:
        self._names = names
        self._clock = clock
        self._specs: dict[str, tuple[float, GitIgnoreSpec | None]] = {}

    def name(self, path: str, top: str, *, folder: bool = False, alone: bool = False) -> bool:
        """Return whether the rules of the folders from ``top`` down name it or one above it.

        ``alone``: those above it are known not to be named.
        """
        below = os.path.relpath(path, top)
        if below == os.curdir:
            return False
        parts = below.split(os.sep)
        folders = [top]
        for part in parts[:-1]:
            folders.append(os.path.join(folders[-1], part))
        # As for git: what lies in an ignored folder stays ignored, whatever names it again.
        return any(
            self._decides(folders[:depth], parts[:depth], folder or depth < len(parts))
            for depth in range(len(parts) if alone else 1, len(parts) + 1)
        )

    def _decides(self, folders: Sequence[str], parts: Sequence[str], folder: bool) -> bool:
        """Return what the nearest folder with a rule for it says."""
        for level in range(len(folders) - 1, -1, -1):
            spec = self._spec(folders[level])
            if spec is None:
                continue
            name = "/".join(parts[level:]) + ("/" if folder else "")
            included = spec.check_file(name).include
            if included is not None:
                return included
        return False

    def _spec(self, folder: str) -> GitIgnoreSpec | None:
        now_s = self._clock()
        known = self._specs.get(folder)
        if known is not None and now_s - known[0] < _FRESH_S:
            return known[1]
        files = tuple(_stamped(os.path.join(folder, name)) for name in self._names)
        spec = _parsed(files) if any(files) else None
        if len(self._specs) > 20_000:
            self._specs.clear()
        self._specs[folder] = (now_s, spec)
        return spec


class Ignore:
    """What of the folders ``roots`` is not looked at.

    Rules are those of ``.gitignore`` and ``.midfillignore`` in every folder, of which the second
    counts more. A root inside of a repository also obeys the files above it.
    """

    def __init__(
        self, roots: Sequence[str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._roots = tuple(os.path.normpath(root) for root in roots)
        self._tops = {root: repository_of(root) or root for root in self._roots}
        self._rules = _Rules((_GIT, _OWN), clock)

    def ignored(self, path: str, *, folder: bool = False, size_bytes: int | None = None) -> bool:
        """Return whether to leave it alone; so is everything outside of the roots.

        ``size_bytes`` is looked up where it is not given.
        """
        root = _root_of(path, self._roots)
        if root is None:
            return True
        if folder and os.path.normcase(path) == os.path.normcase(root):
            return False
        parts = os.path.relpath(path, root).split(os.sep)
        if any(_is_tools(part) for part in (parts if folder else parts[:-1])):
            return True
        if not folder and (_unreadable(parts[-1]) or _too_large(path, size_bytes)):
            return True
        return self._rules.name(path, self._tops[root], folder=folder)

    def ignores_here(self, path: str, *, folder: bool, size_bytes: int) -> bool:
        """Return the same, faster, for what lies in a folder that is not ignored."""
        name = os.path.basename(path)
        if _is_tools(name) if folder else _unreadable(name) or size_bytes > MAX_FILE_BYTES:
            return True
        root = _root_of(path, self._roots)
        return root is None or self._rules.name(path, self._tops[root], folder=folder, alone=True)


def midfillignore_names(path: str, roots: Sequence[str]) -> bool:
    """Return whether ``.midfillignore`` files name ``path``: nothing is ever completed there.

    The files that count are those from the root of ``path`` down to its folder; outside of all
    ``roots``, those of its repository, or the one beside it. Changes are seen at once: a call
    costs a look at each of these files.
    """
    path = os.path.normpath(path)
    root = _root_of(path, [os.path.normpath(root) for root in roots])
    folder = os.path.dirname(path)
    return _Rules((_OWN,), time.monotonic).name(path, root or repository_of(folder) or folder)


def folders_with(names: Sequence[str], folder: str) -> Iterator[str]:
    """Yield the folders that have one of ``names``: ``folder`` and those above it, inner first."""
    for here in (Path(folder), *Path(folder).parents):
        # Not Path.exists, which raises where one may not look.
        if any(os.path.exists(here / name) for name in names):
            yield str(here)


def repository_of(folder: str) -> str | None:
    """Return the innermost folder at or above ``folder`` that is a git repository."""
    return next(folders_with((".git",), folder), None)


def _root_of(path: str, roots: Sequence[str]) -> str | None:
    """Return the innermost of the ``roots`` that ``path`` lies in."""
    # Windows spells one path in upper and lower case.
    path = os.path.normcase(path) + os.sep
    fitting = [
        root for root in roots if path.startswith(os.path.normcase(root.rstrip(os.sep)) + os.sep)
    ]
    return max(fitting, key=len, default=None)


def _is_tools(folder: str) -> bool:
    return folder.startswith(".") or folder in _TOOLS


def _unreadable(name: str) -> bool:
    return name.startswith(".") or name.lower().endswith(_UNREADABLE)


def _too_large(path: str, size_bytes: int | None) -> bool:
    if size_bytes is None:
        try:
            size_bytes = os.stat(path).st_size
        except OSError:
            return False
    return size_bytes > MAX_FILE_BYTES


def _stamped(path: str) -> tuple[str, int] | None:
    """Return a file with the time of its last change; ``None`` if it is not there."""
    try:
        return path, os.stat(path).st_mtime_ns
    except OSError:
        return None


@lru_cache(maxsize=256)
def _parsed(files: tuple[tuple[str, int] | None, ...]) -> GitIgnoreSpec | None:
    """Return the rules of the files of one folder, in the order in which they count."""
    from pathspec import GitIgnoreSpec

    lines: list[str] = []
    for stamped in files:
        if stamped is None:
            continue
        try:
            lines += Path(stamped[0]).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError:
        # One mistaken line, such as a lone "!", must not take the rules of the others away.
        return GitIgnoreSpec.from_lines([line for line in lines if _is_rule(line)])


def _is_rule(line: str) -> bool:
    from pathspec import GitIgnoreSpec

    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True
