"""Opening the engine while the user watches: progress, offers to download, what went wrong."""

from __future__ import annotations

import asyncio
import logging
import sys
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from midfill_engine.engine import Engine
from midfill_engine.errors import MidfillError, ModelMissingError
from midfill_engine.options import EngineOptions
from midfill_engine.progress import Progress, ProgressSink
from midfill_engine.types import EngineInfo
from midfill_server.handlers.status import State
from midfill_server.scheduler import EngineOpener, EngineUnavailableError
from midfill_server.settings import engine_options

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["DOWNLOAD", "Opening", "begin", "heard", "wanted"]

_log = logging.getLogger(__name__)

DOWNLOAD = "Download"
"""Title of the action that allows fetching a missing model."""

_LOADING = "Loading the model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """The latest time that an engine was asked for: with what, and whose loop is to hear of it."""

    options: EngineOptions
    loop: asyncio.AbstractEventLoop


def wanted(ls: MidfillServer) -> EngineOptions:
    """Return what to open an engine with: as the settings say, but for a model chosen since."""
    options = engine_options(ls.settings)
    return options if ls.chosen_model is None else replace(options, model=ls.chosen_model)


def begin(ls: MidfillServer, *, download: bool | None = None) -> None:
    """Open an engine as is ``wanted``, in place of the present one; returns at once.

    Completions that are asked for from now on wait for it. ``download`` overrides the setting.
    """
    ls.opened_with = options = wanted(ls)
    if download is not None:
        options = replace(options, download=download)
    ls.completer.start_over()
    ls.explainer.start_over()
    ls.apply_profile()
    ls.opening = opening = Opening(options=options, loop=asyncio.get_running_loop())
    shown = _Shown(ls, opening)
    ls.status.loading(_LOADING)
    ls.spawn(_watch(ls, opening, shown, ls.scheduler.open(options, shown.report)))


async def _watch(
    ls: MidfillServer, opening: Opening, shown: _Shown, opened: asyncio.Future[EngineInfo]
) -> None:
    """Tell the user what comes of an opening."""
    await shown.start()
    missing: ModelMissingError | None = None
    outcome = "ready"
    try:
        info = await opened
        _log.info("serving %s on %s: %s", info.model_id, info.device, info.reason)
        outcome = f"{info.model_id} is ready"
    except ModelMissingError as error:
        missing, outcome = error, "no model"
    except EngineUnavailableError:
        outcome = "closed"
    except Exception as error:
        _failed(ls, error)
        outcome = "failed"
    finally:
        shown.end(outcome)
    if missing is not None:
        await _offer_download(ls, opening, missing)
    elif outcome == "failed" and ls.chosen_model is not None and ls.opening is opening:
        # It cannot be had. What the settings mean answers again, rather than nothing.
        ls.chosen_model = None
        begin(ls)


def heard(ls: MidfillServer, open_engine: EngineOpener) -> EngineOpener:
    """Return ``open_engine``, of which the status hears: also when a released engine comes back."""

    def opener(options: EngineOptions, progress: ProgressSink) -> Engine:
        engine: Engine | None = None
        _tell(ls, options, lambda: ls.status.loading(_LOADING))
        try:
            engine = open_engine(options, progress)
            return engine
        finally:
            outcome = sys.exception() if engine is None else engine.info
            _tell(ls, options, lambda: _opened(ls, outcome))

    return opener


def _tell(ls: MidfillServer, options: EngineOptions, say: Callable[[], None]) -> None:
    """Have something said on the event loop, unless another engine was asked for meanwhile."""
    opening = ls.opening
    if opening is not None and opening.options is options:
        # When the loop is closed, nobody is left who wants to hear.
        with suppress(RuntimeError):
            opening.loop.call_soon_threadsafe(lambda: ls.opening is opening and say())


def _opened(ls: MidfillServer, outcome: EngineInfo | BaseException | None) -> None:
    if isinstance(outcome, EngineInfo):
        ls.status.opened(outcome)
    elif outcome is not None:
        ls.status.failed(outcome)


def _failed(ls: MidfillServer, error: Exception) -> None:
    _log.error("the engine could not be opened", exc_info=error)
    if isinstance(error, MidfillError):
        message = f"midfill: {error}"
    else:
        message = f"midfill: the model could not be loaded ({error!r}); `midfill doctor` may help"
    # Who chooses a model once more is told once more.
    times = "" if ls.chosen_model is None else str(uuid.uuid4())
    ls.tell_once(f"open:{message}{times}", message, types.MessageType.Error)


async def _offer_download(ls: MidfillServer, opening: Opening, missing: ModelMissingError) -> None:
    _log.warning("%s", missing)
    params = types.ShowMessageRequestParams(
        type=types.MessageType.Info,
        message=f"midfill: {missing}",
        actions=[types.MessageActionItem(title=DOWNLOAD), types.MessageActionItem(title="Not now")],
    )
    try:
        chosen = await ls.window_show_message_request_async(params)
    except JsonRpcException as error:
        _log.warning("the client cannot ask the user: %s", error)
        ls.tell_once(f"open:{missing}", f"midfill: {missing}", types.MessageType.Warning)
        return
    # While the question stood there, the settings or a command may have answered it.
    if chosen is not None and chosen.title == DOWNLOAD and ls.opening is opening:
        begin(ls, download=True)


class _Shown:
    """One work-done progress at the client; silent where the client has none."""

    def __init__(self, ls: MidfillServer, opening: Opening) -> None:
        self._ls = ls
        self._opening = opening
        self._token: str | None = None
        self._latest: Progress | None = None

    async def start(self) -> None:
        window = self._ls.client_capabilities.window
        if not (window and window.work_done_progress):
            return
        token = f"midfill-{uuid.uuid4()}"
        try:
            await self._ls.window_work_done_progress_create_async(
                types.WorkDoneProgressCreateParams(token=token)
            )
        except JsonRpcException as error:
            _log.warning("no progress can be shown: %s", error)
            return
        self._token = token
        self._ls.work_done_progress.begin(
            token, types.WorkDoneProgressBegin(title="midfill", message="Loading the model")
        )
        if self._latest is not None:
            self.report(self._latest)

    def report(self, progress: Progress) -> None:
        self._latest = progress
        _log.debug("%s: %s of %s %s", progress.task, progress.done, progress.total, progress.unit)
        percentage = None
        # Of one thing there is nothing to be told between its beginning and its end.
        if progress.total and progress.total > 1:
            percentage = min(100, progress.done * 100 // progress.total)
        self._report_status(progress, percentage)
        if self._token is None:
            return
        message = progress.task if percentage is None else f"{progress.task} ({percentage} %)"
        self._ls.work_done_progress.report(
            self._token, types.WorkDoneProgressReport(message=message, percentage=percentage)
        )

    def end(self, outcome: str) -> None:
        token, self._token = self._token, None
        if token is not None:
            self._ls.work_done_progress.end(token, types.WorkDoneProgressEnd(message=outcome))

    def _report_status(self, progress: Progress, percentage: int | None) -> None:
        status, info = self._ls.status, self._ls.scheduler.info
        if self._ls.opening is not self._opening:
            return
        # Reports arrive later than they were made: only what was said of them is in their order.
        if info is None or status.latest.state is State.LOADING:
            status.loading(progress.task, percentage)
        elif progress.done == progress.total:
            status.ready(info)
        else:
            # A better model is on its way while this one answers.
            status.ready(info, progress.task, percentage)
