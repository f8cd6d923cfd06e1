"""Where in the syntax the cursor stands: what kind of text belongs there.

While somebody types, the tree is mostly wrong around the cursor: a bracket is open, a string not
closed. So the tree is believed where it has no error nearby, and the text is read where it has.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from midfill_server.syntax.nodes import around, before, is_one, token_after, token_before, upwards
from midfill_server.syntax.scan import Open, open_at
from midfill_server.syntax.tree import SyntaxTree

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["Kind", "Place", "place_at"]

# How far back the text is read where the tree is wrong.
_MAX_SCAN_CHARS = 20_000
_CLOSERS = re.compile(r"[)\]};,\s]*")
_WORD = re.compile(r"[$@]?\w+")
# Statements that are a word.
_WHOLE_WORDS = re.compile(r"(?:pass|break|continue|fallthrough|done|fi|esac|end|redo|retry|next)\Z")
_CALLABLE = re.compile(r"([\w$]+|[)\]>])\s*!?\s*(?:\?\.)?\Z")
_NEVER_CALLED = re.compile(
    r"(?:if|elif|while|for|foreach|switch|match|catch|return|and|or|not|in|is|with|lock|using|when"
    r"|unless|until|assert|del|yield|await|throw|raise|else|case|synchronized|fixed|do|new|lambda"
    r"|async)\Z"
)
_DEFINES = re.compile(r"\b(?:def|function\*?|func|fn|class|sub|macro_rules!)\s+[\w.$]*\Z")
# Where types come first, two words before the parenthesis are a function that is being written.
_TYPES_FIRST = frozenset({"c", "cpp", "csharp", "java"})
_DEFINES_TYPED = re.compile(
    r"\s*(?!(?:return|new|throw|else|await|case|yield|co_\w+|goto|using)\b)"
    r"(?:[\w<>\[\],.:?]+[\s*&]+)+[\w:~]+\Z"
)
_LITERAL = re.compile(r"(?:[=(,\[:?&|]|\breturn|\bnew\s[\w<>\[\].]+)\s*\Z")


class Kind(StrEnum):
    """What is written at the cursor."""

    EMPTY_BLOCK = "empty block"
    STATEMENT_START = "statement start"
    STATEMENT_END = "statement end"
    MID_STATEMENT = "mid statement"
    CALL = "call"
    STRING = "string"
    COMMENT = "comment"
    DOCSTRING = "docstring"
    IMPORT = "import"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The place of a cursor: what is written there.

    ``EMPTY_BLOCK`` is the body of something that has none yet, also behind its docstring.
    ``STATEMENT_START`` is where a statement or a member may begin. ``STATEMENT_END`` is behind a
    whole one, on its line. ``CALL`` is among the arguments of a call. ``DOCSTRING`` is also a
    comment that documents. ``PLAIN`` is any place in a text without a tree.
    """

    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spot:
    """The cursor with what is looked at again and again."""

    tree: SyntaxTree
    text: str
    cursor: int
    byte: int
    left: str  # of the cursor's line, before it
    right: str
    open: Open | None  # where the tree is wrong nearby


def place_at(tree: SyntaxTree | None, text: str, cursor: int) -> Place:
    """Return the place of ``cursor`` in ``text``, whose tree is ``tree``."""
    if tree is None:
        return Place(kind=Kind.PLAIN)
    start = text.rfind("\n", 0, cursor) + 1
    end = text.find("\n", cursor)
    spot = _Spot(
        tree=tree,
        text=text,
        cursor=cursor,
        byte=tree.byte_of(cursor),
        left=text[start:cursor],
        right=text[cursor : end if end >= 0 else len(text)],
        open=_open(tree, text, cursor),
    )
    return Place(kind=_in_text(spot) or _in_code(spot))


def _open(tree: SyntaxTree, text: str, cursor: int) -> Open | None:
    """Return what the text says is open, if the tree around the cursor is wrong."""
    if not tree.root.has_error:
        return None
    byte = tree.byte_of(cursor)
    pieces = tree.pieces
    # The piece that the cursor is in or right behind.
    index = bisect_left(pieces, byte, key=lambda piece: piece.start_byte) - 1
    if not any(piece.has_error for piece in pieces[max(index, 0) : index + 2]):
        return None
    # A wrong tree often falls into pieces, and what is open began in one of those before. So the
    # text is read from where the tree was last right.
    while index > 0 and (pieces[index].has_error or pieces[index - 1].has_error):
        index -= 1
    start = tree.offset_of(pieces[index].start_byte) if index >= 0 else cursor
    return open_at(text, max(start, cursor - _MAX_SCAN_CHARS), cursor, tree.language)


