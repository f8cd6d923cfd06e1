from __future__ import annotations

import asyncio

import pytest

from midfill_engine.errors import RequestError
from midfill_engine.types import CompletionRequest, FinishReason
from midfill_server.scheduler import SupersededError
from midfill_server.source import Source
from tests.server.desk import Desk, by_prefix, query, tell, turns

BOTH_LINES = "alpha = 1\nbeta = 2"


def test_what_is_typed_along_an_answer_costs_nothing() -> None:
    async def story(desk: Desk) -> None:
        first = await desk.ask("x = <|>\n")
        assert (first.text, first.source) == ("compute(a)", Source.MODEL)
        assert first.timings is not None
        for typed in range(1, 10):
            answer = await desk.ask(f"x = {first.text[:typed]}<|>\n")
            assert answer.text == first.text[typed:]
            assert answer.source is Source.TYPED_THROUGH
            assert answer.timings is None
            assert answer.finish is first.finish
            assert answer.model_id == "scripted"
        # Backspace gives the longer text back, as far as to where it was asked for.
        assert await desk.text("x = comp<|>\n") == "ute(a)"
        assert await desk.text("x = <|>\n") == "compute(a)"
        assert desk.calls == 1

    tell(story, "compute(a)")


def test_accepting_by_word_and_by_line_keeps_the_rest() -> None:
    async def story(desk: Desk) -> None:
        assert await desk.text("<|>") == BOTH_LINES
        assert await desk.text("alpha <|>") == "= 1\nbeta = 2"
        assert await desk.text("alpha = 1<|>") == "\nbeta = 2"
        assert await desk.text("alpha = 1\n<|>") == "beta = 2"
        assert desk.calls == 1

    tell(story, BOTH_LINES)


def test_a_difference_is_asked_anew_with_the_old_text_as_a_hint() -> None:
    async def story(desk: Desk) -> None:
        assert await desk.text("x = <|>\n") == "left"
        assert await desk.text("x = r<|>\n") == "ight"
        assert [request.hints for request in desk.engine.requests] == [(), ("x = left",)]
        assert [request.typed for request in desk.engine.requests] == ["x = ", "x = r"]

    tell(story, lambda request: "ight" if request.typed.endswith("r") else "left")


def test_what_was_computed_ahead_is_no_hint_for_what_comes_before_it() -> None:
    async def story(desk: Desk) -> None:
        assert await desk.text("x = <|>\n") == "left"
        await desk.wait(0.2)
        await desk.text("x = r<|>\n")
        assert desk.engine.requests[-1].hints == ("x = left",)

    tell(story, by_prefix(**{"": "left", "left": "\nmore"}))


def test_once_all_is_typed_the_next_question_is_the_engine_s() -> None:
    async def story(desk: Desk) -> None:
        assert await desk.text("f<|>\n") == "oo"
        assert await desk.text("foo<|>\n") == "oo"
        assert desk.calls == 2

    tell(story, "oo")


def test_nothing_is_remembered_where_it_was_said_and_only_there() -> None:
    async def story(desk: Desk) -> None:
        for _ in range(3):
            assert await desk.text("x<|>\n") == ""
        assert desk.calls == 1
        await desk.text("xy<|>\n")
        assert desk.calls == 2
        assert desk.timers.waiting == 0

    tell(story)


def test_a_request_joins_the_generation_that_runs() -> None:
    async def story(desk: Desk) -> None:
        first = await desk.begun("x = <|>\n")
        await desk.gate.arrival()
        second = await desk.begun("x = c<|>\n")
        # The older one is answered at once, while the engine stands in its first step.
        with pytest.raises(SupersededError):
            await first
        third = await desk.begun("x = co<|>\n")
        with pytest.raises(SupersededError):
            await second
        desk.timers.elapse(1)
        desk.gate.open()
        answer = await third
        assert (answer.text, answer.source) == ("mpute(a)", Source.JOINED)
        assert answer.timings is not None
        assert desk.calls == 1
        # What it cost is told once.
        assert (await desk.ask("x = com<|>\n")).timings is None

    tell(story, "compute(a)", shut=True)


def test_what_is_shown_to_one_that_joined_only_grows() -> None:
    async def story(desk: Desk) -> None:
        first = desk.ask("<|>\n")
        await desk.gate.arrival()
        for _ in range(2):
            await desk.gate.step()
        await turns()
        # Half a line is not shown: nobody could tell yet whether it is right.
        assert desk.shown == []
        await desk.gate.step()
        await turns()
        assert desk.shown == ["alpha = 1"]
        desk.shown.clear()
        second = await desk.begun("a<|>\n")
        assert desk.shown == ["lpha = 1"]
        desk.gate.open()
        assert (await second).text == "lpha = 1\nbeta = 2"
        assert desk.shown == ["lpha = 1"]
        assert isinstance(first.exception(), SupersededError)

    tell(story, BOTH_LINES, shut=True)


