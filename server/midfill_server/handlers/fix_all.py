"""``midfill.fixAll``: everything of one kind in a file, fixed as one edit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

from midfill_engine.errors import MidfillError
from midfill_server.fix_every import Every, fix_every
from midfill_server.fixes import Wish
from midfill_server.fixing import edits_between
from midfill_server.handlers import lifecycle
from midfill_server.handlers.arguments import (
    RequestFailedError,
    document_of,
    named,
    table_of,
    unstructured,
)
from midfill_server.handlers.diagnostics import diagnostic_of, informed, wish_for
from midfill_server.handlers.edits import apply
from midfill_server.handlers.refusal import must_be_shown
from midfill_server.handlers.work_done import Report, work_done
from midfill_server.scheduler import EngineUnavailableError, SupersededError

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["FIX_ALL_COMMAND", "fix_all", "may_have_several"]

FIX_ALL_COMMAND = "midfill.fixAll"
"""``workspace/executeCommand`` with ``{uri, diagnostic}``, one of the kind: the answer is
``{fixed, left, applied, edit}``, ``edit`` where it does not take ``workspace/applyEdit``."""

# Whoever has had enough cancels it.
_LIMIT_S = 3600.0


def may_have_several(ls: MidfillServer, uri: str, given: types.Diagnostic, at_hand: int) -> bool:
    """Whether a document may have more of a diagnostic's kind; ``at_hand`` are known."""
    if given.code is None:
        return False
    told = ls.project.count(uri, str(given.code))
    return at_hand > 1 or told is None or told > 1


async def fix_all(ls: MidfillServer, arguments: Sequence[object]) -> dict[str, object]:
    """Fix what the checker confirms, one after the other, and apply all of it at the end."""
    table = table_of(arguments, FIX_ALL_COMMAND)
    snapshot = document_of(ls, table, FIX_ALL_COMMAND)
    given = named(table, "diagnostic", types.Diagnostic)
    if given is None:
        raise JsonRpcInvalidParams(f"{FIX_ALL_COMMAND} takes a diagnostic")
    if not ls.settings.fix.enabled:
        raise RequestFailedError("Fixes are switched off (fix.enabled).")
    one = diagnostic_of(given, snapshot, ls.encoding)
    must_be_shown(ls, snapshot, one.start)
    await asyncio.shield(lifecycle.started(ls))
    kind = one.code or one.source or "problems"
    async with work_done(ls, f"midfill: fixing all {kind}") as report:
        every = await _every(ls, informed(ls, wish_for(ls, one, snapshot)), report)
    if every is None:
        raise RequestFailedError(
            f"No tool is installed here that finds {kind} too, so that no fix could be confirmed."
        )
    edits = edits_between(snapshot.text, every.text)
    applied, left_over = await apply(ls, snapshot, edits, f"Fix all {kind}")
    if edits and not applied and left_over is None:
        raise RequestFailedError("The document has changed meanwhile; it was left as it is.")
    _say(ls, kind, every)
    return {
        "fixed": every.fixed,
        "left": every.left,
        "applied": applied,
        "edit": None if left_over is None else unstructured(left_over),
    }


async def _every(ls: MidfillServer, wish: Wish, report: Report) -> Every | None:
    loop = asyncio.get_running_loop()

    def tell(done: int, total: int) -> None:
        percentage = done * 100 // total if total else None
        loop.call_soon_threadsafe(partial(report, f"{done} of {total}", percentage))

    try:
        return await ls.fixes.run(lambda desk: fix_every(wish, desk, tell), _LIMIT_S)
    except (SupersededError, EngineUnavailableError) as error:
        raise RequestFailedError("There is no model now that could fix this.") from error
    except (TimeoutError, MidfillError) as error:
        raise RequestFailedError(str(error) or "It took too long.") from error


def _say(ls: MidfillServer, kind: str, every: Every) -> None:
    total = every.fixed + every.left
    message = f"midfill: fixed {every.fixed} of {total} ({kind})."
    ls.window_show_message(types.ShowMessageParams(type=types.MessageType.Info, message=message))
