"""What is computed ahead: what follows a text, the prompt at the cursor, that of a better model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

from midfill_engine.cancel import CancelToken
from midfill_engine.fake import ScriptedEngine
from midfill_engine.options import EngineOptions
from midfill_engine.types import Chunk, CompletionRequest
from midfill_server.completer import Foresight
from midfill_server.source import Source
from tests.server.desk import Desk, Gate, by_prefix, query, tell


def test_work_ahead_that_is_dropped_before_it_began_is_not_waited_for() -> None:
    async def story(desk: Desk) -> None:
        assert await desk.text("x = <|>\n") == "one"
        desk.timers.elapse(0.2)  # begins to look ahead ...
        assert await desk.text("y = <|>\n", "b") == "one"  # ... and has to make way at once
        assert (await asyncio.wait_for(desk.ask("x = one<|>\n"), 10)).text == "one"

    tell(story, "one")


def test_what_follows_acceptance_is_computed_ahead_and_no_further() -> None:
    async def story(desk: Desk) -> None:
        assert await desk.text("x = <|>\n") == "one"
        await desk.wait(0.2)
        assert desk.calls == 2
        for _ in range(5):
            await desk.wait(10)
        assert desk.calls == 2
        answer = await desk.ask("x = one<|>\n")
        assert (answer.text, answer.source) == ("\ntwo = 2", Source.PREFETCHED)
        assert desk.calls == 2
        typed = await desk.ask("x = one\nt<|>\n")
        assert (typed.text, typed.source) == ("wo = 2", Source.TYPED_THROUGH)

    tell(story, by_prefix(**{"": "one", "one": "\ntwo = 2"}))


def test_a_request_that_comes_while_its_answer_is_computed_ahead_joins_that() -> None:
    async def story(desk: Desk) -> None:
        first = desk.ask("x = <|>\n")
        await desk.gate.arrival()
        desk.gate.open()
        await first
        desk.timers.elapse(0.2)
        answer = await desk.ask("x = oneone<|>\n")
        assert answer.text == "oneone"
        assert answer.source in (Source.JOINED, Source.PREFETCHED)
        assert desk.calls == 2

    tell(story, "oneone", shut=True)


def test_work_ahead_is_dropped_by_a_real_request() -> None:
    async def story(desk: Desk) -> None:
        first = desk.ask("x = <|>\n")
        await desk.gate.arrival()
        await desk.gate.step()
        desk.gate.let_go()
        await first
        desk.timers.elapse(0.2)
        await desk.gate.arrival()  # the engine looks ahead
        assert desk.calls == 2
        other = await desk.begun("y = <|>\n")
        desk.gate.open()
        assert (await other).text == "oneone"
        await desk.settled()
        assert [request.typed for request in desk.engine.requests] == [
            "x = ",
            "x = oneone",
            "y = ",
        ]
        # It came to nothing, and nothing of it is left.
        assert (await desk.ask("x = oneone<|>\n")).source is Source.MODEL

    tell(story, "oneone", shut=True)


def test_who_joined_work_ahead_that_makes_way_is_still_answered() -> None:
    async def story(desk: Desk) -> None:
        first = desk.ask("x = <|>\n")
        await desk.gate.arrival()
        await desk.gate.step()
        desk.gate.let_go()
        await first
        desk.timers.elapse(0.2)
        await desk.gate.arrival()
        joined = await desk.begun("x = oneone<|>\n")
        other = await desk.begun("y = <|>\n", "b")  # a completion drops all work ahead
        desk.gate.open()
        assert (await other).text == "oneone"
        assert (await joined).text == "oneone"

    tell(story, "oneone", shut=True)


def test_where_the_cursor_rests_the_prompt_is_computed() -> None:
    async def story(desk: Desk) -> None:
        desk.completer.rest(query("a\nb = <|>\nc\n"))
        desk.completer.rest(query("a\n<|>b = \nc\n"))
        await desk.wait(0.06)
        assert desk.calls == 0
        await desk.wait(0.06)
        (request,) = desk.engine.requests
        assert (request.max_tokens, request.typed, request.suffix) == (0, "a\n", "b = \nc\n")
        # A request makes a plan void.
        desk.completer.rest(query("<|>"))
        await desk.text("zz<|>", "b")
        desk.completer.foresight = Foresight(after_answer_s=None)
        await desk.wait(1)
        assert sum(not request.max_tokens for request in desk.engine.requests) == 1

    tell(story, "text")


def test_at_rest_the_prompt_is_split_nearer() -> None:
    async def story(desk: Desk) -> None:
        desk.completer.foresight = Foresight(after_answer_s=None)
        lines = "".join(f"the line {number}\n" for number in range(45))
        await desk.text("<|>")
        await desk.text(f"{lines}x<|>")
        assert desk.engine.requests[-1].prefix == ""
        desk.completer.rest(query(f"{lines}xy<|>"))
        await desk.wait(1)
        await desk.text(f"{lines}xyz<|>")
        last = desk.engine.requests[-1]
        assert last.prefix + last.typed == f"{lines}xyz"
        assert last.typed.startswith("the line 41")

    tell(story, "text")


def test_who_saves_energy_computes_nothing_ahead() -> None:
    async def story(desk: Desk) -> None:
        desk.completer.foresight = Foresight(after_answer_s=None, at_rest_s=None)
        await desk.text("x = <|>\n")
        desk.completer.rest(query("y = <|>\n"))
        assert desk.timers.waiting == 0

    tell(story, "text")


class StandsIn(ScriptedEngine):
    """Answers in the place of a better one, whose prompts wait at ``gate``."""

    def __init__(
        self, script: str | Callable[[CompletionRequest], str], *, gate: Callable[[int], None]
    ) -> None:
        super().__init__(script)
        self._gate = gate

    def stream(self, request: CompletionRequest, cancel: CancelToken) -> Iterator[Chunk]:
        if request.max_tokens == 0:
            self._gate(0)
        for chunk in super().stream(request, cancel):
            yield replace(chunk, stood_in=request.awaited and chunk.finish is not None)


async def stands_in(
    desk: Desk, script: str | Callable[[CompletionRequest], str], *, shut: bool = False
) -> Gate:
    """Let a stand-in answer from now on; returns the gate of the better one's prompts."""
    gate = Gate(shut=shut)
    desk.engine = StandsIn(script, gate=gate)
    await desk.scheduler.open(EngineOptions(), lambda progress: None)
    return gate


