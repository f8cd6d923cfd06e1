from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.errors import FetchError, RequestError
from midfill_engine.fake import ScriptedEngine
from midfill_engine.options import EngineOptions
from midfill_engine.progress import Progress, ProgressSink, silent
from midfill_engine.types import CompletionRequest
from midfill_server.scheduler import (
    EngineUnavailableError,
    Job,
    Priority,
    Scheduler,
    SupersededError,
)
from midfill_server.worker import EngineWorker, StoppedError

OPTIONS = EngineOptions()


def generate(prefix: str) -> Job[str, str]:
    """A job that returns all text, emitting it piece by piece."""

    def job(engine: Engine, cancel: CancelToken, emit: Callable[[str], None]) -> str:
        text = ""
        for chunk in engine.stream(CompletionRequest(prefix=prefix), cancel):
            text += chunk.text
            emit(text)
        return text

    return job


class Gate:
    """Lets the engine take one step after the other, as the test allows."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.arrivals = threading.Semaphore(0)
        self.allowed = threading.Semaphore(0)
        self.steps = 0

    def __call__(self, step: int) -> None:
        self.steps += 1
        self.reached.set()
        self.arrivals.release()
        assert self.allowed.acquire(timeout=10)

    async def arrival(self) -> None:
        """Wait until the engine stands before its next step."""
        assert await asyncio.to_thread(self.arrivals.acquire, timeout=10)

    def open_for_good(self) -> None:
        for _ in range(1000):
            self.allowed.release()


async def reached(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 10)


def run(
    engine: ScriptedEngine, story: Callable[[Scheduler], Awaitable[None]], *, opened: bool = True
) -> None:
    """Tell ``story`` about a scheduler whose engine is ``engine``."""

    async def tell() -> None:
        scheduler = Scheduler(lambda options, progress: engine)
        try:
            if opened:
                await scheduler.open(OPTIONS, lambda progress: None)
            await story(scheduler)
        finally:
            assert await asyncio.to_thread(scheduler.close, 10)

    asyncio.run(tell())
    if opened:
        assert engine.closed


def test_a_job_runs_and_streams_before_it_answers() -> None:
    async def story(scheduler: Scheduler) -> None:
        seen: list[str] = []
        assert await scheduler.run("k", generate("p"), seen.append) == "abcdefgh"
        assert seen == ["abcd", "abcdefgh", "abcdefgh"]

    run(ScriptedEngine("abcdefgh"), story)


def test_a_newer_job_supersedes_the_one_that_runs() -> None:
    gate = Gate()

    async def story(scheduler: Scheduler) -> None:
        seen: list[str] = []
        old = asyncio.ensure_future(scheduler.run("k", generate("old"), seen.append))
        await reached(gate.reached)
        new = asyncio.ensure_future(scheduler.run("k", generate("new")))
        with pytest.raises(SupersededError):
            await old  # answered while the engine still stands in its first step
        assert gate.steps == 1
        gate.open_for_good()
        assert await new == "abcdefgh"
        # One step of the old job, two of the new one.
        assert gate.steps == 3
        assert seen == []

    engine = ScriptedEngine("abcdefgh", before_step=gate)
    run(engine, story)
    assert [request.prefix for request in engine.requests] == ["old", "new"]


def test_a_burst_computes_only_its_first_and_its_last() -> None:
    gate = Gate()

    async def story(scheduler: Scheduler) -> None:
        first = asyncio.ensure_future(scheduler.run("k", generate("0")))
        await reached(gate.reached)
        rest = [asyncio.ensure_future(scheduler.run("k", generate(str(i)))) for i in range(1, 20)]
        gate.open_for_good()
        results = await asyncio.gather(first, *rest, return_exceptions=True)
        assert [isinstance(result, SupersededError) for result in results] == [True] * 19 + [False]
        assert results[-1] == "abcd"

    engine = ScriptedEngine("abcd", before_step=gate)
    run(engine, story)
    assert [request.prefix for request in engine.requests] == ["0", "19"]


def test_documents_do_not_supersede_each_other() -> None:
    async def story(scheduler: Scheduler) -> None:
        answers = await asyncio.gather(
            scheduler.run("a", generate("a")), scheduler.run("b", generate("b"))
        )
        assert answers == ["abcd", "abcd"]

    run(ScriptedEngine("abcd"), story)


def test_cancelling_the_caller_frees_the_worker_within_one_step() -> None:
    gate = Gate()

    async def story(scheduler: Scheduler) -> None:
        task = asyncio.ensure_future(scheduler.run("k", generate("p")))
        await reached(gate.reached)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.allowed.release()
        # The next job starts as soon as the step is over.
        gate.reached.clear()
        other = asyncio.ensure_future(scheduler.run("k", generate("q")))
        await reached(gate.reached)
        assert gate.steps == 2
        gate.open_for_good()
        await other

    run(ScriptedEngine("abcdefgh", before_step=gate), story)


def test_errors_of_a_job_reach_its_caller_and_no_other() -> None:
    def refuse(request: CompletionRequest) -> str:
        if request.prefix == "bad":
            raise RequestError("no")
        return "ok"

    async def story(scheduler: Scheduler) -> None:
        with pytest.raises(RequestError):
            await scheduler.run("k", generate("bad"))
        assert await scheduler.run("k", generate("good")) == "ok"

    run(ScriptedEngine(refuse), story)


def test_without_an_engine_there_is_an_answer_too() -> None:
    async def story(scheduler: Scheduler) -> None:
        with pytest.raises(EngineUnavailableError):
            await scheduler.run("k", generate("p"))

    run(ScriptedEngine(""), story, opened=False)


def test_a_failed_opening_reaches_its_caller_and_can_be_repeated() -> None:
    attempts: list[EngineOptions] = []

    def opener(options: EngineOptions, progress: ProgressSink) -> Engine:
        attempts.append(options)
        if not options.download:
            raise FetchError("nothing here")
        return ScriptedEngine("text")

    async def story() -> None:
        scheduler = Scheduler(opener)
        with pytest.raises(FetchError):
            await scheduler.open(OPTIONS, lambda progress: None)
        with pytest.raises(EngineUnavailableError):
            await scheduler.run("k", generate("p"))
        info = await scheduler.open(EngineOptions(download=True), lambda progress: None)
        assert info.model_id == "scripted"
        assert await scheduler.run("k", generate("p")) == "text"
        assert await asyncio.to_thread(scheduler.close, 10)

    asyncio.run(story())
    assert [options.download for options in attempts] == [False, True]


def test_opening_again_closes_the_engine_before() -> None:
    engines: list[ScriptedEngine] = []

    def opener(options: EngineOptions, progress: ProgressSink) -> Engine:
        assert all(engine.closed for engine in engines)
        engines.append(ScriptedEngine("text"))
        return engines[-1]

    async def story() -> None:
        scheduler = Scheduler(opener)
        await scheduler.open(OPTIONS, lambda progress: None)
        await scheduler.open(OPTIONS, lambda progress: None)
        assert await scheduler.run("k", generate("p")) == "text"
        assert await asyncio.to_thread(scheduler.close, 10)

    asyncio.run(story())
    assert [engine.closed for engine in engines] == [True, True]


def test_jobs_wait_for_the_opening_and_progress_is_thinned() -> None:
    gate = threading.Event()

    def opener(options: EngineOptions, progress: ProgressSink) -> Engine:
        for done in range(1001):
            progress(Progress(task="load", done=done, total=1000))
        assert gate.wait(10)
        return ScriptedEngine("text")

    async def story() -> None:
        scheduler = Scheduler(opener)
        reports: list[int] = []
        opening = scheduler.open(OPTIONS, lambda progress: reports.append(progress.done))
        waiting = asyncio.ensure_future(scheduler.run("k", generate("p")))
        gate.set()
        assert await waiting == "text"
        await opening
        assert reports[0] == 0
        assert reports[-1] == 1000
        assert len(reports) < 100
        assert await asyncio.to_thread(scheduler.close, 10)

    asyncio.run(story())


def test_closing_says_when_the_worker_cannot_be_stopped() -> None:
    gate = threading.Event()

    def opener(options: EngineOptions, progress: ProgressSink) -> Engine:
        assert gate.wait(10)
        return engine

    engine = ScriptedEngine("text")

    async def story() -> None:
        scheduler = Scheduler(opener)
        opening = scheduler.open(OPTIONS, lambda progress: None)
        assert scheduler.close(0) is False
        gate.set()
        assert await asyncio.to_thread(scheduler.close, 10)
        await opening

    asyncio.run(story())
    assert engine.closed


def submit(
    scheduler: Scheduler,
    key: str,
    priority: Priority = Priority.COMPLETION,
    on_event: Callable[[str], None] | None = None,
) -> asyncio.Future[str]:
    """Submit a job that generates for the prefix ``key``."""
    return asyncio.ensure_future(scheduler.run(key, generate(key), on_event, priority=priority))


async def submitted() -> None:
    """Let the tasks that were made so far start."""
    await asyncio.sleep(0)


def prefixes(engine: ScriptedEngine) -> list[str]:
    return [request.prefix for request in engine.requests]


def test_the_most_urgent_goes_first_and_equals_in_their_order() -> None:
    gate = Gate()

    async def story(scheduler: Scheduler) -> None:
        first = submit(scheduler, "first")
        await gate.arrival()
        rest = [
            submit(scheduler, key, priority)
            for key, priority in [
                ("fix 1", Priority.FIX),
                ("prefetch", Priority.PREFETCH),
                ("hover 1", Priority.HOVER),
                ("fix 2", Priority.FIX),
                ("hover 2", Priority.HOVER),
            ]
        ]
        gate.open_for_good()
        await asyncio.gather(first, *rest)

    engine = ScriptedEngine("abcd", before_step=gate)
    run(engine, story)
    assert prefixes(engine) == ["first", "fix 1", "fix 2", "prefetch", "hover 1", "hover 2"]


@pytest.mark.parametrize("priority", [Priority.HOVER, Priority.FIX])
def test_a_preempted_job_is_run_again_from_its_start(priority: Priority) -> None:
    gate = Gate()

    async def story(scheduler: Scheduler) -> None:
        seen: list[str] = []
        slow = submit(scheduler, "slow", priority, seen.append)
        await gate.arrival()
        gate.allowed.release()
        await gate.arrival()  # before its second step
        urgent = submit(scheduler, "urgent")
        await submitted()
        gate.open_for_good()
        assert await urgent == "abcdefgh"
        assert not slow.done()
        assert await slow == "abcdefgh"
        assert seen == ["abcd", "abcd", "abcdefgh", "abcdefgh"]
        # One whole step and the one it stood in; then two steps each.
        assert gate.steps == 2 + 2 + 2

    engine = ScriptedEngine("abcdefgh", before_step=gate)
    run(engine, story)
    assert prefixes(engine) == ["slow", "urgent", "slow"]


def test_a_preempted_job_keeps_its_place_among_equals() -> None:
    gate = Gate()

    async def story(scheduler: Scheduler) -> None:
        first = submit(scheduler, "hover 1", Priority.HOVER)
        await gate.arrival()
        second = submit(scheduler, "hover 2", Priority.HOVER)
        urgent = submit(scheduler, "urgent")
        await submitted()
        gate.open_for_good()
        await asyncio.gather(first, second, urgent)

    engine = ScriptedEngine("abcd", before_step=gate)
    run(engine, story)
    assert prefixes(engine) == ["hover 1", "urgent", "hover 1", "hover 2"]


def test_an_error_that_comes_of_being_stopped_is_not_the_answer() -> None:
    entered = threading.Event()

    def fragile(engine: Engine, cancel: CancelToken, emit: Callable[[str], None]) -> str:
        if not entered.is_set():
            entered.set()
            assert cancel.wait(10)
            raise RequestError("interrupted")
        return "whole"

    async def story(scheduler: Scheduler) -> None:
        hover = asyncio.ensure_future(scheduler.run("h", fragile, priority=Priority.HOVER))
        await reached(entered)
        assert await submit(scheduler, "urgent") == "text"
        assert await hover == "whole"

    run(ScriptedEngine("text"), story)


@pytest.mark.parametrize("priority", [Priority.COMPLETION, Priority.FIX])
def test_a_preempted_prefetch_is_dropped_at_once(priority: Priority) -> None:
    gate = Gate()

    async def story(scheduler: Scheduler) -> None:
        prefetch = submit(scheduler, "prefetch", Priority.PREFETCH)
        await gate.arrival()
        urgent = submit(scheduler, "urgent", priority)
        with pytest.raises(SupersededError):
            await prefetch
        assert gate.steps == 1
        gate.open_for_good()
        assert await urgent == "abcdefgh"
        assert gate.steps == 3

    engine = ScriptedEngine("abcdefgh", before_step=gate)
    run(engine, story)
    assert prefixes(engine) == ["prefetch", "urgent"]


@pytest.mark.parametrize(
    ("priority", "dropped"), [(Priority.COMPLETION, True), (Priority.FIX, False), (Priority.HOVER, False)]
)
def test_only_a_completion_drops_a_prefetch_that_waits(priority: Priority, dropped: bool) -> None:
    gate = Gate()

    async def story(scheduler: Scheduler) -> None:
        first = submit(scheduler, "first")
        await gate.arrival()
        prefetch = submit(scheduler, "prefetch", Priority.PREFETCH)
        second = submit(scheduler, "second", priority)
        await submitted()
        assert not first.done()
        gate.open_for_good()
        answers = await asyncio.gather(first, prefetch, second, return_exceptions=True)
        assert isinstance(answers[1], SupersededError) is dropped

    engine = ScriptedEngine("abcd", before_step=gate)
    run(engine, story)
    rest = {"second": priority} | ({} if dropped else {"prefetch": Priority.PREFETCH})
    assert prefixes(engine) == ["first", *sorted(rest, key=rest.__getitem__)]


@pytest.mark.parametrize("priority", list(Priority))
def test_equals_and_less_urgent_jobs_wait(priority: Priority) -> None:
    gate = Gate()

    async def story(scheduler: Scheduler) -> None:
        first = submit(scheduler, "first", priority)
        await gate.arrival()
        rest = [submit(scheduler, str(other), other) for other in Priority if other >= priority]
        gate.open_for_good()
        assert await first == "abcdefgh"
        await asyncio.gather(*rest)

    engine = ScriptedEngine("abcdefgh", before_step=gate)
    run(engine, story)
    assert prefixes(engine) == ["first"] + [str(other) for other in Priority if other >= priority]


def test_a_preempted_job_can_be_superseded_and_cancelled() -> None:
    gate = Gate()

    async def story(scheduler: Scheduler) -> None:
        old = submit(scheduler, "a", Priority.HOVER)
        await gate.arrival()
        urgent = submit(scheduler, "urgent")
        await submitted()
        gate.allowed.release()
        await gate.arrival()  # the urgent one runs, the preempted one waits
        new = submit(scheduler, "a", Priority.FIX)
        with pytest.raises(SupersededError):
            await old
        new.cancel()
        gate.open_for_good()
        assert await urgent == "abcd"
        with pytest.raises(asyncio.CancelledError):
            await new

    engine = ScriptedEngine("abcd", before_step=gate)
    run(engine, story)
    assert prefixes(engine) == ["a", "urgent"]


def test_a_job_that_waits_wakes_when_a_newer_one_comes() -> None:
    entered = threading.Event()

    def debounced(engine: Engine, cancel: CancelToken, emit: Callable[[str], None]) -> str:
        entered.set()
        return "in vain" if cancel.wait(3600) else "never"

    async def story(scheduler: Scheduler) -> None:
        old = asyncio.ensure_future(scheduler.run("k", debounced))
        await reached(entered)
        assert await submit(scheduler, "k") == "text"
        with pytest.raises(SupersededError):
            await old

    run(ScriptedEngine("text"), story)


def test_any_error_of_a_job_is_an_answer() -> None:
    def stray(engine: Engine, cancel: CancelToken, emit: Callable[[str], None]) -> str:
        return next(iter(()))

    async def story(scheduler: Scheduler) -> None:
        with pytest.raises(RuntimeError):
            await scheduler.run("k", stray)
        assert await submit(scheduler, "k") == "text"

    run(ScriptedEngine("text"), story)


def test_closing_answers_everybody() -> None:
    gate = Gate()

    async def story(scheduler: Scheduler) -> None:
        runs = submit(scheduler, "runs")
        await gate.arrival()
        waits = submit(scheduler, "waits", Priority.HOVER)
        await submitted()
        assert scheduler.close(0) is False
        gate.open_for_good()
        for caller in (runs, waits, submit(scheduler, "late")):
            with pytest.raises(EngineUnavailableError):
                await caller
        with pytest.raises(EngineUnavailableError):
            await scheduler.open(OPTIONS, lambda progress: None)

    engine = ScriptedEngine("abcdefgh", before_step=gate)
    run(engine, story)
    assert prefixes(engine) == ["runs"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A job of the random story, whose text takes ``steps`` steps."""

    number: int
    key: str
    priority: Priority
    steps: int


