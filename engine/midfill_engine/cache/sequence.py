"""A token sequence together with the KV cache that has seen it."""

from __future__ import annotations

from collections.abc import Sequence

from midfill_engine.backends.base import Backend, KVCache, Logits

__all__ = ["CachedSequence", "common_prefix_length"]


class CachedSequence:
    """Keeps one invariant: position ``i`` of the cache was computed from ``tokens[i]``.

    All changes to a cache go through here, so the ids can be trusted when a later request asks
    how much of it is still valid.
    """

    def __init__(self, backend: Backend, capacity: int) -> None:
        self._backend = backend
        self._cache: KVCache = backend.new_cache(capacity)
        self._tokens: list[int] = []

    @property
    def tokens(self) -> Sequence[int]:
        """The ids whose keys and values are held."""
        return self._tokens

    @property
    def length(self) -> int:
        """How many positions are computed."""
        return len(self._tokens)

    @property
    def room(self) -> int:
        """How many more positions fit."""
        return self._cache.capacity - len(self._tokens)

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return self._cache.nbytes

    def forward(self, tokens: Sequence[int], logits_for: int) -> Logits:
        """Append ``tokens``; return the logits of the last ``logits_for`` of them."""
        logits = self._backend.forward(tokens, self._cache, logits_for)
        # Only now: a step that raised has computed nothing that may be relied on.
        self._tokens.extend(tokens)
        return logits

    def truncate(self, length: int) -> None:
        """Forget everything from position ``length`` on."""
        self._cache.truncate(length)
        del self._tokens[length:]


def common_prefix_length(left: Sequence[int], right: Sequence[int]) -> int:
    """Return how many leading ids agree."""
    limit = min(len(left), len(right))
    for index in range(limit):
        if left[index] != right[index]:
            return index
    return limit
