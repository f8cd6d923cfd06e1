"""The files of modules in languages with rules of their own: Python, JavaScript, Rust."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from midfill_server.context.lookup import (
    FilesByName,
    Target,
    folders_above,
    items_of,
    nearest,
    read_json,
    table_of,
)
from midfill_server.context.statements import ImportStatement
from midfill_server.exclusion.ignore import folders_with

__all__ = ["python", "rust", "script"]


def python(statement: ImportStatement, path: str, index: FilesByName) -> Iterator[Target]:
    """Yield the files that a statement in the file ``path`` means."""
    dots = len(statement.module) - len(statement.module.lstrip("."))
    parts = [part for part in statement.module.split(".") if part]
    base = path
    for _ in range(dots):
        base = os.path.dirname(base)

    def find(parts: Sequence[str]) -> str | None:
        if dots:
            return _python_module(os.path.join(base, *parts))
        return _python_absolute(parts, path, index)

    found = find(parts)
    if found is not None and not statement.names:
        yield Target(path=found, alias=statement.alias)
    rest: list[tuple[str, str]] = []
    for name, alias in statement.names:
        # What is taken from a package may be a module of it. A package needs no file of its own.
        may_hold_modules = found is None or os.path.basename(found) == "__init__.py"
        inside = find([*parts, name]) if may_hold_modules and name != "*" else None
        if inside is None:
            rest.append((name, alias))
        else:
            yield Target(path=inside, alias=alias)
    if rest and found is not None:
        yield Target(path=found, names=tuple(rest))


def _python_module(stem: str) -> str | None:
    for name in (os.path.join(stem, "__init__.py"), stem + ".py", stem + ".pyi"):
        if os.path.isfile(name):
            return name
    return None


def _python_absolute(parts: Sequence[str], path: str, index: FilesByName) -> str | None:
    if not parts or parts[0] in sys.stdlib_module_names:
        return None
    for folder in folders_above(path, index.roots):
        for source in (folder, os.path.join(folder, "src")):
            found = _python_module(os.path.join(source, *parts))
            if found is not None:
                return found
    tail = "/".join(parts)
    inside = (*index.files_ending(f"{tail}.py"), *index.files_ending(f"{tail}/__init__.py"))
    # ``json.py`` somewhere else is not the ``json`` that is meant: one name is too little.
    if inside and (len(parts) > 1 or inside[0].endswith("__init__.py")):
        return nearest(inside, path)
    for packages in _site_packages(path, index.roots):
        found = _python_module(os.path.join(packages, *parts))
        if found is not None:
            return found
    return None


def _site_packages(path: str, roots: Sequence[str]) -> Iterator[str]:
    for folder in folders_above(path, roots):
        for name in (".venv", "venv", "env"):
            environment = Path(folder, name)
            yield from (str(lib) for lib in environment.glob("lib/python3*/site-packages"))
            if (environment / "Lib" / "site-packages").is_dir():
                yield str(environment / "Lib" / "site-packages")


_SCRIPT_ENDINGS = (".ts", ".tsx", ".d.ts", ".js", ".jsx", ".mts", ".mjs", ".cts", ".cjs")


def script(statement: ImportStatement, path: str, index: FilesByName) -> Iterator[Target]:
    """Yield the files that a statement in the file ``path`` means."""
    module = statement.module
    if module.startswith("."):
        stems = [os.path.join(os.path.dirname(path), module)]
    else:
        stems = list(_script_paths(module, path))
    for stem in stems:
        found = _script_module(os.path.normpath(stem))
        if found is not None:
            yield Target(path=found, names=statement.names, alias=statement.alias)
            return


def _script_module(stem: str) -> str | None:
    bare, ending = os.path.splitext(stem)
    # TypeScript imports ``a.js`` and means ``a.ts``.
    sources = [bare + other for other in _SCRIPT_ENDINGS[:3]] if ending in (".js", ".jsx") else []
    sources += [stem + other for other in _SCRIPT_ENDINGS]
    sources += [os.path.join(stem, "index" + other) for other in _SCRIPT_ENDINGS]
    sources += [stem] if ending else []
    return next(filter(os.path.isfile, sources), None)


def _script_paths(module: str, path: str) -> Iterator[str]:
    """Yield where ``baseUrl`` and ``paths`` of the next ``tsconfig.json`` put a module."""
    for name in ("tsconfig.json", "jsconfig.json"):
        for folder in folders_with((name,), os.path.dirname(path)):
            options = table_of(read_json(os.path.join(folder, name)).get("compilerOptions"))
            base = options.get("baseUrl")
            root = os.path.join(folder, base) if isinstance(base, str) else folder
            for pattern, places in table_of(options.get("paths")).items():
                before, star, after = pattern.partition("*")
                fits = module.startswith(before) and module.endswith(after) if star else False
                if not fits and module != pattern:
                    continue
                middle = module[len(before) : len(module) - len(after)] if star else ""
                for place in items_of(places):
                    yield os.path.join(root, str(place).replace("*", middle))
            if isinstance(base, str):
                yield os.path.join(root, module)
            return


def rust(statement: ImportStatement, path: str, index: FilesByName) -> Iterator[Target]:
    """Yield the files that a statement in the file ``path`` means."""
    first, _, rest = statement.module.partition("::")
    parts = rest.split("::") if rest else []
    here = os.path.dirname(path)
    is_root = os.path.basename(path) in ("mod.rs", "lib.rs", "main.rs")
    own = here if is_root else os.path.splitext(path)[0]
    if first == "self":
        base = own
    elif first == "super":
        base = os.path.dirname(own)
        while parts[:1] == ["super"]:
            base, parts = os.path.dirname(base), parts[1:]
    else:
        crate = _rust_crate(first, here, index)
        if crate is None:
            # Since 2018 a path may also begin with a module beside.
            base, parts = own, [first, *parts]
        else:
            base = crate
    for name, alias in statement.names or (("", statement.alias),):
        found = _rust_file(base, [*parts, name] if name not in ("", "*") else parts)
        if found is None:
            continue
        file, is_whole = found
        if is_whole and name != "*":
            yield Target(path=file, alias=alias)
        else:
            yield Target(path=file, names=((name, alias),))


def _rust_crate(name: str, folder: str, index: FilesByName) -> str | None:
    """Return the folder of the sources of a crate: this one's, or another of the workspace."""
    if name == "crate":
        root = next(folders_with(("Cargo.toml",), folder), None)
        return os.path.join(root, "src") if root is not None else None
    for crate in (name, name.replace("_", "-")):
        found = index.files_ending(f"{crate}/src/lib.rs")
        if found:
            return os.path.dirname(found[0])
    return None


def _rust_file(base: str, parts: Sequence[str]) -> tuple[str, bool] | None:
    """Return the file of a path, and whether the path means the file, not something in it."""
    for count in range(len(parts), -1, -1):
        stem = os.path.join(base, *parts[:count])
        names = [stem + ".rs", os.path.join(stem, "mod.rs")]
        if count == 0:
            names += [os.path.join(base, "lib.rs"), os.path.join(base, "main.rs")]
        found = next(filter(os.path.isfile, names), None)
        if found is not None:
            return found, count == len(parts)
        if count < len(parts) - 1:
            return None
    return None
