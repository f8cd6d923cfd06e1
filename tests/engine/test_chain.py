"""Of several drafters the one that promises most is asked, and hears of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from drafting import FREE, Constant, Similar, model_drafter, run
from tiny_models import ToyBackend

from midfill_engine.cancel import CancelToken
from midfill_engine.decode.chain import ChainDrafter
from midfill_engine.decode.drafters import NoDraft
from midfill_engine.decode.lookup import LookupDrafter
from midfill_engine.decode.pace import StepCosts


class Promising(NoDraft):
    """Promises what it is told to, drafts its own number, and writes down what it hears."""

    def __init__(self, number: int, rate: float) -> None:
        self.number, self.promised = number, rate
        self.heard: list[tuple[int, int, float]] = []
        self.begun = 0

    def begin(self, prompt: Sequence[int], hints: Sequence[Sequence[int]]) -> None:
        self.begun += 1

    def rate(self, tokens: Sequence[int], limit: int) -> float:
        return self.promised

    def propose(self, tokens: Sequence[int], limit: int, cancel: CancelToken) -> Sequence[int]:
        return [self.number] * limit

    def observe(self, drafted: int, accepted: int, step_ms: float) -> None:
        self.heard.append((drafted, accepted, step_ms))


def test_the_one_that_promises_most_is_asked_and_alone_hears_of_it() -> None:
    first, second = Promising(1, rate=0.1), Promising(2, rate=0.2)
    chain = ChainDrafter(first, second)
    chain.begin([5], [])
    assert (first.begun, second.begun) == (1, 1)
    assert chain.propose([5, 6], 3, CancelToken()) == [2, 2, 2]
    chain.observe(3, 1, 12.0)
    first.promised = 0.3
    assert chain.propose([5, 6, 2, 7], 2, CancelToken()) == [1, 1]
    chain.observe(2, 2, 11.0)
    assert (first.heard, second.heard) == ([(2, 2, 11.0)], [(3, 1, 12.0)])


def test_of_equals_the_first_is_asked() -> None:
    chain = ChainDrafter(Promising(1, rate=0.1), Promising(2, rate=0.1))
    chain.begin([5], [])
    assert chain.propose([5], 1, CancelToken()) == [1]


def test_each_step_counts_once_for_what_steps_cost() -> None:
    class Counted(Constant):
        steps = 0

        def learn(self, drafted: int, ms: float) -> None:
            Counted.steps += 1

    costs = Counted(FREE)
    drafter = model_drafter(Similar(every=2))
    drafter._costs = costs
    target = ToyBackend()
    run(target, [1, 2, 3, 1, 2], ChainDrafter(LookupDrafter(costs), drafter), most=40)
    assert Counted.steps == len(target.steps) - 1


def test_a_step_without_a_draft_still_says_what_plain_steps_cost() -> None:
    costs = StepCosts([(1, 10.0), (2, 20.0)])
    chain = ChainDrafter(LookupDrafter(costs))
    chain.begin([1, 2, 3], [])
    for _ in range(40):
        assert list(chain.propose([1, 2, 3], 4, CancelToken())) == []
        chain.observe(0, 0, 14.0)
    assert costs.ms[0] == pytest.approx(14.0, rel=0.02)


def test_where_a_copy_promises_more_the_draft_model_rests() -> None:
    draft, target = ToyBackend(), ToyBackend()
    truth = run(target, [3, 1, 4], NoDraft(), most=40)
    model = model_drafter(draft)
    chain = ChainDrafter(LookupDrafter(Constant(FREE)), model)
    for _ in range(4):
        assert run(target, [3, 1, 4], chain, [truth], most=40) == truth
    draft.steps.clear()
    # The hint is the answer, and is known to be worth more by now.
    assert run(target, [3, 1, 4], chain, [truth], most=40) == truth
    assert len(draft.steps) < 8
