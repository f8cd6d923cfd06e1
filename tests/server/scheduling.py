"""Stories about a scheduler, and the jobs in them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.fake import ScriptedEngine
from midfill_engine.options import EngineOptions
from midfill_engine.types import CompletionRequest
from midfill_server.scheduler import Job, Priority, Scheduler

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
