"""Explanations: at once when they are known, in the background or as a stream when they are not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from midfill_engine.errors import RequestError
from midfill_engine.fake import ScriptedEngine
from midfill_engine.options import EngineOptions
from midfill_engine.types import ChatRequest, CompletionRequest, Cost, Request
from midfill_server.explaining import (
    Explainer,
    Explanation,
    ExplanationCache,
    Grounding,
    Length,
    Pending,
    Question,
    Unavailable,
    ask_about_symbol,
)
from midfill_server.scheduler import Scheduler
from tests.server.desk import Gate
from tests.server.test_explaining_markdown import harm


def question(name: str = "f", length: Length = Length.SHORT) -> Question:
    code = f"def {name}(): ..."
    return ask_about_symbol(
        Grounding(name=name, language_id="python", shown="a.py", code=code), length
    )


def tell(
    engine: ScriptedEngine,
    story: Callable[[Explainer, Scheduler], Awaitable[None]],
    *,
    cache: ExplanationCache | None = None,
    model_id: str = "scripted",
) -> None:
    async def told() -> None:
        scheduler = Scheduler(lambda options, progress: engine)
        explainer = Explainer(scheduler, cache or ExplanationCache(None))
        explainer.model_id = model_id
        try:
            await scheduler.open(EngineOptions(), lambda progress: None)
            await story(explainer, scheduler)
        finally:
            assert await asyncio.to_thread(scheduler.close, 10)

    asyncio.run(told())


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until something is so."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came to that")


def test_the_next_hover_has_what_the_first_one_began() -> None:
    async def story(explainer: Explainer, scheduler: Scheduler) -> None:
        assert explainer.look(question()) is None
        assert explainer.begin("u", question()) == Pending()
        await until(lambda: explainer.look(question()))
        expected = Explanation(text="`f` adds.", model_id="scripted")
        assert explainer.look(question()) == expected
        assert explainer.begin("u", question()) == expected
        assert explainer.look(question("g")) is None

    engine = ScriptedEngine("adds.")
    tell(engine, story)
    assert len(engine.requests) == 1


def test_what_is_asked_again_goes_on_and_shows_what_there_is() -> None:
    gate = Gate()

    async def story(explainer: Explainer, scheduler: Scheduler) -> None:
        explainer.begin("u", question())
        await gate.arrival()
        for _ in range(3):
            await gate.step()
        await until(lambda: explainer.begin("u", question()) == Pending(text="`f` adds two thi"))
        gate.open()
        await until(lambda: explainer.look(question()))

    engine = ScriptedEngine("adds two things.", before_step=gate)
    tell(engine, story)
    assert len(engine.requests) == 1


@pytest.mark.parametrize("place", ["u", "another document"])
def test_a_newer_hover_drops_the_older(place: str) -> None:
    gate = Gate()

    async def story(explainer: Explainer, scheduler: Scheduler) -> None:
        explainer.begin("u", question("old"))
        await gate.arrival()
        assert explainer.begin(place, question("new")) == Pending()
        gate.open()
        await until(lambda: explainer.look(question("new")))
        assert explainer.look(question("old")) is None

    engine = ScriptedEngine("adds two things.", before_step=gate)
    tell(engine, story)
    assert len(engine.requests) == 2


def test_a_completion_goes_first_and_nothing_written_is_written_again() -> None:
    gate = Gate()

    def script(request: Request) -> str:
        if isinstance(request, CompletionRequest):
            return ""
        return "abcdefghijkl"[len(request.answer_start) - len("`f` ") :]

    async def story(explainer: Explainer, scheduler: Scheduler) -> None:
        explainer.begin("u", question())
        await gate.arrival()
        await gate.step()
        await gate.step()
        done = asyncio.ensure_future(
            scheduler.run(
                "u",
                lambda engine, cancel, emit: list(
                    engine.stream(CompletionRequest(prefix="x"), cancel)
                ),
            )
        )
        await asyncio.sleep(0)
        gate.open()
        await done
        assert explainer.look(question()) is None
        await until(lambda: explainer.look(question()))
        found = explainer.look(question())
        assert found is not None
        assert found.text == "`f` abcdefghijkl"

    engine = ScriptedEngine(script, before_step=gate)
    tell(engine, story)
    kinds = [type(request) for request in engine.requests]
    assert kinds == [ChatRequest, CompletionRequest, ChatRequest]
    first, _, last = engine.requests
    assert isinstance(first, ChatRequest)
    assert isinstance(last, ChatRequest)
    assert last.answer_start.startswith("`f` abcdefgh")
    assert last.max_tokens < first.max_tokens
    assert last.max_prompt_tokens > first.max_prompt_tokens  # type: ignore[operator]


def test_a_stream_shows_safe_markdown_that_grows() -> None:
    seen: list[str] = []

    async def story(explainer: Explainer, scheduler: Scheduler) -> None:
        found = await explainer.stream("u", question(length=Length.LONG), seen.append)
        assert isinstance(found, Explanation)
        assert seen[-1] == found.text
        assert found.text.startswith("### What it does\n\n`f` Runs x \\<b>.\n\n### Inputs and")
        again: list[str] = []
        assert await explainer.stream("u", question(length=Length.LONG), again.append) == found
        assert again == [found.text]

    engine = ScriptedEngine("Runs [x](command:y) <b>.\n\n```py\nx")
    tell(engine, story)
    # One for each of the sections, and none for who reads it again.
    assert len(engine.requests) == 4
    assert len(seen) > 5
    assert not any(harm(text) for text in seen)


def test_a_stream_that_is_cancelled_ends_the_work() -> None:
    gate = Gate()

    async def story(explainer: Explainer, scheduler: Scheduler) -> None:
        task = asyncio.ensure_future(explainer.stream("u", question(), lambda text: None))
        await gate.arrival()
        task.cancel()
        gate.open()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert explainer.look(question()) is None

    tell(ScriptedEngine("adds two things.", before_step=gate), story)


@pytest.mark.parametrize("place", ["u", "another document"])
def test_who_reads_goes_before_who_hovers(place: str) -> None:
    gate = Gate()

    async def story(explainer: Explainer, scheduler: Scheduler) -> None:
        explainer.begin("u", question("hovered"))
        await gate.arrival()
        reading = asyncio.ensure_future(
            explainer.stream(place, question("read"), lambda text: None)
        )
        await asyncio.sleep(0)
        gate.open()
        assert isinstance(await reading, Explanation)
        assert explainer.look(question("hovered")) is None

    tell(ScriptedEngine("adds.", before_step=gate), story)


def test_what_another_model_wrote_meanwhile_is_shown_all_the_same() -> None:
    engine = ScriptedEngine("adds.")

    async def story(explainer: Explainer, scheduler: Scheduler) -> None:
        explainer.begin("u", question())
        await until(lambda: explainer.look(question()))
        explainer.model_id = "small"
        assert explainer.look(question()) is not None
        explainer.model_id = "scripted"
        assert explainer.look(question()) is not None

    tell(engine, story, model_id="small")
    assert len(engine.requests) == 1


class Base(ScriptedEngine):
    """A model that completes and cannot chat."""

    def stream(self, request: Request, cancel: object):  # type: ignore[no-untyped-def,override]
        raise RequestError("scripted was not made to chat")

    def estimate(self, request: Request) -> Cost:
        raise RequestError("scripted was not made to chat")


class Crowded(ScriptedEngine):
    """A model with room for short questions."""

    def stream(self, request: Request, cancel: object):  # type: ignore[no-untyped-def,override]
        raise RequestError("a prompt of 420 tokens has no room")


def test_a_base_model_says_which_can() -> None:
    async def story(explainer: Explainer, scheduler: Scheduler) -> None:
        found = await explainer.stream("u", question(), lambda text: None)
        assert isinstance(found, Unavailable)
        assert found.models
        assert f"midfill models pull {found.models[0]}" in found.message
        assert "qwen2.5-coder-0.5b" in found.models
        # It is known from now on, for whatever is asked.
        assert explainer.begin("u", question("g")) == found
        explainer.model_id = "another"
        assert explainer.begin("u", question("g")) == Pending()
        await until(lambda: isinstance(explainer.begin("u", question("g")), Unavailable))

    tell(Base(""), story)


def test_what_fails_is_told_and_not_tried_again_and_again() -> None:
    engine = Crowded("")

    async def story(explainer: Explainer, scheduler: Scheduler) -> None:
        assert explainer.begin("u", question()) == Pending()
        await until(lambda: explainer.begin("u", question()) != Pending())
        assert explainer.begin("u", question()) == Unavailable(
            message="a prompt of 420 tokens has no room"
        )
        assert explainer.begin("u", question("g")) == Pending()

    tell(engine, story)


def test_an_error_nobody_expected_is_told_too(caplog: pytest.LogCaptureFixture) -> None:
    def script(request: Request) -> str:
        raise ZeroDivisionError

    async def story(explainer: Explainer, scheduler: Scheduler) -> None:
        explainer.begin("u", question())
        await until(lambda: isinstance(explainer.begin("u", question()), Unavailable))

    tell(ScriptedEngine(script), story)
    assert "an explanation failed" in caplog.text


def test_without_an_engine_it_is_said() -> None:
    async def told() -> None:
        scheduler = Scheduler(lambda options, progress: ScriptedEngine(""))
        explainer = Explainer(scheduler, ExplanationCache(None))
        found = await explainer.stream("u", question(), lambda text: None)
        assert isinstance(found, Unavailable)
        assert "doctor" in found.message
        assert await asyncio.to_thread(scheduler.close, 10)

    asyncio.run(told())


def test_an_explanation_is_of_one_model_and_one_length(tmp_path: Path) -> None:
    cache = ExplanationCache(tmp_path / "e.sqlite3")

    async def story(explainer: Explainer, scheduler: Scheduler) -> None:
        await explainer.stream("u", question(), lambda text: None)
        assert explainer.look(question()) is not None
        assert explainer.look(question(length=Length.LONG)) is None
        explainer.model_id = "another"
        assert explainer.look(question()) is None

    tell(ScriptedEngine("adds."), story, cache=cache)
    cache.flush()
    later = ExplanationCache(tmp_path / "e.sqlite3")
    later.load()

    async def after(explainer: Explainer, scheduler: Scheduler) -> None:
        assert explainer.look(question()) == Explanation(text="`f` adds.", model_id="scripted")

    tell(ScriptedEngine("not asked"), after, cache=later)
    assert b"def f" not in (tmp_path / "e.sqlite3").read_bytes()


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (
            "adds. " + "It is called with one value and more. " * 9,
            "`f` adds. It is called with one value and more.",
        ),
        ("adds", "`f` adds"),
        ("", None),
        ("   \n ", None),
    ],
)
def test_answers_of_small_models(answer: str, shown: str | None) -> None:
    async def story(explainer: Explainer, scheduler: Scheduler) -> None:
        found = await explainer.stream("u", question(), lambda text: None)
        assert isinstance(found, Explanation) == (shown is not None)
        if isinstance(found, Explanation):
            assert found.text == shown

    tell(ScriptedEngine(answer), story)
