"""What is no model shown: files that were excluded, disabled languages, secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midfill_server.context.visible import path_of
from midfill_server.document import Snapshot
from midfill_server.handlers.arguments import RequestFailedError
from midfill_server.judgement.places import refusal
from midfill_server.pipeline import Query

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["must_be_shown", "refusal_of", "refused"]


def refused(ls: MidfillServer, query: Query) -> str | None:
    """Return why nothing is suggested at a place, whatever a model may say there."""
    return refusal(
        path=path_of(query.uri) or "",
        language_id=query.language_id,
        text=query.text,
        cursor=query.cursor,
        settings=ls.settings.completion,
        roots=ls.roots,
        invoked=query.invoked,
    )


def refusal_of(ls: MidfillServer, snapshot: Snapshot, cursor: int) -> str | None:
    """Return why a model is not shown a document, ``None`` if it may be."""
    query = Query(
        uri=snapshot.uri,
        text=snapshot.text,
        cursor=cursor,
        language_id=snapshot.language_id,
        # It need not be a place where somebody types.
        invoked=True,
    )
    return refused(ls, query)


def must_be_shown(ls: MidfillServer, snapshot: Snapshot, cursor: int) -> None:
    """Raise ``RequestFailedError`` for a document that no model is shown."""
    reason = refusal_of(ls, snapshot, cursor)
    if reason is not None:
        raise RequestFailedError(f"No model is shown this: {reason}.")
