"""The parts of the speculation benchmark that only compute."""

from __future__ import annotations

import pytest

from benchmarks.chats import chats
from benchmarks.edits import CASES, Case
from benchmarks.speculation_report import (
    Answer,
    Comparison,
    Difference,
    case_json,
    differing,
    expected_table,
    first_difference,
    quality_table,
    speed_figures,
)
from midfill_engine.types import Role, Timings


def answer(seconds: float, tokens: int = 10, drafted: int = 0, accepted: int = 0) -> Answer:
    timings = Timings(generated_tokens=tokens, drafted_tokens=drafted, accepted_tokens=accepted)
    return Answer(tokens=(), text="", seconds=seconds, timings=timings)


def test_ratios_are_of_tokens_per_second_and_the_median_of_the_rounds() -> None:
    plain = [answer(2.0), answer(4.0), answer(9.0)]
    # An answer that became shorter is not faster for that.
    lookup = [answer(1.0), answer(1.0, tokens=5), answer(1.0)]
    case = Comparison(name="one", kind="edit", answers={"plain": plain, "lookup": lookup})
    assert case.ratio("lookup") == pytest.approx(2.0)


def test_the_worst_case_is_told_with_the_others_for_each_way() -> None:
    cases = [
        Comparison(
            name=kind,
            kind=kind,
            answers={
                "plain": [answer(1.0)],
                "lookup": [answer(1.0)],
                "both": [answer(1 / ratio)],
            },
        )
        for kind, ratio in (("edit", 2.0), ("edit", 3.0), ("adversarial", 0.9))
    ]
    edit, adversarial, worst = speed_figures(cases, "both")
    assert (edit.key, edit.verdict) == ("edit", "met")
    assert edit.value is not None
    assert edit.value.p50 == pytest.approx(2.5)
    assert edit.peer is not None
    assert edit.peer.p50 == 10
    assert (adversarial.key, adversarial.verdict) == ("adversarial", "")
    assert (worst.key, worst.verdict) == ("worst", "missed")
    assert speed_figures(cases, "lookup")[0].verdict == "missed"


def test_what_stood_is_told_for_each_kind() -> None:
    case = Comparison(
        name="one",
        kind="fix",
        answers={"plain": [answer(2.0)], "draft": [answer(1.0, tokens=12, drafted=10, accepted=8)]},
    )
    kind, single = quality_table([case], "draft").splitlines()[1:]
    for line in (kind, single):
        # Eight of twelve tokens stood in drafts, so there were four steps.
        assert "2.40    80%    3.00       8/10/12" in line
    assert case_json(case)["draft"] == {
        "ratio": 2.4,
        "generated_tokens": 12,
        "drafted_tokens": 10,
        "accepted_tokens": 8,
    }


def test_what_is_expected_follows_from_the_costs() -> None:
    # A step of the draft model costs half a plain one, and wide steps cost no more.
    lines = expected_table([10.0, 10.0, 10.0], 5.0).splitlines()
    half = lines[2].split()
    # 1.5 tokens in 15 ms, 1.75 in 20 ms.
    assert half == ["50%", "1.00", "0.88", "1.00"]


def test_answers_part_at_the_first_id_that_differs() -> None:
    assert first_difference([1, 2, 3], [1, 5, 3]) == 1
    assert first_difference([1, 2], [1, 2, 3]) is None
    assert first_difference([], []) is None


def test_what_differs_is_counted() -> None:
    same = Comparison(name="same", kind="edit")
    difference = Difference(after=3, gap=0.02)
    other = Comparison(name="other", kind="edit", differences={"both": difference})
    found = differing([same, other], "both")
    assert (found["answers"], found["differing"], found["largest_gap"]) == (2, 1, 0.02)
    assert found["where"] == {"other": {"after": 3, "gap": 0.02}}
    assert differing([same, other], "lookup")["largest_gap"] is None


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


def test_questions_are_about_code_and_mistakes_are_in_it() -> None:
    asked = list(chats(100))
    assert [kind for _, kind, _ in asked].count("explain") == 5
    for (_, _, explain), (_, kind, fix) in zip(asked[::2], asked[1::2], strict=True):
        assert kind == "fix"
        right, wrong = explain.messages[-1].text, fix.messages[-1].text
        assert fix.messages[0].role is Role.SYSTEM
        code = [text.partition("```")[2] for text in (right, wrong)]
        assert code[0] != code[1]
        assert len(code[0].splitlines()) > 20
