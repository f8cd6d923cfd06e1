"""The only bridge between the event loop and the thread that computes.

One worker thread owns the engine: it opens it, runs one job after the other on it, and closes it.
For each key (a document) the latest job wins: a newer one ends the older at its next step.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Protocol, TypeAlias, TypeVar

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.options import EngineOptions
from midfill_engine.progress import Progress, ProgressSink
from midfill_engine.types import EngineInfo

__all__ = ["EngineOpener", "EngineUnavailableError", "Job", "Scheduler", "SupersededError"]

T = TypeVar("T")
E = TypeVar("E")

_REPORT_INTERVAL_S = 0.1


class EngineOpener(Protocol):
    """Makes the engine; runs on the worker thread and may take minutes."""

    def __call__(self, options: EngineOptions, progress: ProgressSink) -> Engine:
        """Open the engine. Raises ``MidfillError``, ``ModelMissingError`` among them."""
        ...


Job: TypeAlias = Callable[[Engine, CancelToken, Callable[[E], None]], T]
"""Work on the engine, done on the worker thread; it looks at the token at every step.

What it hands to the function arrives on the event loop before its result does.
"""


class SupersededError(Exception):
    """A newer job for the same key took the place of this one."""


class EngineUnavailableError(Exception):
    """There is no engine: it was never opened, or opening it failed."""


class Scheduler:
    """Runs jobs on an engine, one at a time. Every method belongs to the event loop's thread."""

    def __init__(self, open_engine: EngineOpener) -> None:
        self._open_engine = open_engine
        # Not the server's own pool, which must stay free to read messages.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="midfill-engine")
        self._running: dict[str, tuple[asyncio.Future[object], CancelToken]] = {}
        self._closing: Future[None] | None = None
        self._engine: Engine | None = None  # the worker's; nothing else touches it

    def open(
        self, options: EngineOptions, on_progress: Callable[[Progress], None]
    ) -> asyncio.Future[EngineInfo]:
        """Open an engine in place of the present one; jobs that follow wait for it.

        Reports arrive on the event loop, at most ten a second for one task.
        """
        loop = asyncio.get_running_loop()
        self.cancel_all()
        answer: asyncio.Future[EngineInfo] = loop.create_future()
        sink = _thinned(lambda progress: _post(loop, on_progress, progress))
        self._worker.submit(self._open, options, sink).add_done_callback(
            lambda done: _post(loop, _settle, answer, done)
        )
        return answer

    async def run(self, key: str, job: Job[E, T], on_event: Callable[[E], None] | None = None) -> T:
        """Run ``job`` and return its result; cancelling the caller cancels the job.

        Raises ``SupersededError`` as soon as a newer job comes for ``key``,
        ``EngineUnavailableError`` without an engine, and whatever the job raises.
        """
        loop = asyncio.get_running_loop()
        self._supersede(key)
        cancel = CancelToken()
        answer: asyncio.Future[T] = loop.create_future()

        def deliver(event: E) -> None:
            # An event of a job that was answered already would speak of a text that is gone.
            if on_event is not None and not answer.done():
                on_event(event)

        entry = (answer, cancel)
        self._running[key] = entry  # pyright: ignore[reportArgumentType]
        future = self._worker.submit(
            self._work, job, cancel, lambda event: _post(loop, deliver, event)
        )
        future.add_done_callback(lambda done: _post(loop, _settle, answer, done))
        try:
            return await answer
        finally:
            # After a result these do nothing; after a cancel they free the worker.
            cancel.cancel()
            future.cancel()
            if self._running.get(key) is entry:
                del self._running[key]

    def cancel_all(self) -> None:
        """Supersede every job that runs or waits."""
        for key in list(self._running):
            self._supersede(key)

    def close(self, timeout_s: float) -> bool:
        """Stop all work and close the engine; blocks for at most ``timeout_s`` seconds.

        Returns whether the worker is done; it cannot be while it loads a model. Idempotent.
        """
        for _, cancel in self._running.values():
            cancel.cancel()
        if self._closing is None:
            self._closing = self._worker.submit(self._close)
            self._worker.shutdown(wait=False)
        return not wait([self._closing], timeout=timeout_s).not_done

    def _supersede(self, key: str) -> None:
        entry = self._running.pop(key, None)
        if entry is None:
            return
        answer, cancel = entry
        cancel.cancel()
        if not answer.done():
            answer.set_exception(SupersededError())

    def _open(self, options: EngineOptions, progress: ProgressSink) -> EngineInfo:
        self._close()
        if self._closing is not None:
            raise EngineUnavailableError
        self._engine = self._open_engine(options, progress)
        return self._engine.info

    def _work(self, job: Job[E, T], cancel: CancelToken, emit: Callable[[E], None]) -> T:
        if cancel.cancelled:
            raise SupersededError
        if self._engine is None:
            raise EngineUnavailableError
        return job(self._engine, cancel, emit)

    def _close(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()


def _post(loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *args: object) -> None:
    # When the loop is closed, nobody is left who wants to hear.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, *args)


def _settle(answer: asyncio.Future[T], done: Future[T]) -> None:
    if answer.done():
        return
    if done.cancelled():
        answer.cancel()
    elif (error := done.exception()) is not None:
        answer.set_exception(error)
    else:
        answer.set_result(done.result())


def _thinned(sink: ProgressSink) -> ProgressSink:
    """Pass on the first and last report of a task, and ten a second in between."""
    last_task: str | None = None
    last_s = 0.0

    def report(progress: Progress) -> None:
        nonlocal last_task, last_s
        now_s = time.monotonic()
        final = progress.done == progress.total
        if progress.task == last_task and not final and now_s - last_s < _REPORT_INTERVAL_S:
            return
        last_task, last_s = progress.task, now_s
        sink(progress)

    return report
