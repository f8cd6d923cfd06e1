"""What a file defines for others: names with a line that says how to use them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill_server.syntax.nodes import is_one
from midfill_server.syntax.tree import SyntaxTree
from midfill_server.syntax.units import body_of, header_end_of, name_of

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["Definition", "definitions"]

_MAX_SIGNATURE_CHARS = 300
_MAX_VALUE_CHARS = 120
_MAX_DEPTH = 6
# Their members count as members of what they are in themselves.
_NAMESPACES = frozenset(
    {
        "namespace_definition",
        "namespace_declaration",
        "file_scoped_namespace_declaration",
        "internal_module",
        "mod_item",
        "foreign_mod_item",
        "linkage_specification",
    }
)
_FUNCTION_VALUES = frozenset({"arrow_function", "function_expression", "generator_function"})
_DECLARATORS = frozenset({"variable_declarator", "property_element", "const_element"})
_ATTRIBUTE = re.compile(
    rb"^[ \t]+self\.([a-zA-Z]\w*)[ \t]*(?::[ \t]*([^=\n]+?))?[ \t]*=(?!=)", re.M
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A function, class, constant or the like, with what others must know of it.

    ``kind`` is ``class``, ``type``, ``function``, ``method``, ``constant`` or ``field``.
    ``container`` is the name of the class that it is in, or empty. ``signature`` is one line.
    Offsets are in code points, decorators included.
    """

    name: str
    kind: str
    container: str
    signature: str
    start: int
    end: int


def definitions(tree: SyntaxTree | None) -> tuple[Definition, ...]:
    """Return what the file defines at its top level and in its classes, in order."""
    if tree is None:
        return ()
    return tuple(_all(tree, tree.pieces, "", _MAX_DEPTH))


def _all(tree: SyntaxTree, nodes: list[Node], container: str, depth: int) -> Iterator[Definition]:
    for node in nodes:
        if node.is_named and depth:
            yield from _one(tree, node, node, container, depth)


def _one(
    tree: SyntaxTree, node: Node, outer: Node, container: str, depth: int
) -> Iterator[Definition]:
    """Yield what a node defines; ``outer`` is the node with what is wrapped around it."""
    grammar = tree.grammar
    if is_one(node, grammar.functions):
        yield from _function(tree, node, outer, container)
    elif is_one(node, grammar.classes) and node.type not in _NAMESPACES:
        yield from _class(tree, node, outer, container, depth)
    elif node.type in _NAMESPACES or is_one(node, grammar.wrappers):
        held = body_of(node) or node
        wanted = [child for child in held.named_children if _defines(tree, child)]
        for child in wanted:
            alone = len(wanted) == 1 and node.type not in _NAMESPACES
            yield from _one(tree, child, outer if alone else child, container, depth - 1)
    elif is_one(node, grammar.types):
        signature = _line(tree, outer.start_byte, outer.end_byte)
        yield _definition(tree, node, outer, "type", container, signature)
    elif is_one(node, grammar.values):
        yield from _values(tree, node, outer, container)
    elif node.type in ("expression_statement", "preproc_ifdef", "preproc_if", "body_statement"):
        yield from _all(tree, node.named_children, container, depth - 1)
    elif node.type == "call" and container:
        # Ruby's attr_reader and the like.
        written = _line(tree, node.start_byte, node.end_byte)
        for name in re.findall(r":(\w+)", written) if written.startswith("attr_") else ():
            yield _definition(tree, node, node, "field", container, written, name)


def _defines(tree: SyntaxTree, node: Node) -> bool:
    grammar = tree.grammar
    kinds = grammar.functions, grammar.classes, grammar.types, grammar.values, grammar.wrappers
    return node.type == "expression_statement" or any(is_one(node, kind) for kind in kinds)


def _function(tree: SyntaxTree, node: Node, outer: Node, container: str) -> Iterator[Definition]:
    name = name_of(tree, node)
    if not name:
        return
    receiver = node.child_by_field_name("receiver")
    if receiver is not None:
        container = _text(tree, receiver.start_byte, receiver.end_byte).strip("()*& ").split()[-1]
        container = container.lstrip("*&").partition("[")[0]
    if "::" in name:
        owner, _, name = name.rpartition("::")
        container = owner.rpartition("::")[2]
    kind = "method" if container else "function"
    yield _definition(tree, node, outer, kind, container, _header(tree, node, outer), name)


