"""The parts of the speculation benchmark that only compute."""

from __future__ import annotations

import pytest

from benchmarks.edits import CASES, Case
from benchmarks.speculation import (
    Answer,
    Comparison,
    Difference,
    differing,
    first_difference,
    speed_figures,
)
from midfill_engine.types import Timings


def answer(seconds: float, tokens: int = 10) -> Answer:
    timings = Timings(generated_tokens=tokens)
    return Answer(tokens=(), text="", seconds=seconds, timings=timings)


def test_ratios_are_of_tokens_per_second_and_the_median_of_the_rounds() -> None:
    case = Comparison(name="one", kind="edit")
    case.plain += [answer(2.0), answer(4.0), answer(9.0)]
    # An answer that became shorter is not faster for that.
    case.lookup += [answer(1.0), answer(1.0, tokens=5), answer(1.0)]
    assert case.ratio == pytest.approx(2.0)


def test_the_worst_case_is_told_with_the_others() -> None:
    cases = [
        Comparison(name=kind, kind=kind, plain=[answer(1.0)], lookup=[answer(1 / ratio)])
        for kind, ratio in (("edit", 2.0), ("edit", 3.0), ("adversarial", 0.9))
    ]
    edit, adversarial, worst = speed_figures(cases)
    assert (edit.key, edit.verdict) == ("edit", "met")
    assert edit.value is not None
    assert edit.value.p50 == pytest.approx(2.5)
    assert edit.peer is not None
    assert edit.peer.p50 == 10
    assert (adversarial.key, adversarial.verdict) == ("adversarial", "")
    assert (worst.key, worst.verdict) == ("worst", "missed")


def test_answers_part_at_the_first_id_that_differs() -> None:
    assert first_difference([1, 2, 3], [1, 5, 3]) == 1
    assert first_difference([1, 2], [1, 2, 3]) is None
    assert first_difference([], []) is None


def test_what_differs_is_counted() -> None:
    same = Comparison(name="same", kind="edit")
    other = Comparison(name="other", kind="edit", difference=Difference(after=3, gap=0.02))
    found = differing([same, other])
    assert (found["answers"], found["differing"], found["largest_gap"]) == (2, 1, 0.02)
    assert found["where"] == {"other": {"after": 3, "gap": 0.02}}
    assert differing([same])["largest_gap"] is None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.file)
def test_every_case_is_a_place_in_code(case: Case) -> None:
    request = case.request(64, "what was shown")
    whole = request.prefix + request.typed + request.suffix
    assert request.prefix
    assert "\n" not in request.typed
    assert not any(marker in whole for marker in ("<|>", "<^>"))
    assert request.hints == ("what was shown",)
    earlier = case.stale_request(64)
    if earlier is not None:
        # It was asked before the last text was typed, and with the old name everywhere.
        assert len(earlier.prefix + earlier.typed) < len(request.prefix + request.typed)
        assert earlier.hints == ()
        if case.renamed:
            new, old = case.renamed
            assert new in whole
            assert new not in earlier.prefix + earlier.suffix
            assert old in earlier.prefix + earlier.suffix


def test_there_are_enough_cases() -> None:
    kinds = [case.kind for case in CASES]
    assert kinds.count("edit") >= 8
    assert kinds.count("adversarial") >= 3
    assert len({case.name for case in CASES}) == len(CASES)
