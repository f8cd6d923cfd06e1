"""What the figures say of records and feedback."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone

import pytest

from midfill_server.source import Source
from midfill_server.statistics import Percentiles, summarise, summarise_feedback
from tests.server.kept_figures import DAY_S, NOW_S, TAKEN, feedback, record


def test_no_records_are_figures_too() -> None:
    summary = summarise([], NOW_S)
    assert summary.all.completions == summary.all.without_model == 0
    assert summary.all.first is None
    assert summary.tokens.prefilled_median is None
    assert (summary.models, summary.first_s) == ({}, None)


def test_percentiles_are_times_that_occurred() -> None:
    records = [record(first_ms=float(ms), total_ms=float(2 * ms)) for ms in range(100, 0, -1)]
    every = summarise(records, NOW_S).all
    assert every.first == Percentiles(count=100, p50_ms=50, p95_ms=95, p99_ms=99)
    assert every.complete == Percentiles(count=100, p50_ms=100, p95_ms=190, p99_ms=198)
    alone = summarise([record(first_ms=7.0)], NOW_S).all
    assert alone.first == Percentiles(count=1, p50_ms=7, p95_ms=7, p99_ms=7)


def test_what_was_never_shown_was_never_complete() -> None:
    overtaken = record(first_ms=30.0, total_ms=31.0, shown=False)
    every = summarise([record(), overtaken, record(first_ms=None, total_ms=9.0)], NOW_S).all
    assert (every.completions, every.shown) == (3, 1)
    assert every.first is not None
    assert every.first.count == 2
    assert every.complete == Percentiles(count=1, p50_ms=200, p95_ms=200, p99_ms=200)


def test_waiting_for_the_model_is_told_from_answers_at_once() -> None:
    quick = [record(source, first_ms=1.0) for source in (Source.TYPED_THROUGH, Source.PREFETCHED)]
    slow = [record(Source.JOINED, first_ms=40.0), record(Source.MODEL, first_ms=60.0)]
    summary = summarise([*quick, *quick, *slow], NOW_S)
    assert summary.all.without_model == 4
    assert summary.all.by_source[Source.JOINED] == 1
    assert summary.all.first == Percentiles(count=6, p50_ms=1, p95_ms=60, p99_ms=60)
    assert summary.waited.first == Percentiles(count=2, p50_ms=40, p95_ms=60, p99_ms=60)


def test_tokens_are_those_of_requests_that_the_model_worked_for() -> None:
    worked = [
        record(
            prefilled_tokens=prefilled,
            reused_tokens=100,
            generated_tokens=10,
            drafted_tokens=8,
            accepted_tokens=6,
        )
        for prefilled in (1, 3, 500)
    ]
    others = [record(Source.TYPED_THROUGH), record(Source.JOINED)] * 5
    tokens = summarise([*worked, *others], NOW_S).tokens
    assert (tokens.requests, tokens.prefilled_median, tokens.generated_median) == (3, 3, 10)
    assert (tokens.prefilled, tokens.reused, tokens.generated) == (504, 300, 30)
    assert (tokens.drafted, tokens.accepted) == (24, 18)


def test_groups_have_the_most_used_first() -> None:
    records = [
        record(language_id=language, model_id=model)
        for language, model in (("c", "a"), ("rust", "a"), ("rust", "b"), ("go", "b"), ("c", "b"))
    ]
    summary = summarise([*records, record(language_id="rust", model_id="b")], NOW_S)
    counts = {name: figures.completions for name, figures in summary.languages.items()}
    assert list(counts.items()) == [("rust", 3), ("c", 2), ("go", 1)]
    assert list(summary.models) == ["b", "a"]


def test_days_are_the_last_seven_of_the_users_own() -> None:
    # Noon in UTC on the tenth.
    agos = (0, 13 * 3600, 6 * DAY_S, 7 * DAY_S)
    records = [record(ago_s=ago_s) for ago_s in agos]
    assert list(summarise(records, NOW_S, zone=UTC).days) == [
        "2026-03-04",
        "2026-03-09",
        "2026-03-10",
    ]
    # There, thirteen hours ago was the same day.
    east = timezone(timedelta(hours=9))
    days = summarise(records, NOW_S, zone=east).days
    assert {name: figures.completions for name, figures in days.items()} == {
        "2026-03-04": 1,
        "2026-03-10": 2,
    }


# What became of suggestions


def test_no_feedback_is_figures_too() -> None:
    reception = summarise_feedback([])
    assert (reception.all.shown, reception.all.shown_median_ms) == (0, None)
    assert (reception.models, reception.calibration) == ({}, ())


def test_what_was_taken_is_told_from_what_was_left() -> None:
    every = [
        feedback(**TAKEN, shown_ms=100.0),
        feedback(accepted_characters=4, shown_ms=300.0, invoked=True),
        feedback(shown_ms=None, confirmed=False),
        feedback(shown_ms=900.0, language_id="rust"),
    ]
    reception = summarise_feedback(every)
    figures = reception.all
    assert (figures.shown, figures.confirmed, figures.accepted, figures.partly) == (4, 3, 1, 1)
    assert (figures.characters, figures.accepted_characters) == (40, 14)
    assert figures.shown_median_ms == 300
    assert (reception.invoked.shown, reception.invoked.partly) == (1, 1)
    assert {name: each.shown for name, each in reception.languages.items()} == {
        "python": 3,
        "rust": 1,
    }
    assert list(reception.models) == ["tiny"]


def test_what_was_promised_is_laid_beside_what_was_taken() -> None:
    every = [
        feedback(sureness=0.7),
        feedback(sureness=0.79, accepted_characters=1),
        feedback(sureness=1.0, **TAKEN),
        feedback(sureness=0.9, **TAKEN),
        # Nobody knows how sure this was, and that was shown because somebody asked.
        feedback(sureness=None),
        feedback(sureness=0.1, invoked=True),
    ]
    low, high = summarise_feedback(every).calibration
    assert (low.low, low.high, low.shown, low.accepted) == (0.7, 0.8, 2, 1)
    assert low.promised == pytest.approx(0.745)
    assert (high.low, high.high, high.shown, high.accepted) == (0.9, 1.0, 2, 2)
