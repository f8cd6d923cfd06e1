"""Work-done progress of a request: shown where the client wants it, and cancelled from there."""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, cast

from lsprotocol import types
from pygls.exceptions import JsonRpcException

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["Report", "work_done"]

_log = logging.getLogger(__name__)

Report = Callable[[str, int | None], None]
"""Says what is being done, and how many per cent of it are done, if that is known."""


@asynccontextmanager
async def work_done(ls: MidfillServer, title: str) -> AsyncGenerator[Report]:
    """Show that a request is being worked on, with the token that came with it or one of ours.

    Who cancels the progress cancels the request.
    """
    request_id = ls.protocol.msg_id
    token = ls.work_done_token
    if token is None:
        token = await _created(ls)
    if token is None:
        yield _silent
        return
    progress = ls.work_done_progress
    # pygls cancels what stands here when the client says so; it would keep it for ever.
    tokens = cast("dict[str | int, Future[None]]", progress.tokens)  # pyright: ignore[reportUnknownMemberType] - untyped in pygls
    cancelled = tokens[token] = Future()
    if request_id is not None:
        cancelled.add_done_callback(lambda _: ls.give_up(request_id))
    progress.begin(token, types.WorkDoneProgressBegin(title=title, cancellable=True))
    try:
        yield partial(_report, ls, token)
    finally:
        tokens.pop(token, None)
        progress.end(token, types.WorkDoneProgressEnd())


async def _created(ls: MidfillServer) -> str | None:
    window = ls.client_capabilities.window
    if not (window and window.work_done_progress):
        return None
    token = f"midfill-{uuid.uuid4()}"
    try:
        await ls.window_work_done_progress_create_async(
            types.WorkDoneProgressCreateParams(token=token)
        )
    except JsonRpcException as error:
        _log.warning("no progress can be shown: %s", error)
        return None
    return token


def _report(ls: MidfillServer, token: str | int, message: str, percentage: int | None) -> None:
    ls.work_done_progress.report(
        token,
        types.WorkDoneProgressReport(message=message, percentage=percentage, cancellable=True),
    )


def _silent(message: str, percentage: int | None) -> None:
    """Show nothing."""