def _in_text(spot: _Spot) -> Kind | None:
    """Return which kind of prose the cursor is in, if any."""
    grammar = spot.tree.grammar
    for node in around(spot.tree, spot.byte):
        if is_one(node, grammar.interpolations):
            return None
        if is_one(node, grammar.comments):
            return _comment_kind(spot, node)
        if is_one(node, grammar.strings):
            if _is_in_code(spot, spot.tree.offset_of(node.start_byte)):
                return None
            return Kind.IMPORT if _in_import(spot, node) else _string_kind(spot, node)
    last = before(spot.tree, spot.byte)
    if last is not None and last.end_byte >= spot.byte:
        # At the end of its line a comment goes on.
        for node in upwards(last):
            if is_one(node, grammar.comments) and not _is_closed(spot, node):
                return _comment_kind(spot, node)
    elif spot.left.strip():
        node = next((one for one in upwards(last) if is_one(one, grammar.comments)), None)
        line_start = spot.byte - len(spot.left.encode("utf-8", "replace"))
        if node is not None and node.start_byte >= line_start and not _is_closed(spot, node):
            return _comment_kind(spot, node)
    if spot.open is not None and spot.open.inside and not _is_in_code(spot, spot.open.since):
        return _open_kind(spot, spot.open)
    return None


def _is_in_code(spot: _Spot, start: int) -> bool:
    """Return whether a string from ``start`` on has opened a place for code at the cursor."""
    while start and spot.text[start - 1] in "$@fFrR":
        start -= 1
    written = spot.text[start : spot.cursor]
    return re.search(spot.tree.grammar.opens_code, written, re.DOTALL) is not None


def _is_closed(spot: _Spot, comment: Node) -> bool:
    block = spot.tree.language.block_comment
    if block is None:
        return False
    written = spot.tree.data[comment.start_byte : comment.end_byte]
    return written.startswith(block[0].encode()) and written.endswith(block[1].encode())


def _comment_kind(spot: _Spot, node: Node) -> Kind:
    written = spot.tree.data[node.start_byte : node.start_byte + 4]
    return _written_kind(written.decode("utf-8", "replace"))


def _written_kind(comment: str) -> Kind:
    # "////" is a line of a frame, "/**/" is empty.
    documents = re.match(r"/\*\*(?!/)|//[/!](?!/)|/\*!", comment)
    return Kind.DOCSTRING if documents else Kind.COMMENT


def _string_kind(spot: _Spot, node: Node) -> Kind:
    if not spot.tree.grammar.dedents:
        return Kind.STRING
    return Kind.DOCSTRING if _documents(node) else Kind.STRING


def _documents(string: Node) -> bool:
    """Return whether a string is the first statement of its block."""
    statement = string.parent
    if statement is None or statement.type != "expression_statement":
        return False
    if any(child.type == "interpolation" for child in string.children):
        return False
    earlier = statement.prev_named_sibling
    while earlier is not None and earlier.type == "comment":
        earlier = earlier.prev_named_sibling
    holder = statement.parent
    return earlier is None and holder is not None and holder.type in ("block", "module")


def _open_kind(spot: _Spot, open: Open) -> Kind | None:
    language = spot.tree.language
    if open.inside in (language.line_comment, (language.block_comment or ("",))[0]):
        return _written_kind(spot.text[open.since : open.since + 4])
    line_start = spot.text.rfind("\n", 0, open.since) + 1
    if _begins_import(spot, spot.text[line_start : open.since]):
        return Kind.IMPORT
    starts_line = not spot.text[line_start : open.since].strip(" \trRuUbBfF")
    if len(open.inside) == 3 and starts_line and not open.brackets:
        head = spot.text[:line_start].rstrip()
        if not head or head.endswith(":"):
            return Kind.DOCSTRING
    return Kind.STRING


def _in_import(spot: _Spot, node: Node) -> bool:
    grammar = spot.tree.grammar
    return any(is_one(one, grammar.imports) for one in upwards(node)) or (
        _begins_import(spot, spot.left)
    )


def _in_code(spot: _Spot) -> Kind:
    """Return the kind of a place that is in no string and no comment."""
    blank_before = not spot.left.strip()
    closers = _CLOSERS.fullmatch(spot.right) is not None
    if _is_import(spot):
        return Kind.IMPORT
    bracket = _bracket_kind(spot)
    if bracket is not None:
        return bracket
    header = _block_header(spot)
    if header is not None and (blank_before or closers):
        return Kind.EMPTY_BLOCK if _is_empty(spot, header) else Kind.STATEMENT_START
    if blank_before:
        return Kind.STATEMENT_START
    if closers and _is_statement(spot):
        return Kind.STATEMENT_END
    return Kind.MID_STATEMENT


def _is_import(spot: _Spot) -> bool:
    if spot.left.rstrip().endswith(";"):
        return False
    if _begins_import(spot, spot.left):
        return True
    grammar = spot.tree.grammar
    for node in around(spot.tree, spot.byte):
        # A wrong tree takes other statements for imports.
        if is_one(node, grammar.imports) and _begins_import(spot, _written(spot.tree, node, 80)):
            return True
    if spot.open is None or not spot.open.brackets:
        return False
    opener = spot.open.brackets[-1]
    line_start = spot.text.rfind("\n", 0, opener) + 1
    return _begins_import(spot, spot.text[line_start : opener + 1])


