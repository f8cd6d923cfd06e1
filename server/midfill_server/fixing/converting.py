"""Guesses at a value of the other type: without what is wrapped around it, or spelled otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator

from midfill_server.fixing.case import Case, Ready

__all__ = ["unwrapped"]

_CONVERSIONS = r"(?:str|int|float|bool|list|tuple|set|bytes|len|String|Number|Boolean|Array\.from)"
# What is written, and what it is without what made another type of it.
_WRAPPED = (
    (r"[bB](['\"].*?['\"])", r"\1"),
    (rf"{_CONVERSIONS}\(([^,]+)\)", r"\1"),
    (r"\[([^,\[\]]+)\]", r"\1"),
    (r"\(([^,]+),\)", r"\1"),
    (r"\{([^,:{}]+)\}", r"\1"),
    (r"(?:'|\")(-?\d+(?:\.\d+)?|true|false|True|False|None|null)(?:'|\")", r"\1"),
    (r"(-?\d+(?:\.\d+)?)", r'"\1"'),
    (r"(.+?)\.(?:toString|encode|decode)\(\)", r"\1"),
)
_MAX_GUESSES = 4


def unwrapped(case: Case) -> Iterator[Ready]:
    """Yield the text with a value that is not wrapped: the one pointed at, or one within that."""
    start, end = case.diagnostic.start, case.diagnostic.end
    pointed_at = case.text[start:end]
    if "\n" in pointed_at or not pointed_at:
        return
    for pattern, plain in _WRAPPED:
        if re.fullmatch(pattern, pointed_at):
            yield Ready(text=case.replaced(start, end, re.sub(pattern, plain, pointed_at)))
            return
    # Of ``a + b`` it is one of the two that is of the wrong type.
    seen = 0
    for pattern, plain in _WRAPPED[:-2]:
        for found in re.finditer(rf"(?<![\w.]){pattern}", pointed_at):
            seen += 1
            if seen > _MAX_GUESSES:
                return
            new = found.expand(plain)
            yield Ready(text=case.replaced(start + found.start(), start + found.end(), new))
