"""Guesses at, and questions for, the arguments that a call lacks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from midfill_engine.types import Sampling
from midfill_server.fixing.brackets import closing_at, is_balanced
from midfill_server.fixing.case import Asked, Case, Ready
from midfill_server.fixing.diagnostic import (
    Kind,
    kind_of,
    lacks_arguments,
    missing_parameters,
    quoted_names,
)
from midfill_server.fixing.filling import MAX_LINE_TOKENS, fim_request, first_line, has_line
from midfill_server.fixing.scope import function_of
from midfill_server.syntax import definitions
from midfill_server.syntax.spans import Arguments, arguments_at

__all__ = ["further_arguments", "named_like_parameters"]

_MAX_OWNERS = 4
_MAX_UNUSED = 3
_MAKERS = ("__init__", "constructor")
_NAMES = re.compile(r"(?<![\w.])[^\W\d]\w*")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where further arguments go in a text: at ``at``, behind ``lead``."""

    given: Arguments
    at: int
    lead: str


def named_like_parameters(case: Case) -> Iterator[Ready]:
    """Yield the text with arguments that are at hand: what is not used now, then by their names.

    Variables that are called as the parameters are for them.
    """
    place = _place(case)
    if place is None:
        return
    for name in _unused(case):
        yield Ready(text=_with(case, place, name))
    names = missing_parameters(case.diagnostic) or _parameters(case, place.given)
    unit = function_of(case.tree, case.diagnostic)
    here = case.text[unit.start : place.at] if unit is not None else case.text[: place.at]
    known = set(_NAMES.findall(here[: here.rfind("\n") + 1]))
    own = _own(case)
    written: list[tuple[str, str]] = []
    for name in names:
        if name in known:
            written.append((name, name))
        elif re.search(rf"\b{own}\.{re.escape(name)}\b", case.text):
            written.append((name, f"{own}.{name}"))
        else:
            return
    values = ", ".join(value for _, value in written)
    if written and place.given.named:
        first = min(one.start for one in place.given.named)
        yield Ready(text=case.replaced(first, first, f"{values}, "))
    elif written:
        yield Ready(text=_with(case, place, values))
    if written and case.language_id == "python":
        by_name = ", ".join(f"{name}={value}" for name, value in written)
        yield Ready(text=_with(case, place, by_name))


def further_arguments(case: Case, sampling: Sampling) -> Iterator[Asked]:
    """Yield a question for what comes before the bracket that closes the call."""
    place = _place(case)
    if place is None:
        return
    text, at = case.text, place.at
    lines = place.lead.rsplit("\n", 1)
    if len(lines) == 2:
        prefix, typed = f"{text[:at]}{lines[0]}\n", lines[1]
    else:
        line_start = case.line_span(at)[0]
        prefix, typed = text[:line_start], text[line_start:at] + place.lead

    def read(answer: str) -> Iterator[str]:
        end = closing_at(answer)
        inside = (answer[:end] if end is not None else first_line(answer)).strip().rstrip(",;")
        if not inside:
            return
        comma = _comma(inside)
        if comma is not None:
            yield _with(case, place, inside[:comma].rstrip())
        yield _with(case, place, inside)
        if re.search(rf"\b{_own(case)}\.{re.escape(inside)}(?![\w(])", text):
            # Small models forget whose it is.
            yield _with(case, place, f"{_own(case)}.{inside}")

    def enough(answer: str) -> bool:
        return has_line(answer) or closing_at(answer) is not None

    request = fim_request(case, prefix, typed, text[at:], MAX_LINE_TOKENS, sampling, at)
    yield Asked(request=request, read=read, enough=enough)


def _unused(case: Case) -> Iterator[str]:
    """Yield names that other diagnostics say are not used: one may be what was left out."""
    found = (quoted_names(one.message) for one in case.others if kind_of(one) is Kind.UNUSED)
    names = (names[0].rpartition(".")[2] for names in found if names)
    yield from islice((name for name in dict.fromkeys(names) if name.isidentifier()), _MAX_UNUSED)


def _own(case: Case) -> str:
    return "self" if case.language_id == "python" else "this"


def _with(case: Case, place: _Place, arguments: str) -> str:
    return case.replaced(place.at, place.at, place.lead + arguments)


def _place(case: Case) -> _Place | None:
    """Return where a further argument of the call goes that lacks one."""
    if not lacks_arguments(case.diagnostic):
        return None
    given = arguments_at(case.tree, case.diagnostic.start, case.diagnostic.end)
    if given is None:
        return None
    if not given.items:
        return _Place(given=given, at=given.start, lead="")
    last = given.items[-1]
    gap = case.text[last.end : given.end]
    start, _ = case.line_span(last.start)
    blanks = case.text[start : last.start]
    # Arguments that have a line each go on so.
    break_ = f"\n{blanks}" if not blanks.strip() and "\n" in gap else " "
    if "," in gap:
        return _Place(given=given, at=last.end + gap.index(",") + 1, lead=break_)
    return _Place(given=given, at=last.end, lead=f",{break_}")


def _parameters(case: Case, given: Arguments) -> list[str]:
    """Return what the parameters are called that get no argument, as the definition has them."""
    callee = re.search(r"([^\W\d]\w*)\s*(?:<[^()]*>)?\s*\Z", case.text[: given.start - 1][-200:])
    if callee is None:
        return []
    name = callee[1]
    signatures = [
        one.signature
        for one in definitions(case.tree)
        if one.name == name or (one.container == name and one.name in _MAKERS)
    ]
    if case.definitions is not None:
        heads = case.definitions.definitions_named(name)[:_MAX_OWNERS]
        signatures += [one.text for one in heads if one.kind in ("function", "method")]
    for signature in signatures:
        names = _names_of(signature)
        if len(names) > len(given.items):
            return names[len(given.items) :]
    return []


def _names_of(signature: str) -> list[str]:
    """Return the parameters that are given by their place and must be there."""
    opened = signature.find("(")
    end = closing_at(signature[opened + 1 :]) if opened >= 0 else None
    if end is None:
        return []
    found: list[str] = []
    for one in _split(signature[opened + 1 : opened + 1 + end]):
        name = re.match(r"\s*(?:(?:public|private|protected|readonly)\s+)*([^\W\d]\w*)(\??)", one)
        if name is None or name[2] or "=" in one.replace("=>", ""):
            break
        if name[1] not in ("self", "cls", "this"):
            found.append(name[1])
    return found


def _split(parameters: str) -> Iterator[str]:
    """Yield parameters one by one; the commas of a type's own parameters are none between them."""
    start = 0
    for found in re.finditer(r",|\Z", parameters):
        one = parameters[start : found.start()]
        plain = one.replace("=>", "")
        if is_balanced(one) and plain.count("<") == plain.count(">"):
            yield one
            start = found.end()


def _comma(code: str) -> int | None:
    """Return where the first comma is that is in no bracket and no string."""
    for found in re.finditer(",", code):
        if is_balanced(code[: found.start()]):
            return found.start()
    return None
