"""What a model takes of a device's memory, and how much context that leaves: computed, not tried.

A model that does not fit is refused before anything is loaded, with what would fit; one that fits
with less context than was asked for gets what there is.
"""

from __future__ import annotations

from dataclasses import dataclass

from midfill_engine.errors import OutOfMemoryError

__all__ = ["LEAST_CONTEXT_TOKENS", "Footprint", "MemoryPlan", "plan_memory"]

LEAST_CONTEXT_TOKENS = 1024
"""With less than this a completion sees too little to be any good."""

# What is left to others: a device that is full to the last byte fails at the next step.
_SPARE_SHARE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What one way of running a model takes, in bytes.

    ``overhead_bytes``: the process and its buffers, whatever the model. ``kv_bytes`` is for one
    position of the KV cache, all layers, keys and values.
    """

    weights_bytes: int
    kv_bytes: int
    overhead_bytes: int

    def total_bytes(self, context_tokens: int) -> int:
        """Return what it takes with a cache of so many positions."""
        return self.weights_bytes + self.overhead_bytes + self.kv_bytes * context_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """How much context a model gets on a device that has ``available_bytes`` free."""

    footprint: Footprint
    context_tokens: int
    available_bytes: int
    wanted_tokens: int

    @property
    def total_bytes(self) -> int:
        """What it will take when the context is full."""
        return self.footprint.total_bytes(self.context_tokens)

    def __str__(self) -> str:
        """Say it in a sentence, for logs and ``doctor``."""
        need = self.footprint
        said = (
            f"{need.weights_bytes / 1e9:.1f} GB of weights and "
            f"{need.kv_bytes * self.context_tokens / 1e9:.1f} GB for {self.context_tokens} tokens, "
            f"of {self.available_bytes / 1e9:.1f} GB free"
        )
        if self.context_tokens < self.wanted_tokens:
            said += f" ({self.wanted_tokens} tokens were asked for)"
        return said


def plan_memory(
    name: str, footprint: Footprint, *, wanted_tokens: int, available_bytes: int
) -> MemoryPlan:
    """Give ``name`` as much of ``wanted_tokens`` as fits.

    Raises ``OutOfMemoryError`` where not even ``LEAST_CONTEXT_TOKENS`` do, with the figures.
    """
    usable = int(available_bytes * (1 - _SPARE_SHARE))
    left = usable - footprint.weights_bytes - footprint.overhead_bytes
    fitting = left // max(footprint.kv_bytes, 1)
    # A tiny context that was asked for is enough for whoever asked.
    if fitting < min(LEAST_CONTEXT_TOKENS, wanted_tokens):
        needed = footprint.total_bytes(min(LEAST_CONTEXT_TOKENS, wanted_tokens))
        raise OutOfMemoryError(
            f"{name} needs {needed / 1e9:.1f} GB of memory, {available_bytes / 1e9:.1f} GB are free"
        )
    return MemoryPlan(
        footprint=footprint,
        context_tokens=min(wanted_tokens, fitting),
        available_bytes=available_bytes,
        wanted_tokens=wanted_tokens,
    )
