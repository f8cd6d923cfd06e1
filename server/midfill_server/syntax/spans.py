"""Stretches of a text that its tree knows: the statement and the argument list around a place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill_server.syntax.nodes import is_one, upwards
from midfill_server.syntax.tree import SyntaxTree

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["Arguments", "Span", "arguments_at", "statement_at", "text_kind_at"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The characters ``[start, end)`` of a text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What stands between the brackets of a call: ``[start, end)``, and each argument in it.

    ``named`` are those of the arguments that are given by name.
    """

    start: int
    end: int
    items: tuple[Span, ...]
    named: frozenset[Span]


def statement_at(tree: SyntaxTree | None, start: int, end: int) -> Span | None:
    """Return the innermost statement or member that ``[start, end)`` is in."""
    if tree is None:
        return None
    node = _covering(tree, start, end)
    for one in upwards(node):
        parent = one.parent
        if parent is None:
            return None
        if parent.parent is None or is_one(parent, tree.grammar.blocks):
            return _span(tree, one)
    return None


def arguments_at(tree: SyntaxTree | None, start: int, end: int) -> Arguments | None:
    """Return the innermost arguments that ``[start, end)`` is in, or those of the call it names."""
    if tree is None:
        return None
    first, last = tree.byte_of(start), tree.byte_of(end)
    for node in upwards(_covering(tree, start, end)):
        if is_one(node, tree.grammar.calls) and node.start_byte < first and last <= node.end_byte:
            return _arguments(tree, node)
        given = node.child_by_field_name("arguments")
        if given is not None and is_one(given, tree.grammar.calls):
            return _arguments(tree, given)
        if is_one(node, tree.grammar.blocks):
            return None
    return None


def text_kind_at(tree: SyntaxTree | None, start: int, end: int) -> str:
    """Return ``string`` or ``comment`` if ``[start, end)`` is within one, else an empty string."""
    if tree is None:
        return ""
    for node in upwards(_covering(tree, start, end)):
        if is_one(node, tree.grammar.interpolations):
            return ""
        if is_one(node, tree.grammar.comments):
            return "comment"
        if is_one(node, tree.grammar.strings):
            return "string"
    return ""


def _covering(tree: SyntaxTree, start: int, end: int) -> Node | None:
    first = tree.byte_of(start)
    last = max(tree.byte_of(end), first)
    return tree.root.named_descendant_for_byte_range(first, last)


def _arguments(tree: SyntaxTree, node: Node) -> Arguments | None:
    data = tree.data
    if data[node.start_byte : node.start_byte + 1] != b"(" or data[node.end_byte - 1 :][:1] != b")":
        return None
    items = [one for one in node.named_children if not is_one(one, tree.grammar.comments)]
    named = (one for one in items if one.type in ("keyword_argument", "dictionary_splat"))
    return Arguments(
        start=tree.offset_of(node.start_byte + 1),
        end=tree.offset_of(node.end_byte - 1),
        items=tuple(_span(tree, one) for one in items),
        named=frozenset(_span(tree, one) for one in named),
    )


def _span(tree: SyntaxTree, node: Node) -> Span:
    return Span(start=tree.offset_of(node.start_byte), end=tree.offset_of(node.end_byte))
