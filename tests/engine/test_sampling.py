"""Sampling: the distribution is the model's, with drafts and without."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from tiny_models import ToyBackend

from midfill_engine.cache.sequence import CachedSequence
from midfill_engine.cancel import CancelToken
from midfill_engine.decode.drafters import Drafter, NoDraft
from midfill_engine.decode.loop import Limits, decode
from midfill_engine.decode.sampling import Sampler
from midfill_engine.types import Sampling

ROW = np.array([2.0, 1.0, 0.5, 0.0, -1.0, 1.5], np.float32)
DRAWS = 6000


def softmax(row: np.ndarray) -> np.ndarray:
    weights = np.exp(row.astype(np.float64) - row.max())
    return weights / weights.sum()


def chi_squared(seen: Counter[int], expected: np.ndarray, draws: int) -> float:
    wanted = expected * draws
    counts = np.array([seen[token] for token in range(len(expected))])
    # What cannot come must not have come.
    assert not counts[wanted == 0].any()
    there = wanted > 0
    return float(((counts[there] - wanted[there]) ** 2 / wanted[there]).sum())


# The value that chi-squared passes once in a thousand times: seeds are fixed, so never here.
CRITICAL = {5: 20.5, 2: 13.8, 15: 37.7}


def drawn(sampling: Sampling, draw: Callable[[Sampler], int]) -> Counter[int]:
    sampler = Sampler(sampling)
    return Counter(draw(sampler) for _ in range(DRAWS))


def test_greedy_takes_the_largest_whatever_else_is_said() -> None:
    sampler = Sampler(Sampling(temperature=0, top_p=0.1, seed=3))
    assert sampler.choose(ROW) == 0
    assert sampler.accept(ROW, 5) == 0
    assert sampler.accept(ROW, 0) == 0


def test_draws_follow_the_models_distribution() -> None:
    seen = drawn(Sampling(temperature=1, seed=1), lambda sampler: sampler.choose(ROW))
    assert chi_squared(seen, softmax(ROW), DRAWS) < CRITICAL[5]


def test_temperature_sharpens_and_flattens() -> None:
    for temperature in (0.5, 2.0):
        sampling = Sampling(temperature=temperature, seed=2)
        seen = drawn(sampling, lambda sampler: sampler.choose(ROW))
        assert chi_squared(seen, softmax(ROW / temperature), DRAWS) < CRITICAL[5]


@pytest.mark.parametrize("proposed", range(6))
@pytest.mark.parametrize("top_p", [1.0, 0.8])
def test_a_draft_keeps_the_distribution(proposed: int, top_p: float) -> None:
    sampling = Sampling(temperature=1, top_p=top_p, seed=4)
    seen = drawn(sampling, lambda sampler: sampler.accept(ROW, proposed))
    expected = Sampler(sampling).probabilities(ROW)
    assert chi_squared(seen, expected, DRAWS) < CRITICAL[5]


def test_top_p_keeps_the_fewest_tokens_that_reach_it() -> None:
    row = np.log(np.array([0.1, 0.5, 0.15, 0.25], np.float32))
    for top_p, kept in (
        (0.5, {1}),
        (0.51, {1, 3}),
        (0.75, {1, 3}),
        (0.8, {1, 2, 3}),
        (1.0, {0, 1, 2, 3}),
    ):
        # A hair below, since these sums are not exact.
        probabilities = Sampler(Sampling(temperature=1, top_p=top_p - 1e-6)).probabilities(row)
        assert set(np.flatnonzero(probabilities)) == kept, top_p
        assert probabilities.sum() == pytest.approx(1)
    # What is kept keeps its proportions.
    probabilities = Sampler(Sampling(temperature=1, top_p=0.7)).probabilities(row)
    assert probabilities[1] / probabilities[3] == pytest.approx(2)


def test_top_p_of_nothing_still_keeps_the_best() -> None:
    sampler = Sampler(Sampling(temperature=1, top_p=0, seed=1))
    assert {sampler.choose(ROW) for _ in range(20)} == {0}


def test_huge_and_infinite_logits_do_no_harm() -> None:
    row = np.array([-np.inf, 1e30, 3e38, -3e38], np.float32)
    sampler = Sampler(Sampling(temperature=0.1, seed=1))
    assert {sampler.choose(row) for _ in range(20)} == {2}
    assert sampler.accept(row, 2) == 2
    assert sampler.accept(row, 0) == 2


def sample(sampling: Sampling, drafter: Drafter, max_tokens: int = 24) -> list[int]:
    backend = ToyBackend(vocab_size=4, spread=1.0)
    return list(
        decode(
            CachedSequence(backend, 64),
            [1, 2, 3],
            limits=Limits(stop_ids=frozenset(), max_tokens=max_tokens),
            sampler=Sampler(sampling),
            drafter=drafter,
            cancel=CancelToken(),
        )
    )


class Guess(NoDraft):
    """Proposes the same ids each time."""

    def __init__(self, *ids: int) -> None:
        self._ids = ids

    def propose(self, tokens: Sequence[int], limit: int, cancel: CancelToken) -> Sequence[int]:
        return self._ids


def test_a_seed_repeats_an_answer_and_another_changes_it() -> None:
    first, again, other = (
        sample(Sampling(temperature=1, seed=seed), NoDraft()) for seed in (5, 5, 6)
    )
    assert first == again
    assert first != other


def test_without_a_seed_answers_differ() -> None:
    answers = {tuple(sample(Sampling(temperature=1), NoDraft())) for _ in range(4)}
    assert len(answers) > 1


@pytest.mark.parametrize("drafter", [NoDraft(), Guess(0, 1), Guess(3, 3, 3)])
def test_the_loop_keeps_the_joint_distribution(drafter: Drafter) -> None:
    runs = 3000
    seen = Counter(
        first_then_second[1] * 4 + first_then_second[2]
        for first_then_second in (
            sample(Sampling(temperature=1, seed=seed), drafter, max_tokens=3)
            for seed in range(runs)
        )
    )
    toy = ToyBackend(vocab_size=4, spread=1.0)
    expected = np.zeros(16)
    for first, likely in enumerate(softmax(toy.row([1, 2, 3]))):
        for second, then in enumerate(softmax(toy.row([1, 2, 3, first]))):
            after = softmax(toy.row([1, 2, 3, first, second]))
            expected[second * 4 : second * 4 + 4] += likely * then * after
    assert chi_squared(seen, expected, runs) < CRITICAL[15]
