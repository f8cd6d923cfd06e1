"""Where the definitions of a text end."""

from __future__ import annotations

from midfill_server.syntax.nodes import is_one
from midfill_server.syntax.tree import SyntaxTree

__all__ = ["ends"]


def ends(tree: SyntaxTree | None, start: int, stop: int) -> tuple[int, ...]:
    """Return where functions, classes and types end, behind ``start`` and up to ``stop``, in order.

    Those inside of functions are left out, but for the functions that ``start`` is in.
    """
    if tree is None:
        return ()
    grammar = tree.grammar
    first, last = tree.byte_of(start), tree.byte_of(min(stop, len(tree.text)))
    found: set[int] = set()
    pending = [tree.pieces]
    while pending:
        for node in pending.pop():
            if node.end_byte <= first or node.start_byte >= last:
                continue
            function = is_one(node, grammar.functions)
            unit = function or is_one(node, grammar.classes) or is_one(node, grammar.types)
            if unit and node.end_byte <= last:
                found.add(node.end_byte)
            if node.start_byte < first or not function:
                pending.append(node.named_children)
    return tuple(tree.offset_of(byte) for byte in sorted(found))
