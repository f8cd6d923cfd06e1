"""Brackets and quotes of a text, where they stand outside strings and comments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from midfill_server.syntax import Language

__all__ = [
    "CLOSERS",
    "OPENERS",
    "OPENER_OF",
    "brackets",
    "in_long_string",
    "open_quote",
    "unmatched",
    "without_comment",
]

OPENERS = "([{"
CLOSERS = ")]}"
OPENER_OF = {")": "(", "]": "[", "}": "{"}
_QUOTES = "\"'`"
# Strings in these go over line ends.
_LONG = ('"""', "'''", "`")
# A backslash begins a function there, which may take a pair.
_LAMBDAS = frozenset({"haskell"})


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
    for token in _tokens_of(language).finditer(text, start):
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


def in_long_string(text: str, language: Language | None, quote: str = "") -> bool:
    """Whether a string that goes over line ends is open at the end of ``text``."""
    *_, (_, quote) = brackets(text, language, quote)
    return quote in _LONG


def without_comment(line: str, language: Language | None) -> str:
    """Return ``line`` up to the comment at its end, without blanks there."""
    if language is None or not language.line_comment or language.line_comment not in line:
        return line.rstrip()
    comments = (token for token in _tokens_of(language).finditer(line) if token["comment"])
    found = next(comments, None)
    return line[: found.start() if found else len(line)].rstrip()


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


def _tokens_of(language: Language | None) -> re.Pattern[str]:
    if language is None:
        return _tokens(_QUOTES, "", escapes=True)
    return _tokens(language.quotes, language.line_comment, escapes=language.id not in _LAMBDAS)


@cache
def _tokens(quotes: str, comment: str, *, escapes: bool) -> re.Pattern[str]:
    """Return what finds strings, comments and brackets of a language with these signs.

    ``escapes``: outside of strings too, as in regular expressions, a backslash takes a bracket's
    meaning away.
    """
    # Elsewhere it is a length, a colour or a number of arguments.
    sign = r"(?<!\S)#" if comment == "#" else re.escape(comment) or "(?!)"
    escape = r"\\" if escapes else "(?!)"
    long = [re.escape(quote) for quote in _LONG if quote[0] in quotes]
    short = [re.escape(quote) for quote in quotes if quote != "`"]
    return re.compile(
        f"(?P<long>{'|'.join(long) or '(?!)'})"
        r"(?:\\[\s\S]|\\\Z|(?!(?P=long))[^\\])*(?P<longend>(?P=long))?"
        f"|(?P<short>{'|'.join(short) or '(?!)'})"
        r"(?:\\.|\\\Z|(?!(?P=short))[^\\\r\n])*(?P<shortend>(?P=short))?"
        f"|(?P<comment>{sign})[^\\r\\n]*"
        # A bracket is a character also where its quotes begin no string, as in Rust.
        r"|'[()\[\]{}](?:'|\Z)"
        rf"|{escape}(?:.|\Z)"
        r"|(?P<bracket>[()\[\]{}])"
    )


@cache
def _rest(quote: str) -> re.Pattern[str]:
    """Return what finds the rest of a string that is open."""
    one = r"[^\\]" if quote in _LONG else r"[^\\\r\n]"
    end = re.escape(quote)
    return re.compile(rf"(?:\\[\s\S]|\\\Z|(?!{end}){one})*(?P<close>{end})?")
