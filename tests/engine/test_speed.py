"""Measuring a model's speed, and remembering it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from tiny_models import ToyBackend

from midfill_engine.speed import Speed, load_speed, measure_speed, save_speed

SPEED = Speed(prefill_tokens_per_s=400.0, step_ms=20.0, machine="here")


def test_a_completion_costs_its_prompt_and_its_steps() -> None:
    assert SPEED.completion_ms(100, 10) == pytest.approx(100 / 400 * 1000 + 10 * 20)


def test_the_best_of_each_is_taken() -> None:
    # Each look at the clock costs 0.1 s more than the one before, so later ones are slower.
    ticks: Iterator[float] = (at * at / 20 for at in count())
    speed = measure_speed(ToyBackend(), "here", clock=lambda: next(ticks))
    # The first chunk took from tick 0 to 1, the first step from tick 6 to 7.
    assert speed.prefill_tokens_per_s == pytest.approx(64 / (1 / 20))
    assert speed.step_ms == pytest.approx((49 - 36) / 20 * 1000)
    assert speed.machine == "here"


def test_a_vocabulary_of_any_size_can_be_measured() -> None:
    ticks = count()
    backend = ToyBackend(vocab_size=3)
    measure_speed(backend, "here", clock=lambda: next(ticks))
    assert max(backend.steps) == 64
    assert backend.steps.count(1) >= 5


def test_what_was_measured_is_remembered(tmp_path: Path) -> None:
    assert load_speed(tmp_path, "here") is None
    save_speed(tmp_path, SPEED)
    assert load_speed(tmp_path, "here") == SPEED
    assert [path.name for path in tmp_path.iterdir()] == ["speed.json"]


def test_another_machines_figures_mean_nothing(tmp_path: Path) -> None:
    save_speed(tmp_path, SPEED)
    assert load_speed(tmp_path, "there") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"step_ms": 1}', '{"surprise": 1}'])
def test_damaged_notes_are_no_notes(text: str, tmp_path: Path) -> None:
    (tmp_path / "speed.json").write_text(text, encoding="utf-8")
    assert load_speed(tmp_path, "here") is None


def test_a_store_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    save_speed(tmp_path / "gone", SPEED)
    assert load_speed(tmp_path / "gone", "here") is None
