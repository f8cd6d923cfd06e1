from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.errors import FetchError, RequestError
from midfill_engine.fake import ScriptedEngine
from midfill_engine.options import EngineOptions
from midfill_engine.progress import Progress, ProgressSink
from midfill_engine.types import CompletionRequest
from midfill_server.scheduler import EngineUnavailableError, Priority, Scheduler, SupersededError
from tests.server.desk import Gate
from tests.server.scheduling import OPTIONS, generate, prefixes, reached, run, submit, submitted


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
        await gate.arrival()
        new = asyncio.ensure_future(scheduler.run("k", generate("new")))
        with pytest.raises(SupersededError):
            await old  # answered while the engine still stands in its first step
        assert gate.steps == 1
        gate.open()
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
        await gate.arrival()
        rest = [asyncio.ensure_future(scheduler.run("k", generate(str(i)))) for i in range(1, 20)]
        gate.open()
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
        await gate.arrival()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.let_go()
        # The next job starts as soon as the step is over.
        other = asyncio.ensure_future(scheduler.run("k", generate("q")))
        await gate.arrival()
        assert gate.steps == 2
        gate.open()
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
        gate.open()
        for caller in (runs, waits, submit(scheduler, "late")):
            with pytest.raises(EngineUnavailableError):
                await caller
        with pytest.raises(EngineUnavailableError):
            await scheduler.open(OPTIONS, lambda progress: None)

    engine = ScriptedEngine("abcdefgh", before_step=gate)
    run(engine, story)
    assert prefixes(engine) == ["runs"]
