"""Finds the computed sequence that shares the longest beginning with a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from midfill_engine.backends.base import Backend
from midfill_engine.cache.sequence import CachedSequence, common_prefix_length

__all__ = ["PrefixStore"]

# What would be cut off a sequence is kept, by copying the rest of it, when that is the better bet.
# Copying 1000 positions took as long as computing 2 to 4 tokens, in memory that was never used
# before 10 to 15, with both models. If somebody comes back one time in four, a lost token is worth
# a copy of 16 positions. A few tokens are never worth a sequence of their own.
_POSITIONS_PER_TOKEN = 16
_FEW_TOKENS = 8


@dataclass(slots=True)
class _Place:
    """A sequence, and how many of its tokens somebody may come back for.

    The others were typed or generated at the end: they change with every key.
    """

    sequence: CachedSequence
    lasting_tokens: int = 0

    def shares(self, tokens: Sequence[int]) -> int:
        """Return how many leading ids of ``tokens`` are computed and leave something to start from.

        All of them only with the logits after the last.
        """
        shared = common_prefix_length(self.sequence.tokens, tokens)
        whole = shared == len(tokens) and not self.sequence.has_ending(shared)
        return max(shared - whole, 0)

    def lost_at(self, length: int) -> int:
        """Return how many of the lasting tokens that are computed lie behind ``length``."""
        return max(0, min(self.lasting_tokens, self.sequence.length) - length)


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
        self._places: list[_Place] = []

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return sum(place.sequence.nbytes for place in self._places)

    def shared_with(self, tokens: Sequence[int]) -> int:
        """Return how many leading ids of ``tokens`` would not have to be computed."""
        return self._closest(tokens)[0]

    def take(self, tokens: Sequence[int], typed_tokens: int = 0) -> CachedSequence:
        """Return a sequence that holds a beginning of ``tokens``.

        All of them only where the logits after the last are kept as well: an answer starts from
        these. Else the last id is left to compute. The last ``typed_tokens`` change as somebody
        types, and are not worth a place of their own once they did.
        """
        shared, place = self._closest(tokens)
        if place is None:
            place = self._new_place()
        elif place.lost_at(shared) > _FEW_TOKENS + shared // _POSITIONS_PER_TOKEN:
            place = self._place_beside(place, shared)
        else:
            self._places.remove(place)
        place.lasting_tokens = len(tokens) - typed_tokens
        place.sequence.truncate(shared)
        self._places.append(place)
        return place.sequence

    def shrink(self) -> None:
        """Give up all places but the one used last, and hold half as much from now on."""
        del self._places[:-1]
        self._budget_bytes //= 2

    def _closest(self, tokens: Sequence[int]) -> tuple[int, _Place | None]:
        """Find the place that shares most with ``tokens``; of equals, that which loses least."""
        best: tuple[int, int] | None = None
        found: _Place | None = None
        # The one used last first: what it holds besides is the most likely to be needed.
        for place in reversed(self._places):
            shared = place.shares(tokens)
            rank = (shared, -place.lost_at(shared))
            if best is None or rank > best:
                best, found = rank, place
        return (0 if best is None else best[0]), found

    def _place_beside(self, source: _Place, shared: int) -> _Place:
        """Return a place with the first ``shared`` positions of ``source``, which stays if it can.

        Not among the places yet, and ``source`` no longer where there is no room for both.
        """
        freed: _Place | None = None
        while self.nbytes >= self._budget_bytes:
            freed = self._leaves_first(source, shared)
            self._places.remove(freed)
            if freed is source:
                return source
        place = freed or self._new_place()
        place.sequence.copy_beginning(source.sequence, shared)
        return place

    def _leaves_first(self, source: _Place, shared: int) -> _Place:
        """Choose what to give up for a prompt that has ``shared`` tokens in common with ``source``.

        A place of which one used later holds half goes first: the places of a file share what
        stands before them, so going back there is cheap. ``source`` may be such a place itself, if
        the prompt shares half of it. Else the one not used for longest goes.
        """
        others = [place for place in self._places if place is not source]
        for at, place in enumerate(others):
            held = place.sequence.tokens
            if any(
                common_prefix_length(held, later.sequence.tokens) * 2 >= len(held)
                for later in (*others[at + 1 :], source)
            ):
                return place
        return source if shared * 2 >= source.sequence.length else self._places[0]

    def _new_place(self) -> _Place:
        return _Place(CachedSequence(self._backend, self._capacity))
