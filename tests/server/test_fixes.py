"""Fixes that are looked for: who asks for the same one joins, and what nobody wants ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from midfill_engine.fake import ScriptedEngine
from midfill_server import fixes
from midfill_server.checking.base import CheckCancelledError
from midfill_server.document import Snapshot
from midfill_server.fixes import Desk, Fixes, Wish
from midfill_server.fixing import Diagnostic, Fix, Limits
from midfill_server.scheduler import Scheduler
from tests.server.desk import Timers, turns

_PATIENT_S = 60.0


class Search:
    """Stands for the search for a fix: counts how often it begins, and ends when it is let."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.let_go = threading.Event()

    def __call__(self, wish: Wish, desk: Desk) -> Fix | None:
        name = wish.diagnostic.message
        self.begun.append(name)
        try:
            while not self.let_go.wait(0.001):
                if desk.cancel.cancelled:
                    raise CheckCancelledError("stopped")
        finally:
            self.ended.append(name)
        return None


Story = Callable[[Fixes, Timers, Search], Awaitable[None]]


def tell(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    search, timers = Search(), Timers()
    monkeypatch.setattr(fixes, "find_fix", search)

    async def live() -> None:
        scheduler = Scheduler(lambda options, progress: ScriptedEngine(""))
        found = Fixes(scheduler, call_later=timers)
        try:
            await story(found, timers, search)
        finally:
            search.let_go.set()
            found.stop()
            found.close()
            assert await asyncio.to_thread(scheduler.close, 10)

    asyncio.run(live())


def wish(name: str = "one") -> Wish:
    return Wish(
        diagnostic=Diagnostic(start=0, end=1, message=name, code="", source="", severity="error"),
        snapshot=Snapshot.of("text", uri="a", version=1, language_id="python"),
        path="",
        limits=Limits(),
    )


async def asked(
    found: Fixes, search: Search, patience_s: float | None
) -> asyncio.Task[tuple[Fix | None] | None]:
    """Ask for a fix, and return when it is looked for."""
    task = asyncio.get_running_loop().create_task(found.find(wish(), patience_s))
    await turns()
    await until(lambda: len(search.begun) > len(search.ended))
    return task


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.001)


async def cancelled(task: asyncio.Task[tuple[Fix | None] | None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_who_opens_the_list_anew_waits_for_the_same_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(found: Fixes, timers: Timers, search: Search) -> None:
        # The cancel comes first, then the request for the new list.
        await cancelled(await asked(found, search, _PATIENT_S))
        again = await asked(found, search, _PATIENT_S)
        timers.elapse(_PATIENT_S)
        await turns()
        search.let_go.set()
        assert await again == (None,)
        assert search.begun == ["one"]

    tell(story, monkeypatch)


def test_a_list_that_is_not_opened_anew_ends_its_search_a_moment_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(found: Fixes, timers: Timers, search: Search) -> None:
        await cancelled(await asked(found, search, _PATIENT_S))
        assert search.ended == []
        timers.elapse(_PATIENT_S)
        await until(lambda: search.ended == ["one"])
        assert found.known(wish()) is None

    tell(story, monkeypatch)


def test_a_chosen_fix_that_is_cancelled_is_not_looked_for_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(found: Fixes, timers: Timers, search: Search) -> None:
        await cancelled(await asked(found, search, None))
        timers.elapse(0)
        await until(lambda: search.ended == ["one"])

    tell(story, monkeypatch)


@pytest.mark.parametrize("patience_s", [None, _PATIENT_S])
def test_what_one_of_two_gives_up_the_other_gets(
    patience_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(found: Fixes, timers: Timers, search: Search) -> None:
        first, second = [await asked(found, search, patience_s) for _ in range(2)]
        await cancelled(first)
        assert timers.waiting == 0
        timers.elapse(_PATIENT_S)
        await turns()
        search.let_go.set()
        assert await second == (None,)
        assert search.begun == ["one"]

    tell(story, monkeypatch)


def test_another_fix_takes_the_place_of_one_that_nobody_waits_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(found: Fixes, timers: Timers, search: Search) -> None:
        await cancelled(await asked(found, search, _PATIENT_S))
        found.begin(wish("two"))
        await until(lambda: search.begun == ["one", "two"])
        assert search.ended == ["one"]
        # The moment of the first one is over, and ends nothing else.
        timers.elapse(_PATIENT_S)
        await turns()
        assert search.ended == ["one"]

    tell(story, monkeypatch)


def test_who_is_hurried_waits_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(found: Fixes, timers: Timers, search: Search) -> None:
        chosen = await asked(found, search, None)
        listed = [await asked(found, search, patience_s) for patience_s in (_PATIENT_S, 0.0)]
        found.hurry(0.0)
        later = await asked(found, search, _PATIENT_S)
        assert [await each for each in listed] == [None, None]
        assert not chosen.done()
        assert not later.done()
        search.let_go.set()
        assert await chosen == await later == (None,)
        assert search.begun == ["one"]

    tell(story, monkeypatch)
