"""The comparison of runtimes: who is measured when, and which way round a ratio is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from benchmarks.backends import WIDTHS, compare, figures_of
from benchmarks.engine_speed import CONTEXT_TOKENS, OurSpeed
from benchmarks.null_server import NullBackend, NullCache
from midfill_engine.backends.base import KVCache, Logits


class Paced(NullBackend):
    """Takes so many milliseconds for a step, whatever its width, and says when its turn was."""

    def __init__(self, pass_ms: Callable[[float], None], step_ms: float) -> None:
        super().__init__(40, 0)
        self._pass_ms = pass_ms
        self._step_ms = step_ms

    def forward(self, tokens: Sequence[int], cache: KVCache, logits_for: int) -> Logits:
        assert isinstance(cache, NullCache)
        cache.length += len(tokens)
        self._pass_ms(self._step_ms)
        return self._logits[:logits_for]


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def pass_ms(self, ms: float) -> None:
        self.now_s += ms / 1000


def test_each_is_measured_in_each_round_and_faster_is_more() -> None:
    clock = Clock()
    speeds = {
        name: OurSpeed(Paced(clock.pass_ms, step_ms), chunk=128, clock=clock)
        for name, step_ms in (("slow", 20.0), ("fast", 5.0))
    }
    said: list[str] = []
    measured = compare(speeds, 2, said.append)
    assert {len(values) for found in measured.values() for values in found.values()} == {2}
    prefills = [line.split(": ")[1] for line in said if line.endswith("prefill")]
    assert prefills == ["slow, prefill", "fast, prefill", "fast, prefill", "slow, prefill"]

    figures = {figure.key: figure for figure in figures_of(measured)}
    assert len(figures) == 2 * (1 + len(WIDTHS))
    slow = figures["slow.prefill_tokens_per_s"].value
    assert slow is not None
    assert slow.p50 == pytest.approx(CONTEXT_TOKENS / (CONTEXT_TOKENS / 128 * 0.020))
    for key in ("prefill_tokens_per_s", "step_1_ms", "step_16_ms"):
        ratio = figures[f"fast.{key}"].value
        assert ratio is not None
        assert ratio.p50 == pytest.approx(4)
