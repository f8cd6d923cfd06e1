"""From the first message to the last: settings, the engine's start, the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from lsprotocol import types

from midfill_server.handlers import configuration, engine_loading, menu_registration, trust
from midfill_server.process import process_exists
from midfill_server.settings import parse

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["initialize", "initialized", "shutdown", "started"]

_log = logging.getLogger(__name__)

_WATCH_INTERVAL_S = 2.0


def initialize(ls: MidfillServer, params: types.InitializeParams) -> None:
    """Take the initialization options; nothing may be sent to the client yet."""
    ls.greeted = True
    if params.client_info is not None:
        ls.client_name = params.client_info.name
    options: object = params.initialization_options
    given = dict(cast("Mapping[str, object]", options)) if isinstance(options, Mapping) else None
    trust.take(ls, given or {})
    if given is not None:
        data = {key: value for key, value in given.items() if key != trust.OPTION}
        ls.base_settings, problems = parse(data, ls.base_settings)
        ls.settings = ls.base_settings
        ls.problems.extend(problems)
    menu_registration.advertise(ls)


def initialized(ls: MidfillServer, params: types.InitializedParams) -> None:
    """Report what was wrong with the settings so far, and start up."""
    configuration.report(ls, ls.problems)
    # Seen from inside a container the client's process may not be there at all; then its id
    # says nothing, and only the end of the stream tells that the client is gone.
    if ls.process_id is not None and process_exists(ls.process_id):
        ls.spawn(_watch_client(ls, ls.process_id))
    started(ls)


def shutdown(ls: MidfillServer, params: None) -> None:
    """Stop all work; the client sends ``exit`` next."""
    ls.shutdown_requested = True
    ls.completer.start_over()
    ls.explainer.start_over()
    ls.fixes.stop()
    ls.scheduler.cancel_all()
    ls.project.close()


def started(ls: MidfillServer) -> asyncio.Task[None]:
    """Return the task after which the engine is being opened, starting it the first time.

    A client that never sends ``initialized`` starts it with its first completion.
    """
    if ls.startup is None:
        ls.startup = ls.spawn(_start(ls))
    return ls.startup


async def _start(ls: MidfillServer) -> None:
    await configuration.pull(ls)
    ls.open_project()
    engine_loading.begin(ls)
    ls.spawn(asyncio.to_thread(ls.warm_up))
    # Completions wait for this task, and they need not wait for the client's answer to that.
    ls.spawn(configuration.register(ls))
    ls.spawn(menu_registration.follow_settings(ls))


async def _watch_client(ls: MidfillServer, pid: int) -> None:
    while process_exists(pid):
        await asyncio.sleep(_WATCH_INTERVAL_S)
    _log.warning("the client's process %d is gone", pid)
    ls.request_stop()
