"""In which order what is tried: by the kind of the diagnostic, the likeliest and cheapest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from types import MappingProxyType

from midfill_engine.types import Sampling
from midfill_server.fixing import (
    closing,
    converting,
    filling,
    importing,
    inserting,
    lacking,
    naming,
    removing,
    returning,
    rewriting,
)
from midfill_server.fixing.case import Asked, Case, Idea, Ready
from midfill_server.fixing.diagnostic import Kind, kind_of, quoted_names

__all__ = ["candidates"]

_Guess = Callable[[Case], Iterator[Ready]] | Callable[[Case], Iterator[Idea]]
_Question = Callable[[Case, Sampling], Iterator[Asked] | Iterator[Ready]]

_TEMPERATURE = 0.7
_TOP_P = 0.95
# What was not among the first samples needs more chance.
_WARMER = 0.15
_MAX_INSIDE = 2

_RANGE, _TAIL, _LINE = filling.range_anew, filling.tail, filling.line
_ARGUMENTS, _RETURN, _STATEMENT = filling.within_arguments, returning.last_return, filling.statement
_FURTHER = lacking.further_arguments
_CHAT, _IMPORT = rewriting.rewritten, importing.asked_import

# What hardly needs a model; a checker looks at each in turn.
_GUESSES: Mapping[Kind, tuple[_Guess, ...]] = MappingProxyType(
    {
        Kind.UNDEFINED: (naming.suggested, importing.known_imports, naming.near_names),
        Kind.ATTRIBUTE: (naming.suggested, naming.near_members),
        Kind.IMPORT: (naming.suggested, naming.near_modules),
        Kind.SYNTAX: (
            closing.missing_ends,
            inserting.missing_arrow,
            inserting.missing_tokens,
            inserting.other_indentation,
            inserting.missing_marks,
            inserting.missing_brackets,
        ),
        Kind.RETURN: (returning.sure_returns,),
        Kind.UNUSED: (returning.forgotten_return, removing.unused),
        Kind.ARGUMENTS: (
            naming.suggested,
            lacking.named_like_parameters,
            removing.surplus_arguments,
        ),
        Kind.TYPE: (naming.suggested, removing.repeated_arguments, converting.unwrapped),
        Kind.OTHER: (naming.suggested, converting.unwrapped),
    }
)
# The greedy answers to the first are asked for first; then samples of the second.
_QUESTIONS: Mapping[Kind, tuple[tuple[_Question, ...], tuple[_Question, ...]]] = MappingProxyType(
    {
        Kind.UNDEFINED: ((_RANGE, _TAIL, _IMPORT, _CHAT), (_TAIL, _RANGE, _IMPORT)),
        Kind.ATTRIBUTE: ((_RANGE, _TAIL, _CHAT), (_TAIL, _RANGE)),
        Kind.IMPORT: ((_TAIL, _RANGE, _CHAT), (_TAIL, _RANGE)),
        Kind.SYNTAX: ((_RANGE, _TAIL, _LINE, _STATEMENT, _CHAT), (_TAIL, _LINE)),
        Kind.UNUSED: ((_CHAT,), ()),
        Kind.ARGUMENTS: (
            (_FURTHER, _ARGUMENTS, _TAIL, _RANGE, _STATEMENT, _CHAT),
            (_FURTHER, _ARGUMENTS, _TAIL),
        ),
        Kind.RETURN: (
            (
                _RETURN,
                returning.local_returns,
                returning.made_return,
                returning.any_return,
                _CHAT,
            ),
            (_RETURN,),
        ),
        Kind.TYPE: (
            (_RANGE, _TAIL, _ARGUMENTS, _STATEMENT, _CHAT),
            (_TAIL, _RANGE, _ARGUMENTS),
        ),
        Kind.OTHER: ((_RANGE, _TAIL, _STATEMENT, _CHAT), (_TAIL, _LINE)),
    }
)
# What takes code away that may be wanted: when nothing else helped.
_LAST: Mapping[Kind, tuple[_Guess, ...]] = MappingProxyType(
    {
        Kind.SYNTAX: (removing.wrong_piece,),
        Kind.ARGUMENTS: (removing.last_arguments,),
        Kind.TYPE: (removing.surplus_arguments,),
    }
)


def candidates(case: Case, samples: int) -> Iterator[Idea]:
    """Yield what may fix the case: guesses, greedy answers, ``samples`` rounds, what drops code.

    Some may come twice, some may change nothing or too much: who tries them looks at that.
    """
    for inner in _inside(case):
        yield from _guesses(inner)
    yield from _guesses(case)
    greedy, again = _QUESTIONS[case.kind]
    yield from chain.from_iterable(ask(case, Sampling()) for ask in greedy)
    for seed in range(samples):
        sampling = Sampling(
            temperature=min(_TEMPERATURE + _WARMER * seed, 1.2), top_p=_TOP_P, seed=seed
        )
        yield from chain.from_iterable(ask(case, sampling) for ask in again)
    yield from chain.from_iterable(guess(case) for guess in _LAST.get(case.kind, ()))


def _guesses(case: Case) -> Iterator[Idea]:
    guesses = _GUESSES.get(case.kind, ())
    if case.kind is Kind.UNDEFINED and _is_rather_misspelt(case):
        guesses = (naming.suggested, naming.near_names, importing.known_imports)
    return chain.from_iterable(guess(case) for guess in guesses)


def _inside(case: Case) -> list[Case]:
    """Return what else is wrong within what the diagnostic points at: it may be wrong for that."""
    start, end = case.diagnostic.start, case.diagnostic.end
    found = [
        one
        for one in case.others
        if start <= one.start <= one.end <= end and one.end - one.start < end - start
    ]
    found.sort(key=lambda one: one.end - one.start)
    return [replace(case, diagnostic=one, kind=kind_of(one)) for one in found[:_MAX_INSIDE]]


def _is_rather_misspelt(case: Case) -> bool:
    """Return whether a name stands in one place only, where it may as well be a slip."""
    names = quoted_names(case.diagnostic.message)[:1]
    return bool(names) and names[0].islower() and case.text.count(names[0]) == 1
