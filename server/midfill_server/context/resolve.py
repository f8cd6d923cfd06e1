"""Which files an import means. For the background: it looks at the disk, and runs nothing there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from midfill_server.context import modules
from midfill_server.context.lookup import (
    FilesByName,
    Target,
    folders_above,
    items_of,
    nearest,
    read_json,
    read_small,
    table_of,
)
from midfill_server.context.statements import ImportStatement
from midfill_server.exclusion.ignore import folders_with

__all__ = ["targets"]

# A package of Go or a namespace of C# is a folder of files; of a large one, the first are taken.
_MAX_FILES_OF_A_FOLDER = 24


def targets(
    statement: ImportStatement, path: str, language_id: str, index: FilesByName
) -> tuple[Target, ...]:
    """Return the files that a statement in the file ``path`` means; none for what is not found."""
    resolve = _LANGUAGES.get(language_id)
    return tuple(resolve(statement, path, index)) if resolve is not None else ()


def _java(statement: ImportStatement, path: str, index: FilesByName) -> Iterator[Target]:
    tail = statement.module.replace(".", "/")
    if tail.endswith("/*"):
        yield from _folder(tail[:-2], path, index, ".java", statement)
        return
    found = index.files_ending(f"{tail}.java")
    # ``import a.Outer.Inner``: the file is that of the outer class.
    found = found or index.files_ending(f"{tail.rpartition('/')[0]}.java")
    if found:
        yield Target(path=nearest(found, path), names=statement.names)


def _go(statement: ImportStatement, path: str, index: FilesByName) -> Iterator[Target]:
    for folder in folders_with(("go.mod",), os.path.dirname(path)):
        text = read_small(os.path.join(folder, "go.mod"))
        module = re.search(r"^module\s+\"?([^\s\"]+)", text, re.MULTILINE)
        if module is None or not (statement.module + "/").startswith(module[1] + "/"):
            continue
        below = statement.module[len(module[1]) :].strip("/")
        for file in index.files_in(os.path.join(folder, *below.split("/")))[
            :_MAX_FILES_OF_A_FOLDER
        ]:
            if file.endswith(".go") and not file.endswith("_test.go"):
                yield Target(path=file, names=statement.names, alias=statement.alias)
        return


def _c(statement: ImportStatement, path: str, index: FilesByName) -> Iterator[Target]:
    beside = os.path.normpath(os.path.join(os.path.dirname(path), statement.module))
    if os.path.isfile(beside):
        yield Target(path=beside, names=statement.names)
        return
    found = index.files_ending(statement.module.replace("../", ""))
    if found:
        yield Target(path=nearest(found, path), names=statement.names)


def _csharp(statement: ImportStatement, path: str, index: FilesByName) -> Iterator[Target]:
    """A namespace is mostly a folder, below one that is called by its first names."""
    parts = statement.module.split(".")
    for start in range(len(parts)):
        for tail in (
            "/".join(parts[start:]),
            f"{'.'.join(parts[: start + 1])}/{'/'.join(parts[start + 1 :])}",
        ):
            found = list(_folder(tail.rstrip("/"), path, index, ".cs", statement))
            if found:
                yield from found
                return


def _php(statement: ImportStatement, path: str, index: FilesByName) -> Iterator[Target]:
    if statement.module.startswith("./"):
        yield from _beside(statement, path, ("",))
        return
    for folder in folders_with(("composer.json",), os.path.dirname(path)):
        composer = read_json(os.path.join(folder, "composer.json"))
        for key in ("autoload", "autoload-dev"):
            for prefix, places in table_of(table_of(composer.get(key)).get("psr-4")).items():
                if not statement.module.startswith(prefix):
                    continue
                rest = statement.module[len(prefix) :].split("\\")
                for place in items_of(places) or [places]:
                    file = os.path.join(folder, str(place), *rest) + ".php"
                    if os.path.isfile(file):
                        yield Target(path=os.path.normpath(file), names=statement.names)
                        return
    parts = statement.module.split("\\")
    for start in range(max(len(parts) - 1, 1)):
        found = index.files_ending("/".join(parts[start:]) + ".php")
        if found:
            yield Target(path=nearest(found, path), names=statement.names)
            return


def _ruby(statement: ImportStatement, path: str, index: FilesByName) -> Iterator[Target]:
    if statement.module.startswith("./"):
        yield from _beside(statement, path, (".rb", ""))
        return
    found = index.files_ending(f"lib/{statement.module}.rb")
    if found:
        yield Target(path=nearest(found, path), names=statement.names)


def _shell(statement: ImportStatement, path: str, index: FilesByName) -> Iterator[Target]:
    found = list(_beside(statement, path, ("",)))
    ending = index.files_ending(statement.module.removeprefix("./").replace("../", ""))
    yield from found or [Target(path=file, names=statement.names) for file in ending[:1]]


def _beside(statement: ImportStatement, path: str, endings: Sequence[str]) -> Iterator[Target]:
    stem = os.path.normpath(os.path.join(os.path.dirname(path), statement.module))
    for ending in endings:
        if os.path.isfile(stem + ending):
            yield Target(path=stem + ending, names=statement.names)
            return


def _folder(
    tail: str, path: str, index: FilesByName, ending: str, statement: ImportStatement
) -> Iterator[Target]:
    """Yield the files of the folder whose path ends with ``tail``, below the folders above."""
    for folder in folders_above(path, index.roots):
        files = index.files_in(os.path.join(folder, *tail.split("/")))
        for file in [file for file in files if file.endswith(ending)][:_MAX_FILES_OF_A_FOLDER]:
            yield Target(path=file, names=statement.names)
        if files:
            return


_LANGUAGES: Mapping[str, Callable[[ImportStatement, str, FilesByName], Iterator[Target]]] = {
    "python": modules.python,
    "typescript": modules.script,
    "typescriptreact": modules.script,
    "javascript": modules.script,
    "javascriptreact": modules.script,
    "java": _java,
    "go": _go,
    "c": _c,
    "cpp": _c,
    "csharp": _csharp,
    "rust": modules.rust,
    "php": _php,
    "ruby": _ruby,
    "shellscript": _shell,
}
