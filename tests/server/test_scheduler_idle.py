"""An engine that nobody needs is released, and comes back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.errors import FetchError
from midfill_engine.fake import ScriptedEngine
from midfill_engine.options import EngineOptions
from midfill_engine.progress import Progress, ProgressSink, silent
from midfill_server.scheduler import EngineUnavailableError, Priority, Scheduler, SupersededError
from midfill_server.worker import EngineWorker, StoppedError
from tests.server.scheduling import OPTIONS, prefixes, reached, submit, submitted


@dataclass
class Timers:
    """Calls that a test lets come due."""

    due: list[FakeTimer] = field(default_factory=list)

    def __call__(self, delay_s: float, callback: Callable[[], None]) -> FakeTimer:
        self.due.append(FakeTimer(delay_s, callback))
        return self.due[-1]

    @property
    def pending(self) -> list[float]:
        return [timer.delay_s for timer in self.due if not timer.cancelled]

    def fire(self) -> None:
        (timer,) = (timer for timer in self.due if not timer.cancelled)
        self.due.clear()
        timer.callback()


@dataclass
class FakeTimer:
    delay_s: float
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class Opener:
    """Opens scripted engines and remembers them; fails as often as it is told."""

    def __init__(self) -> None:
        self.engines: list[ScriptedEngine] = []
        self.options: list[EngineOptions] = []
        self.failures = 0
        self.opening = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, options: EngineOptions, progress: ProgressSink) -> Engine:
        self.opening.set()
        assert self.gate.wait(10)
        self.options.append(options)
        progress(Progress(task="load", done=len(self.options), total=9))
        if self.failures:
            self.failures -= 1
            raise FetchError("gone")
        self.engines.append(ScriptedEngine("text"))
        return self.engines[-1]

    @property
    def closed(self) -> list[bool]:
        return [engine.closed for engine in self.engines]


def run_idle(
    opener: Opener, story: Callable[[Scheduler, Timers], Awaitable[None]], idle_s: float | None = 60
) -> None:
    """Tell ``story`` about a scheduler that releases its engine, and about its timers."""

    async def tell() -> None:
        timers = Timers()
        scheduler = Scheduler(opener, idle_release_s=idle_s, call_later=timers)
        try:
            await story(scheduler, timers)
        finally:
            assert await asyncio.to_thread(scheduler.close, 10)

    asyncio.run(tell())
    assert all(opener.closed)


def test_an_idle_engine_is_released_and_comes_back() -> None:
    opener = Opener()
    options = EngineOptions(model="mine")

    async def story(scheduler: Scheduler, timers: Timers) -> None:
        reports: list[int] = []
        await scheduler.open(options, lambda progress: reports.append(progress.done))
        assert timers.pending == [60]
        assert await submit(scheduler, "a") == "text"
        timers.fire()
        scheduler.idle_release_s = 60
        assert timers.pending == []  # it is released already
        assert await submit(scheduler, "b") == "text"
        assert opener.closed == [True, False]
        assert prefixes(opener.engines[1]) == ["b"]
        assert reports == [1, 2]
        timers.fire()
        assert await submit(scheduler, "c", Priority.PREFETCH) == "text"
        assert opener.closed == [True, True, False]

    run_idle(opener, story)
    assert opener.options == [options] * 3


def test_the_idle_time_counts_from_the_last_job() -> None:
    opener = Opener()
    gate, entered = threading.Event(), threading.Event()

    def long(engine: Engine, cancel: CancelToken, emit: Callable[[str], None]) -> str:
        entered.set()
        assert gate.wait(10)
        return "long"

    async def story(scheduler: Scheduler, timers: Timers) -> None:
        opening = scheduler.open(OPTIONS, lambda progress: None)
        assert timers.pending == []
        await opening
        job = asyncio.ensure_future(scheduler.run("k", long, priority=Priority.PREFETCH))
        await reached(entered)
        waiting = submit(scheduler, "other", Priority.PREFETCH)
        await submitted()
        assert timers.pending == []
        gate.set()
        assert await job == "long"
        assert await waiting == "text"
        assert timers.pending == [60]
        await scheduler.open(OPTIONS, lambda progress: None)
        assert timers.pending == [60]

    run_idle(opener, story)
    assert opener.closed == [True, True]


def test_the_idle_time_can_be_set_at_any_moment() -> None:
    opener = Opener()

    async def story(scheduler: Scheduler, timers: Timers) -> None:
        scheduler.idle_release_s = 5
        assert timers.pending == []  # there is nothing to release yet
        scheduler.idle_release_s = None
        await scheduler.open(OPTIONS, lambda progress: None)
        assert timers.pending == []
        scheduler.idle_release_s = 30
        assert timers.pending == [30]
        scheduler.idle_release_s = 40
        assert timers.pending == [40]
        scheduler.idle_release_s = None
        assert timers.pending == []
        assert await submit(scheduler, "a") == "text"

    run_idle(opener, story, idle_s=None)
    assert len(opener.engines) == 1


def test_a_failed_return_reaches_the_job_and_is_tried_again() -> None:
    opener = Opener()

    async def story(scheduler: Scheduler, timers: Timers) -> None:
        await scheduler.open(OPTIONS, lambda progress: None)
        timers.fire()
        opener.failures = 1
        with pytest.raises(FetchError):
            await submit(scheduler, "a")
        assert await submit(scheduler, "b") == "text"

    run_idle(opener, story)
    assert opener.closed == [True, True]


def test_a_failed_opening_is_not_tried_again_by_a_job() -> None:
    opener = Opener()

    async def story(scheduler: Scheduler, timers: Timers) -> None:
        await scheduler.open(OPTIONS, lambda progress: None)
        timers.fire()
        opener.failures = 1
        with pytest.raises(FetchError):
            await scheduler.open(OPTIONS, lambda progress: None)
        with pytest.raises(EngineUnavailableError):
            await submit(scheduler, "a")

    run_idle(opener, story)
    assert len(opener.options) == 2


def test_a_completion_waits_for_an_engine_that_a_prefetch_brings_back() -> None:
    opener = Opener()

    async def story(scheduler: Scheduler, timers: Timers) -> None:
        await scheduler.open(OPTIONS, lambda progress: None)
        timers.fire()
        opener.opening.clear()
        opener.gate.clear()
        prefetch = submit(scheduler, "prefetch", Priority.PREFETCH)
        await reached(opener.opening)
        completion = submit(scheduler, "completion")
        with pytest.raises(SupersededError):
            await prefetch
        opener.gate.set()
        assert await completion == "text"

    run_idle(opener, story)
    assert len(opener.engines) == 2
    assert prefixes(opener.engines[1]) == ["completion"]


def test_closing_does_not_wait_for_an_engine_that_comes_back() -> None:
    opener = Opener()

    async def story(scheduler: Scheduler, timers: Timers) -> None:
        await scheduler.open(OPTIONS, lambda progress: None)
        timers.fire()
        opener.opening.clear()
        opener.gate.clear()
        job = submit(scheduler, "a")
        await reached(opener.opening)
        assert scheduler.close(0) is False
        opener.gate.set()
        with pytest.raises(EngineUnavailableError):
            await job

    run_idle(opener, story)
    assert [len(engine.requests) for engine in opener.engines] == [0, 0]


def test_closing_begins_no_opening() -> None:
    opener = Opener()

    async def story(scheduler: Scheduler, timers: Timers) -> None:
        opener.gate.clear()
        first = scheduler.open(OPTIONS, lambda progress: None)
        second = scheduler.open(OPTIONS, lambda progress: None)
        assert scheduler.close(0) is False
        opener.gate.set()
        await first
        with pytest.raises(EngineUnavailableError):
            await second

    run_idle(opener, story)
    assert len(opener.engines) == 1


def test_work_that_nobody_waits_for_brings_no_engine_back() -> None:
    opener, cancelled = Opener(), CancelToken()
    worker = EngineWorker(opener)
    worker.open(OPTIONS, silent)
    worker.release()
    cancelled.cancel()
    with pytest.raises(StoppedError):
        worker.run(lambda engine, cancel: None, cancelled).result(10)
    assert worker.close(10)
    assert opener.closed == [True]
