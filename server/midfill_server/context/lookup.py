"""What every search for imported files uses: the workspace's files, folders above, small files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Protocol, cast

__all__ = [
    "FilesByName",
    "Target",
    "folders_above",
    "items_of",
    "json_table",
    "nearest",
    "read_json",
    "read_small",
    "table_of",
]


class FilesByName(Protocol):
    """What is asked about the workspace; ``WorkspaceIndex`` is it."""

    @property
    def roots(self) -> tuple[str, ...]:
        """The folders of the workspace."""
        ...

    def files_in(self, folder: str) -> tuple[str, ...]:
        """Return the source files directly in a folder."""
        ...

    def files_ending(self, tail: str) -> tuple[str, ...]:
        """Return the source files whose path ends with ``a/b.py``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A file, and what is taken from it; the fields are those of ``ImportStatement``."""

    path: str
    names: tuple[tuple[str, str], ...] = ()
    alias: str = ""


def folders_above(path: str, roots: Sequence[str]) -> Iterator[str]:
    """Yield the folders that hold a file, from its own up to its root, then the other roots."""
    folder = os.path.dirname(os.path.normpath(path))
    while True:
        yield folder
        parent = os.path.dirname(folder)
        if folder in roots or parent == folder:
            break
        folder = parent
    yield from (root for root in roots if root != folder)


def nearest(paths: Sequence[str], path: str) -> str:
    """Return the path that has most of its folders in common with ``path``."""
    folders = path.split(os.sep)

    def shared(other: str) -> int:
        pairs = zip(folders, other.split(os.sep), strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    return max(paths, key=shared)


def read_small(path: str) -> str:
    """Return the text of a file, or ``""`` if it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def read_json(path: str) -> Mapping[str, object]:
    """Read a table of JSON from a file; an empty one if it cannot be read."""
    return json_table(read_small(path))


def json_table(text: str) -> Mapping[str, object]:
    """Return a table of JSON; comments and commas too many are what people write there."""
    text = re.sub(r'("(?:\\.|[^"\\])*")|//[^\r\n]*|/\*.*?\*/', r"\1", text, flags=re.DOTALL)
    try:
        return table_of(json.loads(re.sub(r",(\s*[}\]])", r"\1", text)))
    except ValueError:
        return {}


def table_of(value: object) -> Mapping[str, object]:
    """Return a value of JSON or TOML if it is a table, else an empty one."""
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def items_of(value: object) -> list[object]:
    """Return a value of JSON or TOML if it is a list, else an empty one."""
    return cast("list[object]", value) if isinstance(value, list) else []
