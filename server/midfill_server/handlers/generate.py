"""``midfill.generate``: code for what the comment or docstring at the cursor says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

from midfill_engine.errors import MidfillError
from midfill_server.convert import to_offset
from midfill_server.document import Snapshot
from midfill_server.fixing import TextEdit
from midfill_server.handlers import lifecycle
from midfill_server.handlers.arguments import (
    RequestFailedError,
    document_of,
    named,
    table_of,
    unstructured,
)
from midfill_server.handlers.edits import apply
from midfill_server.handlers.refusal import must_be_shown
from midfill_server.handlers.work_done import work_done
from midfill_server.pipeline import Query
from midfill_server.postprocess import Length
from midfill_server.scheduler import EngineUnavailableError, SupersededError
from midfill_server.syntax import language_of
from midfill_server.wanted import place_for_code

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["GENERATE_COMMAND", "generate"]

GENERATE_COMMAND = "midfill.generate"
"""``workspace/executeCommand`` with ``{uri, position}``: the answer is ``{applied, edit}``,
``edit`` where the client does not take ``workspace/applyEdit``."""

_MAX_TOKENS = 320
_ASKER = "generate"


async def generate(ls: MidfillServer, arguments: Sequence[object]) -> dict[str, object]:
    """Write what a comment or docstring asks for below it."""
    table = table_of(arguments, GENERATE_COMMAND)
    snapshot = document_of(ls, table, GENERATE_COMMAND)
    position = named(table, "position", types.Position)
    if position is None:
        raise JsonRpcInvalidParams(f"{GENERATE_COMMAND} takes a position")
    cursor = to_offset(snapshot, position, ls.encoding)
    must_be_shown(ls, snapshot, cursor)
    tree = ls.reader.trees.tree(snapshot.uri, snapshot.language_id, snapshot.text)
    language = language_of(snapshot.language_id, snapshot.uri)
    place = place_for_code(snapshot.text, cursor, tree, language)
    if place is None:
        raise RequestFailedError(
            "There is nothing here that says what is wanted: put the cursor into a comment or a "
            "docstring."
        )
    await asyncio.shield(lifecycle.started(ls))
    async with work_done(ls, "midfill: writing code"):
        text = await _written(ls, snapshot, place)
    if not text.strip():
        raise RequestFailedError("The model wrote nothing for this.")
    edit = TextEdit(start=place.start, end=place.end, new=place.new + text)
    applied, left_over = await apply(ls, snapshot, (edit,), "Generate code")
    if not applied and left_over is None:
        raise RequestFailedError("The document has changed meanwhile; it was left as it is.")
    return {
        "applied": applied,
        "edit": None if left_over is None else unstructured(left_over),
    }


async def _written(ls: MidfillServer, snapshot: Snapshot, place: TextEdit) -> str:
    """Complete behind ``place``, as if somebody had typed it and asked by hand."""
    before = snapshot.text[: place.start] + place.new
    query = Query(
        uri=snapshot.uri,
        text=before + snapshot.text[place.end :],
        cursor=len(before),
        language_id=snapshot.language_id,
        length=Length.BLOCK,
        invoked=True,
        max_tokens=max(_MAX_TOKENS, ls.settings.completion.max_tokens),
        request_id=str(ls.protocol.msg_id),
    )
    try:
        return (await ls.completer.complete(query, lambda text: None, asker=_ASKER)).text
    except SupersededError as error:
        raise RequestFailedError("Something else was asked for meanwhile.") from error
    except EngineUnavailableError as error:
        raise RequestFailedError("There is no model: `midfill doctor` says more.") from error
    except MidfillError as error:
        raise RequestFailedError(str(error)) from error
