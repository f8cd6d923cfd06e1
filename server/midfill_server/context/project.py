"""What project a file belongs to, and what that depends on."""

from __future__ import annotations

import os
import re
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from midfill_server.context.index import WorkspaceIndex
from midfill_server.context.lookup import items_of, json_table, read_small, table_of
from midfill_server.exclusion.ignore import repository_of

__all__ = ["Dependency", "Project", "Projects", "project_of"]

_MAX_DEPENDENCIES = 40
_MAX_FOLDERS = 64
_FRESH_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """Something that a project uses; ``version`` as it is written, or ``""``."""

    name: str
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The project of a file.

    ``path`` is that of the project file, ``""`` where there is none. ``dependencies`` are at most
    forty, in the order of that file.
    """

    path: str
    dependencies: tuple[Dependency, ...] = ()

    @property
    def text(self) -> str:
        """The dependencies in one line, as context for a model; ``""`` without any."""
        return ", ".join(f"{one.name} {one.version}".strip() for one in self.dependencies)


class Projects:
    """Remembers the projects of the files that are edited. ``of`` is for one thread.

    They are looked for in the background of the index, and again after a while: somebody may have
    added a dependency.
    """

    def __init__(
        self, index: WorkspaceIndex, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._index = index
        self._clock = clock
        self._asked_s: dict[tuple[str, str], float] = {}
        # Written in the background, a whole value at a time.
        self._known: dict[tuple[str, str], Project] = {}

    def of(self, path: str, language_id: str) -> Project | None:
        """Return the project of a file in that language; ``None`` until it is known."""
        key, now_s = (os.path.dirname(path), language_id), self._clock()
        asked_s = self._asked_s.get(key)
        if asked_s is None or now_s - asked_s >= _FRESH_S:
            if len(self._asked_s) >= _MAX_FOLDERS:
                self._asked_s.clear()
                self._known.clear()
            self._asked_s[key] = now_s
            self._index.later(partial(self._find, path, key))
        return self._known.get(key)

    def _find(self, path: str, key: tuple[str, str]) -> None:
        self._known[key] = project_of(path, key[1], self._index.roots)


def project_of(path: str, language_id: str, roots: Sequence[str] = ()) -> Project:
    """Return the project of a file, looked for up to the root that it is in. Reads small files."""
    folder = os.path.dirname(os.path.normpath(path))
    repository = repository_of(folder)
    around = [*map(os.path.normpath, roots), *([repository] if repository else [])]
    tops = {top for top in around if (folder + os.sep).startswith(top + os.sep)} or {folder}
    found = next(_project_files(folder, language_id, tops), "")
    return Project(path=found, dependencies=_dependencies_now(found) if found else ())


def _dependencies_now(path: str) -> tuple[Dependency, ...]:
    try:
        return _dependencies(path, os.stat(path).st_mtime_ns)
    except OSError:
        # It was there a moment ago.
        return ()


@lru_cache(maxsize=_MAX_FOLDERS)
def _dependencies(path: str, _changed_ns: int) -> tuple[Dependency, ...]:
    read = next(read for name, read in _FILES.items() if _is_called(path, name))
    unique: dict[str, Dependency] = {}
    for one in read(read_small(path)):
        unique.setdefault(one.name, one)
    return tuple(unique.values())[:_MAX_DEPENDENCIES]


def _project_files(folder: str, language_id: str, tops: set[str]) -> Iterator[str]:
    """Yield the project files of a language, from ``folder`` up to the first of ``tops``."""
    names = _LANGUAGES.get(language_id, ())
    while True:
        here = _listed(folder) if any(name.startswith("*") for name in names) else ()
        for name in names:
            paths = [os.path.join(folder, name)]
            if name.startswith("*"):
                paths = [os.path.join(folder, one) for one in here if one.endswith(name[1:])]
            yield from filter(os.path.isfile, paths)
        parent = os.path.dirname(folder)
        if folder in tops or parent == folder:
            return
        folder = parent


def _listed(folder: str) -> Sequence[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return ()


def _is_called(path: str, name: str) -> bool:
    file = os.path.basename(path)
    return file.endswith(name[1:]) if name.startswith("*") else file == name


_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*\(?([^;#)]*)")


def _requirement(text: str) -> Iterator[Dependency]:
    match = _REQUIREMENT.match(text)
    if match is not None:
        version = match[2].strip()
        # Where it comes from, which a web address would tell, says nothing about the code.
        is_version = version[:1] in tuple("=<>~!")
        yield Dependency(name=match[1], version=version.replace(" ", "") if is_version else "")


def _toml(text: str) -> Mapping[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def _pyproject(text: str) -> Iterator[Dependency]:
    data = _toml(text)
    project = table_of(data.get("project"))
    for item in items_of(project.get("dependencies")):
        yield from _requirement(str(item))
    for group in table_of(project.get("optional-dependencies")).values():
        for item in items_of(group):
            yield from _requirement(str(item))
    poetry = table_of(table_of(data.get("tool")).get("poetry"))
    for name, value in table_of(poetry.get("dependencies")).items():
        if name != "python":
            yield Dependency(name=name, version=_version(value))


def _version(value: object) -> str:
    """Return a version that is written as a text, or in a table together with other things."""
    value = table_of(value).get("version", value)
    return value if isinstance(value, str) else ""


def _requirements(text: str) -> Iterator[Dependency]:
    for line in text.splitlines():
        # A line may also be an option, or name another file.
        if not line.lstrip().startswith(("-", "#")):
            yield from _requirement(line)


def _package_json(text: str) -> Iterator[Dependency]:
    data = json_table(text)
    for group in ("dependencies", "peerDependencies", "devDependencies"):
        for name, version in table_of(data.get(group)).items():
            yield Dependency(name=name, version=_version(version))


def _cargo(text: str) -> Iterator[Dependency]:
    data = _toml(text)
    tables = [data.get("dependencies"), table_of(data.get("workspace")).get("dependencies")]
    for table in (*tables, data.get("dev-dependencies")):
        for name, value in table_of(table).items():
            yield Dependency(name=name, version=_version(value))


def _composer(text: str) -> Iterator[Dependency]:
    data = json_table(text)
    for group in ("require", "require-dev"):
        for name, version in table_of(data.get(group)).items():
            # What has no vendor is PHP itself, or a part of it.
            if "/" in name:
                yield Dependency(name=name, version=_version(version))


def _matches(pattern: str) -> Callable[[str], Iterator[Dependency]]:
    """Return a reader that finds ``name`` and ``version`` wherever the pattern matches."""
    compiled = re.compile(pattern, re.MULTILINE | re.DOTALL)

    def read(text: str) -> Iterator[Dependency]:
        for match in compiled.finditer(text):
            yield Dependency(name=match["name"], version=(match["version"] or "").strip())

    return read


_go = _matches(
    r"^(?:require[ \t]+|[ \t]+)(?P<name>[\w-]+\.[\w./~-]+)[ \t]+(?P<version>v\S+)"
    r"(?![^\n]*// indirect)"
)
_maven = _matches(
    r"<dependency>(?:(?!</dependency>).)*?<artifactId>\s*(?P<name>[^<\s]+)\s*</artifactId>"
    r"(?:(?:(?!</dependency>).)*?<version>(?P<version>[^<]*)</version>)?"
)
_gradle = _matches(
    r"^\s*(?:implementation|api|compileOnly|runtimeOnly|testImplementation|kapt)\b[\s(]*"
    r"['\"][\w.-]+:(?P<name>[\w.-]+)(?::(?P<version>[^'\"@:]+))?"
)
_gemfile = _matches(
    r"^\s*gem\s+['\"](?P<name>[^'\"]+)['\"](?:\s*,\s*['\"](?P<version>[^'\"]+)['\"])?"
)
_nuget = _matches(
    r"<PackageReference\s+Include=\"(?P<name>[^\"]+)\"(?:\s+Version=\"(?P<version>[^\"]+)\")?"
)

# What a project file is called, and who reads it; of several in one folder, the first one counts.
_FILES: Mapping[str, Callable[[str], Iterator[Dependency]]] = {
    "pyproject.toml": _pyproject,
    "requirements.txt": _requirements,
    "package.json": _package_json,
    "go.mod": _go,
    "Cargo.toml": _cargo,
    "pom.xml": _maven,
    "build.gradle": _gradle,
    "build.gradle.kts": _gradle,
    "composer.json": _composer,
    "Gemfile": _gemfile,
    "*.csproj": _nuget,
}

_SCRIPT = ("package.json",)
_LANGUAGES: Mapping[str, Sequence[str]] = {
    "python": ("pyproject.toml", "requirements.txt"),
    "javascript": _SCRIPT,
    "javascriptreact": _SCRIPT,
    "typescript": _SCRIPT,
    "typescriptreact": _SCRIPT,
    "vue": _SCRIPT,
    "svelte": _SCRIPT,
    "go": ("go.mod",),
    "rust": ("Cargo.toml",),
    "java": ("pom.xml", "build.gradle", "build.gradle.kts"),
    "kotlin": ("build.gradle.kts", "build.gradle", "pom.xml"),
    "php": ("composer.json",),
    "ruby": ("Gemfile",),
    "csharp": ("*.csproj",),
}
