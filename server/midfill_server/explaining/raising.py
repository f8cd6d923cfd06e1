"""Where code raises, throws, panics or returns an error, and on which condition, as sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from midfill_server.explaining.markdown import code_span
from midfill_server.syntax import SyntaxTree
from midfill_server.syntax.nodes import text_of, upwards

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["errors_in"]

_MAX_ERRORS = 5
_MAX_CHARS = 90
_RAISES = frozenset({"raise_statement", "throw_statement", "throw_expression"})
_IFS = frozenset({"if_statement", "if_expression", "if_modifier", "elif_clause", "if"})
# The condition holds in these parts of an "if".
_HOLDS = frozenset({"consequence", "body"})
_CATCHES = frozenset({"except_clause", "catch_clause", "rescue"})
# Further up a condition says no more why it comes to the error.
_BRANCHES = frozenset(
    {
        "else_clause",
        "case_clause",
        "match_arm",
        "switch_case",
        "switch_default",
        "expression_case",
        "default_case",
        "finally_clause",
    }
)
_PANICS = frozenset({"panic", "unreachable", "todo", "unimplemented"})
_ASSERTION = re.compile(r"(?:debug_)?assert!\s*\((.*?),?\s*(?:\".*)?\)\Z", re.DOTALL)
_NO_VALUE = re.compile(r"(.+?)\s*\.\s*(?:unwrap|expect)\(.*\)\Z", re.DOTALL)


def errors_in(tree: SyntaxTree, nodes: Iterable[Node], holder: Node) -> tuple[str, ...]:
    """Return sentences in markdown on the errors that ``nodes``, all within ``holder``, cause."""
    found: dict[str, None] = {}
    language = tree.language.id
    for node in nodes:
        said = _raised(node)
        if not said and language == "go":
            said = _in_go(node, holder)
        elif not said and language == "rust":
            said = _in_rust(node)
        elif not said and language == "ruby":
            said = _in_ruby(node)
        if said:
            found[said + _reason(node, holder) + "."] = None
    every = list(found)
    more = [f"The code has {len(every) - _MAX_ERRORS} more of these."]
    return tuple(every if len(every) <= _MAX_ERRORS else every[:_MAX_ERRORS] + more)


def _raised(node: Node) -> str:
    if node.type not in _RAISES:
        return ""
    verb = "Raises" if node.type == "raise_statement" else "Throws"
    if not node.named_child_count:
        return f"{verb} the caught error again"
    return f"{verb} {code_span(_name_of(node.named_children[0]))}"


def _in_go(node: Node, holder: Node) -> str:
    written = text_of(node)
    if node.type == "call_expression" and written.startswith("panic("):
        return "Panics"
    if node.type != "return_statement" or not node.named_child_count:
        return ""
    result = holder.child_by_field_name("result")
    if result is None or not re.search(r"\berror\b\s*\)?\Z", text_of(result)):
        return ""
    last = node.named_children[0].named_children[-1:]
    if not last or text_of(last[0]) == "nil":
        return ""
    if last[0].type == "call_expression":
        return f"Returns as its error what {code_span(_name_of(last[0]) + '(…)')} returns"
    return f"Returns the error {code_span(_name_of(last[0]))}"


def _in_rust(node: Node) -> str:
    written = text_of(node)
    if node.type == "macro_invocation":
        macro = text_of(node.named_children[0])
        assertion = _ASSERTION.match(written)
        if assertion is not None and len(assertion[1]) <= _MAX_CHARS:
            return f"Panics unless {code_span(assertion[1])}"
        return "Panics" if macro in _PANICS or macro.startswith("assert") else ""
    if node.type == "try_expression":
        return f"Passes on an error of {code_span(_short(written.removesuffix('?')))}"
    if node.type != "call_expression":
        return ""
    value = _NO_VALUE.match(written)
    if value is not None:
        return f"Panics if {code_span(_short(value[1]))} holds no value"
    if written.startswith("Err("):
        return f"Returns the error {code_span(_short(written))}"
    return ""


def _in_ruby(node: Node) -> str:
    match = re.match(r"raise\b\s*\(?([\w:]*)", text_of(node)) if node.type == "call" else None
    if match is None:
        return ""
    return f"Raises {code_span(match[1])}" if match[1] else "Raises an error"


def _reason(node: Node, holder: Node) -> str:
    """Return when it comes to that, as far as the nearest condition says."""
    child = node
    for parent in upwards(node.parent):
        if child == holder or parent.type in _BRANCHES:
            return ""
        if parent.type in _CATCHES:
            return _caught(parent)
        if parent.type in _IFS:
            condition = parent.child_by_field_name("condition")
            if condition is None or _field(child, parent) not in _HOLDS:
                return ""
            written = " ".join(text_of(condition).split())
            if written.startswith("(") and written.endswith(")"):
                written = written[1:-1].strip()
            return f" if {code_span(written)}" if len(written) <= _MAX_CHARS else ""
        child = parent
    return ""


def _caught(clause: Node) -> str:
    first = clause.named_children[0] if clause.named_child_count else None
    if first is None or clause.type != "except_clause" or first.type == "block":
        return " in place of an error that it catches"
    return f" in place of {code_span(text_of(first).partition(' as ')[0].strip('()'))}"


def _field(child: Node, parent: Node) -> str | None:
    for index, one in enumerate(parent.children):
        if one == child:
            return parent.field_name_for_child(index)
    return None


def _name_of(node: Node) -> str:
    """Return what is raised or called, without its arguments."""
    written = " ".join(text_of(node).split()).removeprefix("new ")
    return _short(written.partition("(")[0].strip() or written)


def _short(written: str) -> str:
    written = " ".join(written.split())
    return written if len(written) <= _MAX_CHARS else written[: _MAX_CHARS - 1] + "…"
