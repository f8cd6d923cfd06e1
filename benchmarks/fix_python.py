"""Mistakes in Python: one function for each class, which yields a file with one mistake each."""

from __future__ import annotations

import ast
import io
import random
import re
import tokenize
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from benchmarks.fix_mutation import BREAKING, Mutation, cut, entry, mixed, shuffled, typo

__all__ = ["PYTHON", "PythonSource", "mutations"]

_LEAST_NAME_CHARS = 4
_MODULES = ("calendar", "copy", "glob", "heapq", "itertools", "json", "shutil", "textwrap", "uuid")
_VARIABLES = ("count = 0", "found = None", "items = []", "is_done = False", "total = 0.0")
_EXTRAS = ("None", "True", "0")
_CONVERSIONS = frozenset({"str", "int", "float", "list", "tuple", "set", "bytes", "len"})
_WRAPPERS = ("str({})", "[{}]", "({},)")
_CLOSERS = frozenset(")]}")
_SHIFTS = (" ", "  ", "    ", -1, -2, -4)


@dataclass(frozen=True)
class PythonSource:
    """A file: its text, and its tree."""

    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The tree of the text."""
        return ast.parse(self.text)

    @cached_property
    def _lines(self) -> list[str]:
        return self.text.splitlines(keepends=True)

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        for line in self._lines:
            starts.append(starts[-1] + len(line))
        return starts

    def offset(self, line: int, column: int) -> int:
        """Return the offset of a place as trees tell it: bytes into a line that counts from 1."""
        before = self._lines[line - 1].encode()[:column].decode()
        return self._starts[line - 1] + len(before)

    def character(self, line: int, column: int) -> int:
        """Return the offset of a place as tokens tell it: characters into a line from 1."""
        return self._starts[line - 1] + column

    def span(self, node: ast.expr | ast.stmt | ast.alias) -> tuple[int, int]:
        """Return where a node starts and ends."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self.offset(node.lineno, node.col_offset)
        return start, self.offset(node.end_lineno, node.end_col_offset)

    def line_span(self, node: ast.stmt) -> tuple[int, int]:
        """Return where the first line of a statement starts and its last one ends."""
        assert node.end_lineno is not None
        return self._starts[node.lineno - 1], self._starts[node.end_lineno]

    def has_own_lines(self, node: ast.stmt) -> bool:
        """Whether nothing else stands in a statement's lines."""
        (start, end), (first, last) = self.span(node), self.line_span(node)
        return not (self.text[first:start] + self.text[end:last]).strip()

    @cached_property
    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        """All functions."""
        nodes = ast.walk(self.tree)
        return [n for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]

    @cached_property
    def in_functions(self) -> list[ast.AST]:
        """All that stands in functions, each node once."""
        found = {id(node): node for function in self.functions for node in ast.walk(function)}
        return list(found.values())

    @cached_property
    def tokens(self) -> list[tokenize.TokenInfo]:
        """The tokens of the text."""
        return list(tokenize.generate_tokens(io.StringIO(self.text).readline))


Way = Callable[[PythonSource, random.Random], Iterator[Mutation]]


def mutations(kind: str, text: str, rng: random.Random) -> Iterator[Mutation]:
    """Yield the text with one mistake of a class each, in an order that ``rng`` decides."""
    is_broken = kind in BREAKING
    for mutation in PYTHON[kind](PythonSource(text), rng):
        if mutation.text != text and _compiles(mutation.text) is not is_broken:
            yield mutation


def undefined_names(source: PythonSource, rng: random.Random) -> Iterator[Mutation]:
    """Mistype a name where it is used."""
    names = [
        node
        for node in source.in_functions
        if isinstance(node, ast.Name)
        and isinstance(node.ctx, ast.Load)
        and len(node.id) >= _LEAST_NAME_CHARS
    ]
    for node in shuffled(names, rng):
        new = typo(node.id, source.text, rng)
        if new is not None:
            yield cut(source.text, *source.span(node), new)


