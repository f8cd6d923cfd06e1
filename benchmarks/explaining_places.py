"""Where the benchmark of explanations points: names and functions of real files, by a seed."""

from __future__ import annotations

import importlib.util
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from benchmarks.problems import DataError
from benchmarks.sites import SAMPLES
from midfill_server.syntax import SyntaxTree, definitions, language_of

__all__ = ["PACKAGE", "Place", "ProjectFile", "copied_project", "functions_in", "names_in"]

PACKAGE = "rich"
"""Pure Python under a permissive licence, which midfill needs: it is installed."""

_LANGUAGES = {".cpp": "cpp", ".go": "go", ".py": "python", ".rs": "rust", ".ts": "typescript"}
_FILE_LINES = range(80, 3000)
_NAMES = ("identifier", "type_identifier", "field_identifier", "property_identifier")
_LEAST_NAME = 3
_FUNCTION_CHARS = range(200, 4000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFile:
    """A file of the project that is open in the editor."""

    path: Path
    language_id: str
    text: str

    @property
    def uri(self) -> str:
        """Its URI."""
        return self.path.as_uri()

    def position(self, offset: int) -> dict[str, int]:
        """Return an offset as a position, both counted in characters."""
        line = self.text.count("\n", 0, offset)
        return {"line": line, "character": offset - (self.text.rfind("\n", 0, offset) + 1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A name or a function, as offsets in a file."""

    file: ProjectFile
    start: int
    end: int

    @property
    def range(self) -> dict[str, dict[str, int]]:
        """The place as the protocol says it."""
        return {"start": self.file.position(self.start), "end": self.file.position(self.end)}


def copied_project(folder: Path, seed: int) -> list[ProjectFile]:
    """Copy the package and the samples below ``folder``; return files in a seeded order.

    The samples, in five languages, stand after each two of the package's.
    """
    spec = importlib.util.find_spec(PACKAGE)
    source = None if spec is None else next(iter(spec.submodule_search_locations or ()), None)
    if source is None:
        raise DataError(f"{PACKAGE} is not installed")
    shutil.copytree(source, folder / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(SAMPLES, folder / "samples", ignore=shutil.ignore_patterns("__pycache__"))
    samples = [_read(path) for path in sorted((folder / "samples").glob("*.*"))]
    modules = [_read(path) for path in sorted((folder / PACKAGE).glob("*.py"))]
    modules = [file for file in modules if file.text.count("\n") in _FILE_LINES]
    random.Random(seed).shuffle(modules)
    trios = zip_longest(modules[::2], modules[1::2], samples)
    return [file for file in chain.from_iterable(trios) if file is not None]


def names_in(file: ProjectFile, count: int, seed: int) -> list[Place]:
    """Return names that the code has, as a pointer meets them, without those in strings."""
    tree = SyntaxTree.parse(file.text, language_of(file.language_id))
    if tree is None:
        raise DataError(f"there is no grammar for {file.language_id}")
    found = [place for place in _names(file, tree) if place.end - place.start >= _LEAST_NAME]
    return random.Random(f"{seed}{file.path.name}").sample(found, min(count, len(found)))


def functions_in(files: Sequence[ProjectFile], seed: int) -> list[Place]:
    """Return functions and methods of some length, from all the files in turn."""
    by_file: list[list[Place]] = []
    for file in files:
        tree = SyntaxTree.parse(file.text, language_of(file.language_id))
        places = [
            Place(file=file, start=each.start, end=each.end)
            for each in definitions(tree)
            if each.kind in ("function", "method") and each.end - each.start in _FUNCTION_CHARS
        ]
        random.Random(f"{seed}{file.path.name}").shuffle(places)
        by_file.append(places)
    return [place for row in zip_longest(*by_file) for place in row if place is not None]


def _names(file: ProjectFile, tree: SyntaxTree) -> Iterator[Place]:
    waiting = [tree.root]
    while waiting:
        node = waiting.pop()
        waiting += node.children
        if node.type in _NAMES and not node.children:
            start, end = tree.offset_of(node.start_byte), tree.offset_of(node.end_byte)
            yield Place(file=file, start=start, end=end)


def _read(path: Path) -> ProjectFile:
    with path.open(encoding="utf-8", newline="") as file:
        text = file.read()
    return ProjectFile(path=path, language_id=_LANGUAGES[path.suffix], text=text)
