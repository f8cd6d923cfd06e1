"""A fix is looked for as long as its limit says: what it waits for ends then, in its midst."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field

import pytest

from midfill_engine.cancel import CancelToken
from midfill_engine.fake import ScriptedEngine
from midfill_engine.options import EngineOptions
from midfill_engine.types import CompletionRequest
from midfill_server.checking.base import CheckCancelledError
from midfill_server.checking.finding import Finding
from midfill_server.fixes import Fixes
from midfill_server.fixing import Ask, Case, Check, Limits, fix, steps
from midfill_server.scheduler import Scheduler
from tests.server.fixing_marks import Strict, case_of, finding

_RETURN = 'Function with declared return type "int" must return value on all code paths'
_SOON_S = 0.05
_LONG_S = 60.0


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Slow:
    """A checker that finds the diagnostic as the text is, and never has done with another text."""

    case: Case
    name: str = "slow"
    timeouts_s: list[float] = field(default_factory=list[float])
    waits: threading.Event = field(default_factory=threading.Event)

    def check(
        self, path: str, text: str, cancel: CancelToken, timeout_s: float
    ) -> tuple[Finding, ...]:
        self.timeouts_s.append(timeout_s)
        if text == self.case.text:
            return (finding(self.case),)
        self.waits.set()
        # A token whose parent is cancelled only notices when it is asked.
        while not cancel.wait(0.001):
            pass
        raise CheckCancelledError("stopped")


def missing_return() -> Case:
    return case_of("def f(a) -> <|int|>:\n    g(a)\n\n\nx = 1\n", _RETURN)


def test_each_step_gets_the_time_that_is_left() -> None:
    case, clock = missing_return(), Clock()
    checker = Strict(case, lambda text: False)
    limits = Limits(timeout_s=30, check_timeout_s=10)
    run = steps(case, [checker], limits, clock=clock)
    first = next(run)
    assert isinstance(first, Check)
    assert (first.timeout_s, first.limit_s) == (10, 30)
    clock.now_s = 12
    second = run.send((finding(case),))
    assert isinstance(second, Ask)
    assert second.limit_s == 18
    clock.now_s = 25
    third = run.send("a\n")
    assert isinstance(third, Check)
    assert third.limit_s == 5
    clock.now_s = 30
    with pytest.raises(StopIteration) as end:
        run.send((finding(case),))
    assert end.value.value is None


def test_nothing_is_begun_after_the_limit() -> None:
    case, clock = missing_return(), Clock()
    checker = Strict(case, lambda text: False)
    asked: list[float] = []

    def answer(step: Ask) -> str:
        asked.append(step.limit_s)
        clock.now_s += 10
        return f"{len(asked)}\n"

    assert fix(case, [checker], answer, CancelToken(), Limits(timeout_s=25), clock=clock) is None
    assert asked == [25, 15, 5]
    # The answer that came too late is not looked at any more.
    assert len(checker.asked) == 3


def test_an_answer_that_takes_too_long_leaves_what_was_found_before() -> None:
    case = case_of("def f(data, date):\n    return <|dat|>\n", "Undefined name `dat`")
    clock = Clock()
    worse = finding(case, "worse", line=1)
    checker = Strict(
        case, lambda text: text != case.text, lambda text: [worse][: text != case.text]
    )

    def answer(step: Ask) -> str:
        clock.now_s += step.limit_s
        raise TimeoutError

    found = fix(case, [checker], answer, CancelToken(), clock=clock)
    assert found is not None
    assert found.verified_by is None


def test_a_check_ends_with_the_search() -> None:
    case = missing_return()
    checker = Slow(case)
    limits = Limits(timeout_s=_SOON_S, check_timeout_s=_LONG_S)
    assert fix(case, [checker], lambda step: "a\n", CancelToken(), limits) is None
    assert checker.waits.is_set()
    assert max(checker.timeouts_s) <= _SOON_S


def test_who_is_cancelled_while_a_checker_works_is_told() -> None:
    case, cancel = missing_return(), CancelToken()
    checker = Slow(case)
    stopper = threading.Thread(target=lambda: checker.waits.wait(_LONG_S) and cancel.cancel())
    stopper.start()
    with pytest.raises(CheckCancelledError):
        fix(case, [checker], lambda step: "a\n", cancel)
    stopper.join()


def test_an_answer_of_the_engine_ends_with_the_search() -> None:
    never, over = threading.Event(), threading.Event()

    def busy(is_busy: bool) -> None:
        if not is_busy:
            over.set()

    def endless(step: int) -> None:
        never.wait(0.001)

    ask = Ask(request=CompletionRequest(prefix="x = "), enough=lambda text: False, limit_s=_SOON_S)

    async def live() -> None:
        engine = ScriptedEngine("word " * 1_000_000, before_step=endless)
        scheduler = Scheduler(lambda options, progress: engine)
        found = Fixes(scheduler, on_busy=busy)
        try:
            await scheduler.open(EngineOptions(), lambda progress: None)
            with pytest.raises(TimeoutError):
                await found.run(lambda desk: desk.ask(ask), _LONG_S)
            assert await asyncio.to_thread(over.wait, _LONG_S)
        finally:
            found.close()
            assert await asyncio.to_thread(scheduler.close, 10)

    asyncio.run(live())
