"""What the tree says of a text that is filled in: whether it fits, where it leaves its block."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

from midfill_server.syntax.nodes import is_one, token_after, upwards
from midfill_server.syntax.tree import SyntaxTree

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["Joined", "breaks", "join"]

_BRACES = re.compile("[{}]")
_LAST_CLOSER = re.compile(r"(?:\b(?:end|fi|done|esac)|[)\]}])\Z")
_FOLLOWING_CLOSER = re.compile(r"\s*(?:(?:end|fi|done|esac)\b|[)\]}]+;?)")
_MAX_CLOSERS = 4
_MAX_ERRORS = 300


class Joined:
    """A document with a middle filled in, compared to the document without it.

    Of a long document only the part around the cursor is looked at.
    """

    def __init__(self, base: SyntaxTree, cursor: int, middle: str) -> None:
        self._base = base
        self._cursor = cursor
        self._middle = middle
        self._tree = _filled(base, cursor, middle)

    @property
    def new_errors(self) -> int:
        """How many errors the middle adds; negative where it repairs what its absence broke."""
        return self._tree.errors - self._base.errors

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong with the middle filled in."""
        return not self._tree.root.has_error

    @property
    def fits(self) -> bool:
        """Whether no more is wrong than without the cursor's line: nothing that the middle left so.

        Where the text is broken elsewhere, or a long one was cut, ``whole`` is asking too much.
        """
        if self.whole:
            return True
        allowed = self._base.calm(self._cursor).errors
        text = self._base.text
        start = text.rfind("\n", 0, self._cursor) + 1
        if _BRACES.search(text[start:].partition("\n")[0]):
            # Without its line a block that begins or ends there is wrong for that alone.
            allowed = min(allowed, self._base.errors)
        return self._tree.errors <= allowed

    @cached_property
    def closes_at(self) -> int | None:
        """Where in the middle the block ends that holds the cursor, if code follows in the middle.

        What follows is of an outer scope. A closing bracket counts as before this place where the
        text after the cursor closes the block once more, and as behind it where it does not.
        """
        token = self._first_token
        if token is None:
            return None
        for node in upwards(token):
            if is_one(node, self._tree.grammar.blocks) and node.parent is not None:
                own_start = self._tree.data[node.start_byte : node.start_byte + 1] == b"{"
                if node.start_byte < self._start or not own_start:
                    return self._end_of(node)
        return None

    @cached_property
    def _start(self) -> int:
        return self._tree.byte_of(self._cursor)

    @cached_property
    def _first_token(self) -> Node | None:
        """The first token of the middle."""
        token = token_after(self._tree, self._start)
        return token if token is not None and token.start_byte < self._stop else None

    @cached_property
    def _stop(self) -> int:
        return self._tree.byte_of(self._cursor + len(self._middle))

    def _end_of(self, node: Node) -> int | None:
        """Return where in the middle a node ends, if code follows it there."""
        offset = self._tree.offset_of(node.end_byte) - self._cursor
        if offset > len(self._middle):
            return None
        end = self._best_end(len(self._middle[:offset].rstrip()))
        return end if self._goes_on(end) else None

    def _goes_on(self, offset: int) -> bool:
        """Return whether code follows ``offset`` in the middle."""
        if offset >= len(self._middle):
            return False
        token = token_after(self._tree, self._tree.byte_of(self._cursor + offset))
        return token is not None and token.start_byte < self._stop

    def _best_end(self, offset: int) -> int:
        """Return the offset, or one before or behind the closers there: that with least errors."""
        ends = [offset]
        while len(ends) <= _MAX_CLOSERS and (end := _without_closer(self._middle[: ends[-1]])):
            ends.append(end)
        following = _FOLLOWING_CLOSER.match(self._middle, offset)
        if following is not None:
            ends.insert(0, following.end())
        # Of two that are as good the shorter one: what the text after the cursor closes as well
        # need not be closed here.
        return min(ends, key=lambda end: (self._errors(end), end))

    def _errors(self, end: int) -> int:
        return _filled(self._base, self._cursor, self._middle[:end]).errors


def join(tree: SyntaxTree | None, cursor: int, middle: str) -> Joined | None:
    """Fill ``middle`` in at ``cursor`` of the document ``tree`` is of.

    ``None`` without a tree, and where so much is wrong that an error more would say nothing.
    """
    if tree is None:
        return None
    base, cursor = tree.near(cursor)
    return None if base.errors > _MAX_ERRORS else Joined(base, cursor, middle)


def breaks(tree: SyntaxTree | None, cursor: int, middle: str) -> bool:
    """Return whether the document was whole without ``middle`` and is not with it."""
    if tree is None or tree.root.has_error:
        return False
    return _filled(tree, cursor, middle).root.has_error


def _filled(tree: SyntaxTree, cursor: int, middle: str) -> SyntaxTree:
    return tree.edited(tree.text[:cursor] + middle + tree.text[cursor:])


def _without_closer(text: str) -> int:
    """Return the length of ``text`` without the last bracket or word that closes; 0 without one."""
    bare = text.rstrip(";, \t\r\n")
    closer = _LAST_CLOSER.search(bare)
    return len(bare[: closer.start()].rstrip()) if closer is not None else 0