def _begins_import(spot: _Spot, line: str) -> bool:
    return re.match(rf"\s*(?:{spot.tree.grammar.import_line})", line) is not None


def _bracket_kind(spot: _Spot) -> Kind | None:
    """Return the kind of a place between brackets that are not those of a block."""
    if spot.open is not None:
        return _open_bracket_kind(spot, spot.open)
    grammar, data = spot.tree.grammar, spot.tree.data
    bracketed = False
    for node in around(spot.tree, spot.byte):
        if is_one(node, grammar.calls):
            return Kind.CALL
        if is_one(node, grammar.literals):
            return Kind.MID_STATEMENT
        if is_one(node, grammar.blocks):
            break
        bracketed = bracketed or (data[node.start_byte] in b"([" and node.child_count > 1)
    return Kind.MID_STATEMENT if bracketed else None


def _open_bracket_kind(spot: _Spot, open: Open) -> Kind | None:
    """Return the same from the text."""
    for at in reversed(open.brackets):
        head = spot.text[max(at - 80, 0) : at]
        if spot.text[at] == "{":
            if _LITERAL.search(head):
                return Kind.MID_STATEMENT
            break
        if spot.text[at] == "(" and spot.tree.grammar.calls and _is_called(spot, head):
            return Kind.CALL
    else:
        return Kind.MID_STATEMENT if open.brackets else None
    return Kind.MID_STATEMENT if open.brackets[-1] != at else None


def _is_called(spot: _Spot, head: str) -> bool:
    """Return whether an opening parenthesis behind ``head`` is that of a call."""
    line = head[head.rfind("\n") + 1 :]
    callee = _CALLABLE.search(line)
    return (
        callee is not None
        and _NEVER_CALLED.match(callee.group(1)) is None
        and _DEFINES.search(line) is None
        and not (spot.tree.language.id in _TYPES_FIRST and _DEFINES_TYPED.match(line))
    )


def _block_header(spot: _Spot) -> Node | None:
    """Return the last token of the header of a block that begins right before the cursor."""
    token = token_before(spot.tree, spot.byte)
    if token is None:
        return None
    if spot.tree.grammar.dedents:
        string = next((node for node in upwards(token) if node.type == "string"), None)
        if string is not None and _documents(string):
            token = token_before(spot.tree, string.start_byte)
            if token is None:
                return None
    line, _ = _line_of(spot, token)
    if re.search(spot.tree.grammar.opens, line) is None:
        return None
    return None if line.endswith("{") and _opens_literal(spot, token, line) else token


def _written(tree: SyntaxTree, node: Node, limit: int = 1000) -> str:
    end = min(node.end_byte, node.start_byte + limit)
    return tree.data[node.start_byte : end].decode("utf-8", "replace")


def _line_of(spot: _Spot, token: Node) -> tuple[str, int]:
    """Return the line of a token up to its end, and how far the line is indented."""
    data = spot.tree.data
    start = data.rfind(b"\n", 0, token.end_byte) + 1
    line = data[start : token.end_byte].decode("utf-8", "replace")
    return line, _indent(line)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _opens_literal(spot: _Spot, token: Node, line: str) -> bool:
    holder = token.parent
    if holder is not None and not holder.is_error:
        return is_one(holder, spot.tree.grammar.literals)
    return _LITERAL.search(line[:-1]) is not None


def _is_empty(spot: _Spot, header: Node) -> bool:
    """Return whether nothing but blanks and comments is in the block behind ``header``."""
    grammar, data = spot.tree.grammar, spot.tree.data
    following = token_after(spot.tree, spot.byte)
    if following is None:
        return True
    rest = data[following.start_byte : following.start_byte + 12].decode("utf-8", "replace")
    if re.match(grammar.closes, rest):
        return True
    if not grammar.dedents and spot.open is None:
        return False
    # What is indented no deeper than the header is not in its block, even where nothing closes it.
    start = data.rfind(b"\n", 0, following.start_byte) + 1
    own_line = start > spot.byte
    indent = following.start_byte - start
    return own_line and indent <= _line_of(spot, header)[1]


def _is_statement(spot: _Spot) -> bool:
    """Return whether what ends at the cursor is a whole statement or member."""
    token = before(spot.tree, spot.byte)
    if token is None:
        return False
    if spot.left != spot.left.rstrip() and token.type not in (";", "}", "end"):
        # A blank that somebody typed asks for more.
        return False
    for node in upwards(token):
        parent = node.parent
        if parent is None or node.end_byte > token.end_byte or node.is_error:
            return False
        if is_one(parent, spot.tree.grammar.blocks):
            # Some members have their semicolon beside them.
            statement = node if node.is_named else node.prev_named_sibling
            if node.is_named or node.type == ";":
                break
    else:
        return False
    if statement is None or statement.has_error:
        return False
    written = _written(spot.tree, statement)
    if written.endswith("=") or statement.is_error:
        return False
    return _WORD.fullmatch(written) is None or _WHOLE_WORDS.match(written) is not None
