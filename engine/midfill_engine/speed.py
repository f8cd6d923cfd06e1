"""How fast a loaded model is on this machine: measured once per conversion, then remembered."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from midfill_engine.backends.base import Backend

__all__ = ["MEASURED_TOKENS", "Speed", "load_speed", "measure_speed", "save_speed"]

_FILE = "speed.json"
_PREFILL_TOKENS = 192
_CHUNK = 64
_STEPS = 8
_WIDTHS = (1, 2, 4, 8, 16)
_WIDTH_ROUNDS = 4

MEASURED_TOKENS = _PREFILL_TOKENS + max(_STEPS, *_WIDTHS)
"""How long a sequence must be for a measurement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """``prefill_tokens_per_s`` on a cold prompt; ``step_ms`` for one decoded token after it.

    ``machine`` says on what it was measured: the numbers mean nothing elsewhere. ``busy_percent``
    is how busy other work kept it then: what was measured on a busy machine is a lower bound.
    ``steps_ms`` has pairs of the tokens of one step and its time with logits for each of them,
    ascending from one token; it is empty where that was not measured.
    """

    prefill_tokens_per_s: float
    step_ms: float
    machine: str
    busy_percent: float = 0.0
    steps_ms: tuple[tuple[int, float], ...] = ()

    def completion_ms(self, new_tokens: int, generated_tokens: int) -> float:
        """Expected time to prefill ``new_tokens`` and generate ``generated_tokens``."""
        return new_tokens / self.prefill_tokens_per_s * 1000 + generated_tokens * self.step_ms


def measure_speed(
    backend: Backend, machine: str, *, clock: Callable[[], float] = time.perf_counter
) -> Speed:
    """Time a short prompt and a few steps (2-4 s); the best of each, since others use the machine.

    The ids are arbitrary: a step costs the same whatever the text says.
    """
    cache = backend.new_cache(MEASURED_TOKENS)
    ids = [(7919 * index) % backend.vocab_size for index in range(_PREFILL_TOKENS)]

    def timed_s(count: int, logits_for: int) -> float:
        began = clock()
        backend.forward(ids[:count], cache, logits_for)
        return clock() - began

    # The first run also makes the runtime allocate its buffers.
    timed_s(_CHUNK, 1)
    cache.truncate(0)
    chunk_s = [timed_s(_CHUNK, 1) for _ in range(_PREFILL_TOKENS // _CHUNK)]
    step_s = [timed_s(1, 1) for _ in range(_STEPS)]
    widths_s: dict[int, list[float]] = {width: [] for width in _WIDTHS}
    # Width after width and all of it again: what slows the machine for a while slows them all.
    for _ in range(_WIDTH_ROUNDS):
        for width, times_s in widths_s.items():
            cache.truncate(_PREFILL_TOKENS)
            times_s.append(timed_s(width, width))
    return Speed(
        prefill_tokens_per_s=_CHUNK / min(chunk_s),
        step_ms=min(step_s) * 1000,
        machine=machine,
        steps_ms=tuple((width, min(times_s) * 1000) for width, times_s in widths_s.items()),
    )


def load_speed(folder: Path, machine: str) -> Speed | None:
    """Return what was measured for the conversion in ``folder``, if it was on this machine."""
    try:
        speed = Speed(**json.loads((folder / _FILE).read_text(encoding="utf-8")))
        steps_ms = tuple((int(tokens), float(ms)) for tokens, ms in speed.steps_ms)
    except (OSError, ValueError, TypeError):
        return None
    speed = replace(speed, steps_ms=steps_ms)
    return speed if speed.machine == machine else None


def save_speed(folder: Path, speed: Speed) -> None:
    """Remember ``speed``; a read-only store is no reason to fail."""
    temporary = folder / f"{_FILE}.{os.getpid()}.tmp"
    try:
        # A model that is run as it is has no folder of a conversion yet.
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(asdict(speed)), encoding="utf-8")
        os.replace(temporary, folder / _FILE)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
