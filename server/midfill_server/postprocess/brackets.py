"""Brackets and quotes of a text, where they stand outside strings and comments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from midfill_server.syntax import Language

__all__ = ["CLOSERS", "OPENERS", "OPENER_OF", "brackets", "open_quote", "unmatched"]

OPENERS = "([{"
CLOSERS = ")]}"
OPENER_OF = {")": "(", "]": "[", "}": "{"}
_QUOTES = "\"'`"
# Strings in these go over line ends.
_LONG = ('"""', "'''", "`")


def brackets(text: str, language: Language | None, quote: str = "") -> Iterator[tuple[int, str]]:
    """Yield offset and character of each bracket that is code; last ``(len(text), open quote)``.

    ``quote`` is what the text begins inside of. What is yielded for a text is yielded for every
    longer text as well, but for its end.
    """
    size, start = len(text), 0
    if quote:
        inside = _rest(quote).match(text)
        start = inside.end() if inside else 0
        # What its line does not close was an apostrophe, unless it is still being typed.
        if (inside and inside["close"]) or start < size:
            quote = ""
    quotes = language.quotes if language else _QUOTES
    for token in _tokens(quotes, language.line_comment if language else "").finditer(text, start):
        opened, closed = token["long"] or token["short"], token["longend"] or token["shortend"]
        if token["bracket"]:
            yield token.start(), token["bracket"]
        elif opened and not closed and token.end() == size:
            quote = opened
    yield size, quote


def open_quote(line: str, language: Language | None) -> str:
    """Return the quote of the string that is open at the end of ``line``, or ``""``."""
    *_, (_, quote) = brackets(line, language)
    return quote


def unmatched(text: str, language: Language | None, quote: str = "") -> tuple[str, str]:
    """Return the closing brackets that ``text`` does not open, and the opening ones left open."""
    closing, opening = "", ""
    *found, _ = brackets(text, language, quote)
    for _, bracket in found:
        if bracket in OPENERS:
            opening += bracket
        elif OPENER_OF[bracket] in opening:
            opening = opening[: opening.rindex(OPENER_OF[bracket])]
        elif not opening:
            closing += bracket
    return closing, opening


@cache
def _tokens(quotes: str, comment: str) -> re.Pattern[str]:
    """Return what finds strings, comments and brackets of a language with these signs."""
    long = [re.escape(quote) for quote in _LONG if quote[0] in quotes]
    short = [re.escape(quote) for quote in quotes if quote != "`"]
    return re.compile(
        f"(?P<long>{'|'.join(long) or '(?!)'})"
        r"(?:\\[\s\S]|\\\Z|(?!(?P=long))[^\\])*(?P<longend>(?P=long))?"
        f"|(?P<short>{'|'.join(short) or '(?!)'})"
        r"(?:\\.|\\\Z|(?!(?P=short))[^\\\r\n])*(?P<shortend>(?P=short))?"
        f"|{re.escape(comment) or '(?!)'}[^\\r\\n]*"
        r"|(?P<bracket>[()\[\]{}])"
    )


@cache
def _rest(quote: str) -> re.Pattern[str]:
    """Return what finds the rest of a string that is open."""
    one = r"[^\\]" if quote in _LONG else r"[^\\\r\n]"
    end = re.escape(quote)
    return re.compile(rf"(?:\\[\s\S]|\\\Z|(?!{end}){one})*(?P<close>{end})?")
