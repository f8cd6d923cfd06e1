"""What a draft model lacks is computed where that is worth it, and where it can be afforded."""

from __future__ import annotations

from midfill_engine.decode.backlog import AnswerLengths, Backlog

PLAIN_MS, SAVED_MS = 10.0, 4.0


class Clock:
    """Time as a test says."""

    def __init__(self) -> None:
        self.now_ms = 0.0

    def __call__(self) -> float:
        return self.now_ms / 1000


def answer(backlog: Backlog, clock: Clock, tokens: int, *, given: int, step_ms: float) -> None:
    """An answer of so many tokens, each of which took ``step_ms``."""
    backlog.begin(100)
    for at in range(1, tokens + 1):
        backlog.hear(100 + at)
        clock.now_ms += step_ms
    backlog.give(given)


def pays(backlog: Backlog, cost_ms: float, *, again: bool = False) -> bool:
    return backlog.pays(cost_ms, SAVED_MS, PLAIN_MS, again=again)


def test_what_costs_nothing_pays() -> None:
    assert pays(Backlog(Clock()), 0.0)


def test_no_answer_loses_more_than_drafts_saved_of_it_and_a_little() -> None:
    clock = Clock()
    backlog = Backlog(clock)
    answer(backlog, clock, 50, given=50, step_ms=5.0)
    backlog.begin(100)
    backlog.hear(101)
    # At its start nothing was saved yet, however long it may become.
    assert not pays(backlog, 1.0)
    clock.now_ms += 100
    backlog.hear(111)
    # Ten tokens in the time of ten: a little of that may be lost.
    assert pays(backlog, 2.0)
    assert not pays(backlog, 5.0)
    backlog.hear(116)
    # Others gave five more at no cost.
    assert pays(backlog, 50.0)
    assert not pays(backlog, 60.0)


def test_short_answers_are_worth_less() -> None:
    for tokens, worth in ((10, False), (100, True)):
        clock = Clock()
        backlog = Backlog(clock)
        for _ in range(8):
            answer(backlog, clock, tokens, given=tokens, step_ms=5.0)
        backlog.begin(100)
        backlog.hear(101)
        backlog.hear(109)
        assert pays(backlog, 60.0) is worth


def test_what_is_used_little_is_worth_little() -> None:
    for given, worth in ((100, True), (10, False)):
        clock = Clock()
        backlog = Backlog(clock)
        for _ in range(12):
            answer(backlog, clock, 100, given=given, step_ms=5.0)
        backlog.begin(100)
        backlog.hear(101)
        backlog.hear(121)
        assert pays(backlog, 150.0) is worth


def test_where_others_soon_take_over_again_little_is_computed() -> None:
    backlog = Backlog(Clock())
    backlog.begin(100)
    backlog.hear(101)
    backlog.hear(150)
    assert pays(backlog, 40.0, again=True)
    for _ in range(12):
        backlog.give(2)
        backlog.interrupt()
    assert not pays(backlog, 40.0, again=True)
    assert pays(backlog, 40.0)


def test_answers_are_expected_to_be_as_long_as_others() -> None:
    lengths = AnswerLengths()
    first = lengths.rest(0)
    assert first > 0
    for length in (0, 10, 30, 0):
        lengths.learn(length)
    # Those of no tokens were none.
    assert lengths.rest(0) == 20
    assert lengths.rest(12) == 18
    # One that is longer than all others is taken to be half way.
    assert lengths.rest(200) == 200


def test_old_answers_say_nothing_of_how_long_one_will_be() -> None:
    lengths = AnswerLengths()
    lengths.learn(1000)
    for _ in range(50):
        lengths.learn(10)
    assert lengths.rest(0) == 10
