"""The units of a text: the classes and functions around the cursor, its imports, its names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from midfill_server.syntax.languages import Language
from midfill_server.syntax.nodes import around, before, is_one, upwards
from midfill_server.syntax.scan import open_at
from midfill_server.syntax.tree import SyntaxTree

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = [
    "Unit",
    "body_of",
    "enclosing",
    "header_end_of",
    "identifiers",
    "imports",
    "name_of",
]

_MAX_SCAN_CHARS = 20_000
_CLOSER_OF = {"(": ")", "[": "]", "{": "}"}
_WORD = re.compile(r"\b[^\W\d]\w*")
_WORD_WITH_HYPHENS = re.compile(r"\b[^\W\d][\w-]*")
_WITH_HYPHENS = frozenset({"clojure", "css", "html", "less", "lisp", "scss"})
_KEYWORDS_OF_ALL = """
    abstract and as assert async await auto base begin bool boolean break byte case catch char class
    const constexpr continue crate def default defer delete del do done double elif else elsif end
    ensure enum esac except explicit export extends extern false fi final finally float fn for
    foreach from func function go goto if impl implements import in inline instanceof int interface
    internal is lambda let local long match mod module mut namespace new nil nonlocal not null
    nullptr operator or override package pass private protected pub public raise range readonly
    register require rescue return sealed self short signed sizeof static struct super switch
    synchronized template then this throw throws trait true try type typedef typename typeof
    undefined union unless unsafe unsigned until use using var virtual void volatile when where
    while with yield True False None echo string
"""
# One set for all languages: a keyword of one is seldom a good name in another.
_KEYWORDS = frozenset(_KEYWORDS_OF_ALL.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A class, a function, or an import; offsets in code points.

    ``text[start:header_end]`` is the header, with decorators and with what opens the body; of an
    import it is all. ``name`` is empty where there is none, as of a callback.
    """

    kind: str  # "class", "function" or "import"
    name: str
    start: int
    end: int
    header_end: int


def enclosing(tree: SyntaxTree | None, cursor: int) -> tuple[Unit, ...]:
    """Return the classes and functions that hold ``cursor``, outermost first."""
    if tree is None:
        return ()
    found = _enclosing(tree, cursor)
    if not tree.root.has_error:
        return found
    # The line that is being written may hide what it stands in.
    calm = tree.calm(cursor)
    blank = calm.text
    if calm.root.has_error and len(blank) <= _MAX_SCAN_CHARS:
        # Nor need anything be closed yet at the end of a file that is being written.
        brackets = open_at(blank, 0, len(blank), tree.language).brackets
        calm = calm.edited(blank + "".join(_CLOSER_OF[blank[at]] for at in reversed(brackets)))
    if calm.errors >= tree.errors:
        return found
    start = blank.rfind("\n", 0, cursor) + 1
    line = tree.text[start:].partition("\n")[0]
    units = _enclosing(calm, start + len(line) - len(line.lstrip()))
    end = len(blank)
    return tuple(
        replace(unit, end=min(unit.end, end), header_end=min(unit.header_end, end))
        for unit in units
    )


def _enclosing(tree: SyntaxTree, cursor: int) -> tuple[Unit, ...]:
    byte = tree.byte_of(cursor)
    nodes = {node.id: node for node in around(tree, byte) if _is_unit(tree, node)}
    if tree.grammar.dedents:
        nodes |= {node.id: node for node in _by_indentation(tree, byte)}
    units = [_unit(tree, node) for node in nodes.values()]
    return tuple(sorted(units, key=lambda unit: (unit.start, -unit.end)))


def _by_indentation(tree: SyntaxTree, byte: int) -> Iterator[Node]:
    """Yield the units that the cursor's line continues: a tree of theirs ends above blank lines."""
    data = tree.data
    start = data.rfind(b"\n", 0, byte) + 1
    end = data.find(b"\n", byte)
    line = data[start : end if end >= 0 else len(data)]
    column = len(line) - len(line.lstrip()) if line.strip() else byte - start
    for node in upwards(before(tree, start)):
        if _is_unit(tree, node) and node.start_point.column < column:
            yield node


