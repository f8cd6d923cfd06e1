"""Diagnostics as editors have them, and findings as checkers have them: the one from the other."""

from __future__ import annotations

from midfill_server.checking.finding import Finding
from midfill_server.document import Snapshot
from midfill_server.fixing.diagnostic import Diagnostic

__all__ = ["diagnostic_of", "finding_of"]


def finding_of(one: Diagnostic, snapshot: Snapshot) -> Finding:
    """Return a diagnostic of the snapshot in the terms of checkers."""
    (first_line, first_column), (last_line, last_column) = (
        _place(snapshot, offset) for offset in (one.start, one.end)
    )
    return Finding(
        first_line=first_line,
        first_column=first_column,
        last_line=last_line,
        last_column=last_column,
        message=one.message,
        code=one.code,
        source=one.source,
        severity=one.severity,
    )


def diagnostic_of(one: Finding, snapshot: Snapshot) -> Diagnostic:
    """Return what a checker found in the snapshot; without columns, it is about whole lines."""
    return Diagnostic(
        start=_offset(snapshot, one.first_line, one.first_column or 0),
        end=_offset(snapshot, one.last_line, one.last_column),
        message=one.message,
        code=one.code,
        source=one.source,
        severity=one.severity,
    )


def _place(snapshot: Snapshot, offset: int) -> tuple[int, int]:
    lines, offset = snapshot.lines, min(offset, len(snapshot.text))
    line = lines.line_of(offset)
    return line, offset - lines.start_of(line)


def _offset(snapshot: Snapshot, line: int, column: int | None) -> int:
    lines = snapshot.lines
    start, end = lines.span(min(line, lines.count - 1), snapshot.text)
    return end if column is None else min(start + column, end)
