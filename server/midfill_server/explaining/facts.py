"""What syntax knows of code: what goes in and out, what it changes, which errors it raises.

Small models make such things up, so an explanation has them from here, in as many words as are
certain. What a name means nobody looked up: "calls" is not "has the effect".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill_server.explaining.bindings import binding_of
from midfill_server.explaining.raising import errors_in
from midfill_server.syntax import SyntaxTree
from midfill_server.syntax.nodes import is_one, text_of
from midfill_server.syntax.units import body_of, header_end_of, name_of

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["WRAPPER", "Facts", "facts_between", "facts_of"]

WRAPPER = "_Wrapper"
"""A class around a method that is parsed alone, which some grammars want; it counts as none."""

_MAX_NAMES = 4
_MAX_CHARS = 60
_MAX_PARAMETER_CHARS = 100
_MAX_NODES = 4000
_CONSTRUCTORS = frozenset({"__init__", "constructor", "initialize", "__construct", "new"})
_RECEIVERS = frozenset({"self", "cls", "this", "&self", "&mut self", "mut self"})
_RETURN_FIELDS = ("return_type", "result", "returns", "type")
_RETURNS = frozenset({"return_statement", "return_expression", "return"})
_YIELDS = frozenset({"yield", "yield_expression", "yield_statement"})
_CALLS = frozenset(
    {
        "call",
        "call_expression",
        "method_invocation",
        "invocation_expression",
        "function_call_expression",
        "member_call_expression",
        "scoped_call_expression",
    }
)
# An awaited or checked call is one still.
_AROUND_CALLS = frozenset({"await", "await_expression", "try_expression", "unary_expression"})
_STATEMENTS = frozenset({"expression_statement", "defer_statement"})
_ASSIGNMENTS = frozenset(
    {
        "assignment",
        "augmented_assignment",
        "assignment_expression",
        "augmented_assignment_expression",
        "assignment_statement",
        "compound_assignment_expr",
        "operator_assignment",
    }
)
_STEPS = frozenset({"update_expression", "inc_statement", "dec_statement"})
_ATTRIBUTES = frozenset(
    {
        "attribute",
        "member_expression",
        "selector_expression",
        "field_expression",
        "field_access",
        "member_access_expression",
        "instance_variable",
    }
)
_SUBSCRIPTS = frozenset(
    {
        "subscript",
        "subscript_expression",
        "index_expression",
        "element_access_expression",
    }
)
_LISTS = frozenset({"expression_list", "pattern_list", "tuple_pattern", "left_assignment_list"})
# Everybody knows what they do.
_EVERYWHERE = re.compile(
    r"len|range|zip|list|dict|set|tuple|str|int|float|bool|min|max|sum|abs|sorted|enumerate|map"
    r"|filter|any|all|print|isinstance|getattr|next|iter|make|append|panic|Some|Ok|Err"
)
_NOTHING = re.compile(r"(?:->)?\s*(?:None|void|undefined|\(\)|never)\Z")
# What a function takes and gives is not written down in these.
_UNDECLARED = frozenset({"shellscript"})
_NAME = re.compile(r"\$?\w+")
_PARAMETER_MARKS = frozenset({"keyword_separator", "positional_separator", "self_parameter"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is certain of a definition or of some lines; pieces of code are as they are written.

    ``kind`` is ``function``, ``class``, ``lines`` or ``name``. ``inputs`` are parameters, of lines
    the names that they use, of a name what gives it its value; ``names`` are what parameters are
    called. ``output`` is the type of what is returned, ``""`` if nobody wrote it; ``returns`` is
    whether there is something. ``offers`` are what others may call of a class, of lines the names
    that are used behind them. ``changes`` are attributes that get a value, ``effects`` functions
    that are called for nothing but their effect, ``calls`` all that are called by their name alone,
    ``errors`` sentences.
    """

    kind: str
    inputs: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    output: str = ""
    returns: bool = False
    offers: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    decorators: tuple[str, ...] = ()
    is_async: bool = False
    is_generator: bool = False


def facts_of(tree: SyntaxTree | None) -> Facts | None:
    """Return the facts of the first definition in a piece of code; ``None`` if it has none."""
    if tree is None or tree.language.id in _UNDECLARED:
        return None
    functions, classes = tree.grammar.functions, tree.grammar.classes
    for node in _walked([tree.root], frozenset()):
        if is_one(node, functions):
            return _of_function(tree, node)
        if is_one(node, classes) and name_of(tree, node) != WRAPPER:
            return _of_class(tree, node)
    return None


