"""What one way to run a model would cost on this machine: memory, and time for a line of code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from midfill_engine.machine import BUSY_PERCENT
from midfill_engine.plan import Footprint
from midfill_engine.runtimes import ChosenModel, Device
from midfill_engine.speed import Speed

__all__ = ["LATENCY_BUDGET_MS", "Estimate", "line_ms", "predicted_speed"]

LATENCY_BUDGET_MS = 1500
"""How long a line of code may take where most of the prompt is computed already."""

# That line: what was typed since, and a completion of ordinary length.
_NEW_TOKENS, _LINE_TOKENS = 16, 16
_BUSY_ALLOWANCE = 3
# A decode step reads all weights once; this share of the bandwidth is reached, and prefill is so
# many times faster per token (both measured, two cores).
_BANDWIDTH_SHARE, _PREFILL_GAIN = 0.8, 6.0
# What the memory of any GPU that is worth using reads at least, in bytes per second, and how much
# faster per token it computes a prompt. Only until it is measured.
_GPU_BANDWIDTH, _GPU_PREFILL_GAIN = 250e9, 100.0
# Half of the tokens come from steps of four, of which three stand.
_WIDE_STEP, _WIDE_GAIN = 4, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one way to run a model would cost here; an empty ``speed.machine``: not measured."""

    chosen: ChosenModel
    footprint: Footprint
    speed: Speed

    @property
    def measured(self) -> bool:
        """Whether the speed was measured on this machine, not derived from its memory's."""
        return bool(self.speed.machine)

    @property
    def line_ms(self) -> float:
        """Expected time for a line of code; see ``line_ms``."""
        return line_ms(self.speed)

    @property
    def drafting_ms(self) -> float:
        """Expected time for a line where some of it is drafted, as it mostly is.

        A runtime that is fast by single steps and slow by wide ones has less of that.
        """
        wide_ms = dict(self.speed.steps_ms).get(_WIDE_STEP)
        if wide_ms is None:
            return self.line_ms
        step_ms = (self.speed.step_ms + wide_ms / _WIDE_GAIN) / 2
        return line_ms(replace(self.speed, step_ms=step_ms))

    @property
    def objection(self) -> str | None:
        """Why it is too slow; ``None`` where it is not.

        A model that was timed while others used the machine gets the benefit of the doubt: passed
        over, it would never be loaded again, and so never be timed again.
        """
        allowance = _BUSY_ALLOWANCE if self.speed.busy_percent > BUSY_PERCENT else 1
        if self.line_ms > LATENCY_BUDGET_MS * allowance:
            return f"is too slow here ({self})"
        return None

    def __str__(self) -> str:
        """Say how fast it is, and how that is known."""
        how = "measured" if self.measured else "predicted from memory speed"
        return (
            f"a line takes about {self.line_ms / 1000:.1f} s of {LATENCY_BUDGET_MS / 1000:.1f} s, "
            f"{how}"
        )


def line_ms(speed: Speed) -> float:
    """Return the expected time for a line of code, most of the prompt being computed already."""
    return speed.completion_ms(_NEW_TOKENS, _LINE_TOKENS)


def predicted_speed(footprint: Footprint, device: Device, bandwidth: Callable[[], float]) -> Speed:
    """Predict what was never measured, from the bytes per second that ``bandwidth`` tells."""
    rate, gain = (
        (_GPU_BANDWIDTH, _GPU_PREFILL_GAIN) if device == "gpu" else (bandwidth(), _PREFILL_GAIN)
    )
    step_ms = footprint.weights_bytes / (rate * _BANDWIDTH_SHARE) * 1000
    return Speed(prefill_tokens_per_s=gain * 1000 / step_ms, step_ms=step_ms, machine="")
