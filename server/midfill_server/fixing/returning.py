"""Guesses at, and questions for, the ``return`` that a function lacks at its end."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

from midfill_engine.types import Sampling
from midfill_server.fixing.case import Asked, Case, Idea, Ready
from midfill_server.fixing.filling import (
    MAX_LINE_TOKENS,
    fim_request,
    first_line,
    has_line,
    is_balanced,
)
from midfill_server.fixing.scope import function_of

__all__ = ["forgotten_return", "last_return", "local_returns"]

_MAX_LOCALS = 3


def last_return(case: Case, sampling: Sampling) -> Iterator[Asked]:
    """Yield a question for a ``return`` at the end of the function."""
    place = _return_place(case)
    if place is None:
        return
    at, typed, semicolon = place

    def read(answer: str) -> Iterator[str]:
        value = first_line(answer).strip()
        value = value.removesuffix(";") if semicolon else value
        if value and is_balanced(value):
            yield case.replaced(at, at, f"\n{typed}{value}{semicolon}")

    text = case.text
    request = fim_request(case, text[:at] + "\n", typed, text[at:], MAX_LINE_TOKENS, sampling, at)
    yield Asked(request=request, read=read, enough=has_line)


def local_returns(case: Case, sampling: Sampling) -> Iterator[Ready]:
    """Yield the text with a ``return`` of what the function names, what it promises first."""
    del sampling
    unit, place = function_of(case.tree, case.diagnostic), _return_place(case)
    if unit is None or place is None:
        return
    at, typed, semicolon = place
    indent = typed.removesuffix("return ")
    body = case.text[unit.header_end : at]
    header = case.text[unit.start : unit.header_end]
    promised = re.findall(r"\w+", header.rpartition(")")[2])
    named = re.compile(
        rf"^{indent}(?:const |let |var )?([^\W\d]\w*)(?:\s*:([^=\n]+))?\s*:?=(?!=)\s*(.*)",
        re.MULTILINE,
    )
    uses = Counter(re.findall(r"\b[^\W\d]\w*\b", body))
    rated: dict[str, tuple[bool, bool, int]] = {}
    for found in named.finditer(body):
        name, type_, value = found[1], found[2] or "", found[3]
        made = re.match(r"(?:new\s+)?(\w+)\s*[({\[]", value)
        fits = bool(set(promised) & {*re.findall(r"\w+", type_), made[1] if made else ""})
        # An alias of something else is there to be called.
        is_alias = re.fullmatch(r"[\w.]+", value) is not None
        rated.setdefault(name, (not fits, is_alias, -uses[name]))
    for name in sorted(rated, key=lambda name: rated[name])[:_MAX_LOCALS]:
        yield Ready(text=case.replaced(at, at, f"\n{typed}{name}{semicolon}"))


def forgotten_return(case: Case) -> Iterator[Idea]:
    """Yield what returns a variable that is not used, where a function lacks its last return.

    First a question for a ``return`` in which the variable is used, then the variable alone.
    """
    unit, name_at = function_of(case.tree, case.diagnostic), case.wrong_name()
    place = _return_place(case)
    if unit is None or name_at is None or place is None or name_at[0] < unit.header_end:
        return
    at, typed, semicolon = place
    name = case.text[slice(*name_at)]
    indent = typed.removesuffix("return ")
    body = case.text[unit.header_end : at]
    last = re.findall(rf"^{indent}(\w+)", body, re.MULTILINE)[-1:]
    promised = case.text[unit.start : unit.header_end].rpartition(")")[2].strip(" :{->")
    documented = re.search(r"\breturns?\b", body, re.IGNORECASE) is not None
    value = case.text[name_at[1] : case.line_span(name_at[1])[1]]
    # Nobody returns what is empty from the beginning and never filled.
    is_empty = re.search(r"=\s*(?:\[\]|\{\}|\(\)|[\w.-]+|''|\"\");?\s*\Z", value) is not None
    is_over = bool(last) and last[0] in ("return", "raise", "throw")
    if is_over or is_empty or promised in ("None", "void") or not (promised or documented):
        return
    for asked in last_return(case, Sampling()):
        yield replace(asked, read=partial(_with_name, asked.read, name, case.text))
    yield Ready(text=case.replaced(at, at, f"\n{typed}{name}{semicolon}"))


def _with_name(
    read: Callable[[str], Iterable[str]], name: str, old: str, answer: str
) -> Iterator[str]:
    """Yield what is read of an answer if it uses a name once more."""
    used = re.compile(rf"\b{re.escape(name)}\b")
    for text in read(answer):
        if len(used.findall(text)) > len(used.findall(old)):
            yield text


def _return_place(case: Case) -> tuple[int, str, str] | None:
    """Return where a last statement of the function goes, how it begins, and what ends it."""
    unit = function_of(case.tree, case.diagnostic)
    if unit is None or case.tree is None:
        return None
    text, end = case.text, unit.end
    if not case.tree.grammar.dedents:
        # Before the bracket that closes the body, which has a line of its own.
        closer = case.line_span(max(end - 1, 0))[0]
        if text[closer:end].strip() not in ("}", "end"):
            return None
        end = max(closer - 1, unit.header_end)
    end = len(text[:end].rstrip())
    body = re.compile(r"[ \t]*[^\r\n]*(?:\r\n|\n)(?:[ \t]*(?:\r\n|\n))*([ \t]+)\S")
    found = body.match(text, unit.header_end)
    if found is None or end <= unit.header_end:
        return None
    semicolon = ";" if re.search(r";[ \t]*\r?\n", text[unit.start : unit.end]) else ""
    return end, f"{found[1]}return ", semicolon
