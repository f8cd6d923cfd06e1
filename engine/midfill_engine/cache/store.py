"""Finds the computed sequence that shares the longest beginning with a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from midfill_engine.backends.base import Backend
from midfill_engine.cache.sequence import CachedSequence, common_prefix_length

__all__ = ["PrefixStore"]

# A sequence that holds less than this share of a prompt is worth more to the place it was made
# for: going back there would compute all of it again. Half would be too much: where the file
# before the cursor is short, a key typed in the same place leaves less than that as it was.
_ENOUGH = 0.25


class PrefixStore:
    """Holds a sequence per place that was completed lately: documents, and spots in one of them.

    ``capacity`` is in tokens, prompt and answer of one sequence together. ``budget_bytes`` bounds
    what all of them hold, except that the sequence in use may grow beyond it until the next one
    is taken; ``0`` keeps a single sequence.
    """

    def __init__(self, backend: Backend, capacity: int, budget_bytes: int = 0) -> None:
        self._backend = backend
        self._capacity = capacity
        self._budget_bytes = budget_bytes
        # The one used last stands last.
        self._sequences: list[CachedSequence] = []

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return sum(sequence.nbytes for sequence in self._sequences)

    def take(self, tokens: Sequence[int]) -> CachedSequence:
        """Return a sequence that holds a beginning of ``tokens``, never all of them.

        At least the last id is left to compute: its logits are what the answer starts from.
        """
        # Of equals the one used last, since ``max`` keeps the first: what it holds besides is the
        # most likely to be needed.
        shared, sequence = max(
            ((common_prefix_length(held.tokens, tokens), held) for held in self._sequences[::-1]),
            key=itemgetter(0),
            default=(0, None),
        )
        if sequence is None or shared < _ENOUGH * len(tokens):
            sequence = self._make_room()
            shared = common_prefix_length(sequence.tokens, tokens)
        else:
            self._sequences.remove(sequence)
        sequence.truncate(min(shared, max(len(tokens) - 1, 0)))
        self._sequences.append(sequence)
        return sequence

    def _make_room(self) -> CachedSequence:
        """Take out what is over the budget; return the last of that, or a new sequence."""
        oldest: CachedSequence | None = None
        while self._sequences and self.nbytes >= self._budget_bytes:
            oldest = self._sequences.pop(0)
        return oldest or CachedSequence(self._backend, self._capacity)
