"""What is probably wrong is shown to who asks for it, and else not."""

from __future__ import annotations

from midfill_server.scheduler import SupersededError
from midfill_server.source import Source
from tests.server.desk import Desk, by_prefix, tell


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
