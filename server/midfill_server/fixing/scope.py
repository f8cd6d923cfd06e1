"""Which part of a text may be changed to fix a diagnostic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from midfill_server.document import Snapshot
from midfill_server.fixing.diagnostic import Diagnostic, Kind, kind_of
from midfill_server.fixing.edits import TextEdit
from midfill_server.syntax import SyntaxTree, Unit, enclosing, imports
from midfill_server.syntax.spans import statement_at

__all__ = ["Scope", "function_of", "scope_of"]

# Where nothing is known of the syntax.
_NEAR_LINES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The characters ``[start, end)``, whole lines, and everything before ``imports_end``.

    What a file imports stands at its top; that part may only grow or shrink by imports.
    """

    start: int
    end: int
    imports_end: int

    def holds(self, edits: Sequence[TextEdit]) -> bool:
        """Return whether edits stay inside."""
        return all(
            (self.start <= edit.start and edit.end <= self.end) or edit.end <= self.imports_end
            for edit in edits
        )


def scope_of(snapshot: Snapshot, tree: SyntaxTree | None, diagnostic: Diagnostic) -> Scope:
    """Return the function around a diagnostic, else the statement, else some lines; and imports."""
    lines = snapshot.lines
    first, last = (
        lines.line_of(min(at, len(snapshot.text))) for at in (diagnostic.start, diagnostic.end)
    )
    unit = function_of(tree, diagnostic)
    if unit is not None:
        start, end = unit.start, unit.end
    elif (held := statement_at(tree, diagnostic.start, diagnostic.end)) is not None:
        start, end = held.start, held.end
    else:
        start, end = diagnostic.start, diagnostic.end
    broken = tree is None or tree.root.has_error
    # What is wrong with the syntax may be wrong with the line before or behind.
    margin = (
        _NEAR_LINES if unit is None and broken else 1 if kind_of(diagnostic) is Kind.SYNTAX else 0
    )
    first = min(max(first - margin, 0), lines.line_of(start))
    last = max(min(last + margin, lines.count - 1), lines.line_of(end))
    return Scope(
        start=lines.start_of(first),
        end=lines.start_of(last + 1) if last + 1 < lines.count else len(snapshot.text),
        imports_end=_imports_end(snapshot, tree),
    )


def function_of(tree: SyntaxTree | None, diagnostic: Diagnostic) -> Unit | None:
    """Return the innermost function with a name that a diagnostic is in, or is about."""
    # One that speaks of a function may begin where it does.
    for at in (diagnostic.start + 1, diagnostic.start):
        units = [unit for unit in enclosing(tree, at) if unit.kind == "function"]
        named = [unit for unit in units if unit.name]
        if units:
            return (named or units)[-1]
    return None


def _imports_end(snapshot: Snapshot, tree: SyntaxTree | None) -> int:
    found = imports(tree)
    if not found:
        # The first import of a file stands below its first comments.
        return _first_code(snapshot.text)
    lines = snapshot.lines
    line = lines.line_of(found[-1].end) + 1
    return lines.start_of(line) if line < lines.count else len(snapshot.text)


def _first_code(text: str) -> int:
    """Return where the first line starts that is no comment and no blank."""
    at = 0
    for line in text.splitlines(keepends=True):
        if line.strip() and not line.lstrip().startswith(("#", "//", "/*", "*", '"""', "'''")):
            break
        at += len(line)
    return at
