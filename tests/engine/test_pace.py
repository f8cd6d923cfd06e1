"""How much is guessed: what was measured decides."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from midfill_engine.decode.pace import (
    HitRates,
    Origin,
    Savings,
    StepCosts,
    best_length,
    best_prospect,
    expected_speedup,
)

MEASURED = [(1, 10.0), (2, 12.0), (4, 15.0), (8, 21.0), (16, 45.0)]
COSTS = StepCosts(MEASURED).ms


def test_costs_lie_on_straight_lines_between_what_was_measured() -> None:
    costs = StepCosts([(1, 10.0), (2, 14.0), (4, 20.0)])
    assert costs.ms == pytest.approx((10, 14, 17, 20))


def test_a_wider_step_is_never_taken_to_be_cheaper() -> None:
    costs = StepCosts([(1, 10.0), (2, 8.0), (4, 12.0)])
    assert costs.ms == pytest.approx((10, 10, 10, 12))


def test_steps_correct_what_was_measured_wrongly() -> None:
    # Measured on a busy machine: wide steps seemed to cost no more than plain ones.
    costs = StepCosts([(1, 20.0), (2, 20.0), (4, 20.0), (8, 20.0)])
    assert best_length([0.5] * 7, costs.ms) > 1
    for _ in range(40):
        costs.learn(0, 10.0)
        costs.learn(1, 15.0)
        costs.learn(3, 30.0)
        costs.learn(6, 60.0)
    assert [costs.ms[drafted] for drafted in (0, 1, 3, 6)] == pytest.approx([10, 15, 30, 60], 0.05)
    assert best_length([0.4] * 7, costs.ms) == 0


def test_one_interrupted_step_changes_little() -> None:
    costs = StepCosts(MEASURED)
    costs.learn(0, 10_000.0)
    assert costs.ms[0] < 12
    # A clock that stood still, and a draft wider than was ever measured, do no harm.
    costs.learn(0, 0.0)
    costs.learn(99, 5.0)
    assert 0 < costs.ms[0] <= 10.5


def test_a_machine_that_slows_down_slows_all_steps_down() -> None:
    costs = StepCosts(MEASURED)
    before = list(costs.ms)
    for _ in range(40):
        costs.learn(0, 40.0)
    # Nothing wide was tried since, and yet it did not become cheap.
    assert list(costs.ms) == pytest.approx([4 * ms for ms in before], rel=0.02)


def test_a_width_that_was_seen_lately_is_not_judged_by_others() -> None:
    costs = StepCosts(MEASURED)
    for _ in range(60):
        costs.learn(0, 10.0)
        costs.learn(7, 42.0)
    assert costs.ms[0] == pytest.approx(10.0, rel=0.05)
    assert costs.ms[7] == pytest.approx(42.0, rel=0.05)


def test_a_draft_must_pay() -> None:
    assert best_length([0.9] * 4, (10.0,)) == 0
    assert best_length([], COSTS) == 0
    # A second token costs a fifth of a step.
    assert best_length([0.19], COSTS) == 0
    assert best_length([0.27], COSTS) == 1
    # Wide steps that cost as much as their tokens one by one never do.
    assert best_length([0.99] * 3, (10.0, 20.0, 30.0, 40.0)) == 0


def test_the_surer_the_longer() -> None:
    lengths = [best_length([odd] * 15, COSTS) for odd in (0.1, 0.3, 0.6, 0.8, 1.0)]
    assert lengths == sorted(lengths)
    assert (lengths[0], lengths[-1]) == (0, 7)


def test_a_doubtful_start_may_lead_to_something_sure() -> None:
    assert best_length([0.15], COSTS) == 0
    assert best_length([0.15] + [1.0] * 6, COSTS) == 0
    assert best_length([0.3] + [1.0] * 6, COSTS) > 1


def test_no_more_is_drafted_than_costs_are_known_for() -> None:
    assert best_length([1.0] * 50, (10.0, 11.0, 12.0)) == 2


@pytest.mark.parametrize("seed", range(20))
def test_no_other_length_gives_more_per_millisecond(seed: int) -> None:
    rng = np.random.default_rng(seed)
    odds = rng.random(8).tolist()
    costs = np.cumsum(rng.random(9) + 0.1).tolist()
    chances = itertools.accumulate([1.0, *odds], lambda left, right: left * right)
    gains = [
        expected / cost for expected, cost in zip(itertools.accumulate(chances), costs, strict=True)
    ]
    length = best_length(odds, costs)
    # Only what is barely better than no draft at all may be left.
    assert gains[length] == max(gains) or (length == 0 and max(gains) <= 1.05 * gains[0])


def test_rates_follow_what_happens() -> None:
    rates = HitRates()
    before = rates.rate(Origin.TEXT, 3)
    for _ in range(200):
        rates.learn(Origin.TEXT, 3, False)
    assert rates.rate(Origin.TEXT, 3) < 0.05 < before
    for _ in range(200):
        rates.learn(Origin.TEXT, 3, True)
    # Old failures fade: text changes.
    assert rates.rate(Origin.TEXT, 3) > 0.95


def test_rates_are_told_apart_by_origin_and_match() -> None:
    rates, fresh = HitRates(), HitRates()
    for _ in range(50):
        rates.learn(Origin.TEXT, 2, False)
    assert rates.rate(Origin.HINT, 2) == fresh.rate(Origin.HINT, 2)
    assert rates.rate(Origin.TEXT, 1) == fresh.rate(Origin.TEXT, 1)


def test_chances_ahead_are_those_of_longer_matches() -> None:
    rates = HitRates()
    rates.learn(Origin.TEXT, 4, True)
    assert rates.ahead(Origin.TEXT, 3, 3) == [rates.rate(Origin.TEXT, at) for at in (3, 4, 5)]
    # Beyond a certain length all matches are one.
    assert rates.rate(Origin.TEXT, 50) == rates.rate(Origin.TEXT, 500)


def test_a_prospect_says_what_its_draft_gives() -> None:
    none = best_prospect([0.1], (10.0, 12.0))
    assert (none.length, none.tokens, none.ms) == (0, 1.0, 10.0)
    two = best_prospect([0.5, 0.8], (10.0, 11.0, 12.0))
    assert two.length == 2
    assert two.tokens == pytest.approx(1 + 0.5 + 0.4)
    assert two.rate == pytest.approx(1.9 / 12)


@pytest.mark.parametrize("acceptance", [0.0, 0.6, 0.8, 1.0])
@pytest.mark.parametrize("length", [1, 3, 8])
def test_the_expected_speedup_is_what_drafts_of_that_length_gain(
    acceptance: float, length: int
) -> None:
    rng = np.random.default_rng(length)
    tokens, spent_ms, steps = 0, 0.0, 20_000
    for _ in range(steps):
        stood = next((at for at in range(length) if rng.random() >= acceptance), length)
        tokens += stood + 1
        spent_ms += COSTS[length] + length * 2.5
    gained = tokens * COSTS[0] / spent_ms
    assert expected_speedup(acceptance, length, COSTS, 2.5) == pytest.approx(gained, rel=0.03)


def test_without_a_draft_nothing_is_gained() -> None:
    assert expected_speedup(0.9, 0, COSTS, 2.5) == 1.0


def test_savings_are_those_of_this_answer_and_then_of_all() -> None:
    savings = Savings(0.2)
    assert savings.share == pytest.approx(0.2)
    savings.begin()
    for _ in range(20):
        # Two tokens in the time of three steps.
        savings.learn(2, 3.0)
    assert savings.share < -0.4
    # Another answer begins with what is usual, which is not so bad yet, but bad.
    here = savings.share
    savings.begin()
    assert here < savings.share < 0


def test_what_saved_nothing_is_tried_again_some_day() -> None:
    savings = Savings(0.2)
    for _ in range(30):
        savings.learn(1, 1.5)
    answers = 0
    savings.begin()
    while savings.share <= 0:
        savings.begin()
        answers += 1
    assert 5 < answers < 100