def facts_between(tree: SyntaxTree | None, start: int, end: int) -> Facts | None:
    """Return the facts of the text ``[start, end)`` within a function; ``None`` outside of one."""
    if tree is None:
        return None
    first, last = tree.byte_of(start), tree.byte_of(end)
    node = tree.root.descendant_for_byte_range(first, max(last - 1, first))
    while node is not None and not is_one(node, tree.grammar.functions):
        node = node.parent
    if node is None or (node.start_byte >= first and node.end_byte <= last):
        return None
    nodes = [
        one
        for one in _walked([node], frozenset())
        if one.start_byte >= first and one.end_byte <= last
    ]
    leaves = [one for one in nodes if not one.named_child_count and "identifier" in one.type]
    inputs: dict[str, None] = {}
    offers: dict[str, None] = {}
    for leaf in leaves:
        name = text_of(leaf)
        if name in inputs or name in offers or len(inputs) + len(offers) > 2 * _MAX_NAMES:
            continue
        binding = binding_of(tree, name, tree.offset_of(leaf.start_byte), in_file=False)
        if binding is None or binding.kind not in ("variable", "parameter"):
            continue
        if not start <= binding.start < end:
            inputs[name] = None
        elif re.search(rf"(?<![\w$.]){re.escape(name)}(?![\w$])", _behind(tree, node, last)):
            offers[name] = None
    return Facts(
        kind="lines",
        inputs=tuple(inputs),
        offers=tuple(offers),
        changes=_changes(nodes),
        effects=_effects(tree, nodes),
        calls=_calls(nodes),
        errors=errors_in(tree, nodes, node),
    )


def _behind(tree: SyntaxTree, node: Node, byte: int) -> str:
    return tree.data[byte : node.end_byte].decode("utf-8", "replace")


def _of_function(tree: SyntaxTree, node: Node) -> Facts:
    nodes = list(_walked([node], tree.grammar.functions))
    parameters = _parameters(node)
    output = _output(node)
    body = body_of(node)
    is_expression = body is not None and not is_one(body, tree.grammar.blocks)
    returned = [one for one in nodes if one.type in _RETURNS and one.named_child_count]
    is_nothing = bool(_NOTHING.fullmatch(output))
    header = tree.data[node.start_byte : header_end_of(tree, node)].decode("utf-8", "replace")
    return Facts(
        kind="function",
        inputs=_written(parameters),
        names=tuple(_names(parameters)),
        output=output,
        # In Ruby the last expression is what is returned.
        returns=not is_nothing
        and bool(output or returned or is_expression or tree.language.id == "ruby"),
        changes=_changes(nodes),
        effects=_effects(tree, nodes),
        calls=_calls(nodes),
        errors=errors_in(tree, nodes, node),
        decorators=_decorators(node),
        is_async=re.search(r"\basync\b", header.partition("(")[0]) is not None,
        is_generator=tree.language.id != "ruby" and any(one.type in _YIELDS for one in nodes),
    )


def _of_class(tree: SyntaxTree, node: Node) -> Facts:
    body = body_of(node)
    members = [one for one in _members(body) if is_one(one, tree.grammar.functions)]
    made = [one for one in members if name_of(tree, one) in {*_CONSTRUCTORS, name_of(tree, node)}]
    names = [
        name_of(tree, one)
        for one in members
        if one not in made and not text_of(one).lstrip().startswith(("private", "protected"))
    ]
    nodes = list(_walked([node], frozenset()))
    decorators = _decorators(node)
    inputs = _parameters(made[0]) if made else ()
    if not made and any("dataclass" in one for one in decorators):
        inputs = tuple(_fields(body))
    return Facts(
        kind="class",
        inputs=_written(inputs),
        offers=tuple(dict.fromkeys(name for name in names if name and name[0] not in "_#")),
        changes=_changes(nodes),
        effects=_effects(tree, nodes),
        calls=_calls(nodes),
        errors=errors_in(tree, nodes, node),
        decorators=decorators,
    )


def _members(body: Node | None) -> Iterator[Node]:
    for child in body.named_children if body is not None else []:
        held = child.child_by_field_name("definition")
        yield held if held is not None else child


def _fields(body: Node | None) -> Iterator[Node]:
    """Yield the annotated names of a Python class."""
    for child in body.named_children if body is not None else []:
        inner = child.named_children[0] if child.named_child_count else child
        if inner.type == "assignment" and inner.child_by_field_name("type") is not None:
            yield inner


def _walked(nodes: Iterable[Node], skipped: frozenset[str]) -> Iterator[Node]:
    """Yield nodes with what is in them, in order; of those ``skipped`` but the first, nothing."""
    pending = list(nodes)[::-1]
    for count in range(_MAX_NODES):
        if not pending:
            return
        node = pending.pop()
        if count and is_one(node, skipped):
            continue
        yield node
        pending += reversed(node.named_children)


