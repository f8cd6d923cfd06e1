"""Second thoughts: which line is taken where the model hesitated, and what that costs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from midfill_engine.cancel import CancelToken
from midfill_engine.fake import ScriptedEngine
from midfill_engine.types import CompletionRequest, FinishReason, Request, TokenScore
from midfill_server.postprocess import Site
from midfill_server.reconsider import Line, hesitates, reconsidered
from midfill_server.writing import Draft, write

REQUEST = CompletionRequest(prefix="", typed="x = ", suffix="\nprint(beta)\n", scored=True)


def score(at: int, logprob: float = -0.1, other: str = "", behind: float = 9.0) -> TokenScore:
    """A token at ``at``, whose best rival is ``other``, so much less probable."""
    return TokenScore(
        at=at,
        logprob=logprob,
        stop_logprob=-9.0,
        runner_up=other,
        runner_up_logprob=logprob - behind,
    )


def line(raw: str, *scores: TokenScore) -> Line:
    return Line(raw=raw, scores=scores)


def engine(
    rest: str | Callable[[Request], str] = "", fits: dict[str, float] | None = None
) -> ScriptedEngine:
    known = fits or {}
    return ScriptedEngine(rest, piece=1, fits=lambda answer: known.get(answer, 0.0))


SURE = line("alpha\n", score(0))
TORN = line("alpha\n", score(0, other="beta", behind=0.5))


def test_who_is_sure_asks_nobody() -> None:
    asked = engine()
    assert reconsidered(REQUEST, SURE, asked, CancelToken()) is SURE
    assert not asked.requests
    assert not hesitates(SURE, REQUEST)


@pytest.mark.parametrize(
    ("fits", "taken"),
    [
        ({"alpha": -5.0, "beta.size": -1.0}, "beta.size"),
        ({"alpha": -1.0, "beta.size": -5.0}, "alpha"),
        # As good as each other: what was written first stays.
        ({}, "alpha"),
    ],
)
def test_what_follows_the_cursor_decides(fits: dict[str, float], taken: str) -> None:
    asked = engine(".size\nmore", fits)
    found = reconsidered(REQUEST, TORN, asked, CancelToken())
    assert found.first == taken
    (request,) = asked.requests
    assert isinstance(request, CompletionRequest)
    # The rival is written on from where it differs, as a whole token.
    assert (request.typed, request.heal) == ("x = beta", False)


def test_a_rival_that_comes_to_the_same_line_is_none() -> None:
    torn = line("alpha\n", score(0, other="al", behind=0.1))
    assert reconsidered(REQUEST, torn, engine("pha\n"), CancelToken()) is torn


def test_an_empty_line_where_the_line_is_empty_is_of_no_use() -> None:
    blank = line("\n\ndef f():\n", score(0, other="    return", behind=5.0))
    best = {"\n\ndef f():": 0.0, "    return beta": -8.0}
    found = reconsidered(REQUEST, blank, engine(" beta\n", best), CancelToken())
    assert found.first == "    return beta"


def test_nothing_follows_so_nothing_can_decide() -> None:
    request = CompletionRequest(prefix="", typed="x = ", suffix="\n\n")
    assert not hesitates(TORN, request)
    assert reconsidered(request, TORN, engine(), CancelToken()) is TORN


def test_a_rival_behind_the_first_line_does_not_count() -> None:
    later = line("alpha\nmore\n", score(0), score(6, other="less", behind=0.1))
    assert not hesitates(later, REQUEST)


def test_a_cancel_leaves_the_line_as_it_was() -> None:
    cancel = CancelToken()
    cancel.cancel()
    assert reconsidered(REQUEST, TORN, engine("\n", {"beta": 9.0}), cancel) is TORN


def written(
    text: str, cursor: int, asked: ScriptedEngine, **more: Callable[[Draft], bool]
) -> list[Draft]:
    """All states of a draft; it is one object, so what is asked of it is copied."""
    site = Site.around(text, cursor)
    request = CompletionRequest(
        prefix="", typed=text[:cursor], suffix=text[cursor:], scored=True, max_tokens=64
    )
    states: list[Draft] = []
    for draft in write(request, site, asked, CancelToken(), **more):
        assert draft.decided
        states.append(Draft(raw=draft.raw, changed=draft.changed, finish=draft.finish))
    return states


def torn_at_the_start(text: str) -> list[TokenScore]:
    return [score(0, other="beta", behind=0.5)] if text.startswith("alpha") else [score(0)]


def says(request: Request) -> str:
    assert isinstance(request, CompletionRequest)
    if request.typed.endswith("beta"):
        return "()\n    two()\n"
    return "two()\n" if request.typed.endswith("\n    ") and "()" in request.typed else "alpha()\n"


def test_a_draft_begins_when_its_first_line_is_decided_and_goes_on_from_it() -> None:
    asked = ScriptedEngine(
        says, piece=1, scores=torn_at_the_start, fits=lambda answer: float("beta" in answer) * 9
    )
    text = "if x:\n    \nprint(beta)\n"
    states = written(text, 10, asked)
    assert states[0].raw.startswith("beta()\n")
    assert states[0].changed
    for earlier, later in pairwise(states):
        assert later.raw.startswith(earlier.raw)


def test_a_first_choice_can_be_asked_for() -> None:
    asked = ScriptedEngine(
        says, piece=1, scores=torn_at_the_start, fits=lambda answer: float("beta" in answer) * 9
    )
    states = written("if x:\n    \nprint(beta)\n", 10, asked, reconsiders=lambda draft: False)
    assert states[-1].raw.startswith("alpha()")
    assert len(asked.requests) == 1


def test_a_line_that_the_model_ended_itself_is_reconsidered_too() -> None:
    asked = ScriptedEngine(
        lambda request: "()" if request.typed.endswith("beta") else "alpha()",  # type: ignore[union-attr]
        piece=1,
        scores=torn_at_the_start,
        fits=lambda answer: float("beta" in answer) * 9,
    )
    states = written("x = \nprint(beta)\n", 4, asked)
    assert states[-1].raw == "beta()"
    assert states[-1].finish is FinishReason.STOP
