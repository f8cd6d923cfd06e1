"""Opening the engine while the user watches: progress, offers to download, what went wrong."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from midfill_engine.errors import MidfillError, ModelMissingError
from midfill_engine.progress import Progress
from midfill_server.scheduler import EngineUnavailableError
from midfill_server.settings import engine_options

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["DOWNLOAD", "begin"]

_log = logging.getLogger(__name__)

DOWNLOAD = "Download"
"""Title of the action that allows fetching a missing model."""


def begin(ls: MidfillServer, *, download: bool | None = None) -> None:
    """Open an engine as the settings say, in place of the present one; returns at once.

    Completions that are asked for from now on wait for it.
    """
    ls.opened_with = engine_options(ls.settings)
    ls.completer.start_over()
    ls.apply_profile()
    shown = _Shown(ls)
    opening = ls.scheduler.open(engine_options(ls.settings, download=download), shown.report)

    async def watch() -> None:
        await shown.start()
        missing: ModelMissingError | None = None
        outcome = "ready"
        try:
            info = await opening
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
            await _offer_download(ls, missing)

    ls.spawn(watch())


def _failed(ls: MidfillServer, error: Exception) -> None:
    _log.error("the engine could not be opened", exc_info=error)
    if isinstance(error, MidfillError):
        message = f"midfill: {error}"
    else:
        message = f"midfill: the model could not be loaded ({error!r}); `midfill doctor` may help"
    ls.tell_once(f"open:{message}", message, types.MessageType.Error)


async def _offer_download(ls: MidfillServer, missing: ModelMissingError) -> None:
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
    if chosen is not None and chosen.title == DOWNLOAD:
        begin(ls, download=True)


class _Shown:
    """One work-done progress at the client; silent where the client has none."""

    def __init__(self, ls: MidfillServer) -> None:
        self._ls = ls
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
        if self._token is None:
            return
        percentage = None
        if progress.total:
            percentage = min(100, progress.done * 100 // progress.total)
        message = progress.task if percentage is None else f"{progress.task} ({percentage} %)"
        self._ls.work_done_progress.report(
            self._token, types.WorkDoneProgressReport(message=message, percentage=percentage)
        )

    def end(self, outcome: str) -> None:
        token, self._token = self._token, None
        if token is not None:
            self._ls.work_done_progress.end(token, types.WorkDoneProgressEnd(message=outcome))
