"""Which job the engine works on: the only bridge between the event loop and the worker thread.

The most urgent job goes first, and among equals the one that came first. A job that is less urgent
than a new one makes way at its next step; what the engine has computed for it stays in the caches.
For each key (a document) the latest job wins.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol, TypeAlias, TypeVar, cast

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.options import EngineOptions
from midfill_engine.progress import Progress
from midfill_engine.types import EngineInfo
from midfill_server.worker import (
    EngineOpener,
    EngineUnavailableError,
    EngineWorker,
    StoppedError,
)

__all__ = [
    "CallLater",
    "EngineOpener",
    "EngineUnavailableError",
    "Job",
    "Priority",
    "Scheduler",
    "SupersededError",
    "Timer",
    "call_later_on_loop",
]

T = TypeVar("T")
E = TypeVar("E")


class Priority(IntEnum):
    """How urgent a job is; a smaller number is more urgent.

    Who asks for a fix waits for it. What is computed ahead comes before an explanation: it is what
    the next key needs, and takes seconds at most, while an explanation is read as it grows.
    """

    COMPLETION = 0
    FIX = 1
    PREFETCH = 2
    HOVER = 3


Job: TypeAlias = Callable[[Engine, CancelToken, Callable[[E], None]], T]
"""Work on the engine, done on the worker thread; it looks at the token at every step.

It may be called again from its start, with a new token, after it was made to stop. What it hands
to the function arrives on the event loop before its result does; what arrives after it was made
to stop is dropped, and when it is called again its events start from the beginning.
"""


class Timer(Protocol):
    """A call that is due later, as ``asyncio.TimerHandle``."""

    def cancel(self) -> None:
        """Forget the call. Idempotent."""
        ...


CallLater: TypeAlias = Callable[[float, Callable[[], None]], Timer]
"""Calls the function on the event loop after so many seconds, as ``loop.call_later``."""


class SupersededError(Exception):
    """A newer or more urgent job took the place of this one."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Entry:
    """A job whose caller waits, and the token of its present call."""

    key: str
    priority: Priority
    arrival: int
    answer: asyncio.Future[object]
    work: Callable[[Engine, CancelToken], object]
    cancel: CancelToken = field(default_factory=CancelToken)


