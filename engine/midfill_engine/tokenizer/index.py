"""Which tokens begin with a text, and which are the beginning of one."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

__all__ = ["TokenIndex"]

Ids = npt.NDArray[np.int64]

# Comes after every letter that a key is made of.
_LAST = "\U0010ffff"


class TokenIndex:
    """The tokens of a vocabulary in the order of their spelling; control tokens are not in it.

    ``ordinary`` maps keys to ids. ``key_of`` makes the key of some bytes, so that the key of a
    beginning is the beginning of the key.
    """

    def __init__(self, ordinary: Mapping[str, int], key_of: Callable[[bytes], str]) -> None:
        self._keys = sorted(ordinary)
        self._ids: Ids = np.array([ordinary[key] for key in self._keys], np.int64)
        self._key_of = key_of

    def spells_as(self, other: TokenIndex) -> bool:
        """Whether both have the same tokens under the same ids."""
        return self._keys == other._keys and np.array_equal(self._ids, other._ids)

    def beginning_with(self, text: bytes) -> Ids:
        """Return the ids of the tokens whose bytes begin with ``text``, itself included."""
        key = self._key_of(text)
        start = bisect_left(self._keys, key)
        return self._ids[start : bisect_left(self._keys, key + _LAST, start)]

    def beginnings_of(self, text: bytes) -> Ids:
        """Return the ids of the tokens that are a shorter beginning of ``text``."""
        keys = (self._key_of(text[:size]) for size in range(1, len(text)))
        places = ((bisect_left(self._keys, key), key) for key in keys)
        found = [at for at, key in places if at < len(self._keys) and self._keys[at] == key]
        return self._ids[found]