class Expectation:
    """What the policies say about one random story, told in plain words."""

    def __init__(self) -> None:
        self.open: dict[int, Call] = {}
        self.outcomes: dict[int, str] = {}
        self.current: Call | None = None
        self.steps_left = 0

    def end(self, call: Call, outcome: str) -> None:
        del self.open[call.number]
        self.outcomes[call.number] = outcome
        if call is self.current:
            self.steps_left = 1

    def submit(self, new: Call) -> None:
        for call in list(self.open.values()):
            prefetch = call.priority is Priority.PREFETCH
            preempted = call is self.current and call.priority > new.priority
            dropped = prefetch and (preempted or new.priority is Priority.COMPLETION)
            if call.key == new.key or dropped:
                self.end(call, "superseded")
            elif preempted:
                self.steps_left, self.current = 1, None
        self.open[new.number] = new

    def step(self) -> Call | None:
        """Let the job that runs take its step; returns it if that was its last.

        Then the next one begins.
        """
        self.steps_left -= 1
        if self.steps_left > 0:
            return None
        answered = None
        if self.current is not None and self.current.number in self.open:
            answered = self.current
            self.end(answered, "answered")
        self.begin()
        return answered

    def begin(self) -> None:
        waiting = sorted(self.open.values(), key=lambda call: (call.priority, call.number))
        self.current = waiting[0] if waiting else None
        self.steps_left = self.current.steps if self.current else 0


