"""Guesses at, and questions for, the ``return`` that a function lacks at its end."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from midfill_engine.types import Sampling
from midfill_server.fixing.brackets import is_balanced
from midfill_server.fixing.case import Asked, Case, Idea, Ready
from midfill_server.fixing.filling import fim_request, has_line
from midfill_server.fixing.leftover import Body, certain_values, left_over, maker, values_left
from midfill_server.fixing.scope import function_of

__all__ = [
    "any_return",
    "forgotten_return",
    "last_return",
    "local_returns",
    "made_return",
    "sure_returns",
]

_MAX_LOCALS = 3
_MAX_RETURN_LINES = 8
_MAX_RETURN_TOKENS = 96


def sure_returns(case: Case) -> Iterator[Ready]:
    """Yield the text with what must be returned: the object itself, nothing, the other truth."""
    place = _return_place(case)
    if place is not None:
        for value in certain_values(case, place.body):
            yield place.ready(value)


def last_return(case: Case, sampling: Sampling) -> Iterator[Asked]:
    """Yield a question for a ``return`` at the end of the function.

    Where variables are left over, an answer with none of them is no answer.
    """
    place = _return_place(case)
    if place is None:
        return
    names = left_over(place.body)
    for asked in _asked(case, place, sampling):
        yield replace(asked, read=partial(_with_names, asked.read, names, case.text))


def made_return(case: Case, sampling: Sampling) -> Iterator[Asked]:
    """Yield a question for what an object of the class that is promised is made of."""
    place = _return_place(case)
    made = maker(case, place.body) if place is not None else ""
    if place is not None and made:
        yield from _asked(case, place, sampling, begun=f"{made}(")


def any_return(case: Case, sampling: Sampling) -> Iterator[Asked]:
    """Yield the same question where variables are left over, to take any answer."""
    place = _return_place(case)
    if place is not None and left_over(place.body):
        yield from _asked(case, place, sampling)


def _asked(case: Case, place: _Place, sampling: Sampling, begun: str = "") -> Iterator[Asked]:
    """Yield the question; the value has ``begun`` already."""
    text, at = case.text, place.at

    def read(answer: str) -> Iterator[str]:
        value = _statement(begun + answer)
        value = value.removesuffix(";") if place.semicolon else value
        if value and is_balanced(value):
            yield place.ready(value).text

    def enough(answer: str) -> bool:
        return has_line(answer) and (
            is_balanced(_statement(begun + answer)) or answer.count("\n") >= _MAX_RETURN_LINES
        )

    request = fim_request(
        case, text[:at] + "\n", place.typed + begun, text[at:], _MAX_RETURN_TOKENS, sampling, at
    )
    yield Asked(request=request, read=read, enough=enough)


def _statement(answer: str) -> str:
    """Return the beginning of an answer: as many lines as it takes to close all brackets."""
    lines = answer.split("\n")[:_MAX_RETURN_LINES]
    for count in range(1, len(lines) + 1):
        written = "\n".join(lines[:count])
        if is_balanced(written):
            return written.strip()
    return lines[0].strip()


def local_returns(case: Case, sampling: Sampling) -> Iterator[Ready]:
    """Yield the text with a ``return`` of what is left over, then of what the function names.

    Of that, what it promises comes first.
    """
    del sampling
    place = _return_place(case)
    if place is None:
        return
    yield from (place.ready(value) for value in values_left(case, place.body))
    body, indent = place.body.code, place.body.indent
    promised = re.findall(r"\w+", place.body.promised)
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
        yield place.ready(name)


def forgotten_return(case: Case) -> Iterator[Idea]:
    """Yield what returns a variable that is not used, where a function lacks its last return.

    First a question for a ``return`` in which the variable is used, then the variable alone.
    """
    name_at, place = case.wrong_name(), _return_place(case)
    if name_at is None or place is None or name_at[0] < place.body.unit.header_end:
        return
    name = case.text[slice(*name_at)]
    body = case.text[place.body.unit.header_end : place.at]
    last = re.match(r"\w+", place.body.last)
    promised = place.body.promised
    documented = re.search(r"\breturns?\b", body, re.IGNORECASE) is not None
    value = case.text[name_at[1] : case.line_span(name_at[1])[1]]
    # Nobody returns what is empty from the beginning and never filled.
    is_empty = re.search(r"=\s*(?:\[\]|\{\}|\(\)|[\w.-]+|''|\"\");?\s*\Z", value) is not None
    is_over = last is not None and last[0] in ("return", "raise", "throw")
    if is_over or is_empty or promised in ("None", "void") or not (promised or documented):
        return
    for asked in _asked(case, place, Sampling()):
        yield replace(asked, read=partial(_with_names, asked.read, [name], case.text))
    yield place.ready(name)


def _with_names(
    read: Callable[[str], Iterable[str]], names: Sequence[str], old: str, answer: str
) -> Iterator[str]:
    """Yield what is read of an answer if it uses one of the names, if there are any, once more."""
    used = [re.compile(rf"\b{re.escape(name)}\b") for name in names]
    for text in read(answer):
        if not used or any(len(one.findall(text)) > len(one.findall(old)) for one in used):
            yield text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a last statement of a function goes, how it begins, and what ends it."""

    case: Case
    at: int
    typed: str
    semicolon: str
    body: Body

    def ready(self, value: str) -> Ready:
        """Return the text with a ``return`` of a value."""
        new = f"\n{self.typed}{value}{self.semicolon}"
        return Ready(text=self.case.replaced(self.at, self.at, new))


def _return_place(case: Case) -> _Place | None:
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
    return _Place(
        case=case,
        at=end,
        typed=f"{found[1]}return ",
        semicolon=semicolon,
        body=Body.of(case, unit, end, found[1]),
    )
