"""Ways through a tree: what is around a byte, what stands before and behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from midfill_server.syntax.tree import SyntaxTree

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = [
    "around",
    "before",
    "is_one",
    "outside_of_text",
    "text_of",
    "token_after",
    "token_before",
    "upwards",
]


def is_one(node: Node, kinds: frozenset[str]) -> bool:
    """Return whether a node is of one of the kinds; keywords may be spelled like kinds."""
    return node.is_named and node.type in kinds


def text_of(node: Node) -> str:
    """Return what is written in a node."""
    return (node.text or b"").decode("utf-8", "replace")


def upwards(node: Node | None) -> Iterator[Node]:
    """Yield the node and what holds it, up to the root."""
    while node is not None:
        yield node
        node = node.parent


def around(tree: SyntaxTree, byte: int) -> Iterator[Node]:
    """Yield the nodes that begin before ``byte`` and end behind it, innermost first."""
    root = tree.root
    if not root.start_byte < byte < root.end_byte:
        yield root
        return
    # A node over the two bytes beside the border may still be a parent of the one that is looked
    # for, but never a child of it.
    yield from upwards(root.descendant_for_byte_range(byte - 1, byte + 1))


def outside_of_text(tree: SyntaxTree, offset: int) -> int:
    """Return ``offset``, or the end of the string or comment that it is in; in code points."""
    byte = tree.byte_of(offset)
    kinds = tree.grammar.strings | tree.grammar.comments
    held = [node for node in around(tree, byte) if is_one(node, kinds)]
    return tree.offset_of(held[-1].end_byte) if held else offset


def before(tree: SyntaxTree, byte: int) -> Node | None:
    """Return the token that ends last at or before ``byte``, comments included."""
    data = tree.data
    end = byte
    while end and data[end - 1] in b" \t\r\n\f\v\\":
        end -= 1
    if end == 0:
        return None
    return tree.root.descendant_for_byte_range(end - 1, end)


def token_before(tree: SyntaxTree, byte: int) -> Node | None:
    """Return the token that ends last at or before ``byte`` and is not of a comment."""
    comments = tree.grammar.comments
    while True:
        node = before(tree, byte)
        comment = next((one for one in upwards(node) if is_one(one, comments)), None)
        if comment is None or comment.start_byte >= byte:
            return node
        byte = comment.start_byte


def token_after(tree: SyntaxTree, byte: int) -> Node | None:
    """Return the token that begins first at or behind ``byte`` and is not of a comment."""
    data, comments = tree.data, tree.grammar.comments
    while True:
        while byte < len(data) and data[byte] in b" \t\r\n\f\v":
            byte += 1
        if byte == len(data):
            return None
        node = tree.root.descendant_for_byte_range(byte, byte + 1)
        comment = next((one for one in upwards(node) if is_one(one, comments)), None)
        if comment is None or comment.end_byte <= byte:
            return node
        byte = comment.end_byte
