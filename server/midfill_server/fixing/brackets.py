"""Brackets in pieces of code, whatever the language: which belong together, which are open."""

from __future__ import annotations

__all__ = ["CLOSERS", "OPENERS", "closing_at", "is_balanced"]

CLOSERS = {"(": ")", "[": "]", "{": "}"}
"""What closes a bracket."""

OPENERS = {closer: opener for opener, closer in CLOSERS.items()}
"""What opens it."""


def closing_at(answer: str) -> int | None:
    """Return where a bracket is closed that the answer does not open."""
    depth = 0
    quote = ""
    for at, character in enumerate(answer):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'`":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            if depth == 0:
                return at
            depth -= 1
    return None


def is_balanced(text: str) -> bool:
    """Return whether all brackets of a piece of code are closed in it."""
    open_: list[str] = []
    quote = ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'`":
            quote = character
        elif character in CLOSERS:
            open_.append(CLOSERS[character])
        elif character in ")]}" and (not open_ or open_.pop() != character):
            return False
    return not open_
