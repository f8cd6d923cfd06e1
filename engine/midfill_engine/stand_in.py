"""A small engine that answers at once, where a better one is not ready to."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.errors import MidfillError
from midfill_engine.progress import Progress, ProgressSink
from midfill_engine.types import (
    Chunk,
    CompletionRequest,
    Cost,
    EngineInfo,
    FinishReason,
    Fit,
    Request,
)

__all__ = ["COSTLY_MS", "StandInEngine"]

_log = logging.getLogger(__name__)

COSTLY_MS = 600.0
"""A prompt that the better engine computes longer than this is costly (milliseconds)."""

_FIRST_ANSWER_S = 10.0
# Nobody should get a worse answer that comes hardly sooner.
_LEAST_GAIN = 2


class StandInEngine:
    """Serves from ``small`` while ``open_better`` runs in a thread, then from what that returned.

    ``stays`` is asked once, with the better engine: whether ``small`` is kept from then on. If so,
    it goes on answering those who wait where the better engine's prompt is costly, and only there;
    what it stood in for is told by ``Chunk.stood_in``. Else it is closed.

    Opening begins after the first request is answered, if one comes within ``first_request_s``
    seconds: done at once, they share the processor, and the first answer comes no sooner than the
    better engine's own would have (measured, two cores).

    Before the change the better engine computes the prompt of the latest request, so that the
    change costs the user nothing. A stream ends on the engine that it began on. When
    ``open_better`` raises, ``small`` goes on serving; ``progress`` and ``info`` tell why.
    ``progress`` and ``stays`` are called from the thread, ``progress`` from the caller's too.
    """

    def __init__(
        self,
        small: Engine,
        open_better: Callable[[CancelToken], Engine],
        progress: ProgressSink,
        *,
        stays: Callable[[Engine], bool] = lambda better: False,
        first_request_s: float = 0.5,
    ) -> None:
        self._progress = progress
        self._stays = stays
        self._first_request_s = first_request_s
        self._closing = CancelToken()
        self._asked = threading.Event()
        self._answered = threading.Event()
        self._lock = threading.Lock()  # of all below
        # The small one, or the better one, or both in this order.
        self._serving: tuple[Engine, ...] = (small,)
        self._info = small.info
        self._failure = ""
        # Opened and prepared, but the other one still streams.
        self._next: Engine | None = None
        self._small_stays = False
        self._streams = 0
        self._closed = False
        self._latest: Request | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="midfill-better-engine")
        self._opening = self._thread.submit(self._open, open_better)
        self._opening.add_done_callback(self._tell)
        self._thread.shutdown(wait=False)

    @property
    def info(self) -> EngineInfo:
        """Which of the two served the last stream, and why that one."""
        with self._lock:
            return self._info

    def stream(self, request: Request, cancel: CancelToken) -> Iterator[Chunk]:
        """Yield the answer of the engine that is chosen for it when the stream begins."""
        with self._lock:
            serving = self._serving
            self._latest = request
            self._streams += 1
        self._asked.set()
        try:
            *first, answering = _route(request, serving)
            for engine in first:
                *_, last = self._stream(engine, request, cancel)
                if last.finish is FinishReason.CANCELLED:
                    yield last
                    return
            for chunk in self._stream(answering, request, cancel):
                stood_in = chunk.finish is not None and answering is not serving[-1]
                yield replace(chunk, stood_in=True) if stood_in else chunk
        finally:
            with self._lock:
                self._streams -= 1
            self._answered.set()
            self._change()

    def fit(
        self, request: CompletionRequest, answers: Sequence[str], then: str, cancel: CancelToken
    ) -> tuple[Fit, ...]:
        """Ask the engine that answers such a request."""
        with self._lock:
            serving = self._serving
            self._streams += 1
        try:
            return _route(request, serving)[-1].fit(request, answers, then, cancel)
        finally:
            with self._lock:
                self._streams -= 1
            self._change()

    def estimate(self, request: Request) -> Cost:
        """Predict what the engine that is chosen for it would need."""
        with self._lock:
            serving = self._serving
        return _route(request, serving)[-1].estimate(request)

    def close(self) -> None:
        """Close both; waits for a model that is being loaded, which cannot be interrupted."""
        self._closing.cancel()
        with self._lock:
            self._closed = True
        self._asked.set()
        self._answered.set()
        self._thread.shutdown(wait=True)
        with self._lock:
            left = [*self._serving, *([self._next] if self._next else [])]
            self._next = None
        for engine in left:
            engine.close()

    def _stream(self, engine: Engine, request: Request, cancel: CancelToken) -> Iterator[Chunk]:
        info = engine.info
        with self._lock:
            self._info = replace(info, reason=self._failure or info.reason)
        return engine.stream(request, cancel)

    def _open(self, open_better: Callable[[CancelToken], Engine]) -> None:
        if self._asked.wait(self._first_request_s):
            # Bounded, because a stream that is held and never read would end nothing.
            self._answered.wait(_FIRST_ANSWER_S)
        if self._closing.cancelled:
            return
        better = open_better(self._closing)
        # A request that cannot be computed fails where it is asked for, not here.
        with suppress(MidfillError):
            self._prepare(better)
        small_stays = self._stays(better)
        with self._lock:
            self._next, self._small_stays = better, small_stays
        self._change()

    def _prepare(self, better: Engine) -> None:
        """Compute the prompt that the next request will most likely share."""
        with self._lock:
            request = self._latest
        if request is not None:
            for _ in better.stream(replace(request, max_tokens=0), self._closing):
                pass

    def _change(self) -> None:
        """Let the better engine serve, if it is ready and nothing streams from the other one."""
        with self._lock:
            if self._next is None or self._streams or self._closed:
                return
            better, self._next = self._next, None
            if self._small_stays:
                gone, self._serving = (), (*self._serving, better)
            else:
                gone, self._serving = self._serving, (better,)
        for engine in gone:
            engine.close()
        self._report(f"Serving {better.info.model_id}")

    def _tell(self, opening: Future[None]) -> None:
        error = opening.exception()
        if error is None or self._closing.cancelled:
            return
        with self._lock:
            self._failure = f"{self._info.model_id} stays, the better model failed: {error}"
            self._info = replace(self._info, reason=self._failure)
        _log.warning("%s", self._failure)
        self._report(self._failure)

    def _report(self, task: str) -> None:
        self._progress(Progress(task=task, done=1, total=1, unit="model"))


def _route(request: Request, serving: tuple[Engine, ...]) -> tuple[Engine, ...]:
    """Return who computes ``request``: the last one answers, any before it only prepares."""
    small, better = serving[0], serving[-1]
    ahead = request.max_tokens > 0 and not request.awaited
    if small is better or ahead:
        return (better,)
    better_ms = better.estimate(request).prefill_ms
    if better_ms <= COSTLY_MS:
        return (better,)
    if request.max_tokens == 0:
        # A key that comes soon finds something.
        return (small, better)
    small_ms = small.estimate(request).prefill_ms
    return (small,) if small_ms * _LEAST_GAIN < better_ms else (better,)
