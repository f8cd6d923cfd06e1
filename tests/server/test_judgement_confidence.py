from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill_engine.types import TokenScore
from midfill_server.judgement.confidence import (
    EAGERNESS,
    FEATURES,
    features,
    is_shown,
    probability,
    shown_after,
    trusted_length,
)
from midfill_server.judgement.weights import WEIGHTS
from midfill_server.settings import Settings, parse, settings_table

LEVELS = ("quiet", "reserved", "balanced", "eager", "always")
LOGPROBS = st.floats(-60, 0)


def scores(*tokens: tuple[str, float]) -> list[TokenScore]:
    """Return the scores of tokens, each with its text and its probability's logarithm."""
    found: list[TokenScore] = []
    at = 0
    for text, logprob in tokens:
        found.append(
            TokenScore(
                at=at,
                logprob=logprob,
                stop_logprob=-9.0,
                runner_up="",
                runner_up_logprob=-9.0,
            )
        )
        at += len(text)
    return found


def sureness(*logprobs: float) -> float:
    found = features(scores(*(("x", each) for each in logprobs)), "x" * len(logprobs))
    assert found is not None
    return probability(found)


def check(marked: str, expected: str, *logprobs: float, eagerness: str = "balanced") -> None:
    """Check what is kept of a text whose tokens ``|`` parts."""
    pieces = marked.split("|")
    shown = "".join(pieces)
    kept = trusted_length(scores(*zip(pieces, logprobs, strict=True)), shown, eagerness)
    assert shown[:kept] == expected


def test_what_was_doubtful_is_shown_once_the_doubtful_part_is_typed() -> None:
    tokens = scores(("re", -6.0), ("turn", -0.01), (" x", -0.01))
    assert shown_after(tokens, "return x", "balanced") == 2
    # In the midst of a token nothing new is known.
    doubtful_twice = scores(("re", -6.0), ("turn", -6.0), (" x", -0.01))
    assert shown_after(doubtful_twice, "return x", "balanced") == 6
    assert shown_after(scores(("a", -6.0), ("b", -9.0)), "ab", "balanced") is None
    assert shown_after([], "ab", "balanced") is None


def test_the_settings_offer_what_the_table_has() -> None:
    assert tuple(EAGERNESS) == LEVELS
    for name in EAGERNESS:
        settings, problems = parse({"completion": {"eagerness": name}}, Settings())
        assert problems == []
        assert settings.completion.eagerness in EAGERNESS
    said = re.findall(r"`(\w+)` (\d+) %", settings_table())
    expected = {name: f"{100 * each.sureness:.0f}" for name, each in EAGERNESS.items()}
    assert dict(said) == {name: share for name, share in expected.items() if name != "always"}


def test_the_weights_are_those_of_the_features() -> None:
    assert tuple(WEIGHTS) == FEATURES


def test_a_sure_text_is_shown_and_an_unsure_one_is_not() -> None:
    assert is_shown(sureness(-0.01, -0.02, -0.01), "quiet")
    assert is_shown(sureness(-0.05, -0.1, -0.05), "balanced")
    assert not is_shown(sureness(-2.0, -1.5, -0.7), "balanced")
    assert not is_shown(sureness(-4.0, -2.5, -3.7), "eager")
    assert is_shown(sureness(-40.0, -25.0, -37.0), "always")


def test_of_what_nothing_is_known_everything_is_shown() -> None:
    assert features([], "text") is None
    assert features(scores(("\n", -0.1)), "\n") is None
    assert all(is_shown(None, eagerness) for eagerness in EAGERNESS)
    assert trusted_length([], "a\nb\n", "quiet") == 4


def test_only_tokens_of_the_text_count() -> None:
    line = features(scores(("  a", -0.1), (" = 1", -0.2), ("\n", -7.0), ("b", -9.0)), "  a = 1\n")
    assert line == features(scores(("  a", -0.1), (" = 1", -0.2)), "  a = 1")


def test_a_token_that_was_impossible_is_just_improbable() -> None:
    assert 0 <= sureness(-math.inf, -0.1) < 0.05
    # Rounding can leave a certain token a little more than certain.
    assert sureness(1e-7) > 0.5


@given(st.lists(LOGPROBS, min_size=1, max_size=80))
def test_it_is_a_probability(logprobs: list[float]) -> None:
    assert 0 <= sureness(*logprobs) <= 1


@given(st.lists(LOGPROBS, min_size=1, max_size=40), st.integers(0, 39), st.floats(0, 1))
def test_no_token_can_make_it_less_by_being_more_probable(
    logprobs: list[float], which: int, share: float
) -> None:
    better = [*logprobs]
    better[which % len(better)] *= share
    assert sureness(*better) >= sureness(*logprobs) - 1e-12


@given(st.lists(LOGPROBS, min_size=1, max_size=20), st.floats(0, 1))
def test_who_is_more_eager_is_shown_all_that_others_are(
    logprobs: list[float], share: float
) -> None:
    found = sureness(*logprobs)
    shown = [is_shown(found, eagerness) for eagerness in LEVELS]
    assert shown == sorted(shown)
    assert shown[-1]
    pieces = [("a\n" if number % 3 == 2 else "a", each) for number, each in enumerate(logprobs)]
    text = "".join(piece for piece, _ in pieces)
    lengths = [trusted_length(scores(*pieces), text, eagerness) for eagerness in LEVELS]
    assert lengths == sorted(lengths)
    assert lengths[-1] == len(text)


@given(st.text("ab \n\r", max_size=30), st.lists(LOGPROBS, max_size=30), st.sampled_from(LEVELS))
def test_what_is_kept_begins_with_the_first_line(
    text: str, logprobs: list[float], eagerness: str
) -> None:
    pieces = scores(*zip(text, logprobs, strict=False))
    kept = text[: trusted_length(pieces, text, eagerness)]
    assert text.startswith(kept)
    assert kept.lstrip().splitlines()[:1] == text.lstrip().splitlines()[:1]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_it_ends_at_the_line_after_which_confidence_falls(end: str) -> None:
    check(f"a{end}|b{end}|c{end}", f"a{end}b", -0.1, -0.2, -15.0)
    check(f"a{end}|b{end}|c{end}", f"a{end}b{end}c{end}", -0.1, -0.2, -1.0)


def test_it_never_ends_within_the_first_line() -> None:
    check("a|b", "ab", -0.1, -30.0)
    check("\n\n|a|b\n|c", "\n\nab", -9.0, -9.0, -9.0, -0.1)
    # Unsure of the first line: somebody eager enough to be shown that one is not shown more.
    check("a\n|b\n", "a", -13.0, -0.1)


def test_blank_lines_at_the_end_are_not_kept() -> None:
    check("a\n|\n\n|b", "a", -0.1, -0.1, -20.0)


def test_the_quiet_see_less_of_an_unsure_tail() -> None:
    check("a\n|b\n|c", "a", -0.1, -1.0, -4.0, eagerness="quiet")
    check("a\n|b\n|c", "a\nb", -0.1, -1.0, -4.0, eagerness="reserved")
    check("a\n|b\n|c", "a\nb\nc", -0.1, -1.0, -4.0, eagerness="balanced")
