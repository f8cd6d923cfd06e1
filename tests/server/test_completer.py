from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from midfill_engine.cancel import CancelToken
from midfill_engine.errors import RequestError
from midfill_engine.fake import ScriptedEngine
from midfill_engine.options import EngineOptions
from midfill_engine.types import Chunk, CompletionRequest, FinishReason
from midfill_server.completer import Foresight
from midfill_server.scheduler import SupersededError
from midfill_server.source import Source
from tests.server.desk import Desk, Gate, query, tell, turns

BOTH_LINES = "alpha = 1\nbeta = 2"


def by_prefix(**answers: str) -> Callable[[CompletionRequest], str]:
    """A script that looks at the last word before the cursor."""

    def script(request: CompletionRequest) -> str:
        return answers.get((request.prefix + request.typed).split(" ")[-1], "")

    return script


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


def test_work_ahead_that_is_dropped_before_it_began_is_not_waited_for() -> None:
    async def story(desk: Desk) -> None:
        assert await desk.text("x = <|>\n") == "one"
        desk.timers.elapse(0.2)  # begins to look ahead ...
        assert await desk.text("y = <|>\n", "b") == "one"  # ... and has to make way at once
        assert (await asyncio.wait_for(desk.ask("x = one<|>\n"), 10)).text == "one"

    tell(story, "one")


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


def test_a_text_that_is_probably_wrong_is_shown_to_who_asks_by_hand_only() -> None:
    async def story(desk: Desk) -> None:
        for source in (Source.MODEL, Source.TYPED_THROUGH):
            answer = await desk.ask("x = <|>\n")
            assert (answer.text, answer.source) == ("", source)
        assert (desk.shown, desk.calls) == ([], 1)
        # Nothing follows a text that nobody sees.
        assert desk.timers.waiting == 0
        answer = await desk.ask("x = <|>\n", invoked=True)
        assert (answer.text, answer.withheld, answer.source) == ("left", "", Source.MODEL)
        # It is on the screen now, so it stays there.
        assert await desk.text("x = l<|>\n") == "eft"
        assert desk.calls == 2

    tell(story, "left", logprob=-15.0)


def test_a_doubtful_text_is_shown_once_its_beginning_is_typed() -> None:
    async def story(desk: Desk) -> None:
        assert await desk.text("x = <|>\n") == ""
        # The engine doubts each piece of four characters as much: the last one alone will do.
        for typed in ("l", "left", "left_in"):
            assert await desk.text(f"x = {typed}<|>\n") == ""
        assert await desk.text("x = left_int<|>\n") == "eger"
        assert desk.calls == 1
        # Another beginning is another question.
        assert await desk.text("x = ri<|>\n") == ""
        assert desk.calls == 2

    tell(story, "left_integer", logprob=-0.7)


def test_what_is_said_is_shown_where_the_model_is_sure() -> None:
    async def story(desk: Desk) -> None:
        assert await desk.text("x = <|>\n") == "left"

    tell(story, "left", logprob=-0.01)


def test_who_asks_by_hand_while_the_model_works_is_shown_what_it_is_not_sure_of() -> None:
    async def story(desk: Desk) -> None:
        first = await desk.begun("x = <|>\n")
        await desk.gate.arrival()
        second = await desk.begun("x = <|>\n", invoked=True)
        desk.gate.open()
        assert (await second).text == "left"
        assert isinstance(first.exception(), SupersededError)

    tell(story, "left", shut=True, logprob=-15.0)


def test_what_follows_a_text_that_was_asked_for_by_hand_is_judged_as_any_other() -> None:
    async def story(desk: Desk) -> None:
        assert (await desk.ask("x = <|>\n", invoked=True)).text == "left"
        await desk.wait(0.2)
        assert desk.calls == 2
        assert await desk.text("x = left<|>\n") == ""
        assert desk.calls == 2

    tell(story, by_prefix(**{"": "left", "left": "\nmore"}), logprob=-15.0)


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
