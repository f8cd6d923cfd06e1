"""Random stories about a scheduler, against its policies in plain words."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.fake import ScriptedEngine
from midfill_engine.types import CompletionRequest
from midfill_server.scheduler import Job, Priority, Scheduler, SupersededError
from tests.server.desk import Gate
from tests.server.scheduling import generate, run, submitted


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
            gate.let_go()
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
        gate.open()
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
