"""Puts one more import into a file, in the way and at the place that the others there have."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence

from midfill_server.fixing.case import Case
from midfill_server.syntax import Unit, imports

__all__ = ["with_import"]

_SCRIPTS = frozenset({"javascript", "javascriptreact", "typescript", "typescriptreact"})


def with_import(case: Case, module: str, names: Sequence[str]) -> str | None:
    """Return the text with ``names`` of ``module`` imported; without names, all of the module.

    ``None`` in a language whose imports are not known here.
    """
    if case.language_id == "python":
        return _python(case, module, names)
    if case.language_id in _SCRIPTS and names:
        return _script(case, module, names)
    if case.language_id == "go":
        return _go(case, module)
    if case.language_id == "rust" and names:
        return _line(case, f"use {module}::{names[0]};")
    if case.language_id == "java":
        return _line(case, f"import {module};")
    if case.language_id in ("c", "cpp"):
        return _line(case, f"#include <{module}>")
    return None


def _python(case: Case, module: str, names: Sequence[str]) -> str:
    units = imports(case.tree)
    for unit in units if names else ():
        merged = _merged(case, unit, module, names)
        if merged is not None:
            return merged
    listed = ", ".join(_sorted(names))
    line = f"from {module} import {listed}" if names else f"import {module}"
    key = _python_key(line)
    keys = [_python_key(case.text[unit.start : unit.end]) for unit in units]
    before = [unit for unit, other in zip(units, keys, strict=True) if other <= key]
    if before:
        unit = before[-1]
        at = case.next_line(max(unit.end - 1, unit.start))
        is_apart = _python_key(case.text[unit.start : unit.end])[0] != key[0]
        following = [other for other in keys if other > key]
        starts_section = bool(following) and following[0][0] == key[0]
        if is_apart and starts_section:
            at = case.line_span(units[keys.index(following[0])].start)[0]
        head = _ended(case, at)
        blank = "\n" if is_apart and not starts_section else ""
        return case.replaced(at, at, f"{head}{blank}{line}\n")
    if units:
        at = case.line_span(units[0].start)[0]
        apart = keys[0][0] != key[0] and not case.text[:at].endswith(("\n\n", "\r\n\r\n"))
        if keys[0][0] != key[0] and not case.text[:at].strip():
            # The blank lines that a section left behind it are still there.
            return case.replaced(0, 0, line + "\n" + ("" if at else "\n"))
        return case.replaced(at, at, line + "\n" + ("\n" if apart or keys[0][0] != key[0] else ""))
    at = _top(case)
    head = _ended(case, at)
    rest = case.text[at:].lstrip(" \t")
    blank = "" if not rest or rest.startswith(("\n", "\r")) else "\n"
    before_it = "\n" if at and not case.text[:at].endswith(("\n\n", "\r\n\r\n")) else ""
    return case.replaced(at, at, f"{head}{before_it}{line}\n{blank}")


def _merged(case: Case, unit: Unit, module: str, names: Sequence[str]) -> str | None:
    """Return the text with the names put into a statement that takes some of the same module."""
    written = case.text[unit.start : unit.end]
    found = re.fullmatch(r"(from\s+([\w.]+)\s+import\s*)(\(?)([^()#]*)(\)?)", written)
    if found is None or found[2] != module or "*" in found[4]:
        return None
    have = [" ".join(name.split()) for name in found[4].replace("\\", " ").split(",")]
    have = [name for name in have if name]
    is_sorted = have == _sorted(have)
    every = _sorted([*have, *names]) if is_sorted else [*have, *names]
    every = list(dict.fromkeys(every))
    if "\n" in found[4] and found[3]:
        indent = re.search(r"\n([ \t]+)", found[4])
        step = indent[1] if indent else "    "
        inside = "".join(f"\n{step}{name}," for name in every) + "\n"
    else:
        inside = ", ".join(every)
    return case.replaced(unit.start, unit.end, f"{found[1]}{found[3]}{inside}{found[5]}")


def _sorted(names: Iterable[str]) -> list[str]:
    """Return names in the order of most formatters: constants, classes, the rest."""

    def key(name: str) -> tuple[int, str]:
        bare = name.partition(" ")[0]
        rank = 0 if bare.isupper() and len(bare) > 1 else 1 if bare[:1].isupper() else 2
        return rank, bare.casefold()

    return sorted(names, key=key)


def _python_key(statement: str) -> tuple[int, int, str]:
    """Return by what a statement is sorted: its section, its form, its module."""
    found = re.match(r"(from|import)\s+([\w.]+)", statement)
    if found is None:
        return 0, 0, ""
    module = found[2]
    head = module.partition(".")[0]
    section = 2
    if module.startswith("."):
        section = 4
    elif head == "__future__":
        section = 0
    elif head in sys.stdlib_module_names:
        section = 1
    # Those with more dots come first.
    dots = len(module) - len(module.lstrip("."))
    return section, int(found[1] == "from"), f"{9 - dots}" + module.casefold()


def _script(case: Case, module: str, names: Sequence[str]) -> str:
    listed = ", ".join(names)
    for unit in imports(case.tree):
        written = case.text[unit.start : unit.end]
        found = re.search(r"(?<!type )\{([^{}]*?)(,?\s*)\}(\s*from\s*['\"]([^'\"]+)['\"])", written)
        if found is not None and found[4] == module and not re.match(r"import\s+type\b", written):
            at = unit.start + found.end(1)
            inside = f", {listed}" if found[1].strip() else listed
            return case.replaced(at, at, inside)
    first = next((case.text[one.start : one.end] for one in imports(case.tree)), "")
    quote = "'" if "'" in first else '"'
    end = "" if first and not first.rstrip().endswith(";") else ";"
    return _line(case, f"import {{ {listed} }} from {quote}{module}{quote}{end}")


def _go(case: Case, module: str) -> str:
    block = re.search(r"^import\s*\(", case.text, re.MULTILINE)
    if block is not None:
        at = case.next_line(block.start())
        # gofmt sorts within a block.
        inside = re.compile(r'[ \t]*"([^"\n]+)"[ \t]*\r?\n')
        while (entry := inside.match(case.text, at)) is not None and entry[1] < module:
            at = entry.end()
        return case.replaced(at, at, f'\t"{module}"\n')
    return _line(case, f'import "{module}"')


def _line(case: Case, line: str) -> str:
    """Return the text with a line behind the last import, or where the first one would stand."""
    units = imports(case.tree)
    if units:
        at = case.next_line(max(units[-1].end - 1, units[-1].start))
        return case.replaced(at, at, f"{_ended(case, at)}{line}\n")
    package = re.search(r"^package\b.*(?:\r\n|\n|\Z)", case.text, re.MULTILINE)
    if package is not None:
        return case.replaced(package.end(), package.end(), f"\n{line}\n")
    at = _top(case)
    return case.replaced(at, at, f"{_ended(case, at)}{line}\n")


def _ended(case: Case, at: int) -> str:
    """Return the line end that the text before ``at`` lacks, if it does."""
    return "" if at == 0 or case.text[at - 1] in "\r\n" else "\n"


def _top(case: Case) -> int:
    """Return where the first import of a file belongs: behind its first comments and docstring."""
    found = re.match(
        r"(?:[ \t]*(?:(?:#|//)[^\r\n]*)?(?:\r\n|\n))*"
        r"(?:[rRuU]?(?:\"\"\"[\s\S]*?\"\"\"|'''[\s\S]*?''')[ \t]*(?:\r\n|\n|\Z)"
        r"|/\*[\s\S]*?\*/[ \t]*(?:\r\n|\n|\Z))?",
        case.text,
    )
    whole = found[0] if found is not None else ""
    return len(whole) if whole.strip() else 0