@pytest.mark.parametrize("seed", range(6))
def test_random_stories_go_as_the_policies_say(seed: int) -> None:
    dice = random.Random(seed)
    gate, expected = Gate(), Expectation()
    at_work: list[str] = []
    callers: dict[int, asyncio.Future[str]] = {}

    def job(call: Call) -> Job[str, str]:
        def work(engine: Engine, cancel: CancelToken, emit: Callable[[str], None]) -> str:
            assert not at_work, "two jobs at a time"
            at_work.append(str(call.number))
            try:
                return generate(f"{call.number}:{call.steps}")(engine, cancel, emit)
            finally:
                at_work.clear()

        return work

    async def act(scheduler: Scheduler, number: int) -> None:
        action = dice.choices(["submit", "step", "cancel"], [4, 6, 1])[0]
        idle = expected.steps_left == 0
        if action == "submit":
            call = Call(
                number=number,
                key=dice.choice("abcd"),
                priority=dice.choice(list(Priority)),
                steps=dice.randint(1, 4),
            )
            running = scheduler.run(call.key, job(call), priority=call.priority)
            callers[number] = asyncio.ensure_future(running)
            expected.submit(call)
            await submitted()
            if idle:
                expected.begin()
                await gate.arrival()
        elif action == "cancel" and expected.open:
            call = dice.choice(list(expected.open.values()))
            expected.end(call, "cancelled")
            callers[call.number].cancel()
            await asyncio.gather(callers[call.number], return_exceptions=True)
        elif not idle:
            answered = expected.step()
            gate.allowed.release()
            if answered is not None:
                await callers[answered.number]
            if expected.steps_left:
                await gate.arrival()

    async def story(scheduler: Scheduler) -> None:
        for number in range(150):
            await act(scheduler, number)
            # Nobody more urgent waits while the engine stands before a step of another.
            if expected.steps_left and expected.current is not None:
                assert at_work == [str(expected.current.number)]
        gate.open_for_good()
        answers = await asyncio.gather(*callers.values(), return_exceptions=True)
        for call in list(expected.open.values()):
            expected.end(call, "answered")
        for number, answer in zip(callers, answers, strict=True):
            assert outcome(answer) == expected.outcomes[number]

    def outcome(answer: str | BaseException) -> str:
        if isinstance(answer, SupersededError):
            return "superseded"
        if isinstance(answer, asyncio.CancelledError):
            return "cancelled"
        assert isinstance(answer, str)
        assert set(answer) == {"."}
        return "answered"

    def script(request: CompletionRequest) -> str:
        return "." * 4 * int(request.prefix.partition(":")[2])

    run(ScriptedEngine(script, before_step=gate), story)
    assert {"answered", "superseded", "cancelled"} == set(expected.outcomes.values())
