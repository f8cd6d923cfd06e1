"""What others must know to use a definition, as code of its language: headers without bodies."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from midfill_server.context.entries import Signature

__all__ = ["Key", "Thing", "outline", "still_true", "things"]

Key = tuple[str, str, str]
"""What tells a thing from all others: path, container, name."""

_CONSTRUCTORS = frozenset(
    {"__init__", "__new__", "constructor", "new", "__construct", "initialize"}
)
_SCRIPTS = frozenset({"typescript", "typescriptreact", "javascript", "javascriptreact"})
_BRACES = _SCRIPTS | {"java", "c", "cpp", "csharp", "go", "rust", "php"}

# Where a class is too large, so much of its room is for names alone: one over this.
_NAMES_SHARE = 3
_ALSO = " also: "

# What a line takes besides its text, and as much again around all of them.
_INDENT = 5

_DECORATOR = re.compile(r"@[\w.]+(?:\((?:[^()]|\([^()]*\))*\))?\s+(?=[@\w])")
# Those that say how something is called or made.
_TELLING = re.compile(
    r"@(?:[\w.]+\.)?(?:property|cached_property|classmethod|staticmethod|dataclass)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """A definition that others use, and what is inside of it, in order."""

    head: Signature
    members: tuple[Signature, ...] = ()

    @property
    def key(self) -> Key:
        """What tells it from all others."""
        return self.head.path, self.head.container, self.head.name

    @property
    def owner(self) -> Key:
        """The key of the class that it is in."""
        return self.head.path, "", self.head.container


def things(signatures: Sequence[Signature]) -> tuple[Thing, ...]:
    """Put the members of each class to it. Members without their class stand for themselves."""
    members: dict[tuple[str, str], list[Signature]] = {}
    heads = {(one.path, one.name) for one in signatures if not one.container}
    for one in signatures:
        if (one.path, one.container) in heads:
            members.setdefault((one.path, one.container), []).append(one)
    return tuple(
        Thing(head=one, members=tuple(members.get((one.path, one.name), ())))
        for one in signatures
        if (one.path, one.container) not in heads
    )


def outline(
    thing: Thing, language_id: str, *, used: Sequence[str], max_characters: int, marker: str = ""
) -> str:
    """Write a thing down in about ``max_characters``.

    Of its members those that are ``used`` come first, the first first, then those that make it,
    then the others that are not private; what is taken stands in the order of the source. Where
    there is no room for all, a comment, which begins with ``marker``, has the names of the others.
    """
    head = thing.head
    if head.container:
        return _whole(f"class {head.container}", [head.text], language_id)
    if not thing.members:
        return "\n".join(_statement(head.text, language_id))
    taken: set[int] = set()
    left = max_characters - len(head.text) - _INDENT
    wanted = _ranked(thing, used)
    whole = sum(_length(thing.members[at], language_id) for at in wanted)
    spare = max_characters // _NAMES_SHARE if marker and whole > left else 0
    left -= spare
    for at in wanted:
        lines = _statement(thing.members[at].text, language_id)
        length = sum(len(line) + _INDENT for line in lines)
        if length <= left:
            left -= length
            taken.add(at)
    members = [thing.members[at].text for at in sorted(taken)]
    others = _names(thing, taken, spare) if spare else ""
    return _whole(head.text, members, language_id, f"{marker}{_ALSO}{others}" if others else "")


def _length(member: Signature, language_id: str) -> int:
    return sum(len(line) + _INDENT for line in _statement(member.text, language_id))


def _names(thing: Thing, taken: set[int], max_characters: int) -> str:
    """Return the names of the members that are not taken, the public ones first."""
    rest = [member for at, member in enumerate(thing.members) if at not in taken]
    names = dict.fromkeys(member.name for member in sorted(rest, key=_is_private))
    told = ", ".join(names)
    return told if len(told) <= max_characters else told[:max_characters].rpartition(", ")[0]


def still_true(thing: Thing, written: str, language_id: str) -> bool:
    """Tell whether an outline that was written earlier says nothing that is not so by now."""
    names = [member.name for member in thing.members]
    whole = outline(thing, language_id, used=names, max_characters=sys.maxsize)
    lines = {line.strip() for line in whole.splitlines()}
    for line in map(str.strip, written.splitlines()):
        _, also, told = line.partition(_ALSO)
        if not (set(told.split(", ")) <= set(names) if also else line in lines or line == "..."):
            return False
    return True


def _ranked(thing: Thing, used: Sequence[str]) -> list[int]:
    """Return which members to take, the most useful first."""
    places = {name: place for place, name in reversed(list(enumerate(used)))}

    def rank(at: int) -> tuple[int, int]:
        name = thing.members[at].name
        if name in places:
            return 0, places[name]
        return (1 if _constructs(name, thing.head.name) else 2), at

    wanted = [
        at
        for at, member in enumerate(thing.members)
        if member.name in places
        or _constructs(member.name, thing.head.name)
        or not _is_private(member)
    ]
    return sorted(wanted, key=rank)


def _constructs(name: str, owner: str) -> bool:
    return name in _CONSTRUCTORS or name == owner


def _is_private(member: Signature) -> bool:
    return member.name.startswith(("_", "#")) or member.text.startswith("private ")


def _whole(head: str, members: Sequence[str], language_id: str, also: str = "") -> str:
    """Write a class with its members, after the comment ``also``, if that is not empty."""
    lines = [line for member in members for line in _statement(member, language_id)]
    # First, because a prompt without room for all shows the first lines.
    lines = [*([also] if also else []), *lines]
    if language_id == "go":
        return "\n".join([*([] if head.startswith("class ") else [head]), *lines])
    if language_id == "rust" and re.search(r"\b(?:struct|enum|class)\s", head):
        before = [] if head.startswith("class ") else [head]
        owner = re.sub(r".*?\b(?:struct|enum|class)\s+(\w+).*", r"\1", head)
        return "\n".join([*before, f"impl {owner} {{", *(f"    {line}" for line in lines), "}"])
    *decorators, bare = _statement(head, "")
    if language_id in _BRACES:
        return "\n".join([f"{bare} {{", *(f"    {line}" for line in lines), "}"])
    if language_id == "ruby":
        return "\n".join([bare, *(f"  {line}" for line in lines), "end"])
    return "\n".join([*decorators, f"{bare}:", *(f"    {line}" for line in lines or ["..."])])


def _statement(text: str, language_id: str) -> list[str]:
    """Return the lines of a header as a whole statement, with the decorators that matter."""
    decorators: list[str] = []
    while (match := _DECORATOR.match(text)) is not None:
        decorators += [match[0].strip()] if _TELLING.match(text) else []
        text = text[match.end() :]
    text = text.rstrip().removesuffix("...").rstrip(" :{;=")
    if language_id in ("python", "") and text.startswith(("def ", "async def ", "class ")):
        text += "" if language_id == "" else ": ..."
    elif language_id == "python":
        # What a constructor sets is an attribute of the class.
        text = text.removeprefix("self.")
    elif language_id in _BRACES - {"go"} and not text.endswith((",", "}")) and text[:1] != "#":
        text += ";"
    return [*decorators, text]
