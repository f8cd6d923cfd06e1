"""Guesses at the name that was meant: what the checker proposes, what is spelled nearly like it."""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher

from midfill_server.fixing.case import Case, Ready
from midfill_server.fixing.diagnostic import Kind, quoted_names, suggested_names
from midfill_server.fixing.known_members import members_of
from midfill_server.fixing.scope import function_of
from midfill_server.syntax import definitions, enclosing

__all__ = ["near_members", "near_modules", "near_names", "suggested"]

_MAX_GUESSES = 3
_MAX_POOL = 4000
_LEAST_ALIKE = 0.72
_NAME = re.compile(r"(?<![\w.$])[^\W\d][\w$]*")
_MEMBER = re.compile(r"(?<=[.>:])[^\W\d][\w$]*")
# All of what stands in the quotes, in which there may be quotes of the other kind.
_TYPE = re.compile(r"(?:class|on type|object of type|module) ([`\"'])(.+?)\1(?=[\s.,;]|\Z)")
_CLASS = re.compile(r"(?:class|type|object of type|for) [`\"'](?:type\[)?([^\W\d]\w*)")
# Nobody means these.
_NEVER = frozenset({"and", "as", "def", "del", "elif", "else", "for", "from", "if", "import", "in"})


def suggested(case: Case) -> Iterator[Ready]:
    """Yield the text with what the checker itself proposes."""
    place = case.wrong_name()
    if place is None:
        return
    for name in suggested_names(case.diagnostic):
        yield Ready(text=case.replaced(*place, name.rpartition(".")[2]))


def near_names(case: Case) -> Iterator[Ready]:
    """Yield the text with names that are in sight and spelled nearly like the wrong one."""
    place = case.wrong_name()
    if place is None:
        return
    wrong = case.text[slice(*place)]
    function = function_of(case.tree, case.diagnostic)
    here = case.text[function.start : function.end] if function is not None else ""
    inner = frozenset(_NAME.findall(here))
    pool = dict.fromkeys(_NAME.findall(case.text))
    if case.language_id == "python":
        pool |= dict.fromkeys(name for name in dir(builtins) if not name.startswith("_"))
    for name in _nearest(wrong, pool, inner):
        yield Ready(text=case.replaced(*place, name))


def near_members(case: Case) -> Iterator[Ready]:
    """Yield the text with members that are spelled nearly like the wrong one."""
    place = case.wrong_name()
    if place is None:
        return
    wrong, text = case.text[slice(*place)], case.text
    before = re.search(r"([^\W\d]\w*)\s*(?:\?\.|\.|->|::)\s*\Z", text[: place[0]][-80:])
    owners = set(_CLASS.findall(case.diagnostic.message))
    likely: set[str] = set()
    if before is not None:
        receiver = re.escape(before[1])
        likely |= set(re.findall(rf"\b{receiver}\s*(?:\?\.|\.|->|::)\s*([^\W\d]\w*)", text))
        if before[1] in ("self", "this", "cls", "Self"):
            units = enclosing(case.tree, place[0])
            owners |= {unit.name for unit in units if unit.kind == "class"}
    likely |= {one.name for one in definitions(case.tree) if one.container in owners}
    if case.definitions is not None:
        for owner in sorted(owners)[:4]:
            for head in case.definitions.definitions_named(owner)[:4]:
                entry = case.definitions.file(head.path)
                every = entry.definitions if entry is not None else ()
                likely |= {one.name for one in every if one.container == owner}
    for _, type_ in _TYPE.findall(case.diagnostic.message):
        likely |= set(members_of(case.language_id, type_))
    pool = dict.fromkeys((*sorted(likely), *_MEMBER.findall(text)))
    for name in _nearest(wrong, pool, frozenset(likely)):
        yield Ready(text=case.replaced(*place, name))


def near_modules(case: Case) -> Iterator[Ready]:
    """Yield the text with modules, or names in modules, that are spelled nearly like this one."""
    place = case.wrong_name()
    if place is None or case.kind is not Kind.IMPORT:
        return
    wrong = case.text[slice(*place)]
    pool: dict[str, None] = {}
    if case.language_id == "python":
        pool |= dict.fromkeys(name for name in sys.stdlib_module_names if name[0] != "_")
    modules = [name.rpartition(".")[2] for name in quoted_names(case.diagnostic.message)]
    start, end = case.line_span(place[0])
    modules += re.findall(r"\w+", case.text[start:end])
    for module in dict.fromkeys(modules):
        pool |= dict.fromkeys(_defined_in(case, module))
    pool |= dict.fromkeys(_NAME.findall(case.text))
    for name in _nearest(wrong, pool, frozenset()):
        yield Ready(text=case.replaced(*place, name))


def _defined_in(case: Case, module: str) -> Iterator[str]:
    """Yield what the files of the project that may be called so define."""
    known = case.definitions
    if known is None or not case.path:
        return
    folder = re.sub(r"[^/\\]*\Z", "", case.path)
    for name in (f"{module}.py", f"{module}.ts", f"{module}/__init__.py", f"{module}/index.ts"):
        entry = known.file(folder + name)
        if entry is not None:
            yield from (one.name for one in entry.definitions if not one.container)


def _nearest(wrong: str, pool: Iterable[str], likely: frozenset[str]) -> list[str]:
    """Return the names most like ``wrong``; those that are ``likely`` need not be so much so."""
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(wrong.casefold())
    rated: list[tuple[float, str]] = []
    for name in list(pool)[:_MAX_POOL]:
        if name == wrong or name in _NEVER or abs(len(name) - len(wrong)) > 4:
            continue
        matcher.set_seq1(name.casefold())
        bonus = 0.1 if name in likely else 0.0
        if matcher.real_quick_ratio() + bonus < _LEAST_ALIKE or matcher.quick_ratio() < 0.6:
            continue
        rating = matcher.ratio() + bonus
        if rating >= _LEAST_ALIKE + (0.1 if len(wrong) <= 3 and not bonus else 0.0):
            rated.append((rating, name))
    rated.sort(key=lambda one: (-one[0], len(one[1]), one[1]))
    # The hundredth name that is a little alike is nothing but time.
    return [name for rating, name in rated[:_MAX_GUESSES] if rating >= rated[0][0] - 0.2]
