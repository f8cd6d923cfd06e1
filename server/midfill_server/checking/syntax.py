"""Syntax alone, by tree-sitter: what remains where no other checker can be asked.

It says whether a text can be parsed, and nothing about what it means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill_engine.cancel import CancelToken
from midfill_server.checking.base import CheckCancelledError, CheckFailedError
from midfill_server.checking.finding import Finding
from midfill_server.document import LineTable
from midfill_server.syntax import Language, SyntaxTree

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["SYNTAX", "SyntaxChecker"]

SYNTAX = "syntax"
"""The name and source of what only syntax says."""

_MAX_FOUND = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntaxChecker:
    """Finds what is wrong with the tree of a text."""

    language: Language
    name: str = SYNTAX

    def check(
        self, path: str, text: str, cancel: CancelToken, timeout_s: float
    ) -> tuple[Finding, ...]:
        """Parse one text as ``Checker`` says."""
        del path
        if cancel.cancelled:
            raise CheckCancelledError("The check was cancelled.")
        tree = SyntaxTree.parse(text, self.language, limit_s=min(timeout_s, 2.0))
        if tree is None:
            raise CheckFailedError(f"This text cannot be parsed as {self.language.name}.")
        lines = LineTable.of(text)
        found: list[Finding] = []
        for node in _wrong(tree.root):
            if len(found) >= _MAX_FOUND:
                break
            start, end = tree.offset_of(node.start_byte), tree.offset_of(node.end_byte)
            first, last = lines.line_of(start), lines.line_of(end)
            found.append(
                Finding(
                    first_line=first,
                    first_column=start - lines.start_of(first),
                    last_line=last,
                    last_column=end - lines.start_of(last),
                    message=f"{node.type!r} is missing" if node.is_missing else "Syntax error",
                    code="",
                    source=SYNTAX,
                )
            )
        return tuple(found)


def _wrong(node: Node) -> Iterator[Node]:
    """Yield what is wrong, in the order of the text; of what is hidden, what holds it."""
    pending = [node]
    while pending:
        node = pending.pop()
        if not node.has_error:
            continue
        inner = [child for child in node.children if child.has_error]
        if node.is_error or node.is_missing or not inner:
            yield node
        pending.extend(reversed(inner))
