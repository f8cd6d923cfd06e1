"""A completer at work without a model or a clock: the test moves the engine and the time."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

from midfill_engine.fake import ScriptedEngine
from midfill_engine.options import EngineOptions
from midfill_engine.types import CompletionRequest, TokenScore
from midfill_server.completer import Completer
from midfill_server.pipeline import Completion, Query
from midfill_server.scheduler import Priority, Scheduler

CURSOR = "<|>"


class Gate:
    """Lets the engine take one step after the other, as the test allows."""

    def __init__(self, *, shut: bool = True) -> None:
        self._arrivals = threading.Semaphore(0)
        self._allowed = threading.Semaphore(0)
        self._shut = shut
        self.steps = 0

    def __call__(self, step: int) -> None:
        self.steps += 1
        if self._shut:
            self._arrivals.release()
            assert self._allowed.acquire(timeout=10)

    async def arrival(self) -> None:
        """Wait until the engine stands before its next step."""
        assert await asyncio.to_thread(self._arrivals.acquire, timeout=10)

    def let_go(self) -> None:
        """Let the engine take a step."""
        self._allowed.release()

    async def step(self) -> None:
        """Let the engine take a step, and wait until it stands before the next one."""
        self.let_go()
        await self.arrival()

    def open(self) -> None:
        self._shut = False
        self._allowed.release(1000)


@dataclass(eq=False)
class Planned:
    due_s: float
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class Timers:
    """Calls that are due later; the test says when it is later."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._planned: list[Planned] = []

    def __call__(self, delay_s: float, callback: Callable[[], None]) -> Planned:
        planned = Planned(self.now_s + delay_s, callback)
        self._planned.append(planned)
        return planned

    @property
    def waiting(self) -> int:
        return sum(not planned.cancelled for planned in self._planned)

    def elapse(self, seconds: float) -> None:
        self.now_s += seconds
        for planned in sorted(self._planned, key=lambda planned: planned.due_s):
            if planned.due_s <= self.now_s + 1e-9:
                self._planned.remove(planned)
                if not planned.cancelled:
                    planned.callback()


class Desk:
    """One session: its engine says what ``script`` says."""

    def __init__(
        self,
        script: str | Callable[[CompletionRequest], str],
        *,
        piece: int = 4,
        gate: Gate,
        logprob: float | None = None,
    ) -> None:
        self.gate = gate
        scores = None if logprob is None else partial(scored, logprob)
        self.engine = ScriptedEngine(script, piece=piece, before_step=gate, scores=scores)
        self.timers = Timers()
        self.scheduler = Scheduler(lambda options, progress: self.engine)
        self.busy: list[bool] = []
        self.completer = Completer(self.scheduler, call_later=self.timers, on_busy=self.busy.append)
        self.shown: list[str] = []

    @property
    def calls(self) -> int:
        return len(self.engine.requests)

    def ask(
        self, marked: str, uri: str = "a", *, line_first: bool = False, invoked: bool = False
    ) -> asyncio.Task[Completion]:
        """Ask at the mark; what is shown while it grows goes to ``shown``."""
        asked = replace(query(marked, uri), invoked=invoked)
        return asyncio.get_running_loop().create_task(
            self.completer.complete(
                asked, lambda line: self.shown.append(line.text), line_first=line_first
            )
        )

    async def begun(self, marked: str, uri: str = "a", **more: bool) -> asyncio.Task[Completion]:
        """Ask, and return when the request waits."""
        task = self.ask(marked, uri, **more)
        await turns()
        return task

    async def text(self, marked: str, uri: str = "a") -> str:
        return (await self.ask(marked, uri)).text

    async def settled(self) -> None:
        """Wait until the engine has done all that it was given, and all have heard of it."""
        await turns()
        await self.scheduler.run("probe", lambda *_: None, priority=max(Priority))
        await turns()

    async def wait(self, seconds: float) -> None:
        """Let time go by, and what is due be done."""
        self.timers.elapse(seconds)
        await self.settled()


def scored(logprob: float, text: str) -> list[TokenScore]:
    """Say of each four characters of ``text`` that they are so probable."""
    return [
        TokenScore(
            at=at, logprob=logprob, stop_logprob=-20.0, runner_up="", runner_up_logprob=-20.0
        )
        for at in range(0, len(text), 4)
    ]


def query(marked: str, uri: str = "a") -> Query:
    return Query(uri=uri, text=marked.replace(CURSOR, "", 1), cursor=marked.index(CURSOR))


async def turns(count: int = 8) -> None:
    """Let everything that is ready on the event loop run."""
    for _ in range(count):
        await asyncio.sleep(0)


def tell(
    story: Callable[[Desk], Awaitable[None]],
    script: str | Callable[[CompletionRequest], str] = "",
    *,
    piece: int = 4,
    shut: bool = False,
    logprob: float | None = None,
) -> Desk:
    """Live through a story; nothing may be left behind, and nothing go wrong unheard.

    ``logprob`` is what the engine thinks of each piece of four characters; ``None``: it does not
    say.
    """
    unheard: list[dict[str, object]] = []
    desk = Desk(script, piece=piece, gate=Gate(shut=shut), logprob=logprob)

    async def live() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: unheard.append(context)
        )
        try:
            await desk.scheduler.open(EngineOptions(), lambda progress: None)
            await story(desk)
        finally:
            desk.gate.open()
            desk.completer.start_over()
            desk.scheduler.cancel_all()
            assert await asyncio.to_thread(desk.scheduler.close, 10)
        await turns()
        # One at the end is this one.
        assert len(asyncio.all_tasks()) == 1
        gc.collect()

    asyncio.run(live())
    assert unheard == []
    assert desk.engine.closed
    return desk


def by_prefix(**answers: str) -> Callable[[CompletionRequest], str]:
    """A script that looks at the last word before the cursor."""

    def script(request: CompletionRequest) -> str:
        return answers.get((request.prefix + request.typed).split(" ")[-1], "")

    return script
