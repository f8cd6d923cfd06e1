"""The one thread that touches the engine: it opens it, works with it and closes it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Protocol, TypeVar

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.options import EngineOptions
from midfill_engine.progress import Progress, ProgressSink
from midfill_engine.types import EngineInfo

__all__ = ["EngineOpener", "EngineUnavailableError", "EngineWorker", "StoppedError"]

T = TypeVar("T")

_REPORT_INTERVAL_S = 0.1


class EngineOpener(Protocol):
    """Makes the engine; runs on the worker thread and may take minutes."""

    def __call__(self, options: EngineOptions, progress: ProgressSink) -> Engine:
        """Open the engine. Raises ``MidfillError``, ``ModelMissingError`` among them."""
        ...


class EngineUnavailableError(Exception):
    """There is no engine: it was never opened, opening it failed, or the session ends."""


class StoppedError(Exception):
    """The token of this work was cancelled before the work was over."""


class EngineWorker:
    """Does what it is given in the order of the calls, and sleeps while there is nothing to do.

    Methods may be called from any thread. Give it one job at a time: ``close`` cancels only the
    latest.
    """

    def __init__(self, open_engine: EngineOpener) -> None:
        self._open_engine = open_engine
        # Not the server's own pool, which must stay free to read messages.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="midfill-engine")
        self._lock = threading.Lock()  # of the next two
        self._closing: Future[None] | None = None
        self._latest = CancelToken()
        # These two belong to the thread; nothing else changes them.
        self._engine: Engine | None = None
        self._reopen: Callable[[], Engine] | None = None

    @property
    def info(self) -> EngineInfo | None:
        """What serves now; ``None`` where no engine is open."""
        engine = self._engine
        return None if engine is None else engine.info

    def open(self, options: EngineOptions, progress: ProgressSink) -> Future[EngineInfo]:
        """Open an engine in place of the present one.

        ``progress`` is called on the worker thread, at most ten times a second for one task, and
        again whenever a released engine is opened again.
        """
        return self._submit(partial(self._open, options, progress))

    def run(self, work: Callable[[Engine, CancelToken], T], cancel: CancelToken) -> Future[T]:
        """Call ``work`` with the engine, which is first opened again if it was released.

        The future raises ``StoppedError`` if the token was cancelled by the end of the work,
        whatever came of it; ``EngineUnavailableError`` without an engine or after ``close``;
        and else what opening again or the work raise. An opening that failed is tried again by
        the next call.
        """
        return self._submit(partial(self._run, work, cancel), cancel)

    def release(self) -> None:
        """Close the engine until the next ``run`` opens it again."""
        self._submit(self._release)

    def close(self, timeout_s: float) -> bool:
        """Stop all work and close the engine; blocks for at most ``timeout_s`` seconds.

        Returns whether the worker is done; it cannot be while it loads a model. Idempotent.
        """
        with self._lock:
            if self._closing is None:
                self._closing = self._thread.submit(self._release)
                self._thread.shutdown(wait=False)
            self._latest.cancel()
        return not wait([self._closing], timeout=timeout_s).not_done

    def _submit(self, call: Callable[[], T], cancel: CancelToken | None = None) -> Future[T]:
        with self._lock:
            if self._closing is None:
                self._latest = cancel or self._latest
                return self._thread.submit(call)
        refused: Future[T] = Future()
        refused.set_exception(EngineUnavailableError())
        return refused

    def _open(self, options: EngineOptions, progress: ProgressSink) -> EngineInfo:
        def load() -> Engine:
            return self._open_engine(options, _thinned(progress))

        self._release()
        # A first opening that fails is for the user to repeat, not for the next job.
        self._reopen = None
        info = self._load(load).info
        self._reopen = load
        return info

    def _load(self, load: Callable[[], Engine]) -> Engine:
        # It cannot be interrupted, so it does not begin when nobody waits for it any more.
        if self._closing is not None:
            raise EngineUnavailableError
        self._engine = load()
        return self._engine

    def _run(self, work: Callable[[Engine, CancelToken], T], cancel: CancelToken) -> T:
        if cancel.cancelled:
            raise StoppedError
        try:
            engine = self._present()
            # Bringing the engine back may have taken long.
            if cancel.cancelled:
                raise StoppedError
            return work(engine, cancel)
        finally:
            # What was made under a cancelled token may be a part, and its error a consequence.
            if cancel.cancelled:
                raise StoppedError

    def _present(self) -> Engine:
        if self._engine is not None:
            return self._engine
        if self._reopen is None:
            raise EngineUnavailableError
        return self._load(self._reopen)

    def _release(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()


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