def missing_imports(source: PythonSource, rng: random.Random) -> Iterator[Mutation]:
    """Take away a name that is imported, or the whole import if it has no other."""
    imports = [node for node in source.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    pairs = [
        (node, at)
        for node in imports
        for at in range(len(node.names))
        if not (isinstance(node, ast.ImportFrom) and node.module == "__future__")
    ]
    for node, at in shuffled(pairs, rng):
        spans = [source.span(alias) for alias in node.names]
        if len(spans) == 1:
            start, end = source.line_span(node)
        else:
            start, end = entry(spans, at)
        yield cut(source.text, start, end)


def wrong_attributes(source: PythonSource, rng: random.Random) -> Iterator[Mutation]:
    """Mistype what stands behind a dot."""
    found = [
        node
        for node in source.in_functions
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Load)
        and len(node.attr) > _LEAST_NAME_CHARS
    ]
    for node in shuffled(found, rng):
        new = typo(node.attr, source.text, rng)
        if new is not None:
            _, end = source.span(node)
            yield cut(source.text, end - len(node.attr), end, new)


def wrong_argument_counts(source: PythonSource, rng: random.Random) -> Iterator[Mutation]:
    """Leave out the last argument without a name, or give one more."""
    calls = [
        node
        for node in source.in_functions
        if isinstance(node, ast.Call)
        and node.args
        and not any(isinstance(argument, ast.Starred) for argument in node.args)
    ]

    def fewer() -> Iterator[Mutation]:
        for node in calls:
            start, end = source.span(node.args[-1])
            if len(node.args) > 1:
                start = source.span(node.args[-2])[1]
            elif node.keywords:
                end = source.offset(node.keywords[0].lineno, node.keywords[0].col_offset)
            yield cut(source.text, start, end)

    def more() -> Iterator[Mutation]:
        for node in calls:
            _, end = source.span(node.args[-1])
            yield cut(source.text, end, end, f", {rng.choice(_EXTRAS)}")

    return mixed((fewer(), more()), rng)


def unused_names(source: PythonSource, rng: random.Random) -> Iterator[Mutation]:
    """Import a module, or set a variable, that nothing needs."""

    def modules() -> Iterator[Mutation]:
        imports = [
            node
            for node in source.tree.body
            if isinstance(node, ast.Import | ast.ImportFrom)
            and not (isinstance(node, ast.ImportFrom) and node.module == "__future__")
        ]
        for module in _MODULES:
            if imports and not re.search(rf"\b{module}\b", source.text):
                start, _ = source.line_span(rng.choice(imports))
                yield cut(source.text, start, start, f"import {module}\n")

    def variables() -> Iterator[Mutation]:
        for function in source.functions:
            statement = rng.choice(function.body)
            written = rng.choice(_VARIABLES)
            name = written.partition(" ")[0]
            if re.search(rf"\b{name}\b", source.text) or not source.has_own_lines(statement):
                continue
            if statement is function.body[0] and ast.get_docstring(function) is not None:
                continue
            start = source.line_span(statement)[0]
            indent = " " * statement.col_offset
            yield cut(source.text, start, start, f"{indent}{written}\n")

    return mixed((modules(), variables()), rng)


