"""Names that a function binds for itself: its parameters and variables, in any of the grammars."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill_server.syntax import SyntaxTree
from midfill_server.syntax.nodes import is_one, upwards
from midfill_server.syntax.units import body_of, name_of

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["Binding", "binding_of"]

_MAX_OCCURRENCES = 300
_MAX_CLIMB = 8
_MAX_SIGNATURE_CHARS = 160


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Where a name stands in these, by these fields, it gets its value.
_BINDERS = _words(
    """
    assignment assignment_expression short_var_declaration for_statement for_in_clause
    for_in_statement foreach_statement enhanced_for_statement for_range_loop range_clause
    named_expression let_declaration let_condition for_expression for variable_declarator
    init_declarator declaration var_spec const_spec variable_assignment declaration_pattern
    catch_declaration catch_clause as_pattern match_arm property_element
    global_statement static_variable_declaration exception_variable
    """
)
_BOUND_FIELDS = _words("left name pattern declarator variable alias parameter")
# They stand between a name and what binds it.
_CONTAINERS = _words(
    """
    pattern_list expression_list pointer_declarator reference_declarator array_declarator
    as_pattern_target variable_name pair left_assignment_list destructured_left_assignment
    rest_assignment match_pattern list_literal
    """
)
_NEVER = frozenset(
    {"type", "key", "value", "default_value", "right", "return_type", "body", "default"}
)
_CATCHES = frozenset({"catch_formal_parameter", "catch_clause", "catch_declaration"})
_STATEMENT = re.compile(r"statement\Z|declaration\Z|_clause\Z|\Aassignment|_assignment\Z|\Alet_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Where a name gets its meaning inside of a function; offsets in code points.

    ``kind`` is ``parameter``, ``variable``, ``import``, ``function`` or ``class``;
    ``owner`` is the name of the function that it belongs to, ``""`` for one without a name and for
    the file.
    """

    kind: str
    owner: str
    signature: str
    start: int
    end: int


def binding_of(tree: SyntaxTree, name: str, start: int, *, in_file: bool) -> Binding | None:
    """Return what binds the ``name`` at the offset ``start``, in the nearest scope that does.

    The scopes are the functions around it; with ``in_file`` the file itself, and only that.
    """
    byte = tree.byte_of(start)
    leaf = tree.root.descendant_for_byte_range(byte, byte + 1)
    scopes = [node for node in upwards(leaf) if is_one(node, tree.grammar.functions)]
    for scope in [tree.root] if in_file else scopes:
        found = [
            (node, kind)
            for node, kind in _bindings(tree, name, scope)
            if _scope_of(tree, node, kind) == (None if in_file else scope)
        ]
        if found:
            above = [one for one in found if one[0].start_byte <= byte]
            return _binding(tree, scope, *(above[-1] if above else found[0]))
    return None


def _bindings(tree: SyntaxTree, name: str, scope: Node) -> Iterator[tuple[Node, str]]:
    """Yield the nodes of ``name`` that bind it somewhere in ``scope``, and as what."""
    pattern = re.compile(rb"(?<![\w$])" + re.escape(name.encode()) + rb"(?![\w$])")
    if name.startswith("$") or tree.language.id in ("php", "shellscript"):
        pattern = re.compile(re.escape(name.encode()) + rb"(?![\w$])")
    matches = pattern.finditer(tree.data, scope.start_byte, scope.end_byte)
    for _, match in zip(range(_MAX_OCCURRENCES), matches, strict=False):
        node = tree.root.descendant_for_byte_range(match.start(), match.end())
        if node is None or not node.is_named or node.end_byte - node.start_byte != len(match[0]):
            continue
        kind = _role(tree, node)
        if kind:
            yield node, kind


def _role(tree: SyntaxTree, node: Node) -> str:
    """Return as what a node binds its name, ``""`` if it only uses it."""
    child = node
    for _ in range(_MAX_CLIMB):
        parent = child.parent
        if parent is None:
            return ""
        field, kind = _field(child, parent), parent.type
        if field in _NEVER and not (kind == "pair_pattern" and field == "value"):
            return ""
        if field == "name" and is_one(parent, tree.grammar.functions):
            return "function"
        if field == "name" and is_one(parent, tree.grammar.classes):
            return "class"
        if "parameter" in kind:
            return "variable" if kind in _CATCHES else "parameter"
        if field == "parameter" and is_one(parent, tree.grammar.functions):
            return "parameter"
        if kind == "aliased_import":
            return "import"
        if kind in _BINDERS:
            # PHP names neither of the two behind "as".
            is_loop = kind == "foreach_statement" and field is None
            is_first = parent.named_children[:1] == [child]
            return "variable" if field in _BOUND_FIELDS or (is_loop and not is_first) else ""
        if kind not in _CONTAINERS and not kind.endswith(("_pattern", "pattern")):
            return ""
        child = parent
    return ""


def _field(child: Node, parent: Node) -> str | None:
    for index, one in enumerate(parent.children):
        if one == child:
            return parent.field_name_for_child(index)
    return None


def _scope_of(tree: SyntaxTree, node: Node, kind: str) -> Node | None:
    """Return the function in which a name is bound, ``None`` for the file."""
    above = upwards(node)
    functions = [one for one in above if is_one(one, tree.grammar.functions)]
    # What a function is called, its surroundings know.
    skipped = 1 if kind == "function" else 0
    return functions[skipped] if len(functions) > skipped else None


def _binding(tree: SyntaxTree, scope: Node, node: Node, kind: str) -> Binding:
    whole = _whole(tree, node, kind)
    body = body_of(whole) if kind == "variable" else None
    # What a loop does with its variable does not say what that is.
    end = (
        body.start_byte if body is not None and body.start_byte > node.end_byte else whole.end_byte
    )
    written = tree.data[whole.start_byte : end].decode("utf-8", "replace")
    signature = " ".join(written.split())
    if len(signature) > _MAX_SIGNATURE_CHARS:
        signature = written.partition("\n")[0].strip()[:_MAX_SIGNATURE_CHARS]
    owner = name_of(tree, scope) if scope.parent is not None else ""
    return Binding(
        kind=kind,
        owner=owner,
        signature=signature if kind == "parameter" else signature.rstrip("{:; "),
        start=tree.offset_of(whole.start_byte),
        end=tree.offset_of(whole.end_byte),
    )


def _whole(tree: SyntaxTree, node: Node, kind: str) -> Node:
    """Return the node that shows best how a name is bound."""
    best = node
    for one in list(upwards(node))[1:_MAX_CLIMB]:
        if is_one(one, tree.grammar.blocks):
            break
        if kind in ("function", "class"):
            return one
        if kind == "parameter":
            # The list of them says nothing of this one.
            is_list = one.type.endswith(("parameters", "parameter_list"))
            if is_list or is_one(one, tree.grammar.functions):
                break
            best = one
        else:
            best = one
            if _STATEMENT.search(one.type) and one.type != "variable_declaration":
                break
    return best
