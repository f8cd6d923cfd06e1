"""Which other texts are offered for a place: where they branch off, which are worth a choice."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill_engine.cancel import CancelToken
from midfill_engine.fake import ScriptedEngine
from midfill_engine.types import CompletionRequest, Request, TokenScore
from midfill_server.alternatives import BUDGET_S, MOST_ITEMS, Written, job_for, other_texts
from midfill_server.anchors import fresh
from midfill_server.pipeline import Query, complete

CURSOR = "<|>"
SURE = -0.1


@dataclass(frozen=True, kw_only=True)
class Fork:
    """A place of the greedy text where the model hesitated, and what comes of the other token."""

    at: int
    token: str
    margin: float = 1.0
    rest: str = ""
    logprob: float = SURE


class Choice:
    """The texts for the mark, by a model that writes ``output`` and hesitates at ``forks``."""

    def __init__(
        self,
        marked: str,
        output: str,
        *forks: Fork,
        rest_of: Mapping[str, str] | None = None,
        before_step: Callable[[int], None] | None = None,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        offset = marked.index(CURSOR)
        text = marked.replace(CURSOR, "", 1)
        self._output, self._forks = output, forks
        self._split = fresh(text, offset)
        self._rests = {output[: fork.at] + fork.token: fork for fork in forks}
        query = Query(uri="", text=text, cursor=offset, invoked=True)
        self.engine = ScriptedEngine(
            self._write, piece=2, before_step=before_step, scores=self._scores
        )
        self.cancel = CancelToken(clock=clock)
        unheard: list[str] = []
        answer = complete(
            query, self._split, self.engine, self.cancel, unheard.append, reconsiders=False
        )
        self.first = answer.text
        self.engine.requests.clear()
        job = job_for(query, self._split, self.first, clock=clock)
        self.others = job(self.engine, self.cancel, lambda event: None)

    @property
    def starts(self) -> list[str]:
        """What each request gave as the beginning of its answer, in order."""
        return [self._start(request) for request in self.engine.requests]

    def _start(self, request: Request) -> str:
        assert isinstance(request, CompletionRequest)
        return request.typed[len(self._split.typed) :]

    def _write(self, request: Request) -> str:
        start = self._start(request)
        return self._rests[start].rest if start else self._output

    def _scores(self, text: str) -> list[TokenScore]:
        if text != self._output:
            fork = next(fork for fork in self._forks if fork.rest == text)
            return [score(at, logprob=fork.logprob) for at in range(len(text))]
        by_place = {fork.at: fork for fork in self._forks}
        scores: list[TokenScore] = []
        for at in range(len(text) + 1):
            fork = by_place.get(at)
            scores.append(score(at, fork.token, fork.margin) if fork else score(at))
        return scores


def score(
    at: int, runner_up: str = "", margin: float = math.inf, logprob: float = SURE
) -> TokenScore:
    return TokenScore(
        at=at,
        logprob=logprob,
        stop_logprob=-9.0,
        runner_up=runner_up,
        runner_up_logprob=logprob - margin,
    )


def check(marked: str, output: str, forks: tuple[Fork, ...], *expected: str) -> None:
    """Assert that these texts are offered at the mark, the greedy one first."""
    choice = Choice(marked, output, *forks)
    assert (choice.first, *choice.others) == expected


def test_what_the_model_nearly_wrote_is_offered() -> None:
    forks = (Fork(at=0, token="right", rest="()"), Fork(at=4, token=".up", rest=" + 1"))
    check("x = <|>\n", "left", forks, "left", "left.up + 1", "right()")


def test_a_text_that_nothing_speaks_against_is_alone() -> None:
    check("x = <|>\n", "left", (), "left")
    check("x = <|>\n", "left", (Fork(at=0, token="right", margin=4.5),), "left")


def test_all_but_the_new_tokens_is_computed_already() -> None:
    choice = Choice("one = 1\nx = <|>\n", "left", Fork(at=2, token="ase", rest="d"))
    assert choice.others == ("leased",)
    greedy, branch = choice.engine.requests
    assert isinstance(greedy, CompletionRequest)
    assert isinstance(branch, CompletionRequest)
    assert (greedy.typed, greedy.heal) == ("one = 1\nx = ", True)
    # The token that it branches off with is whole.
    assert (branch.typed, branch.heal) == ("one = 1\nx = lease", False)
    assert (branch.prefix, branch.suffix) == (greedy.prefix, greedy.suffix)
    assert branch.hints == ("one = 1\nx = left",)


@pytest.mark.parametrize(
    "token",
    [" ", "\n", "", "le", "left", " left", "\tle"],
    ids=["blank", "line end", "end", "shorter token", "longer token", "after blank", "after tab"],
)
def test_a_token_without_a_visible_difference_is_not_tried(token: str) -> None:
    choice = Choice("x = <|>\n", "left", Fork(at=0, token=token))
    assert choice.starts == [""]
    assert choice.others == ()


def test_texts_that_differ_in_blanks_and_quotes_only_are_one() -> None:
    quotes = Fork(at=0, token="'", rest="a')")
    check("f(x, <|>\n", '"a")', (quotes,), '"a")')
    blanks = Fork(at=1, token=" =", rest=" 1")
    check("<|>\n", "a=1", (blanks,), "a=1")
    spaced = (Fork(at=0, token="b", rest=" = 1"), Fork(at=2, token="b", rest="1"))
    check("<|>\n", "a = 1", spaced, "a = 1", "b = 1", "a b1")
    again = (Fork(at=0, token="b", rest="('1')"), Fork(at=1, token="b", rest="1"))
    check("<|>\n", "a", again, "a", "b('1')", "ab1")


def test_the_beginning_of_a_text_that_is_offered_is_no_other_text() -> None:
    shorter = Fork(at=3, token="(", rest="a")
    check("x = <|>)\n", "foo(a)", (Fork(at=4, token="b"),), "foo(a)", "foo(b")
    check("x = <|>\n", "foo.bar", (shorter,), "foo.bar", "foo(a")
    check("x = <|>\n", "foo(abc)", (Fork(at=4, token="a", rest="b"),), "foo(abc)")


def test_three_texts_are_enough_and_the_likelier_comes_first() -> None:
    forks = tuple(
        Fork(at=at, token=token, margin=margin, rest=f"{token}!", logprob=logprob)
        for at, token, margin, logprob in (
            (0, "w", 0.5, -2.0),
            (1, "x", 0.6, -0.5),
            (2, "y", 0.7, -0.1),
        )
    )
    choice = Choice("n = <|>\n", "abcd", *forks)
    assert choice.others == ("axx!", "ww!")
    assert len(choice.others) == MOST_ITEMS - 1
    assert choice.starts == ["", "w", "ax"]


def test_places_near_the_start_come_first_and_few_are_tried() -> None:
    # All of them lead to the same text, so that none is enough.
    output = "abcdefghi"
    forks = [Fork(at=at, token=output[at].upper()) for at in range(9)]
    tried: list[str] = []

    def write(start: str, seconds: float) -> Written:
        tried.append(start)
        scores = [score(fork.at, fork.token, fork.margin) for fork in forks]
        return Written(raw=output, text="same", scores=() if start else tuple(scores))

    assert other_texts(output, write, lambda: 1.0) == ("same",)
    assert tried == ["", "A", "aB", "abC", "abcD", "abcdE"]


def test_only_the_first_line_is_varied() -> None:
    marked = "def f(a):\n    <|>\n\nprint(f(1))\n"
    output = "b = a\n    return b"
    there, below = Fork(at=0, token="return", rest=" a"), Fork(at=16, token=" 2 *", rest=" b")
    check(marked, output, (there, below), output, "return a")


def test_what_is_not_shown_of_the_line_is_not_varied() -> None:
    marked = "x = f(<|>)\n"
    assert Choice(marked, "a)", Fork(at=1, token=", b", rest=")")).others == ("a, b",)
    choice = Choice(marked, "a) + c", Fork(at=5, token="d"))
    assert (choice.first, choice.others, choice.starts) == ("a", (), [""])


def test_other_texts_are_cut_as_any() -> None:
    # The bracket is there, and the next line as well.
    check("x = f(<|>)\n", "a)", (Fork(at=0, token="b", rest=")\ny = 1"),), "a", "b")


def test_where_the_answer_is_empty_there_may_be_another() -> None:
    def write(start: str, seconds: float) -> Written:
        return Written(raw=start, text=start, scores=(score(0, "+ 2", 1.0),))

    assert other_texts("", write, lambda: 1.0) == ("+ 2",)


def test_where_another_text_is_shown_the_greedy_one_may_be_chosen() -> None:
    def write(start: str, seconds: float) -> Written:
        scores = (score(0, "right", 0.5), score(4), score(8))
        return Written(raw="left.top", text=f"{start}!" if start else "", scores=scores)

    assert other_texts("right", write, lambda: 1.0) == ("left!",)


class Clock:
    """A time that each step of the engine takes a part of."""

    def __init__(self, step_s: float) -> None:
        self.now_s = 0.0
        self._step_s = step_s

    def __call__(self) -> float:
        return self.now_s

    def step(self, index: int) -> None:
        self.now_s += self._step_s


def timed(output: str, *forks: Fork, step_s: float) -> Choice:
    clock = Clock(step_s)
    marked = "def f():\n    <|>\n"
    return Choice(marked, output, *forks, before_step=clock.step, clock=clock)


def test_the_budget_ends_it_with_what_there_is() -> None:
    forks = (
        Fork(at=0, token="w", rest="o"),
        Fork(at=1, token="x", rest="oooooooooooooooooooooooooooooo"),
    )
    assert len(timed("abcd", *forks, step_s=0.01).others) == 2
    # Half a line is no text to choose.
    assert timed("abcd", *forks, step_s=BUDGET_S / 8).others == ("wo",)
    slow = timed("abcd", *forks, step_s=BUDGET_S)
    assert slow.others == ()
    assert slow.starts == [""]


def test_whole_lines_of_a_text_that_ran_out_of_time_are_kept() -> None:
    rest = "hile True:\n        pass\n        continue"
    choice = timed("abcd", Fork(at=0, token="w", rest=rest), step_s=BUDGET_S / 20)
    assert choice.others == ("while True:\n        pass",)


def test_a_job_that_was_stopped_stops() -> None:
    cancel = CancelToken()
    engine = ScriptedEngine(
        "abcdefgh", piece=2, before_step=lambda step: cancel.cancel(), scores=lambda text: []
    )
    job = job_for(Query(uri="", text="x = ", cursor=4), fresh("x = ", 4), "abcdefgh")
    for _ in range(2):
        assert job(engine, cancel, lambda event: None) == ()
    assert len(engine.requests) == 1


def bare(text: str) -> str:
    return "".join(text.split()).replace("'", '"').replace("`", '"')


TEXTS = st.text("ab ('\")\n", max_size=8)


@given(
    st.text("ab ('\")\n", min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 12), TEXTS, TEXTS), max_size=6),
)
def test_what_is_offered_always_differs(output: str, forks: list[tuple[int, str, str]]) -> None:
    usable = {
        at: Fork(at=at, token=token, rest=rest)
        for at, token, rest in forks
        if at <= len(output) and rest != output
    }
    choice = Choice("x = <|>\n", output, *usable.values())
    offered = [bare(text) for text in (choice.first, *choice.others) if text]
    assert len(offered) <= MOST_ITEMS
    assert "" not in offered
    assert len(set(offered)) == len(offered)
