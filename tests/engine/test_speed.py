"""Measuring a model's speed, and remembering it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path

import pytest
from tiny_models import Floats, ToyBackend, ToyCache

from midfill_engine.speed import Speed, load_speed, measure_speed, save_speed

SPEED = Speed(
    prefill_tokens_per_s=400.0,
    step_ms=20.0,
    machine="here",
    steps_ms=((1, 20.0), (2, 25.5), (8, 40.0)),
)
WRONG_STEPS = json.dumps({**asdict(SPEED), "steps_ms": [[1]]})


def test_a_completion_costs_its_prompt_and_its_steps() -> None:
    assert SPEED.completion_ms(100, 10) == pytest.approx(100 / 400 * 1000 + 10 * 20)


class TimedBackend(ToyBackend):
    """Each step moves the clock: by so many seconds for its width, and longer when it is late."""

    def __init__(self, seconds_of: Callable[[int, int], float]) -> None:
        super().__init__()
        self.now_s = 0.0
        self._seconds_of = seconds_of

    def forward(self, tokens: Sequence[int], cache: ToyCache, logits_for: int) -> Floats:
        self.now_s += self._seconds_of(len(tokens), len(self.steps))
        return super().forward(tokens, cache, logits_for)


def test_the_best_of_each_is_taken() -> None:
    # Every second step is three times as slow: somebody else uses the machine.
    backend = TimedBackend(lambda width, step: (10 + width) * (3 if step % 2 else 1) / 1000)
    speed = measure_speed(backend, "here", clock=lambda: backend.now_s)
    assert speed.prefill_tokens_per_s == pytest.approx(64 / 0.074)
    assert speed.step_ms == pytest.approx(11)
    assert speed.steps_ms == tuple((width, pytest.approx(10 + width)) for width in (1, 2, 4, 8, 16))
    assert speed.machine == "here"


def test_wide_steps_are_measured_in_a_filled_context_with_logits_for_each() -> None:
    depths: list[tuple[int, int, int]] = []

    class Watched(ToyBackend):
        def forward(self, tokens: Sequence[int], cache: ToyCache, logits_for: int) -> Floats:
            depths.append((len(tokens), cache.length, logits_for))
            return super().forward(tokens, cache, logits_for)

    ticks = count()
    measure_speed(Watched(), "here", clock=lambda: next(ticks))
    for width in (2, 4, 8, 16):
        found = {(depth, rows) for tokens, depth, rows in depths if tokens == width}
        assert found == {(192, width)}


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


def test_what_an_earlier_version_measured_is_read_as_it_is(tmp_path: Path) -> None:
    earlier = {"prefill_tokens_per_s": 400.0, "step_ms": 20.0, "machine": "here"}
    (tmp_path / "speed.json").write_text(json.dumps(earlier), encoding="utf-8")
    assert load_speed(tmp_path, "here") == replace(SPEED, steps_ms=())


def test_another_machines_figures_mean_nothing(tmp_path: Path) -> None:
    save_speed(tmp_path, SPEED)
    assert load_speed(tmp_path, "there") is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"step_ms": 1}', '{"surprise": 1}', WRONG_STEPS]
)
def test_damaged_notes_are_no_notes(text: str, tmp_path: Path) -> None:
    (tmp_path / "speed.json").write_text(text, encoding="utf-8")
    assert load_speed(tmp_path, "here") is None


def test_a_store_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder", encoding="utf-8")
    save_speed(blocked / "gone", SPEED)
    assert load_speed(blocked / "gone", "here") is None


def test_a_model_that_was_not_converted_has_a_folder_for_its_speed(tmp_path: Path) -> None:
    save_speed(tmp_path / "new", SPEED)
    assert load_speed(tmp_path / "new", "here") == SPEED
