"""``midfill.explain`` and ``midfill.explainDiagnostic``: explanations that somebody asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

from midfill_server.convert import to_offset
from midfill_server.document import Snapshot
from midfill_server.explaining import (
    Length,
    Question,
    Unavailable,
    ask_about_diagnostic,
    ask_about_selection,
    ask_about_symbol,
    ground,
    ground_selection,
    symbol_at,
    with_sources,
)
from midfill_server.handlers import lifecycle
from midfill_server.handlers.announced import announces
from midfill_server.handlers.arguments import (
    RequestFailedError,
    document_of,
    named,
    table_of,
)
from midfill_server.handlers.diagnostics import diagnostic_of
from midfill_server.handlers.hover import name_model, opened_texts
from midfill_server.handlers.refusal import must_be_shown
from midfill_server.handlers.work_done import work_done
from midfill_server.syntax import SyntaxTree, enclosing

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = [
    "EXPLAIN_COMMAND",
    "EXPLAIN_DIAGNOSTIC_COMMAND",
    "EXPLANATION_METHOD",
    "explain",
    "explain_diagnostic",
    "shows_explanations",
]

EXPLAIN_COMMAND = "midfill.explain"
"""``workspace/executeCommand`` with ``{uri, range | position, length?, token?}``: the answer is
``{markdown, model}``."""

EXPLAIN_DIAGNOSTIC_COMMAND = "midfill.explainDiagnostic"
"""The same with ``{uri, diagnostic, length?, token?}``."""

EXPLANATION_METHOD = "midfill/explanation"
"""Notification ``{token, text, done}``: all of the text so far, already safe to render. Sent where
the command came with a ``token``."""

_AROUND_LINES = 6


def shows_explanations(ls: MidfillServer) -> bool:
    """Whether the client does something with the answers of these commands."""
    return ls.settings.explain.enabled and announces(ls, "explanations")


async def explain(ls: MidfillServer, arguments: Sequence[object]) -> dict[str, object]:
    """Explain what is selected, or what the cursor is at."""
    table = table_of(arguments, EXPLAIN_COMMAND)
    snapshot = document_of(ls, table, EXPLAIN_COMMAND)
    place = named(table, "range", types.Range)
    if place is None:
        position = named(table, "position", types.Position)
        if position is None:
            raise JsonRpcInvalidParams(f"{EXPLAIN_COMMAND} takes a range or a position")
        place = types.Range(start=position, end=position)
    start = to_offset(snapshot, place.start, ls.encoding)
    end = to_offset(snapshot, place.end, ls.encoding)
    _may_be_explained(ls, snapshot, start)
    length = _length(ls, table)
    if snapshot.text[start:end].strip():
        question = _about_lines(ls, snapshot, start, end, length)
    else:
        question = await _about_name(ls, snapshot, start, length)
    return await _stream(ls, table, snapshot, question)


async def explain_diagnostic(ls: MidfillServer, arguments: Sequence[object]) -> dict[str, object]:
    """Explain what a diagnostic means where it is."""
    table = table_of(arguments, EXPLAIN_DIAGNOSTIC_COMMAND)
    snapshot = document_of(ls, table, EXPLAIN_DIAGNOSTIC_COMMAND)
    given = named(table, "diagnostic", types.Diagnostic)
    if given is None:
        raise JsonRpcInvalidParams(f"{EXPLAIN_DIAGNOSTIC_COMMAND} takes a diagnostic")
    one = diagnostic_of(given, snapshot, ls.encoding)
    _may_be_explained(ls, snapshot, one.start)
    tree = _tree(ls, snapshot)
    start, end = _unit(snapshot, tree, one.start)
    lines = snapshot.lines
    question = ask_about_diagnostic(
        ground_selection(snapshot, tree, start, end, ls.project.surroundings),
        line=snapshot.text[slice(*lines.span(lines.line_of(one.start), snapshot.text))],
        marked=snapshot.text[one.start : one.end],
        message=one.message,
        code=one.code,
        source=one.source,
        length=_length(ls, table),
        max_tokens=ls.settings.explain.max_tokens,
    )
    return await _stream(ls, table, snapshot, question)


async def _about_name(
    ls: MidfillServer, snapshot: Snapshot, cursor: int, length: Length
) -> Question:
    """Ask about the name at the cursor; where there is none, about the unit or line it is in."""
    tree, around = _tree(ls, snapshot), ls.project.surroundings
    symbol = symbol_at(snapshot, tree, cursor, around)
    if symbol is not None:
        symbol = await asyncio.to_thread(with_sources, symbol, ls.reader.files, opened_texts(ls))
        grounding = ground(symbol, snapshot, tree, around, ls.documents.all())
        if grounding is not None:
            bound = ls.settings.explain.max_tokens
            return ask_about_symbol(grounding, length, max_tokens=bound)
    start, end = _unit(snapshot, tree, cursor)
    return _about_lines(ls, snapshot, start, end, length)


def _about_lines(
    ls: MidfillServer, snapshot: Snapshot, start: int, end: int, length: Length
) -> Question:
    tree, bound = _tree(ls, snapshot), ls.settings.explain.max_tokens
    grounding = ground_selection(snapshot, tree, start, end, ls.project.surroundings)
    if not grounding.code.strip():
        raise RequestFailedError("There is nothing here to explain.")
    return ask_about_selection(grounding, length, max_tokens=bound)


async def _stream(
    ls: MidfillServer, table: Mapping[str, object], snapshot: Snapshot, question: Question
) -> dict[str, object]:
    """Have it written while the client watches."""
    await asyncio.shield(lifecycle.started(ls))
    name_model(ls)
    tell = _teller(ls, table)
    async with work_done(ls, "midfill: explaining"):
        outcome = await ls.explainer.stream(snapshot.uri, question, lambda text: tell(text, False))
    if isinstance(outcome, Unavailable):
        raise RequestFailedError(outcome.message)
    tell(outcome.text, True)
    ls.keep_explanations()
    return {"markdown": outcome.text, "model": outcome.model_id}


def _teller(ls: MidfillServer, table: Mapping[str, object]) -> Callable[[str, bool], None]:
    token = table.get("token")
    told = ""

    def tell(text: str, done: bool) -> None:
        nonlocal told
        if isinstance(token, str | int) and (done or text != told):
            told = text
            ls.protocol.notify(EXPLANATION_METHOD, {"token": token, "text": text, "done": done})

    return tell


def _may_be_explained(ls: MidfillServer, snapshot: Snapshot, cursor: int) -> None:
    if not ls.settings.explain.enabled:
        raise RequestFailedError("Explanations are switched off (explain.enabled).")
    must_be_shown(ls, snapshot, cursor)


def _length(ls: MidfillServer, table: Mapping[str, object]) -> Length:
    given = named(table, "length", str) or ls.settings.explain.length
    try:
        return Length(given)
    except ValueError as error:
        raise JsonRpcInvalidParams("length is short, medium or long") from error


def _tree(ls: MidfillServer, snapshot: Snapshot) -> SyntaxTree | None:
    return ls.reader.trees.tree(snapshot.uri, snapshot.language_id, snapshot.text)


def _unit(snapshot: Snapshot, tree: SyntaxTree | None, at: int) -> tuple[int, int]:
    """Return the function or class around a place, or some lines."""
    units = enclosing(tree, at)
    if units:
        return units[-1].start, units[-1].end
    lines = snapshot.lines
    line = lines.line_of(at)
    first, last = max(line - _AROUND_LINES, 0), min(line + _AROUND_LINES, lines.count - 1)
    return lines.start_of(first), lines.span(last, snapshot.text)[1]