def _parameters(node: Node) -> tuple[Node, ...]:
    """Return the parameters of a function, without that of its object."""
    held = node
    listed = held.child_by_field_name("parameters")
    while listed is None and (inner := held.child_by_field_name("declarator")) is not None:
        held, listed = inner, inner.child_by_field_name("parameters")
    if listed is None:
        # An arrow function may have one without brackets.
        alone = node.child_by_field_name("parameter")
        return (alone,) if alone is not None else ()
    return tuple(
        child
        for child in listed.named_children
        if child.type not in _PARAMETER_MARKS
        and "comment" not in child.type
        and _one_line(text_of(child)) not in {*_RECEIVERS, "void"}
    )


def _names(parameters: Iterable[Node]) -> Iterator[str]:
    """Yield what parameters are called, where they have names."""
    for one in parameters:
        named = one.children_by_field_name("name") or one.children_by_field_name("pattern")
        named = named or one.children_by_field_name("declarator") or [one]
        for node in named:
            written = _one_line(text_of(node)).lstrip("*&. ").partition("=")[0].partition(":")[0]
            if _NAME.fullmatch(written.strip()):
                yield written.strip()


def _output(node: Node) -> str:
    found = next((one for one in map(node.child_by_field_name, _RETURN_FIELDS) if one), None)
    written = _one_line(text_of(found)).lstrip(": ") if found is not None else ""
    return written.removeprefix("-> ")


def _decorators(node: Node) -> tuple[str, ...]:
    parent = node.parent
    held = parent if parent is not None and parent.type == "decorated_definition" else node
    return tuple(_one_line(text_of(one)) for one in held.named_children if one.type == "decorator")


def _changes(nodes: Iterable[Node]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for node in nodes:
        left: list[Node | None] = []
        if node.type in _ASSIGNMENTS:
            left = [node.child_by_field_name("left")]
        elif node.type in _STEPS:
            left = [node.child_by_field_name("argument") or node.named_children[0]]
        for one in left:
            several = one is not None and one.type in _LISTS
            for target in one.named_children if one is not None and several else [one]:
                while target is not None and target.type in _SUBSCRIPTS:
                    target = target.named_children[0] if target.named_child_count else None
                if target is not None and target.type in _ATTRIBUTES:
                    found[_one_line(text_of(target))] = None
    return tuple(one for one in found if len(one) <= _MAX_CHARS)


def _effects(tree: SyntaxTree, nodes: Iterable[Node]) -> tuple[str, ...]:
    """Return what is called and not asked for a value, but on what only the function has."""
    found: dict[str, None] = {}
    for node in nodes:
        if node.type == "send_statement" and (to := node.child_by_field_name("channel")):
            found[f"{_one_line(text_of(to))} <-"] = None
        inner = node.named_children[0] if node.type in _STATEMENTS and node.named_children else None
        if node.type == "call" and _is_ruby_statement(node):
            inner = node
        while inner is not None and inner.type in _AROUND_CALLS and inner.named_children:
            inner = inner.named_children[0]
        if inner is None or inner.type not in _CALLS:
            continue
        called = inner.child_by_field_name("function") or inner.child_by_field_name("method")
        end = called.end_byte if called is not None else _arguments_start(inner)
        written = tree.data[inner.start_byte : end].decode("utf-8", "replace").strip()
        is_long = "\n" in written or len(written) > _MAX_CHARS
        is_other = re.match(r"(?:super\b|panic\Z|raise\Z)", written)
        if not is_long and not is_other and not _is_own(tree, inner, written):
            found[written] = None
    return tuple(found)


def _is_ruby_statement(node: Node) -> bool:
    parent = node.parent
    is_held = parent is not None and parent.type in ("body_statement", "then", "else")
    return is_held and node.next_named_sibling is not None


def _calls(nodes: Iterable[Node]) -> tuple[str, ...]:
    called = (one.child_by_field_name("function") for one in nodes if one.type in _CALLS)
    names = (text_of(one) for one in called if one is not None and one.type == "identifier")
    return tuple(dict.fromkeys(name for name in names if not _EVERYWHERE.fullmatch(name)))


def _arguments_start(call: Node) -> int:
    arguments = call.child_by_field_name("arguments")
    return arguments.start_byte if arguments is not None else call.end_byte


def _is_own(tree: SyntaxTree, call: Node, written: str) -> bool:
    """Whether a method is called of a variable that the function itself binds."""
    root = re.match(r"\$?\w+(?=\s*(?:\.|->|\?\.|::))", written)
    if root is None:
        return False
    binding = binding_of(tree, root[0], tree.offset_of(call.start_byte), in_file=False)
    return binding is not None and binding.kind == "variable"


def _written(nodes: Iterable[Node]) -> tuple[str, ...]:
    return tuple(_one_line(text_of(one)) for one in nodes)


def _one_line(written: str) -> str:
    return " ".join(written.split())[:_MAX_PARAMETER_CHARS]
