"""Cursors in real packages where what comes next is said only by another file of the package.

In the midst of names that another file defines: after two letters of a function's, a parameter's or
an attribute's. The definition is found here, by Python's own parser, and never by what is measured.
Only places are kept where the name stands nowhere else in the file: without the other file one can
only know it by heart, or guess.
"""

from __future__ import annotations

import importlib.util
import random
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from itertools import zip_longest
from pathlib import Path

from benchmarks.cross_file_names import Definition, Module, Package, Use, uses
from benchmarks.problems import DataError, Problem
from benchmarks.quality_cases import Case

__all__ = ["KINDS", "PACKAGES", "Place", "is_answer", "places", "read_cross_file", "versions"]

KINDS = ("name", "arguments", "attribute")
"""What is named: what is called behind a dot, a parameter in a call, what stands behind a dot."""

PACKAGES = (
    "rich",
    "requests",
    "huggingface_hub",
    "pygls",
    "urllib3",
    "filelock",
    "platformdirs",
    "fsspec",
    "cattrs",
    "markdown_it",
    "packaging",
    "httpx",
    "httpcore",
    "anyio",
    "_pytest",
)
"""Pure Python under permissive licences; those that are installed are used."""

_MAX_TOKENS = 64
_PER_FILE = 4
# So much of a name is typed, and at least so much is missing.
_TYPED, _MISSING = 2, 3
_WORD = re.compile(r"[^\W\d]\w{2,}")
_KEYWORD = re.compile(r"\b([^\W\d]\w{2,})\s*=(?!=)")
_LEFT_OUT = frozenset({"tests", "test", "testing", "_vendor", "vendor", "__pycache__"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A cursor in a file. ``needed`` are the words that only the definition says."""

    kind: str
    module: Module
    cursor: int
    line_end: int
    answer: str
    definition: Definition
    needed: tuple[str, ...]

    @property
    def text(self) -> str:
        """The file without the rest of the cursor's line."""
        return self.module.text[: self.cursor] + self.module.text[self.line_end :]


def read_cross_file(
    folder: Path, limit: int | None, seed: int, packages: Sequence[str] = PACKAGES
) -> list[Case]:
    """Return ``limit`` cases, all if it is ``None``; fewer are among more, all kinds alike.

    Each package is copied into a project below ``folder``, once for each version of it. Raises
    ``DataError`` if none is installed.
    """
    found: list[tuple[Path, Place]] = []
    for name, version in versions(packages).items():
        project = _copied(name, folder / f"{name}-{version}")
        found += [(project, place) for place in places(Package.read(project, name), seed)]
    if not found:
        raise DataError("cross-file: none of the packages is installed: " + ", ".join(packages))
    random.Random(seed).shuffle(found)
    by_kind = [[_case(*each) for each in found if each[1].kind == kind] for kind in KINDS]
    mixed = [case for row in zip_longest(*by_kind) for case in row if case is not None]
    return mixed[:limit]


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    distributions = metadata.packages_distributions()
    return {
        name: metadata.version(distributions[name][0]) for name in packages if name in distributions
    }


def places(package: Package, seed: int = 0) -> list[Place]:
    """Return the places in a package, at most some of each file."""
    found: list[Place] = []
    for module in package.modules.values():
        mine = [place for use in uses(package, module) for place in _places(module, use)]
        # Two uses of the same name in a file give each other away: none of them is here.
        random.Random(f"{seed} {module.name}").shuffle(mine)
        found += mine[:_PER_FILE]
    return found


def is_answer(expected: str, text: str) -> bool:
    """Whether ``text`` begins with the expected rest of a name, and that ends there."""
    name = re.match(r"\w*", text)
    return name is not None and name.group() == expected


def _places(module: Module, use: Use) -> Iterator[Place]:
    """Yield the places that one use of a definition gives."""
    line_end = module.line_end(use.start)
    if use.attribute:
        kind = "attribute" if use.arguments is None else "name"
        yield from _place(kind, module, use, use.start, use.name_end, line_end)
    if use.arguments is None:
        return
    end = _call_end(module.text[use.arguments : line_end], depth=1)
    if end is None:
        # A call over several lines is not asked for.
        return
    said = set(_WORD.findall(use.definition.signature))
    for named in _KEYWORD.finditer(module.text, use.arguments, use.arguments + end):
        # A parameter of a call within this one is not of this definition.
        if named[1] in said:
            yield from _place("arguments", module, use, *named.span(1), line_end)


def _place(
    kind: str, module: Module, use: Use, start: int, end: int, line_end: int
) -> Iterator[Place]:
    name, cursor = module.text[start:end], start + _TYPED
    if len(name) < _TYPED + _MISSING or _opens(module.text[cursor:line_end]):
        return
    text = module.text[:cursor] + module.text[line_end:]
    if not re.search(rf"\b{name}\b", text):
        yield Place(
            kind=kind,
            module=module,
            cursor=cursor,
            line_end=line_end,
            answer=module.text[cursor:end],
            definition=use.definition,
            needed=(name,),
        )


def _case(project: Path, place: Place) -> Case:
    path = place.module.path
    line = place.module.text.count("\n", 0, place.cursor) + 1
    before, after = place.text[: place.cursor], place.text[place.cursor :]
    return Case(
        problem=Problem(
            id=f"{path.relative_to(project).as_posix()}:{line} {place.kind}",
            group=f"cross-file {place.kind}",
            prefix=before,
            suffix=after,
            expected=place.answer,
            solution=place.answer,
        ),
        uri=path.resolve().as_uri(),
        language_id="python",
        text=place.text,
        cursor=place.cursor,
        max_tokens=_MAX_TOKENS,
        kind=place.kind,
        needed=place.needed,
        folder=project,
    )


def _copied(name: str, project: Path) -> Path:
    """Return a project that holds the package; where it is installed is no project to work in."""
    target = project / name
    if not target.is_dir():
        spec = importlib.util.find_spec(name)
        source = None if spec is None else next(iter(spec.submodule_search_locations or ()), None)
        if source is None:
            raise DataError(f"cross-file: {name} is no package of several files")
        unfinished = project.with_name(project.name + ".tmp")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(source, unfinished / name, ignore=_not_python)
        project.parent.mkdir(parents=True, exist_ok=True)
        unfinished.rename(project)
    return project


def _not_python(folder: str, names: list[str]) -> set[str]:
    return {
        name
        for name in names
        if name in _LEFT_OUT or not (name.endswith(".py") or (Path(folder) / name).is_dir())
    }


def _call_end(text: str, *, depth: int) -> int | None:
    """Return where the bracket is closed that is open already, or opens; ``None`` if it is not."""
    for match in _BRACKETS_AND_STRINGS.finditer(text):
        character = match.group()[0]
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            if depth <= 0:
                return match.end() if depth == 0 else None
    return None


_BRACKETS_AND_STRINGS = re.compile(r"[()\[\]{}]|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|#[^\n]*")


def _opens(text: str) -> bool:
    """Whether what ``text`` begins goes on in the next line."""
    depth = least = 0
    for match in _BRACKETS_AND_STRINGS.finditer(text):
        character = match.group()[0]
        depth += (character in "([{") - (character in ")]}")
        least = min(least, depth)
    return depth > least or '"""' in text or "'''" in text or text.rstrip().endswith("\\")
