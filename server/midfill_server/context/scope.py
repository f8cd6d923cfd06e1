"""What is used around the cursor: the names there, nearest first, and of which type they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill_server.syntax import Language, SyntaxTree, enclosing, identifiers

if TYPE_CHECKING:
    from midfill_server.syntax import Unit

__all__ = ["Scope", "scope_at"]

# Of a unit that is longer, or where there is none, so much is looked at.
_MAX_BEFORE_CHARS = 4000
_MAX_AFTER_CHARS = 2000
_LINES_BEFORE = 30
_LINES_AFTER = 10
# What a name is declared as may stand far above.
_MAX_TYPES_CHARS = 24_000

_WORD = re.compile(r"[^\W\d][\w$]*")
_MEMBER = re.compile(r"([\w$]+)(?:\(\))?(?:\?\.|\.|->|::)([\w$]*)")
_OPEN_MEMBER = re.compile(r"([\w$]+)(?:\?\.|\.|->|::)[\w$]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The names around a cursor.

    ``urgent`` are those that are whole on the cursor's line before it, and the types of what has
    members there, the nearest first; ``names`` are all of the unit, those first, then the nearest
    above, then those below. ``receiver`` is what the cursor stands behind with a dot, ``""`` for
    nothing; ``members`` are all names behind a dot. ``weights`` says how much each name counts
    when other places are compared: those of the line itself, which changes with every key, do not.
    """

    urgent: tuple[str, ...]
    names: tuple[str, ...]
    receiver: str
    members: frozenset[str]
    weights: Mapping[str, float]


def scope_at(tree: SyntaxTree | None, text: str, cursor: int, language: Language | None) -> Scope:
    """Look around ``cursor``."""
    units = enclosing(tree, cursor)
    unit = units[-1] if units else None
    start, end = _stretch(unit, text, cursor)
    line = text.rfind("\n", 0, cursor) + 1
    line_end = text.find("\n", cursor)
    line_end = len(text) if line_end < 0 else line_end
    left = text[line:cursor]
    open_member = _OPEN_MEMBER.search(left)
    # What the cursor touches may go on.
    whole = re.sub(r"[\w$]+\Z", "", left)
    receivers = {match[1] for match in _MEMBER.finditer(left)}
    above = text[max(cursor - _MAX_TYPES_CHARS, 0) : line]
    receiver = open_member[1] if open_member is not None else ""
    here: list[str] = _types(receiver, above) if receiver else []
    for name in _backwards(whole):
        here += [name, *(_types(name, above) if name in receivers else ())]
    names = (*here, *_backwards(text[start:line]), *_WORD.findall(text, line_end, end))
    header = text[unit.start : unit.header_end] if unit is not None else ""
    weights = dict.fromkeys(identifiers(text[start:line], language), 1.0)
    weights.update(dict.fromkeys(identifiers(text[line_end:end], language), 1.0))
    weights.update(dict.fromkeys(identifiers(header, language), 2.0))
    return Scope(
        urgent=tuple(dict.fromkeys(here)),
        names=tuple(dict.fromkeys(names)),
        members=frozenset(match[2] for match in _MEMBER.finditer(text, start, end)),
        receiver=receiver,
        weights={word: weight for word, weight in weights.items() if len(word) > 2},
    )


def _stretch(unit: Unit | None, text: str, cursor: int) -> tuple[int, int]:
    """Return what of the text is around the cursor: its function, or some lines."""
    first, last = max(cursor - _MAX_BEFORE_CHARS, 0), min(cursor + _MAX_AFTER_CHARS, len(text))
    if unit is not None and unit.kind == "function":
        return max(first, unit.start), min(last, unit.end)
    start = cursor
    for _ in range(_LINES_BEFORE + 1):
        start = text.rfind("\n", first, start)
        if start < 0:
            break
    end = cursor
    for _ in range(_LINES_AFTER + 1):
        end = text.find("\n", end, last) + 1
        if end == 0:
            break
    return (first if start < 0 else start + 1), (end or last)


def _backwards(text: str) -> list[str]:
    return _WORD.findall(text)[::-1]


def _types(name: str, text: str) -> list[str]:
    """Return the names that may be the type of ``name``, as the nearest text above says.

    ``x: Foo``, ``x = Foo(``, ``x := pkg.Foo{``, ``Foo x``, ``x *Foo``: what languages have in
    common is a capital letter beside the name.
    """
    if name[:1].isupper():
        return [name]
    pattern = re.compile(
        rf"(?<![\w.$]){re.escape(name)}\??\s*(?::=|[:=])?\s*[&*\"'\[]*(?:new\s+|await\s+|mut\s+)*"
        rf"(?:[a-z_][\w$]*(?:\.|::))*([A-Z][\w$]*)"
        rf"|\b([A-Z][\w$]*)(?:<[^<>\n]*>)?[*&\s]+{re.escape(name)}\b(?!\()"
        # The attribute of an object: ``self._foo = Foo(``, ``this.foo: Foo``.
        rf"|(?:self|this)(?:\.|->){re.escape(name)}\s*[:=]\s*(?:new\s+)?([A-Z][\w$]*)"
    )
    found = [match[1] or match[2] or match[3] for match in pattern.finditer(text)]
    return found[-1:]
