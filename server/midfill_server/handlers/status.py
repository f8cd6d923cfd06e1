"""``midfill/didChangeStatus``: how the server is doing, for an editor's status bar."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from midfill_engine.errors import MidfillError, ModelMissingError
from midfill_engine.types import EngineInfo
from midfill_server.handlers.announced import announces
from midfill_server.scheduler import CallLater, Timer, call_later_on_loop

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["STATUS_METHOD", "Announcer", "State", "Status", "awaited", "send"]

P = TypeVar("P")
R = TypeVar("R")

STATUS_METHOD = "midfill/didChangeStatus"
"""Notification with all fields of ``Status``; sent to clients that want it, as ``send`` says."""

# What is answered sooner than this was not worth a look.
_NOTICED_S = 0.05
_INTERVAL_S = 0.25


class State(StrEnum):
    """Whether there is a model that answers."""

    LOADING = "loading"
    """It is being fetched, converted or loaded."""
    READY = "ready"
    """It answers. After a long pause it may have left the memory until it is asked again."""
    MISSING = "missing"
    """It is not on this machine, and nobody has allowed it to be fetched."""
    FAILED = "failed"
    """It cannot be had or cannot be used; ``Status.message`` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a user may want to know at a glance. ``message`` is for people, and may be empty.

    ``working``: somebody waits for an answer. ``model`` and ``device`` are what serves, or the
    model that is missing; ``percent`` is how far loading is, also that of a better model while
    another one answers. ``log`` is the path of the log file, if one is written.
    """

    state: State = State.LOADING
    working: bool = False
    message: str = ""
    model: str | None = None
    device: str | None = None
    percent: int | None = None
    download_bytes: int | None = None
    log: str | None = None


class Announcer:
    """Keeps the status of a session and sends it when it has changed.

    Another state is sent at once, all else at most four times a second. Belongs to the event
    loop's thread.
    """

    def __init__(
        self,
        send: Callable[[Status], None],
        *,
        call_later: CallLater = call_later_on_loop,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send
        self._call_later = call_later
        self._clock = clock
        self._latest = Status()
        self._began_with: str | None = None
        self._sent: Status | None = None
        self._sent_s = 0.0
        self._due: Timer | None = None
        self._waiting = 0
        self._notice: Timer | None = None

    @property
    def latest(self) -> Status:
        """The status as it is now; it may be about to be sent."""
        return self._latest

    def loading(self, message: str, percent: int | None = None) -> None:
        """Say that there is no answer before a model is loaded."""
        self._change(State.LOADING, message, percent=percent)

    def opened(self, info: EngineInfo) -> None:
        """Say what answers from now on."""
        self._began_with = info.model_id
        self.ready(info)

    def answered(self, info: EngineInfo) -> None:
        """Hear what answered last: a better model may have taken over from that of the beginning.

        That one may go on answering now and then, which is not worth a mention.
        """
        is_ready = self._latest.state is State.READY
        if is_ready and info.model_id not in (self._began_with, self._latest.model):
            self.ready(info)

    def ready(self, info: EngineInfo, message: str = "", percent: int | None = None) -> None:
        """Say what answers; ``message`` tells what else is going on."""
        self._change(
            State.READY,
            message or info.reason,
            model=info.model_id,
            device=info.device,
            percent=percent,
        )

    def failed(self, error: BaseException) -> None:
        """Say why nothing answers."""
        if isinstance(error, ModelMissingError):
            self._change(
                State.MISSING,
                str(error),
                model=error.model_id,
                download_bytes=error.download_bytes,
            )
            return
        known = isinstance(error, MidfillError)
        message = str(error) if known else f"the model could not be loaded ({error!r})"
        self._change(State.FAILED, message)

    @contextmanager
    def awaited(self) -> Generator[None]:
        """Count as work that somebody waits for; short work is not mentioned."""
        self._waiting += 1
        if self._waiting == 1:
            self._notice = self._call_later(_NOTICED_S, self._notice_work)
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                if self._notice is not None:
                    self._notice.cancel()
                self._announce(replace(self._latest, working=False))

    def _notice_work(self) -> None:
        self._announce(replace(self._latest, working=True))

    def _change(
        self,
        state: State,
        message: str,
        *,
        model: str | None = None,
        device: str | None = None,
        percent: int | None = None,
        download_bytes: int | None = None,
    ) -> None:
        self._announce(
            Status(
                state=state,
                working=self._latest.working,
                message=message,
                model=model,
                device=device,
                percent=percent,
                download_bytes=download_bytes,
                log=_log_file(),
            )
        )

    def _announce(self, status: Status) -> None:
        self._latest = status
        if self._sent is not None and self._sent.state is status.state:
            wait_s = self._sent_s + _INTERVAL_S - self._clock()
        elif self._sent is None and status == Status():
            # Nothing has begun yet.
            return
        else:
            wait_s = 0.0
        if wait_s <= 0:
            self._send_latest()
        elif self._due is None and status != self._sent:
            self._due = self._call_later(wait_s, self._send_latest)

    def _send_latest(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._latest != self._sent:
            self._sent, self._sent_s = self._latest, self._clock()
            self._send(self._latest)


def awaited(
    handler: Callable[[MidfillServer, P], Awaitable[R]],
) -> Callable[[MidfillServer, P], Coroutine[object, object, R]]:
    """Return ``handler`` of a request that makes the status say that work is going on."""

    async def handle(ls: MidfillServer, params: P) -> R:
        with ls.status.awaited():
            answer = await handler(ls, params)
        info = ls.scheduler.info
        if info is not None:
            ls.status.answered(info)
        return answer

    return handle


def send(ls: MidfillServer, status: Status) -> None:
    """Tell the client, if its ``capabilities.experimental.midfill.status`` is true."""
    if not announces(ls, "status"):
        return
    ls.protocol.notify(
        STATUS_METHOD,
        {
            "state": status.state.value,
            "working": status.working,
            "message": status.message,
            "model": status.model,
            "device": status.device,
            "percent": status.percent,
            "downloadBytes": status.download_bytes,
            "log": status.log,
        },
    )


def _log_file() -> str | None:
    """Return the file that is logged to, whoever has set that up."""
    handlers = logging.getLogger().handlers
    files = (each.baseFilename for each in handlers if isinstance(each, logging.FileHandler))
    return next(files, None)
