"""Guesses at an import that is missing: from the standard library, or from the project."""

from __future__ import annotations

import os
import re
import sys
import typing
from collections.abc import Iterator, Sequence
from itertools import takewhile

from midfill_engine.types import CompletionRequest, Sampling
from midfill_server.context.entries import Signature
from midfill_server.context.statements import import_statements
from midfill_server.fixing.case import Asked, Case, Ready
from midfill_server.fixing.diagnostic import Kind, kind_of, quoted_names
from midfill_server.fixing.import_block import with_import
from midfill_server.fixing.known_modules import MODULES

__all__ = ["asked_import", "known_imports"]

_MAX_GUESSES = 4
_TYPING = frozenset(vars(typing)["__all__"])
_MAX_NAMES = 12
_MANY_NAMES = 3
_SCRIPTS = frozenset({"javascript", "javascriptreact", "typescript", "typescriptreact"})
_SCRIPT_EXTENSION = re.compile(r"(?:\.d)?\.[cm]?[jt]sx?\Z")


def known_imports(case: Case) -> Iterator[Ready]:
    """Yield the text with an import of the name that is not defined, if it is known from where.

    What else is undefined and comes from the same module is imported along with it.
    """
    name = _missing_name(case)
    if name is None:
        return
    found = list(dict.fromkeys(_modules(case, name)))[:_MAX_GUESSES]
    missing = [name, *(other for other in _others(case) if other != name)][:_MAX_NAMES]
    for module in found:
        together = [name]
        if module[1] == name:
            together += [
                other for other in missing[1:] if (module[0], other) in _modules(case, other)
            ]
        text = with_import(case, module[0], together if module[1] else ())
        if text is not None:
            yield Ready(text=text)


def asked_import(case: Case, sampling: Sampling) -> Iterator[Asked]:
    """Yield a question for the import statement, put where imports are."""
    name = _missing_name(case)
    if name is None or case.language_id != "python":
        return
    shown = case.text.replace("\r\n", "\n")
    for typed in ("from ", "import ") if name[:1].isupper() else ("import ", "from "):
        request = CompletionRequest(
            prefix="",
            suffix=shown,
            typed=typed,
            max_tokens=24,
            max_prompt_tokens=384,
            sampling=sampling,
        )

        def read(answer: str, typed: str = typed) -> Iterator[str]:
            for statement in import_statements(typed + answer.partition("\n")[0], "python"):
                names = [one for one, alias in statement.names if name in (one, alias)]
                if names or statement.alias == name:
                    text = with_import(case, statement.module, names)
                    if text is not None:
                        yield text

        yield Asked(request=request, read=read, enough=lambda answer: "\n" in answer)


def _missing_name(case: Case) -> str | None:
    place = case.wrong_name()
    if place is None:
        return None
    # Of ``a.b`` the first part would be imported.
    return case.text[slice(*place)]


def _others(case: Case) -> list[str]:
    """Return the names that are undefined elsewhere in the text."""
    found: dict[str, None] = {}
    for one in case.others:
        if kind_of(one) is Kind.UNDEFINED:
            found |= dict.fromkeys(quoted_names(one.message)[:1])
    return list(found)


def _modules(case: Case, name: str) -> Iterator[tuple[str, str]]:
    """Yield modules that have ``name``, and the name; ``""`` where the module is the name."""
    if case.language_id == "python":
        if name in sys.stdlib_module_names and not name.startswith("_"):
            yield name, ""
        yield from _of_project(case, name)
        if name in _TYPING:
            yield "typing", name
        for module in MODULES.get(case.language_id, {}).get(name, ()):
            yield (module, "") if module.endswith(f" as {name}") else (module, name)
        return
    if case.language_id in _SCRIPTS and any(True for _ in _of_project(case, name)):
        # Many projects have one file that gives on what the others define.
        for statement in import_statements(case.text, case.language_id):
            if statement.module.startswith(".") and len(statement.names) >= _MANY_NAMES:
                yield statement.module, name
    yield from _of_project(case, name)
    for module in MODULES.get(case.language_id, {}).get(name, ()):
        yield module, "" if case.language_id in ("go", "c", "cpp") else name


def _of_project(case: Case, name: str) -> Iterator[tuple[str, str]]:
    known = case.definitions
    if known is None or not case.path:
        return
    found = [one for one in known.definitions_named(name) if not one.container]
    found = [one for one in found if os.path.normpath(one.path) != os.path.normpath(case.path)]
    found.sort(key=lambda one: -_shared(one.path, case.path))
    for one in found:
        for module in _spelled(case, one, known.roots):
            yield module, name


def _spelled(case: Case, one: Signature, roots: Sequence[str]) -> Iterator[str]:
    """Yield how the file of a definition is called in imports, as in this file's others first."""
    if case.language_id == "python" and one.path.endswith((".py", ".pyi")):
        relative, absolute = _relative(one.path, case.path), _absolute(one.path, roots)
        # One that goes up is only usual where others do.
        own = re.match(r"\.{0,2}", relative or "")
        dots = re.escape(own[0]) if own is not None and own[0] else r"\."
        is_relative = re.search(rf"^from {dots}", case.text, re.MULTILINE) is not None
        order = (relative, absolute) if is_relative else (absolute, relative)
        yield from filter(None, order)
    elif case.language_id in _SCRIPTS and _is_script(one.path):
        path = os.path.relpath(one.path, os.path.dirname(case.path)).replace(os.sep, "/")
        path = re.sub(r"/index\Z", "", _SCRIPT_EXTENSION.sub("", path))
        extension = re.search(r"from ['\"]\.[^'\"]*(\.[cm]?js)['\"]", case.text)
        path += extension[1] if extension else ""
        yield path if path.startswith(".") else f"./{path}"


def _is_script(path: str) -> bool:
    return _SCRIPT_EXTENSION.search(path) is not None and "node_modules" not in path.split(os.sep)


def _relative(path: str, here: str) -> str | None:
    """Return ``.a.b`` for a file of the same package or of one around it."""
    parts = os.path.relpath(path, os.path.dirname(here)).split(os.sep)
    up = 0
    while parts and parts[0] == os.pardir:
        up += 1
        parts.pop(0)
    if os.path.isabs(path) != os.path.isabs(here) or up > 4:
        return None
    return "." * (up + 1) + ".".join(_module_parts(parts))


def _absolute(path: str, roots: Sequence[str]) -> str | None:
    for root in roots:
        if os.path.normpath(path).startswith(os.path.normpath(root) + os.sep):
            parts = _module_parts(os.path.relpath(path, root).split(os.sep))
            if len(parts) > 1 and parts[0] in ("src", "lib"):
                parts.pop(0)
            if parts and all(part.isidentifier() for part in parts):
                return ".".join(parts)
    return None


def _module_parts(parts: list[str]) -> list[str]:
    stem = os.path.splitext(parts[-1])[0]
    return parts[:-1] if stem == "__init__" else [*parts[:-1], stem]


def _shared(path: str, other: str) -> int:
    """Return how many folders two paths have in common."""
    pairs = zip(path.split(os.sep), other.split(os.sep), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
