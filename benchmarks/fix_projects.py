"""The projects that mistakes are put into: copies of packages that are published and installed."""

from __future__ import annotations

import importlib.util
import json
import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from itertools import chain, zip_longest
from pathlib import Path

from benchmarks.kept import key_of
from benchmarks.problems import DataError

__all__ = ["PYTHON_PACKAGES", "TYPESCRIPT_PACKAGES", "SourceFile", "Tree", "python", "typescript"]

PYTHON_PACKAGES = ("rich", "requests", "filelock", "pathspec", "pygls", "platformdirs")
"""Pure Python that midfill needs, under permissive licences."""

TYPESCRIPT_PACKAGES = ("rxjs", "immer", "redux", "reselect")
"""Packages that come with their sources, under permissive licences."""

_LEAST_BYTES, _MOST_BYTES = 1500, 40_000
_LEFT_OUT = ("__pycache__", "tests", "_vendor", "vendor", "*.pyc", "*.so", "*.js", "*.flow")
_RUFF = '[lint]\nselect = ["E9", "F"]\n'
_TSCONFIG: Mapping[str, object] = {
    "compilerOptions": {
        "target": "es2022",
        "lib": ["es2022", "dom", "dom.iterable"],
        "module": "esnext",
        "moduleResolution": "bundler",
        "strict": True,
        "noUnusedLocals": True,
        "noImplicitReturns": True,
        "noEmit": True,
        "skipLibCheck": True,
        "types": [],
    },
    "include": ["**/*.ts"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file of a project, by its path in it, with ``/``."""

    path: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A project on disk. ``versions`` are those of the packages in it."""

    language: str
    folder: Path
    versions: Mapping[str, str]

    def files(self, seed: str) -> list[SourceFile]:
        """Return the files that mistakes are put into, in an order that ``seed`` decides.

        The packages take turns, so that a large one does not crowd out others.
        """
        rng = random.Random(seed)
        by_package: list[list[SourceFile]] = []
        for name in sorted(self.versions):
            paths = sorted(self.folder.joinpath(name).rglob(_PATTERNS[self.language]))
            paths = [path for path in paths if _is_wanted(path)]
            rng.shuffle(paths)
            by_package.append([self._read(path) for path in paths])
        rows = zip_longest(*by_package)
        return [file for file in chain.from_iterable(rows) if file is not None]

    def _read(self, path: Path) -> SourceFile:
        with path.open(encoding="utf-8", newline="") as file:
            text = file.read()
        return SourceFile(path=path.relative_to(self.folder).as_posix(), text=text)


def python(folder: Path) -> Tree:
    """Return a copy of the packages of this environment, made below ``folder``."""
    distributions = metadata.packages_distributions()
    found = [name for name in PYTHON_PACKAGES if name in distributions]
    versions = {name: metadata.version(distributions[name][0]) for name in found}
    sources = {name: _installed(name) for name in found}
    return _made("python", folder, sources, versions, {"ruff.toml": _RUFF})


def typescript(folder: Path, modules: Path) -> Tree:
    """Return a copy of the packages in ``modules`` that have sources, made below ``folder``."""
    sources: dict[str, Path] = {}
    versions: dict[str, str] = {}
    for name in TYPESCRIPT_PACKAGES:
        package = modules / name
        if (package / "src").is_dir():
            sources[name] = package / "src"
            told = json.loads((package / "package.json").read_text(encoding="utf-8"))
            versions[name] = str(told["version"])
    if not sources:
        raise DataError(f"typescript: {modules} has none of {', '.join(TYPESCRIPT_PACKAGES)}")
    return _made("typescript", folder, sources, versions, {"tsconfig.json": json.dumps(_TSCONFIG)})


_PATTERNS = {"python": "*.py", "typescript": "*.ts"}


def _is_wanted(path: Path) -> bool:
    """Whether a file has code in it, and not too much."""
    return (
        path.name not in ("__init__.py", "index.ts")
        and not path.name.endswith(".d.ts")
        and _LEAST_BYTES <= path.stat().st_size <= _MOST_BYTES
    )


def _installed(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    source = None if spec is None else next(iter(spec.submodule_search_locations or ()), None)
    if source is None:
        raise DataError(f"python: {name} is no package of several files")
    return Path(source)


def _made(
    language: str,
    folder: Path,
    sources: Mapping[str, Path],
    versions: Mapping[str, str],
    settings: Mapping[str, str],
) -> Tree:
    """Copy the packages once for each set of versions and settings."""
    target = folder / f"{language}-{key_of(dict(versions), dict(settings))[:12]}"
    if not target.is_dir():
        unfinished = target.with_name(f"{target.name}.tmp")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for name, source in sources.items():
            shutil.copytree(source, unfinished / name, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        for name, text in settings.items():
            (unfinished / name).write_text(text, encoding="utf-8")
        unfinished.rename(target)
    return Tree(language=language, folder=target.resolve(), versions=dict(versions))
