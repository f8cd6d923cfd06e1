"""Whether two texts are the same program, however they are laid out."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from midfill_server.syntax import SyntaxTree, language_of

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["is_same"]


def is_same(language: str, one: str, other: str) -> bool:
    """Whether two texts differ in nothing but layout, comments and the order of their imports."""
    if one == other:
        return True
    meaning = _python if language == "python" else _script
    found, wanted = meaning(one), meaning(other)
    return found is not None and found == wanted


def _python(text: str) -> list[str] | None:
    """Return the statements of a module, its imports name by name and in order."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    imports: list[str] = []
    rest: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            head = f"{node.module} {node.level}" if isinstance(node, ast.ImportFrom) else "import"
            imports += [f"{head}: {alias.name} as {alias.asname}" for alias in node.names]
        else:
            rest.append(ast.dump(node))
    return [*sorted(imports), *rest]


def _script(text: str) -> list[str] | None:
    """Return the tokens of a module; each name that it imports by itself, and in order."""
    tree = SyntaxTree.parse(text, language_of("typescript", "a.ts"))
    if tree is None or tree.root.has_error:
        return None
    imports: list[str] = []
    rest: list[str] = []
    for node in tree.root.children:
        if node.type == "import_statement":
            source = node.child_by_field_name("source")
            head = "" if source is None else _written(source)[1:-1]
            imports += [f"{head}: {name}" for name in _names(node)]
        else:
            rest += _tokens(node)
    return [*sorted(imports), *rest]


def _names(statement: Node) -> Iterator[str]:
    """Yield what a statement imports: its parts, and those of the list of names one by one."""
    for clause in statement.named_children:
        for part in clause.named_children if clause.type == "import_clause" else ():
            if part.type == "named_imports":
                yield from (f"{{ {' '.join(_tokens(name))} }}" for name in part.named_children)
            else:
                yield " ".join(_tokens(part))


def _tokens(node: Node) -> list[str]:
    """Return the tokens below a node, without what may be left out."""
    found: list[str] = []
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if one.type == "comment":
            continue
        is_string = one.is_named and one.type == "string"
        if one.children and not is_string:
            waiting.extend(reversed(one.children))
        elif (text := _written(one)) not in (";", ","):
            # Quotes are a matter of taste.
            found.append(f"'{text[1:-1]}'" if is_string else text)
    return found


def _written(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")