def test_who_was_stood_in_for_gets_the_prompt_at_once() -> None:
    async def story(desk: Desk) -> None:
        desk.completer.foresight = Foresight(after_answer_s=None, at_rest_s=None)
        await stands_in(desk, by_prefix(**{"": "one"}))
        assert (await desk.ask("x = <|>\n")).stood_in
        await desk.settled()
        assert await desk.text("y<|>\n", "b") == ""
        await desk.settled()
        # Also where there is nothing to suggest, or each key would find the better one unready.
        assert [
            (request.typed, request.max_tokens, request.awaited) for request in desk.engine.requests
        ] == [("x = ", 64, True), ("x = ", 0, False), ("y", 64, True), ("y", 0, False)]

    tell(story)


def test_who_types_along_does_not_hold_up_the_prompt_that_the_better_one_lacks() -> None:
    async def story(desk: Desk) -> None:
        gate = await stands_in(desk, by_prefix(**{"": "compute(a)", "compute(a)": "\n"}), shut=True)
        await desk.text("x = <|>\n")
        await gate.arrival()
        for typed in range(1, 9):
            answer = await desk.ask(f"x = {'compute(a)'[:typed]}<|>\n")
            assert answer.source is Source.TYPED_THROUGH
            desk.timers.elapse(0.2)
        gate.open()
        await desk.settled()
        await desk.wait(0.2)
        # One prompt, which was not begun anew, and after it what follows the text.
        assert [
            (request.typed, request.max_tokens > 0, request.awaited)
            for request in desk.engine.requests
        ] == [("x = ", True, True), ("x = ", False, False), ("x = compute(a)", True, False)]

    tell(story)


def test_who_accepts_while_the_better_one_is_not_ready_need_not_wait_for_it() -> None:
    async def story(desk: Desk) -> None:
        gate = await stands_in(desk, "one", shut=True)
        await desk.text("x = <|>\n")
        await gate.arrival()
        desk.timers.elapse(0.2)
        accepted = await desk.begun("x = one<|>\n")
        gate.open()
        answer = await accepted
        assert (answer.text, answer.source) == ("one", Source.MODEL)
        answered = [request for request in desk.engine.requests if request.max_tokens]
        assert [request.awaited for request in answered] == [True, True]

    tell(story)
