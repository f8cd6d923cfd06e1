"""What a runtime must do to be driven by the decode loop: one forward pass over a cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Backend", "KVCache", "Logits"]

Logits: TypeAlias = npt.NDArray[np.float32]
"""Shape ``[positions, vocabulary]``, one row per wanted position, in order."""


class KVCache(Protocol):
    """Keys and values of one token sequence on one backend."""

    @property
    def length(self) -> int:
        """How many positions are filled."""
        ...

    @property
    def capacity(self) -> int:
        """How many positions fit."""
        ...

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        ...

    def truncate(self, length: int) -> None:
        """Forget all positions from ``length`` on. ``0 <= length <= self.length``."""
        ...

    def copy_beginning(self, other: KVCache, length: int) -> None:
        """Hold the first ``length`` positions of ``other``, a cache of the same backend, only.

        Raises ``ValueError`` where ``other`` holds fewer, or this one has no room for them.
        """
        ...


class Backend(Protocol):
    """A loaded model."""

    @property
    def vocab_size(self) -> int:
        """Width of a row of logits."""
        ...

    def new_cache(self, capacity: int) -> KVCache:
        """Make an empty cache of at most ``capacity`` positions."""
        ...

    def forward(self, tokens: Sequence[int], cache: KVCache, logits_for: int) -> Logits:
        """Run ``tokens`` after what ``cache`` holds, extending it by ``len(tokens)``.

        Returns the logits of the last ``logits_for`` of them (0 is allowed: prefill needs none).
        The array is valid until the next call. Raises ``ValueError`` if the cache would overflow.
        """
        ...

    def close(self) -> None:
        """Release the model. Idempotent."""
        ...