def _class(
    tree: SyntaxTree, node: Node, outer: Node, container: str, depth: int
) -> Iterator[Definition]:
    name = name_of(tree, node)
    owner = re.split(r"[<\[\s]", name, maxsplit=1)[0].rpartition("::")[2]
    if node.type != "impl_item" and name:
        yield _definition(tree, node, outer, "class", container, _header(tree, node, outer), owner)
    body = body_of(node)
    if body is not None:
        yield from _all(tree, body.named_children, owner, depth - 1)
    if tree.grammar.dedents and body is not None:
        yield from _attributes(tree, body, owner)


def _attributes(tree: SyntaxTree, body: Node, container: str) -> Iterator[Definition]:
    """Yield the public attributes that ``__init__`` sets."""
    for node in body.named_children:
        if node.type != "function_definition" or name_of(tree, node) != "__init__":
            continue
        seen: set[bytes] = set()
        for match in _ATTRIBUTE.finditer(tree.data, node.start_byte, node.end_byte):
            if match[1] in seen:
                continue
            seen.add(match[1])
            end = tree.data.find(b"\n", match.start())
            end = min(end if end >= 0 else node.end_byte, node.end_byte)
            yield Definition(
                name=match[1].decode(),
                kind="field",
                container=container,
                signature=_line(tree, match.start(), end, _MAX_VALUE_CHARS),
                start=tree.offset_of(match.start()),
                end=tree.offset_of(end),
            )


def _values(tree: SyntaxTree, node: Node, outer: Node, container: str) -> Iterator[Definition]:
    """Yield the constants or fields of one statement."""
    if tree.grammar.dedents:
        node = node.named_children[0] if node.named_children else node
        if node.type != "assignment":
            return
    declared = [child for child in node.named_children if child.type in _DECLARATORS] or [node]
    for one in declared:
        value = one.child_by_field_name("value")
        if value is not None and value.type in _FUNCTION_VALUES:
            header = _text(tree, outer.start_byte, header_end_of(tree, value))
            signature = _signature(header)
            yield _definition(tree, one, outer, "function", container, signature, _plain(tree, one))
            continue
        name = _plain(tree, one)
        if not name or name.startswith("_"):
            continue
        line = _line(tree, outer.start_byte, outer.end_byte, _MAX_VALUE_CHARS)
        kind = "field" if container else "constant"
        if one.type in ("declaration", "field_declaration") and "(" in line and "=" not in line:
            kind = "method" if container else "function"
        yield _definition(tree, one, outer, kind, container, line, name)


def _plain(tree: SyntaxTree, node: Node) -> str:
    """Return the name that a statement gives a value to, if it is a plain one."""
    name = name_of(tree, node)
    if not name:
        fields = ("left", "property")
        found = next((one for one in map(node.child_by_field_name, fields) if one), None)
        if found is None:
            inner = [one for one in node.named_children if one.type == "variable_declaration"]
            held = inner[0].named_children if inner else node.named_children
            names = [one for one in held if one.type in _DECLARATORS]
            return name_of(tree, names[0]) if names else ""
        name = _text(tree, found.start_byte, found.end_byte)
    name = name.lstrip("*&$#")
    return name if re.fullmatch(r"[\w:]+", name) else ""


def _definition(
    tree: SyntaxTree,
    node: Node,
    outer: Node,
    kind: str,
    container: str,
    signature: str,
    name: str = "",
) -> Definition:
    return Definition(
        name=name or name_of(tree, node),
        kind=kind,
        container=container,
        signature=signature,
        start=tree.offset_of(outer.start_byte),
        end=tree.offset_of(outer.end_byte),
    )


def _header(tree: SyntaxTree, node: Node, outer: Node) -> str:
    """Return the header in one line; Python's with dots for its body, which make it whole."""
    header = _text(tree, outer.start_byte, header_end_of(tree, node))
    marker = tree.language.line_comment
    if marker and "\n" in header:
        # Between parameters of several lines there may be notes for others.
        header = re.sub(rf"(?m)\s{re.escape(marker)}\s.*$", "", header)
    written = _signature(header)
    return f"{written}: ..." if tree.grammar.dedents else written


def _signature(header: str) -> str:
    line = " ".join(header.split()).rstrip("{:; ")
    line = re.sub(r"([(\[]) | (?=[)\]])", r"\1", line)
    return line[:_MAX_SIGNATURE_CHARS]


def _line(tree: SyntaxTree, start: int, end: int, limit: int = _MAX_SIGNATURE_CHARS) -> str:
    """Return a stretch in one line; a long one only up to the end of its first line."""
    written = _text(tree, start, min(end, start + 4 * limit))
    whole = " ".join(written.split())
    if len(whole) <= limit and end - start <= 4 * limit:
        return whole
    return written.partition("\n")[0].strip()[:limit]


def _text(tree: SyntaxTree, start: int, end: int) -> str:
    return tree.data[start:end].decode("utf-8", "replace")