def type_mismatches(source: PythonSource, rng: random.Random) -> Iterator[Mutation]:
    """Leave out a conversion, add one, or quote a number, where a type is expected."""
    values = list(_expected_values(source))

    def unwrapped() -> Iterator[Mutation]:
        for node in source.in_functions:
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in _CONVERSIONS
                and len(node.args) == 1
                and not node.keywords
            ):
                inner = ast.get_source_segment(source.text, node.args[0])
                yield cut(source.text, *source.span(node), inner or "")

    def wrapped() -> Iterator[Mutation]:
        for node in values:
            if isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
                start, end = source.span(node)
                new = rng.choice(_WRAPPERS).format(source.text[start:end])
                yield cut(source.text, start, end, new)

    def other_literals() -> Iterator[Mutation]:
        for node in values:
            if not isinstance(node, ast.Constant):
                continue
            start, end = source.span(node)
            written = source.text[start:end]
            if isinstance(node.value, str) and written[:1] in "\"'" and "\n" not in written:
                yield cut(source.text, start, end, f"b{written}")
            elif isinstance(node.value, int | float):
                yield cut(source.text, start, end, f'"{written}"')

    return mixed((unwrapped(), wrapped(), other_literals()), rng)


def missing_returns(source: PythonSource, rng: random.Random) -> Iterator[Mutation]:
    """Take the return away with which a function ends that is to return something."""
    for function in shuffled(source.functions, rng):
        last = function.body[-1]
        told = ast.get_docstring(function) is not None
        if (
            isinstance(last, ast.Return)
            and last.value is not None
            and function.returns is not None
            and len(function.body) > 1 + told
            and source.has_own_lines(last)
        ):
            yield cut(source.text, *source.line_span(last))


def syntax_errors(source: PythonSource, rng: random.Random) -> Iterator[Mutation]:
    """Leave out a colon, a bracket, a quote or a comma."""
    tokens = source.tokens

    def left_out(position: int, *, of: int = 0) -> Mutation:
        token = tokens[position]
        at = source.character(*token.end) - 1 if of else source.character(*token.start)
        return cut(source.text, at, at + 1)

    def operators(wanted: Callable[[int], bool]) -> list[Mutation]:
        return [
            left_out(at)
            for at, token in enumerate(tokens)
            if token.type == tokenize.OP and wanted(at)
        ]

    return mixed(
        (
            operators(
                lambda at: tokens[at].string == ":" and tokens[at + 1].type == tokenize.NEWLINE
            ),
            operators(lambda at: tokens[at].string in _CLOSERS),
            operators(lambda at: tokens[at].string == ","),
            [
                left_out(at, of=1)
                for at, token in enumerate(tokens)
                if token.type == tokenize.STRING and token.start[0] == token.end[0]
            ],
        ),
        rng,
    )


def bad_indentations(source: PythonSource, rng: random.Random) -> Iterator[Mutation]:
    """Move the first line of a statement to the left or right."""
    statements = [node for node in source.in_functions if isinstance(node, ast.stmt)]
    for node in shuffled(statements, rng):
        start = source.line_span(node)[0]
        indent = source.span(node)[0] - start
        if not indent or source.text[start : start + indent].strip(" "):
            continue
        shift = rng.choice(_SHIFTS)
        if isinstance(shift, str):
            yield cut(source.text, start, start, shift)
        elif -shift <= indent:
            yield cut(source.text, start, start - shift)


def _expected_values(source: PythonSource) -> Iterator[ast.expr]:
    """Yield values of which mostly is said of what type they are to be."""
    for node in source.in_functions:
        if isinstance(node, ast.Call):
            yield from (each for each in node.args if not isinstance(each, ast.Starred))
            yield from (each.value for each in node.keywords)
        elif isinstance(node, ast.Return | ast.AnnAssign) and node.value is not None:
            yield node.value
        elif isinstance(node, ast.BinOp):
            yield node.right
        elif isinstance(node, ast.arguments):
            yield from node.defaults


def _compiles(text: str) -> bool:
    try:
        compile(text, "mutated.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


PYTHON: Mapping[str, Way] = {
    "undefined name": undefined_names,
    "missing import": missing_imports,
    "wrong attribute": wrong_attributes,
    "wrong argument count": wrong_argument_counts,
    "unused name": unused_names,
    "type mismatch": type_mismatches,
    "missing return": missing_returns,
    "syntax error": syntax_errors,
    "bad indentation": bad_indentations,
}
"""By class."""
