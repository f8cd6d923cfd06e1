"""Which job runs: the most urgent one, for which others make way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.errors import RequestError
from midfill_engine.fake import ScriptedEngine
from midfill_server.scheduler import Priority, Scheduler, SupersededError
from tests.server.desk import Gate
from tests.server.scheduling import prefixes, reached, run, submit, submitted


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
        gate.open()
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
        gate.let_go()
        await gate.arrival()  # before its second step
        urgent = submit(scheduler, "urgent")
        await submitted()
        gate.open()
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
        gate.open()
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
        gate.open()
        assert await urgent == "abcdefgh"
        assert gate.steps == 3

    engine = ScriptedEngine("abcdefgh", before_step=gate)
    run(engine, story)
    assert prefixes(engine) == ["prefetch", "urgent"]


@pytest.mark.parametrize(
    ("priority", "dropped"),
    [(Priority.COMPLETION, True), (Priority.FIX, False), (Priority.HOVER, False)],
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
        gate.open()
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
        gate.open()
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
        gate.let_go()
        await gate.arrival()  # the urgent one runs, the preempted one waits
        new = submit(scheduler, "a", Priority.FIX)
        with pytest.raises(SupersededError):
            await old
        new.cancel()
        gate.open()
        assert await urgent == "abcd"
        with pytest.raises(asyncio.CancelledError):
            await new

    engine = ScriptedEngine("abcd", before_step=gate)
    run(engine, story)
    assert prefixes(engine) == ["a", "urgent"]
