"""Which model ``auto`` means on this machine: the best one that fits and is fast enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from midfill_engine.machine import BUSY_PERCENT, Machine, probe_machine, read_bandwidth
from midfill_engine.onnx.convert import OnnxManifest
from midfill_engine.registry import MODELS, ModelSpec
from midfill_engine.speed import Speed, load_speed
from midfill_engine.store import ModelStore

__all__ = [
    "LATENCY_BUDGET_MS",
    "Estimate",
    "Recommendation",
    "estimate",
    "memory_needed",
    "recommend",
]

LATENCY_BUDGET_MS = 1500
"""How long a line of code may take where most of the prompt is computed already."""

# That line: what was typed since, and a completion of ordinary length.
_NEW_TOKENS, _LINE_TOKENS = 16, 16
# Resident memory over the size of the file as fetched, and what the process needs besides
# (measured: 1.6 GB for the 1.1 GB file, 0.8 for 0.5).
_MEMORY_FACTOR, _MEMORY_BYTES = 1.5, 250_000_000
_BUSY_ALLOWANCE = 3
# A decode step reads all weights once; this share of the bandwidth is reached, and prefill is so
# many times faster per token (both measured, two cores).
_BANDWIDTH_SHARE, _PREFILL_GAIN = 0.8, 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one model would cost here. ``speed.machine`` is empty when it was not measured."""

    spec: ModelSpec
    memory_bytes: int
    speed: Speed

    @property
    def measured(self) -> bool:
        """Whether the speed was measured on this machine, not derived from its memory's."""
        return bool(self.speed.machine)

    @property
    def line_ms(self) -> float:
        """Expected time for a line of code, most of the prompt being computed already."""
        return self.speed.completion_ms(_NEW_TOKENS, _LINE_TOKENS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """The model to use, and why this one and not a larger one."""

    model_id: str
    reason: str


def recommend(
    store: ModelStore,
    *,
    machine: Machine | None = None,
    bandwidth_of: Callable[[int], float] = read_bandwidth,
) -> Recommendation:
    """Choose among the registry's models; takes about 0.1 s where nothing was measured yet.

    ``machine=None`` looks at this one; ``bandwidth_of`` tells the bytes per second that so many
    cores read from memory.
    """
    machine = machine or probe_machine()
    passed_over: list[str] = []
    ranked = sorted(MODELS, key=lambda spec: spec.rank, reverse=True)
    bandwidth: float | None = None
    for spec in ranked:
        speed = _measured(store, spec, machine)
        if speed is None:
            bandwidth = bandwidth or bandwidth_of(machine.cores)
            speed = _predicted(spec, bandwidth)
        found = estimate(spec, speed)
        objection = _objection(found, machine)
        if objection is None:
            reason = "; ".join([f"the best one that fits: {_describe(found)}", *passed_over])
            return Recommendation(model_id=spec.id, reason=reason)
        passed_over.append(f"{spec.id} {objection}")
    smallest = ranked[-1]
    reason = "; ".join(["the smallest there is, and slow here", *passed_over])
    return Recommendation(model_id=smallest.id, reason=reason)


def estimate(spec: ModelSpec, speed: Speed) -> Estimate:
    """Put a model's memory need beside its speed."""
    return Estimate(spec=spec, memory_bytes=memory_needed(spec), speed=speed)


def memory_needed(spec: ModelSpec) -> int:
    """Return the resident memory of a process that serves ``spec``, in bytes."""
    return int(spec.size_bytes * _MEMORY_FACTOR) + _MEMORY_BYTES


def _measured(store: ModelStore, spec: ModelSpec, machine: Machine) -> Speed | None:
    folder = store.conversion_dir(spec.id, spec.layout)
    manifest = OnnxManifest.read(folder)
    return None if manifest is None else load_speed(folder, machine.fingerprint)


def _predicted(spec: ModelSpec, bandwidth: float) -> Speed:
    step_ms = spec.size_bytes / (bandwidth * _BANDWIDTH_SHARE) * 1000
    return Speed(prefill_tokens_per_s=_PREFILL_GAIN * 1000 / step_ms, step_ms=step_ms, machine="")


def _objection(found: Estimate, machine: Machine) -> str | None:
    if found.memory_bytes > machine.available_bytes:
        needed, there = found.memory_bytes / 1e9, machine.available_bytes / 1e9
        return f"needs {needed:.1f} GB of memory, {there:.1f} GB are free"
    # A model that was timed while others used the machine gets the benefit of the doubt: passed
    # over, it would never be loaded again, and so never be timed again.
    allowance = _BUSY_ALLOWANCE if found.speed.busy_percent > BUSY_PERCENT else 1
    if found.line_ms > LATENCY_BUDGET_MS * allowance:
        return f"is too slow here ({_describe(found)})"
    return None


def _describe(found: Estimate) -> str:
    how = "measured" if found.measured else "predicted from memory speed"
    return (
        f"a line takes about {found.line_ms / 1000:.1f} s of {LATENCY_BUDGET_MS / 1000:.1f} s, "
        f"{how}"
    )