def test_a_request_that_disagrees_with_what_comes_starts_anew() -> None:
    async def story(desk: Desk) -> None:
        first = await desk.begun("x = <|>\n")
        await desk.gate.arrival()
        second = await desk.begun("x = r<|>\n")
        desk.gate.open()
        answer = await second
        assert (answer.text, answer.source) == ("ight", Source.MODEL)
        assert desk.calls == 2
        assert isinstance(first.exception(), SupersededError)

    tell(
        story, lambda request: "ight" if request.typed.endswith("r") else "left = right", shut=True
    )


def test_after_a_cancel_the_next_key_finds_the_generation_running() -> None:
    async def story(desk: Desk) -> None:
        first = await desk.begun("x = <|>\n")
        await desk.gate.arrival()
        first.cancel()
        await turns()
        desk.timers.elapse(0.2)
        second = await desk.begun("x = c<|>\n")
        # The time since the first cancel does not count any more: another begins.
        second.cancel()
        await turns()
        desk.timers.elapse(0.2)
        third = await desk.begun("x = co<|>\n")
        desk.timers.elapse(10)
        desk.gate.open()
        assert (await third).text == "mpute(a)"
        assert desk.calls == 1

    tell(story, "compute(a)", shut=True)


def test_if_nobody_comes_after_a_cancel_the_engine_rests() -> None:
    async def story(desk: Desk) -> None:
        first = await desk.begun("x = <|>\n")
        await desk.gate.arrival()
        first.cancel()
        await turns()
        desk.timers.elapse(0.4)
        desk.gate.open()
        await desk.settled()
        # It was stopped, so nothing of it is known.
        assert (await desk.ask("x = <|>\n")).source is Source.MODEL
        assert desk.calls == 2
        assert desk.engine.requests[1].hints == ()

    tell(story, "compute(a)" * 100, shut=True)


def test_a_cancel_before_the_engine_was_asked_leaves_nothing() -> None:
    async def story(desk: Desk) -> None:
        desk.ask("x = <|>\n").cancel()
        await turns()
        first = desk.ask("y = <|>\n")
        await asyncio.sleep(0)
        first.cancel()
        await desk.wait(1)
        assert await desk.text("y = <|>\n") == "compute(a)"

    tell(story, "compute(a)")


def test_two_documents_do_not_mix() -> None:
    async def story(desk: Desk) -> None:
        a, b = desk.ask("x = <|>\n", "a"), desk.ask("x = <|>\n", "b")
        assert ((await a).text, (await b).text) == ("compute(a)", "compute(a)")
        assert desk.calls == 2
        assert (await desk.ask("x = c<|>\n", "a")).source is Source.TYPED_THROUGH
        assert (await desk.ask("x = co<|>\n", "b")).source is Source.TYPED_THROUGH
        # One timer: who typed last is whose next text is computed ahead.
        assert desk.timers.waiting == 1
        await desk.wait(1)
        assert desk.engine.requests[2].typed == "x = compute(a)"
        assert desk.calls == 3

    tell(story, "compute(a)")


def test_a_closed_document_is_forgotten_with_all_that_was_planned() -> None:
    async def story(desk: Desk) -> None:
        await desk.text("x = <|>\n")
        assert desk.timers.waiting == 1
        desk.completer.forget("another")
        assert desk.timers.waiting == 1
        desk.completer.forget("a")
        assert desk.timers.waiting == 0
        assert (await desk.ask("x = <|>\n")).source is Source.MODEL
        assert [request.hints for request in desk.engine.requests] == [(), ()]

    tell(story, "compute(a)")


def test_who_waits_when_the_document_is_closed_waits_no_longer() -> None:
    async def story(desk: Desk) -> None:
        waiting = await desk.begun("x = <|>\n")
        await desk.gate.arrival()
        desk.completer.forget("a")
        with pytest.raises(SupersededError):
            await waiting
        again = await desk.begun("x = <|>\n")
        desk.gate.open()
        assert ((await again).text, (await again).source) == ("compute(a)", Source.MODEL)

    tell(story, "compute(a)", shut=True)


