"""The helpers through which tests of syntax say: at this place of this text, that is found."""

from __future__ import annotations

from midfill_server.syntax import (
    Joined,
    Kind,
    SyntaxTree,
    enclosing,
    join,
    language_of,
    place_at,
)

__all__ = ["CURSOR", "check_enclosing", "check_end", "check_place", "joined", "tree_of"]

CURSOR = "<|>"


def tree_of(language_id: str, text: str) -> SyntaxTree:
    """Parse a text in a language that has a grammar."""
    tree = SyntaxTree.parse(text, language_of(language_id))
    assert tree is not None, f"{language_id} has no grammar"
    return tree


def check_place(language_id: str, marked: str, expected: Kind) -> None:
    """Assert what kind of place the cursor mark is."""
    text = marked.replace(CURSOR, "", 1)
    place = place_at(tree_of(language_id, text), text, marked.index(CURSOR))
    assert place.kind is expected, f"{marked!r} is {place.kind!r}"


def check_enclosing(language_id: str, marked: str, expected: list[str]) -> None:
    """Assert the headers of the units around the cursor mark, outermost first."""
    text = marked.replace(CURSOR, "", 1)
    units = enclosing(tree_of(language_id, text), marked.index(CURSOR))
    assert [text[unit.start : unit.header_end] for unit in units] == expected


def joined(language_id: str, marked: str, middle: str) -> Joined:
    """Fill ``middle`` in at the cursor mark."""
    tree = tree_of(language_id, marked.replace(CURSOR, "", 1))
    found = join(tree, marked.index(CURSOR), middle)
    assert found is not None
    return found


def check_end(language_id: str, marked: str, middle: str, block: str | None) -> None:
    """Assert which beginning of ``middle`` ends the cursor's block, if any."""
    end = joined(language_id, marked, middle).closes_at
    assert (None if end is None else middle[:end]) == block