def _is_unit(tree: SyntaxTree, node: Node) -> bool:
    grammar = tree.grammar
    kinds = grammar.functions, grammar.classes, grammar.types
    return node.parent is not None and any(is_one(node, kind) for kind in kinds)


def _unit(tree: SyntaxTree, node: Node) -> Unit:
    outer = node
    while (parent := outer.parent) is not None and parent.parent is not None:
        same_line = parent.start_point.row == node.start_point.row
        if is_one(parent, tree.grammar.blocks) or _is_unit(tree, parent):
            break
        if not same_line and not is_one(parent, tree.grammar.wrappers):
            break
        outer = parent
    return Unit(
        kind="function" if is_one(node, tree.grammar.functions) else "class",
        name=name_of(tree, node),
        start=tree.offset_of(outer.start_byte),
        end=tree.offset_of(node.end_byte),
        header_end=tree.offset_of(header_end_of(tree, node)),
    )


def imports(tree: SyntaxTree | None) -> tuple[Unit, ...]:
    """Return the statements at the top level that import, in order."""
    if tree is None:
        return ()
    line = re.compile(rf"(?:{tree.grammar.import_line})")
    found: list[Node] = []
    for node in tree.pieces:
        if is_one(node, tree.grammar.imports):
            found.append(node)
        elif not tree.grammar.imports or node.type in ("expression_statement", "export_statement"):
            # Ruby and the shell import by calls, PHP by expressions.
            written = tree.data[node.start_byte : node.start_byte + 400].decode("utf-8", "replace")
            if line.match(written):
                found.append(node)
    return tuple(
        Unit(
            kind="import",
            name="",
            start=tree.offset_of(node.start_byte),
            end=tree.offset_of(node.end_byte),
            header_end=tree.offset_of(node.end_byte),
        )
        for node in found
    )


def identifiers(text: str, language: Language | None = None) -> Counter[str]:
    """Return the names that are used in ``text`` and how often, without keywords."""
    hyphens = language is not None and language.id in _WITH_HYPHENS
    words = (_WORD_WITH_HYPHENS if hyphens else _WORD).findall(text)
    return Counter(word for word in words if word not in _KEYWORDS)


def body_of(node: Node) -> Node | None:
    """Return the part of a definition that holds its statements or members."""
    return node.child_by_field_name("body")


def header_end_of(tree: SyntaxTree, node: Node) -> int:
    """Return the byte behind a definition's header and what opens its body."""
    body = body_of(node)
    if body is None:
        parts = [node.child_by_field_name(field) for field in ("parameters", "superclass", "name")]
        brace = tree.data.find(b"{", node.start_byte, node.end_byte)
        if brace >= 0:
            return brace + 1
        if tree.data[node.end_byte - 3 : node.end_byte] == b"end":
            return next((part.end_byte for part in parts if part is not None), node.end_byte)
        return node.end_byte
    if tree.grammar.dedents:
        colons = [child.end_byte for child in node.children if child.type == ":"]
        return colons[-1] if colons else body.start_byte
    if tree.data[body.start_byte : body.start_byte + 1] == b"{":
        return body.start_byte + 1
    previous = body.prev_sibling
    return previous.end_byte if previous is not None else body.start_byte


def name_of(tree: SyntaxTree, node: Node) -> str:
    """Return the name of a definition, or of what a function without one is assigned to."""
    named = _name_node(node)
    if named is None and (parent := node.parent) is not None:
        fields = ("name", "left", "key", "property")
        named = next((one for one in map(parent.child_by_field_name, fields) if one), None)
        if named is not None and named.end_byte > node.start_byte:
            named = None
    if named is None:
        return ""
    written = tree.data[named.start_byte : named.end_byte].decode("utf-8", "replace")
    return " ".join(written.split())


def _name_node(node: Node) -> Node | None:
    """Return the node of the name; in C it is at the bottom of a declarator."""
    for field in ("name", "declarator", "type"):
        found = node.child_by_field_name(field)
        if found is None or (field == "type" and node.type != "impl_item"):
            continue
        while field == "declarator" and (
            (inner := found.child_by_field_name("declarator")) is not None
        ):
            found = inner
        if field == "declarator" and found.type.startswith("abstract_"):
            return None
        return found
    return None
