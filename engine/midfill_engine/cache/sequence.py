"""A token sequence together with the KV cache that has seen it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress, count
from operator import ne

from midfill_engine.backends.base import Backend, KVCache, Logits

__all__ = ["CachedSequence", "common_prefix_length"]

# Each is a row as wide as the vocabulary: 0.6 MB, as much as 10 to 25 positions.
_MAX_ENDINGS = 6


class CachedSequence:
    """Keeps one invariant: position ``i`` of the cache was computed from ``tokens[i]``.

    All changes to a cache go through here, so the ids can be trusted when a later request asks
    how much of it is still valid.
    """

    def __init__(self, backend: Backend, capacity: int) -> None:
        self._backend = backend
        self._cache: KVCache = backend.new_cache(capacity)
        self._tokens: list[int] = []
        # By length, in ascending order: what is cut off takes those behind it along.
        self._endings: dict[int, Logits] = {}

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
        return self._cache.nbytes + sum(logits.nbytes for logits in self._endings.values())

    @property
    def ending(self) -> Logits | None:
        """The logits ``[1, vocabulary]`` after the last position, where they were kept."""
        return self._endings.get(self.length)

    def has_ending(self, length: int) -> bool:
        """Whether the logits after the first ``length`` positions were kept."""
        return length in self._endings

    def keep_ending(self, logits: Logits) -> None:
        """Keep the logits after the last position: another prompt often ends there as well.

        While a word is typed, the tokens before it stay, and the word is generated again. Those
        of the words before it are kept too, for whoever takes a word back.
        """
        self._endings.pop(self.length, None)
        while len(self._endings) >= _MAX_ENDINGS:
            del self._endings[next(iter(self._endings))]
        self._endings[self.length] = logits.copy()

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
        self._endings = {at: kept for at, kept in self._endings.items() if at <= length}

    def copy_beginning(self, other: CachedSequence, length: int) -> None:
        """Become the first ``length`` positions of ``other``, which stays as it is."""
        self.truncate(0)
        self._cache.copy_beginning(other._cache, length)
        self._tokens = other._tokens[:length]
        self._endings = {at: kept for at, kept in other._endings.items() if at <= length}


def common_prefix_length(left: Sequence[int], right: Sequence[int]) -> int:
    """Return how many leading ids agree."""
    differing = compress(count(), map(ne, left, right))
    return next(differing, min(len(left), len(right)))