def test_another_model_knows_nothing_of_the_one_before() -> None:
    async def story(desk: Desk) -> None:
        await desk.text("x = <|>\n")
        desk.completer.start_over()
        assert desk.timers.waiting == 0
        assert (await desk.ask("x = <|>\n")).source is Source.MODEL

    tell(story, "compute(a)")


def test_others_hear_of_all_that_the_model_does() -> None:
    async def main(desk: Desk) -> None:
        answer = await desk.ask("a <|>")
        assert desk.busy == [True, False]
        await desk.completer.alternatives(query("a <|>"), answer)
        assert desk.busy == [True, False] * 2
        desk.completer.rest(query("b <|>"))
        await desk.wait(1.0)
        assert desk.busy == [True, False] * 3

    tell(main, "one two")


def test_the_first_line_is_an_answer_while_the_rest_is_generated() -> None:
    async def story(desk: Desk) -> None:
        first = desk.ask("<|>", line_first=True)
        await desk.gate.arrival()
        for _ in range(2):
            await desk.gate.step()
        assert not first.done()
        await desk.gate.step()
        answer = await first
        assert (answer.text, answer.source) == ("alpha = 1", Source.MODEL)
        assert (answer.finish, answer.model_id) == (FinishReason.STOP, "scripted")
        # Nobody waits, and it goes on nevertheless.
        desk.timers.elapse(1)
        desk.gate.open()
        await desk.settled()
        rest = await desk.ask("alpha = 1<|>", line_first=True)
        assert (rest.text, rest.source) == ("\nbeta = 2", Source.TYPED_THROUGH)
        assert desk.calls == 1

    tell(story, BOTH_LINES, shut=True)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\nb = 2", "a = 1"),
        ("\n\n  a = 1\nb = 2", "\n\n  a = 1"),
        # Blanks that nobody sees are not written.
        ("  \na = 1\r\nb = 2", "\na = 1"),
    ],
)
def test_a_first_line_has_text_in_it(text: str, line: str) -> None:
    async def story(desk: Desk) -> None:
        first = desk.ask("<|>", line_first=True)
        await desk.gate.arrival()
        while not first.done():
            await desk.gate.step()
            await turns()
        assert (await first).text == line

    tell(story, text, piece=1, shut=True)


def test_an_error_reaches_who_waits_and_nobody_else() -> None:
    def script(request: CompletionRequest) -> str:
        if request.suffix.startswith("!"):
            raise RequestError("not this")
        return "fine"

    async def story(desk: Desk) -> None:
        for _ in range(2):
            with pytest.raises(RequestError, match="not this"):
                await desk.ask("x<|>!")
        assert await desk.text("x<|>?") == "fine"
        # Nobody waits for this one: nobody is told, and nothing is said to the loop.
        lost = await desk.begun("y<|>!")
        if not lost.done():
            lost.cancel()
        await desk.wait(1)
        assert lost.cancelled() or isinstance(lost.exception(), RequestError)
        desk.completer.rest(query("z<|>!"))
        await desk.wait(1)
        assert desk.engine.requests[-1].max_tokens == 0
        assert desk.timers.waiting == 0

    tell(story, script)


def test_an_error_after_the_last_one_left_is_nobody_s() -> None:
    async def story(desk: Desk) -> None:
        def fail(step: int) -> None:
            desk.gate(step)
            raise RequestError("too late")

        desk.engine._before_step = fail
        first = await desk.begun("x<|>")
        await desk.gate.arrival()
        first.cancel()
        await turns()
        desk.gate.open()
        await desk.settled()
        with pytest.raises(RequestError):
            await desk.ask("x<|>")
        assert desk.calls == 2

    tell(story, "wrong", shut=True)


def test_a_line_end_is_the_file_s_own() -> None:
    async def story(desk: Desk) -> None:
        assert await desk.text("<|>\r\n") == "a\r\nb = 1"
        assert await desk.text("a\r\n<|>\r\n") == "b = 1"
        assert desk.calls == 1
        await desk.wait(1)
        answer = await desk.ask("a\r\nb = 1<|>\r\n")
        assert (answer.text, answer.source) == ("\r\nc", Source.PREFETCHED)

    tell(story, lambda request: "\nc" if request.typed.endswith("1") else "a\nb = 1")


def test_lone_surrogates_pass_through() -> None:
    async def story(desk: Desk) -> None:
        assert await desk.text("\ud83d<|>\ude00") == "ok"
        assert await desk.text("\ud83do<|>\ude00") == "k"
        await desk.wait(1)
        assert await desk.text("\ud83dx<|>\ude00") == "ok"

    tell(story, "ok")