class Scheduler:
    """Runs jobs on an engine, one at a time. Every method belongs to the event loop's thread.

    When there was no job for ``idle_release_s`` seconds, the engine is closed and its memory is
    free; the next job waits until it is opened again. ``None`` keeps it open.
    """

    def __init__(
        self,
        open_engine: EngineOpener,
        *,
        idle_release_s: float | None = None,
        call_later: CallLater | None = None,
    ) -> None:
        self._worker = EngineWorker(open_engine)
        self._waiting: dict[str, _Entry] = {}
        # The job that the worker has; it may be answered already and stand in its last step.
        self._running: _Entry | None = None
        self._openings = 0
        self._arrivals = itertools.count()
        self._idle_release_s = idle_release_s
        self._call_later = call_later or call_later_on_loop
        self._idle_timer: Timer | None = None
        self._may_be_open = False

    @property
    def info(self) -> EngineInfo | None:
        """What serves now; ``None`` while no engine is open."""
        return self._worker.info

    @property
    def idle_release_s(self) -> float | None:
        """Seconds without a job after which the engine is closed; ``None`` keeps it open."""
        return self._idle_release_s

    @idle_release_s.setter
    def idle_release_s(self, seconds: float | None) -> None:
        self._idle_release_s = seconds
        self._set_idle_timer()

    def open(
        self, options: EngineOptions, on_progress: Callable[[Progress], None]
    ) -> asyncio.Future[EngineInfo]:
        """Open an engine in place of the present one; jobs that follow wait for it.

        Reports arrive on the event loop, at most ten a second for one task; also when a released
        engine is opened again.
        """
        loop = asyncio.get_running_loop()
        self.cancel_all()
        answer: asyncio.Future[EngineInfo] = loop.create_future()

        def opened(done: Future[EngineInfo]) -> None:
            self._openings -= 1
            _settle(answer, done)
            self._set_idle_timer()

        self._openings += 1
        self._may_be_open = True
        self._set_idle_timer()
        future = self._worker.open(options, lambda progress: _post(loop, on_progress, progress))
        future.add_done_callback(lambda done: _post(loop, opened, done))
        return answer

    async def run(
        self,
        key: str,
        job: Job[E, T],
        on_event: Callable[[E], None] | None = None,
        *,
        priority: Priority = Priority.COMPLETION,
    ) -> T:
        """Run ``job`` and return its result; cancelling the caller cancels the job.

        A newer job for ``key``, of whatever priority, ends an older one. A more urgent job makes
        one that runs stop at its next step: fix and hover are run again later, a prefetch is
        dropped. A completion drops every prefetch, also one that waits.

        Raises ``SupersededError`` as soon as the job is ended or dropped,
        ``EngineUnavailableError`` without an engine, and whatever the job raises, or opening a
        released engine again.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[object] = loop.create_future()

        def work(engine: Engine, cancel: CancelToken) -> T:
            def deliver(event: E) -> None:
                # An event of a job that was stopped would speak of a text that is gone.
                if on_event is not None and not answer.done() and not cancel.cancelled:
                    on_event(event)

            return job(engine, cancel, lambda event: _post(loop, deliver, event))

        entry = _Entry(
            key=key, priority=priority, arrival=next(self._arrivals), answer=answer, work=work
        )
        self._make_way(entry)
        self._waiting[key] = entry
        self._dispatch()
        try:
            return cast("T", await answer)
        finally:
            # After a result this does nothing; after a cancel it frees the worker.
            self._drop(entry)

    def cancel_all(self) -> None:
        """Supersede every job that runs or waits."""
        for entry in self._entries():
            self._drop(entry)

    def close(self, timeout_s: float) -> bool:
        """Stop all work and close the engine; blocks for at most ``timeout_s`` seconds.

        Returns whether the worker is done; it cannot be while it loads a model. Idempotent, and
        callable from any thread. Jobs that wait raise ``EngineUnavailableError``.
        """
        return self._worker.close(timeout_s)

    def _entries(self) -> list[_Entry]:
        running = [] if self._running is None else [self._running]
        return [*running, *self._waiting.values()]

    def _make_way(self, new: _Entry) -> None:
        for entry in self._entries():
            prefetch = entry.priority is Priority.PREFETCH
            preempted = entry is self._running and new.priority < entry.priority
            if entry.key == new.key or (
                prefetch and (preempted or new.priority is Priority.COMPLETION)
            ):
                self._drop(entry)
            elif preempted:
                entry.cancel.cancel()

    def _drop(self, entry: _Entry) -> None:
        """End a job that runs or waits; its caller, if it still waits, is told at once."""
        entry.cancel.cancel()
        if self._waiting.get(entry.key) is entry:
            del self._waiting[entry.key]
        if not entry.answer.done():
            entry.answer.set_exception(SupersededError())

    def _dispatch(self) -> None:
        """Give the worker the most urgent job, if it has none."""
        if self._running is None and self._waiting:
            loop = asyncio.get_running_loop()
            entry = min(self._waiting.values(), key=lambda entry: (entry.priority, entry.arrival))
            del self._waiting[entry.key]
            self._running = entry
            self._may_be_open = True
            entry.cancel = CancelToken()
            future = self._worker.run(entry.work, entry.cancel)
            future.add_done_callback(lambda done: _post(loop, self._finished, entry, done))
        self._set_idle_timer()

    def _finished(self, entry: _Entry, done: Future[object]) -> None:
        self._running = None
        if not entry.answer.done() and isinstance(done.exception(), StoppedError):
            # Its caller still waits, so it was only to make way.
            self._waiting[entry.key] = entry
        else:
            _settle(entry.answer, done)
        self._dispatch()

    def _set_idle_timer(self) -> None:
        """Let the engine be released after the idle time from now, unless there is work."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        busy = self._running is not None or self._waiting or self._openings
        if self._idle_release_s is not None and self._may_be_open and not busy:
            self._idle_timer = self._call_later(self._idle_release_s, self._release)

    def _release(self) -> None:
        self._may_be_open = False
        self._worker.release()


def call_later_on_loop(delay_s: float, callback: Callable[[], None]) -> Timer:
    """Be the ``CallLater`` of the loop that runs."""
    return asyncio.get_running_loop().call_later(delay_s, callback)


def _post(loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *args: object) -> None:
    # When the loop is closed, nobody is left who wants to hear.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, *args)


def _settle(answer: asyncio.Future[T], done: Future[T]) -> None:
    if answer.done():
        return
    error = done.exception()
    if isinstance(error, StopIteration):
        # asyncio takes every error but this one, which a stray next() in a job raises.
        answer.set_exception(RuntimeError("a job raised StopIteration"))
    elif error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(done.result())
