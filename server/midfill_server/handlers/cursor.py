"""``midfill/didMoveCursor``: where the cursor is while nothing is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lsprotocol import types

from midfill_server.convert import to_offset
from midfill_server.handlers import lifecycle
from midfill_server.handlers.refusal import refused
from midfill_server.pipeline import Query
from midfill_server.postprocess import Length

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["MOVED_METHOD", "did_move"]

MOVED_METHOD = "midfill/didMoveCursor"
"""Notification ``{textDocument: {uri}, position}``: sent when a file is shown, and when the cursor
moves without an edit. Where it comes to rest the prompt is computed before a key is typed."""


class _Document(Protocol):
    uri: object


class _Position(Protocol):
    line: int
    character: int


class MovedParams(Protocol):
    """What pygls makes of the notification's JSON."""

    textDocument: _Document
    position: _Position


def did_move(ls: MidfillServer, params: MovedParams) -> None:
    """Let the completer prepare for a key at the new place. What cannot be read is ignored."""
    try:
        uri, given = params.textDocument.uri, params.position
        position = types.Position(line=given.line, character=given.character)
    except (AttributeError, TypeError, ValueError):
        return
    snapshot = ls.documents.get(uri) if isinstance(uri, str) else None
    if snapshot is None:
        return
    ls.project.visited(snapshot.uri, position.line)
    cursor = to_offset(snapshot, position, ls.encoding)
    query = Query(
        uri=snapshot.uri,
        text=snapshot.text,
        cursor=cursor,
        language_id=snapshot.language_id,
        length=Length(ls.settings.completion.length),
        eagerness=ls.settings.completion.eagerness,
    )
    if refused(ls, query):
        return
    started = lifecycle.started(ls)
    if started.done():
        _rest(ls, query)
    else:
        # The first file is shown before the engine is asked to open; then there is none to ask.
        started.add_done_callback(lambda _: _rest(ls, query))


def _rest(ls: MidfillServer, query: Query) -> None:
    ls.apply_profile()
    ls.completer.rest(query)
