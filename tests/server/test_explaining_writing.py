"""Answers part by part: what is kept of what a model says, and what happens when it makes way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from midfill_engine.cancel import CancelToken
from midfill_engine.fake import ScriptedEngine
from midfill_engine.types import ChatRequest, Request
from midfill_server.explaining import Grounding, Question, ask_about_symbol
from midfill_server.explaining.sections import Part
from midfill_server.explaining.writing import Answer, go_on


def question(parts: Sequence[Part], max_tokens: int = 500) -> Question:
    asked = ask_about_symbol(Grounding(name="f", language_id="", shown="", code="f"))
    request = replace(asked.request, max_tokens=max_tokens)
    return replace(asked, request=request, parts=tuple(parts))


def told(parts: Sequence[Part], *answers: str, max_tokens: int = 500) -> str:
    pending = list(answers)
    engine = ScriptedEngine(lambda request: pending.pop(0))
    answer = Answer()
    go_on(engine, CancelToken(), question(parts, max_tokens), answer, lambda text: None)
    assert not pending
    return answer.text


@pytest.mark.parametrize(
    ("part", "answer", "kept"),
    [
        (Part(opening="It ", max_tokens=9), "adds. And more. And", "It adds."),
        (Part(opening="It ", max_tokens=9, max_sentences=2), "adds. Twice. And", "It adds. Twice."),
        (Part(opening="It ", max_tokens=9), "adds, e.g. two. More", "It adds, e.g. two."),
        (Part(opening="It ", max_tokens=9), "adds\n\n### Title\n\nMore", "It adds"),
        (Part(opening="It ", max_tokens=9), "adds:\n```\ncode", "It adds:"),
        (Part(opening="It ", max_tokens=9), "adds:\n- one", "It adds:"),
        (Part(opening="It ", max_tokens=9, max_sentences=3), "adds. So:\n\n- one", "It adds."),
        (Part(opening="- `a`:", max_tokens=9, is_line=True), " one\n- `b`: two", "- `a`: one"),
        (Part(opening="- `a`:", max_tokens=9, is_line=True), " one. Two. ", "- `a`: one."),
        (Part(opening="- `a`:", max_tokens=9, is_line=True), "\n- `b`: two", "- `a`"),
        (Part(opening="- `a`:", max_tokens=9, is_line=True), "", "- `a`"),
        (
            Part(opening="", max_tokens=9, may_quote=True),
            "So:\n\n```\nx\n```\n\nOr: y",
            "So:\n\n```\nx\n```",
        ),
        (Part(opening="", max_tokens=9, may_quote=True), "So.\n\n### More", "So."),
        (
            Part(opening="", max_tokens=9, may_quote=True, known="x = 1"),
            "Change it. So:\n\n```py\nx  = 1\n```\n",
            "Change it.",
        ),
    ],
)
def test_what_is_kept_of_a_part(part: Part, answer: str, kept: str) -> None:
    assert told([part], answer) == kept


class Endless(ScriptedEngine):
    """A model that ends where it must, as real ones do."""

    def stream(self, request: Request, cancel: CancelToken):  # type: ignore[no-untyped-def,override]
        for count, chunk in enumerate(super().stream(request, cancel)):
            is_last = count == request.max_tokens
            yield replace(chunk, text="", finish="length") if is_last else chunk
            if is_last:
                return


@pytest.mark.parametrize(
    ("part", "text", "kept"),
    [
        (Part(opening="- `a`:", max_tokens=3, is_line=True), " the first of many", "- `a`"),
        (Part(opening="It ", max_tokens=3, max_sentences=5), "is. Adds more th", "It is."),
        (Part(opening="It ", max_tokens=2), "adds more th", "It adds mor"),
        (Part(opening="", max_tokens=4, may_quote=True), "So.\n```\nx = 1\n```", "So."),
    ],
)
def test_nothing_ends_in_the_middle_of_what_it_says(part: Part, text: str, kept: str) -> None:
    answer = Answer()
    go_on(Endless(text), CancelToken(), question([part]), answer, lambda text: None)
    assert answer.text == kept


def test_parts_follow_each_other_and_the_model_sees_them() -> None:
    seen: list[str] = []

    def script(request: Request) -> str:
        assert isinstance(request, ChatRequest)
        seen.append(request.answer_start)
        return "one.  \n\n### Two"

    parts = [
        Part(opening="### One\n\n", max_tokens=9),
        Part(opening="\n\n- given"),
        Part(opening="\n- `a`: ", max_tokens=9),
    ]
    answer = Answer()
    go_on(ScriptedEngine(script), CancelToken(), question(parts), answer, lambda text: None)
    assert answer.text == "### One\n\none.\n\n- given\n- `a`: one."
    assert seen == ["### One\n\n", "### One\n\none.\n\n- given\n- `a`: "]
    assert answer.said == "one.one."


def test_what_it_says_again_is_not_kept() -> None:
    long = "It is called with one value. "
    parts = [Part(opening="", max_tokens=9, max_sentences=4)]
    assert told(parts, long * 5) == long.strip()


def test_all_parts_together_have_so_many_tokens() -> None:
    parts = [Part(opening=f"\n- `{n}`:", max_tokens=9, is_line=True) for n in range(3)]
    engine = ScriptedEngine(" some words.\n")
    answer = Answer()
    go_on(engine, CancelToken(), question(parts, 4), answer, lambda text: None)
    # Four pieces of four characters is the first one whole; of the others only what is certain.
    assert answer.text.startswith("\n- `0`: some words.")
    assert answer.text.endswith("\n- `1`\n- `2`")


def test_what_had_to_make_way_goes_on_where_it_was() -> None:
    cancel = CancelToken()

    def before_step(step: int) -> None:
        if step == 2:
            cancel.cancel()

    parts = [Part(opening="It ", max_tokens=9), Part(opening=" Certainly.")]
    asked, answer = question(parts), Answer()
    shown: list[str] = []
    go_on(ScriptedEngine("adds two.", before_step=before_step), cancel, asked, answer, shown.append)
    assert answer.text == "It adds two"
    later = ScriptedEngine(". And")
    go_on(later, CancelToken(), asked, answer, shown.append)
    assert answer.text == shown[-1] == "It adds two. Certainly."
    (request,) = later.requests
    assert isinstance(request, ChatRequest)
    assert request.answer_start == "It adds two"
    assert request.max_prompt_tokens is not None
    assert asked.request.max_prompt_tokens is not None
    assert request.max_prompt_tokens > asked.request.max_prompt_tokens
