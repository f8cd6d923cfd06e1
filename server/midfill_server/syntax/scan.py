"""A look at the text alone, for where the tree is wrong: open strings and open brackets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from midfill_server.syntax.languages import Language

__all__ = ["Open", "open_at"]

_PAIRS = {")": "(", "]": "[", "}": "{"}
# Strings in these quotes go on over the ends of lines.
_LONG_QUOTES = ('"""', "'''", "`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """What is open at an offset.

    ``inside`` is what begins the string or comment that holds the offset, else empty; ``since`` is
    where it begins. ``brackets`` are the offsets of those that are not closed, outermost first.
    """

    inside: str
    since: int
    brackets: tuple[int, ...]


def open_at(text: str, start: int, end: int, language: Language) -> Open:
    """Return what is open at ``end`` if nothing is at ``start``."""
    brackets: list[int] = []
    at = start
    beginnings = _beginnings(language)
    while match := beginnings.search(text, at, end):
        token, at = match.group(), match.end()
        if token in "([{":
            brackets.append(match.start())
        elif token in _PAIRS:
            _close(brackets, text, _PAIRS[token])
        else:
            ending = _ending(token, language).match(text, at, end)
            if ending is None:
                return Open(inside=token, since=match.start(), brackets=tuple(brackets))
            at = ending.end()
    return Open(inside="", since=end, brackets=tuple(brackets))


def _close(brackets: list[int], text: str, opener: str) -> None:
    """Take the last ``opener`` off the stack, and what was opened in it and left so."""
    for index in range(len(brackets) - 1, -1, -1):
        if text[brackets[index]] == opener:
            del brackets[index:]
            return


@cache
def _beginnings(language: Language) -> re.Pattern[str]:
    """Return a pattern for what begins a string or a comment, and for all brackets."""
    tokens: list[str] = []
    if language.block_comment is not None:
        tokens.append(re.escape(language.block_comment[0]))
    if language.line_comment == "#":
        # Elsewhere it is a length, a colour or a character of a word.
        tokens.append(r"(?<!\S)#")
    elif language.line_comment:
        tokens.append(re.escape(language.line_comment))
    tokens += [quote * 3 for quote in language.quotes if language.id == "python"]
    tokens += [re.escape(quote) for quote in language.quotes]
    return re.compile("|".join([*tokens, r"[()\[\]{}]"]))


@cache
def _ending(token: str, language: Language) -> re.Pattern[str]:
    """Return a pattern for all that follows ``token`` up to the end of what it begins."""
    if language.block_comment is not None and token == language.block_comment[0]:
        return re.compile("(?s:.*?)" + re.escape(language.block_comment[1]))
    if token == language.line_comment:
        return re.compile(r"[^\n]*\n")
    quote = re.escape(token)
    if token in _LONG_QUOTES:
        return re.compile(rf"(?s:[^\\]|\\.)*?{quote}")
    # A string of one line that nothing closes ends with its line, or one missing quote would turn
    # all that follows inside out.
    return re.compile(rf"(?s:[^\\\n{quote}]|\\.)*(?:{quote}|\n)")
