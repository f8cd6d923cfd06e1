"""Finds the computed sequence that shares the longest beginning with a prompt."""

from __future__ import annotations

from collections.abc import Sequence

from midfill_engine.backends.base import Backend
from midfill_engine.cache.sequence import CachedSequence, common_prefix_length

__all__ = ["PrefixStore"]


class PrefixStore:
    """Holds one sequence, that of the last request, rolled back as far as the next one differs.

    ``capacity`` is in tokens, prompt and answer together.
    """

    def __init__(self, backend: Backend, capacity: int) -> None:
        self._sequence = CachedSequence(backend, capacity)

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return self._sequence.nbytes

    def take(self, tokens: Sequence[int]) -> CachedSequence:
        """Return a sequence that holds a beginning of ``tokens``, never all of them.

        At least the last id is left to compute: its logits are what the answer starts from.
        """
        shared = common_prefix_length(self._sequence.tokens, tokens)
        self._sequence.truncate(min(shared, max(len(tokens) - 1, 0)))
        return self._sequence
