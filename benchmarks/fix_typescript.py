"""Mistakes in TypeScript: one function for each class, which yields a file with one mistake."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from benchmarks.fix_mutation import Mutation, cut, entry, mixed, shuffled, typo
from midfill_server.syntax import SyntaxTree, language_of

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["TYPESCRIPT", "TypeScriptSource", "mutations"]

_LEAST_NAME_CHARS = 4
_VARIABLES = ("count = 0", "found = null", "items = []", "isDone = false", "label = ''")
_EXTRAS = ("null", "true", "0")
# Where a name is used, and not made.
_USES = frozenset(
    {
        "arguments",
        "binary_expression",
        "call_expression",
        "if_statement",
        "member_expression",
        "new_expression",
        "parenthesized_expression",
        "return_statement",
        "spread_element",
        "subscript_expression",
        "ternary_expression",
        "unary_expression",
    }
)
_FUNCTIONS = frozenset({"arrow_function", "function_declaration", "method_definition"})
_LITERALS = ("number", "string", "true", "false")
_LEFT_OUT = frozenset({")", "]", "}", ",", "=>", "(", "{"})


@dataclass(frozen=True)
class TypeScriptSource:
    """A file: its text, and its tree."""

    text: str

    @cached_property
    def tree(self) -> SyntaxTree:
        """The tree of the text."""
        tree = SyntaxTree.parse(self.text, language_of("typescript", "a.ts"))
        assert tree is not None, "the grammar is installed with midfill"
        return tree

    @cached_property
    def nodes(self) -> list[Node]:
        """All nodes, in the order of the text."""
        found: list[Node] = []
        waiting = [self.tree.root]
        while waiting:
            node = waiting.pop()
            found.append(node)
            waiting.extend(reversed(node.children))
        return found

    def span(self, node: Node) -> tuple[int, int]:
        """Return where a node starts and ends."""
        return self.tree.offset_of(node.start_byte), self.tree.offset_of(node.end_byte)

    def written(self, node: Node) -> str:
        """Return a node's text."""
        return self.text[slice(*self.span(node))]

    def of(self, *kinds: str) -> list[Node]:
        """Return the nodes of some types that have names: a keyword may be called as one is."""
        return [node for node in self.nodes if node.is_named and node.type in kinds]

    def signs(self, written: str) -> list[Node]:
        """Return the tokens that are written so."""
        return [node for node in self.nodes if not node.is_named and node.type == written]


Way = Callable[[TypeScriptSource, random.Random], Iterator[Mutation]]


def mutations(kind: str, text: str, rng: random.Random) -> Iterator[Mutation]:
    """Yield the text with one mistake of a class each, in an order that ``rng`` decides."""
    way = TYPESCRIPT.get(kind)
    if way is not None:
        yield from (each for each in way(TypeScriptSource(text), rng) if each.text != text)


def undefined_names(source: TypeScriptSource, rng: random.Random) -> Iterator[Mutation]:
    """Mistype a name where it is used."""
    names = [
        node
        for node in source.of("identifier")
        if node.parent is not None and node.parent.type in _USES
    ]
    yield from _mistyped(source, names, rng)


def wrong_attributes(source: TypeScriptSource, rng: random.Random) -> Iterator[Mutation]:
    """Mistype what stands behind a dot."""
    names = [
        node
        for node in source.of("property_identifier")
        if node.parent is not None and node.parent.type == "member_expression"
    ]
    yield from _mistyped(source, names, rng)


def missing_imports(source: TypeScriptSource, rng: random.Random) -> Iterator[Mutation]:
    """Take away a name that is imported, or the whole import if it has no other."""
    for node in shuffled(source.of("import_specifier"), rng):
        names = node.parent
        statement = _above(node, "import_statement")
        if names is None or statement is None:
            continue
        every = [source.span(each) for each in names.named_children]
        at = every.index(source.span(node))
        if len(every) == 1:
            start, end = source.span(statement)
            end = source.text.find("\n", end) + 1 or len(source.text)
        else:
            start, end = entry(every, at)
        yield cut(source.text, start, end)


