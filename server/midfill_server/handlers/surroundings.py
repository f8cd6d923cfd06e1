"""``midfill/didChangeDiagnostics``: what other servers found wrong in a document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, cast

from midfill_server.context.problems import Problem

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["DIAGNOSTICS_METHOD", "did_change_diagnostics"]

DIAGNOSTICS_METHOD = "midfill/didChangeDiagnostics"
"""Notification ``{uri, version?, diagnostics: [{range, message, severity?, code?}]}``: all
that is wrong in a document now, in the shape of ``textDocument/publishDiagnostics``. An editor
sends it for what its other servers found."""

_MAX_TAKEN = 500


class _Position(Protocol):
    line: int


class _Range(Protocol):
    start: _Position
    end: _Position


class DiagnosticsParams(Protocol):
    """What pygls makes of the notification's JSON."""

    uri: str
    diagnostics: Sequence[object]


def did_change_diagnostics(ls: MidfillServer, params: DiagnosticsParams) -> None:
    """Keep what is wrong for completions nearby. What cannot be read is ignored."""
    uri, given = getattr(params, "uri", None), getattr(params, "diagnostics", None)
    version = getattr(params, "version", None)
    if not isinstance(uri, str) or not isinstance(given, list | tuple):
        return
    found = [_problem(one) for one in cast("Sequence[object]", given)[:_MAX_TAKEN]]
    ls.project.told(
        uri,
        [one for one in found if one is not None],
        version if isinstance(version, int) else None,
    )


def _problem(given: object) -> Problem | None:
    message = getattr(given, "message", None)
    where: _Range | None = getattr(given, "range", None)
    try:
        first, last = (where.start.line, where.end.line) if where is not None else (None, None)
    except AttributeError:
        return None
    if not (isinstance(message, str) and isinstance(first, int) and isinstance(last, int)):
        return None
    severity, code = getattr(given, "severity", None), getattr(given, "code", None)
    return Problem(
        first_line=first,
        last_line=max(first, last),
        message=message,
        # LSP leaves it to the client what one without a severity is; most show an error.
        severity=severity if isinstance(severity, int) else 1,
        code=str(code) if isinstance(code, str | int) else "",
    )
