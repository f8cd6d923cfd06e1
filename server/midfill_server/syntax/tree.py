"""The tree of a text, and how it is kept up while the text is edited."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import cached_property
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

from midfill_server.syntax.grammars import Grammar, load
from midfill_server.syntax.languages import Language, language_of

if TYPE_CHECKING:
    from tree_sitter import Language as TreeSitterLanguage
    from tree_sitter import Node, Tree

__all__ = ["MAX_CHARS", "SyntaxTree", "Trees"]

MAX_CHARS = 1_000_000
# What is no program at all, however short, can take tree-sitter seconds.
MAX_PARSE_S = 0.3
_RETRY_CHARS = 1000
_MAX_KEPT_CHARS = 4 * MAX_CHARS
_SLICE_BYTES = 64 * 1024
# For a grammar that knows ASCII only, all other characters are letters, byte by byte.
_AS_LETTERS = bytes(range(128)) + b"x" * 128
_BLOCK_CHARS = 1024
_WHOLE_CHARS = 8192
_NEAR_CHARS = 6000
# The blanks before a line that may begin something: none that closes or continues another.
_LINE_START = re.compile(r"(?<=\n)[ \t]*(?=[^\s)\]}])(?!(?:el|catch|except|finally|end|fi|done))")


class _Bytes:
    """A text in UTF-8, and the way between offsets in the one and in the other.

    A lone surrogate, which no UTF-8 has, becomes a question mark: the tree only needs that
    something stands there.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.data = text.encode("utf-8", "replace")
        self._ascii = len(self.data) == len(text)

    @cached_property
    def _blocks(self) -> list[int]:
        """Return where, in bytes, each stretch of so many characters starts."""
        starts = [0]
        for at in range(0, len(self.text), _BLOCK_CHARS):
            part = self.text[at : at + _BLOCK_CHARS]
            starts.append(starts[-1] + len(part.encode("utf-8", "replace")))
        return starts

    def byte_of(self, offset: int) -> int:
        if self._ascii:
            return offset
        block = min(offset // _BLOCK_CHARS, len(self._blocks) - 1)
        rest = self.text[block * _BLOCK_CHARS : offset]
        return self._blocks[block] + len(rest.encode("utf-8", "replace"))

    def offset_of(self, byte: int) -> int:
        if self._ascii:
            return byte
        # The last of them is the end of the text, where no stretch starts.
        block = min(bisect_right(self._blocks, byte), len(self._blocks) - 1) - 1
        rest = self.data[self._blocks[block] : byte]
        return block * _BLOCK_CHARS + len(rest.decode("utf-8", "replace"))


class SyntaxTree:
    """The tree of one text; immutable. All offsets are in code points.

    Nodes are tree-sitter's and count in bytes: they are for this package, and ``offset_of`` and
    ``byte_of`` lead from one count to the other.
    """

    def __init__(self, source: _Bytes, language: Language, grammar: Grammar, tree: Tree) -> None:
        self._source = source
        self._tree = tree
        self.language = language
        self.grammar = grammar
        # What was last asked at one cursor, since it is asked again for each text tried out there.
        self._near: tuple[int, SyntaxTree, int] | None = None
        self._calm: tuple[int, SyntaxTree] | None = None

    @classmethod
    def parse(
        cls, text: str, language: Language | None, *, limit_s: float | None = None
    ) -> SyntaxTree | None:
        """Parse the whole text. ``None`` without a grammar, or where that takes too long.

        No other Python thread runs meanwhile: tree-sitter does not let them. ``limit_s`` is how
        long they can wait; texts above ``MAX_CHARS`` are never parsed.
        """
        if language is None or language.grammar is None or len(text) > MAX_CHARS:
            return None
        compiled = load(language.grammar)
        if compiled is None:
            return None
        source = _Bytes(text)
        tree = _parsed(_legible(source, language.grammar), compiled, None, limit_s)
        return cls(source, language, language.grammar, tree) if tree is not None else None

    def edited(self, new_text: str) -> SyntaxTree:
        """Return the tree of ``new_text``, parsed anew only around what differs."""
        tree = self.edited_within(new_text, limit_s=None)
        assert tree is not None, "without a limit a text is parsed to its end"
        return tree

    def edited_within(self, new_text: str, *, limit_s: float | None) -> SyntaxTree | None:
        """Return the same, or ``None`` if it takes longer than ``limit_s``."""
        if new_text == self.text:
            return self
        source = _Bytes(new_text)
        old, new = self._source.data, source.data
        start, behind = _changed(old, new)
        old_end, new_end = len(old) - behind, len(new) - behind
        # The tree of another text may be read by others meanwhile.
        tree = self._tree.copy()
        tree.edit(
            start,
            old_end,
            new_end,
            _point(old, start),
            _point(old, old_end),
            _point(new, new_end),
        )
        parsed = _parsed(_legible(source, self.grammar), self._tree.language, tree, limit_s)
        if parsed is None:
            return None
        return SyntaxTree(source, self.language, self.grammar, parsed)

    def calm(self, cursor: int) -> SyntaxTree:
        """Return the tree with blanks in place of what is on the cursor's line.

        That is mostly unfinished, and may hide what it stands in; all offsets stay.
        """
        known = self._calm
        if known is None or known[0] != cursor:
            text = self.text
            start = text.rfind("\n", 0, cursor) + 1
            end = text.find("\n", cursor)
            end = len(text) if end < 0 else end
            indent = start + len(text[start:end]) - len(text[start:end].lstrip())
            calm = self.edited(text[:indent] + " " * (end - indent) + text[end:])
            known = self._calm = (cursor, calm)
        return known[1]

    def near(self, cursor: int) -> tuple[SyntaxTree, int]:
        """Return the tree of the part of the text around ``cursor``, and the cursor in it.

        Of a short text that is all of it. What is tried out at a cursor costs the same in a long
        file as in a short one then, even where a bracket is open all the way to its end.
        """
        if len(self.text) <= _WHOLE_CHARS:
            return self, cursor
        known = self._near
        if known is None or known[0] != cursor:
            text, start = self.text, self._border(cursor - _NEAR_CHARS, cursor - _NEAR_CHARS // 2)
            end = self._border(cursor + _NEAR_CHARS // 8, cursor + _NEAR_CHARS // 4)
            prologue = self.grammar.prologue if start else ""
            part = SyntaxTree.parse(prologue + text[start:end], self.language, limit_s=MAX_PARSE_S)
            if part is None:
                return self, cursor
            known = self._near = (cursor, part, len(prologue) + cursor - start)
        return known[1], known[2]

    def _border(self, low: int, high: int) -> int:
        """Return an offset between the two where the text is best cut: before an outer line."""
        if low <= 0 or low >= len(self.text):
            return max(min(low, len(self.text)), 0)
        lines = [
            (len(match[0]), -match.start())
            for match in _LINE_START.finditer(self.text, low, min(high, len(self.text)))
        ]
        kinds = self.grammar.strings | self.grammar.comments
        for _, start in sorted(lines)[:8]:
            byte = self.byte_of(-start)
            node = self.root.descendant_for_byte_range(byte, byte + 1)
            while node is not None and not (node.is_named and node.type in kinds):
                node = node.parent
            if node is None or node.start_byte >= byte:
                return -start
        return low

    @property
    def text(self) -> str:
        """The text the tree is of."""
        return self._source.text

    @property
    def data(self) -> bytes:
        """The text in UTF-8, in which nodes count."""
        return self._source.data

    @property
    def root(self) -> Node:
        """The node of the whole text."""
        return self._tree.root_node

    @cached_property
    def pieces(self) -> list[Node]:
        """The nodes at the top level, in order."""
        return self._tree.root_node.children

    @cached_property
    def errors(self) -> int:
        """How many nodes are wrong or had to be made up."""
        # Some errors are of nodes that grammars hide.
        found = sum(1 for _ in _wrong(self._tree.root_node))
        return max(found, int(self._tree.root_node.has_error))

    def byte_of(self, offset: int) -> int:
        """Return where in UTF-8 the character at ``offset`` starts."""
        return self._source.byte_of(offset)

    def offset_of(self, byte: int) -> int:
        """Return the offset of the character that starts at ``byte``."""
        return self._source.offset_of(byte)


def _legible(source: _Bytes, grammar: Grammar) -> bytes:
    """Return the text as the grammar can take it; each byte stays where it is."""
    return source.data.translate(_AS_LETTERS) if grammar.only_ascii else source.data


def _parsed(
    data: bytes, language: TreeSitterLanguage, old: Tree | None, limit_s: float | None
) -> Tree | None:
    """Return the tree of ``data``; ``None`` once ``limit_s`` is over."""
    from tree_sitter import Parser

    parser = Parser(language)
    if limit_s is None:
        return parser.parse(data, old) if old is not None else parser.parse(data)
    end = monotonic() + limit_s

    def read(byte: int, _point: object) -> bytes:
        return data[byte : byte + _SLICE_BYTES]

    def is_over(_byte: int, _wrong: bool) -> bool:
        return monotonic() > end

    try:
        if old is not None:
            return parser.parse(read, old, progress_callback=is_over)
        return parser.parse(read, progress_callback=is_over)
    except ValueError:
        # That is how it says that it was stopped.
        return None


def _wrong(node: Node) -> Iterator[Node]:
    pending = [node]
    while pending:
        node = pending.pop()
        if not node.has_error:
            continue
        if node.is_error or node.is_missing:
            yield node
        pending.extend(node.children)


def _changed(old: bytes, new: bytes) -> tuple[int, int]:
    """Return how many bytes are the same at the start and at the end, at borders of characters."""
    limit = min(len(old), len(new))
    start = _same(limit, lambda low, high: old[low:high] == new[low:high])
    while start and start < limit and old[start] & 0xC0 == 0x80:
        start -= 1
    from_old, from_new = len(old), len(new)
    behind = _same(
        limit - start,
        lambda low, high: (
            old[from_old - high : from_old - low] == new[from_new - high : from_new - low]
        ),
    )
    while behind and old[from_old - behind] & 0xC0 == 0x80:
        behind -= 1
    return start, behind


def _same(limit: int, equal: Callable[[int, int], bool]) -> int:
    """Return the length of the longest equal stretch, by halves that are compared as wholes."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if equal(low, middle):
            low = middle
        else:
            high = middle - 1
    return low


def _point(data: bytes, byte: int) -> tuple[int, int]:
    """Return row and column, in bytes, as tree-sitter counts them."""
    return data.count(b"\n", 0, byte), byte - (data.rfind(b"\n", 0, byte) + 1)


class Trees:
    """The last tree of each document, so that the next key parses only what it changed.

    Bounded: the documents that were not asked for lately are forgotten. Safe to use from several
    threads.
    """

    def __init__(self, limit: int = 16, *, limit_s: float = MAX_PARSE_S) -> None:
        self._limit = limit
        self._limit_s = limit_s
        self._trees: OrderedDict[str, SyntaxTree] = OrderedDict()
        # How long the texts were that took too long.
        self._given_up: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()

    def tree(self, uri: str, language_id: str, text: str) -> SyntaxTree | None:
        """Return the tree of a document as it is now.

        ``None`` without a grammar, and for a while where a text took too long.
        """
        language = language_of(language_id, uri)
        if language is None or language.grammar is None or len(text) > MAX_CHARS:
            return None
        with self._lock:
            last = self._trees.pop(uri, None)
            given_up = self._given_up.get(uri)
        if given_up is not None and abs(len(text) - given_up) < _RETRY_CHARS:
            return None
        if last is not None and last.language is language:
            tree = last.edited_within(text, limit_s=self._limit_s)
        else:
            tree = SyntaxTree.parse(text, language, limit_s=self._limit_s)
        with self._lock:
            self._given_up.pop(uri, None)
            if tree is not None:
                self._trees[uri] = tree
            else:
                self._given_up[uri] = len(text)
            self._forget_old()
        return tree

    def forget(self, uri: str) -> None:
        """Drop a document that was closed."""
        with self._lock:
            self._trees.pop(uri, None)
            self._given_up.pop(uri, None)

    def _forget_old(self) -> None:
        chars = sum(len(tree.text) for tree in self._trees.values())
        while len(self._trees) > self._limit or (chars > _MAX_KEPT_CHARS and len(self._trees) > 1):
            _, tree = self._trees.popitem(last=False)
            chars -= len(tree.text)
        while len(self._given_up) > self._limit:
            self._given_up.popitem(last=False)