def wrong_argument_counts(source: TypeScriptSource, rng: random.Random) -> Iterator[Mutation]:
    """Leave out the last argument, or give one more."""
    given = [
        [source.span(each) for each in node.named_children]
        for node in source.of("arguments")
        if node.named_children and not any(c.type == "comment" for c in node.named_children)
    ]

    def fewer() -> Iterator[Mutation]:
        for spans in given:
            yield cut(source.text, *entry(spans, len(spans) - 1))

    def more() -> Iterator[Mutation]:
        for spans in given:
            yield cut(source.text, spans[-1][1], spans[-1][1], f", {rng.choice(_EXTRAS)}")

    return mixed((fewer(), more()), rng)


def unused_names(source: TypeScriptSource, rng: random.Random) -> Iterator[Mutation]:
    """Set a variable that nothing needs."""
    for block in shuffled(source.of("statement_block"), rng):
        if not block.named_children:
            continue
        start, _ = source.span(rng.choice(block.named_children))
        line = source.text.rfind("\n", 0, start) + 1
        indent = source.text[line:start]
        written = rng.choice(_VARIABLES)
        if indent.strip() or re.search(rf"\b{written.partition(' ')[0]}\b", source.text):
            continue
        end = ";" if ";\n" in source.text else ""
        yield cut(source.text, line, line, f"{indent}const {written}{end}\n")


def type_mismatches(source: TypeScriptSource, rng: random.Random) -> Iterator[Mutation]:
    """Write a literal of another type, or convert a value."""

    def other_literals() -> Iterator[Mutation]:
        for node in source.of(*_LITERALS):
            above = node.parent.type if node.parent is not None else ""
            if above in ("import_statement", "export_statement", "literal_type"):
                continue
            written = source.written(node)
            new = str(len(written)) if node.type == "string" else f'"{written}"'
            yield cut(source.text, *source.span(node), new)

    def converted() -> Iterator[Mutation]:
        for node in source.of("arguments", "return_statement"):
            for value in node.named_children[:2]:
                if value.type in ("identifier", "member_expression", "call_expression"):
                    way = rng.choice(("String({})", "[{}]"))
                    yield cut(source.text, *source.span(value), way.format(source.written(value)))

    return mixed((other_literals(), converted()), rng)


def missing_returns(source: TypeScriptSource, rng: random.Random) -> Iterator[Mutation]:
    """Take the return away with which a function ends that is to return something."""
    for node in shuffled(source.of(*_FUNCTIONS), rng):
        body = node.child_by_field_name("body")
        if node.child_by_field_name("return_type") is None or body is None:
            continue
        last = body.named_children[-1] if len(body.named_children) > 1 else None
        if last is None or last.type != "return_statement" or not last.named_children:
            continue
        start, end = source.span(last)
        line = source.text.rfind("\n", 0, start) + 1
        after = source.text.find("\n", end) + 1
        if not source.text[line:start].strip() and not source.text[end:after].strip(" ;\n"):
            yield cut(source.text, line, after)


def syntax_errors(source: TypeScriptSource, rng: random.Random) -> Iterator[Mutation]:
    """Leave out a bracket, a comma, an arrow or a quote."""
    ways = [
        [cut(source.text, *source.span(node)) for node in source.signs(token)]
        for token in sorted(_LEFT_OUT)
    ]
    ends = [source.span(node)[1] for node in source.of("string")]
    yield from mixed([*ways, [cut(source.text, end - 1, end) for end in ends]], rng)


def _mistyped(
    source: TypeScriptSource, names: list[Node], rng: random.Random
) -> Iterator[Mutation]:
    for node in shuffled(names, rng):
        name = source.written(node)
        if len(name) < _LEAST_NAME_CHARS or not name.isidentifier():
            continue
        new = typo(name, source.text, rng)
        if new is not None:
            yield cut(source.text, *source.span(node), new)


def _above(node: Node, kind: str) -> Node | None:
    one = node.parent
    while one is not None and one.type != kind:
        one = one.parent
    return one


TYPESCRIPT: Mapping[str, Way] = {
    "undefined name": undefined_names,
    "missing import": missing_imports,
    "wrong attribute": wrong_attributes,
    "wrong argument count": wrong_argument_counts,
    "unused name": unused_names,
    "type mismatch": type_mismatches,
    "missing return": missing_returns,
    "syntax error": syntax_errors,
}
"""By class."""
