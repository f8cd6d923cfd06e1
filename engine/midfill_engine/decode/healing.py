"""Token healing: generate the last typed tokens again, bound to spell the same bytes.

A cursor seldom stands where a token ends. After "pri" the model has seen the tokens of "pri",
which are not those of "print", and never saw such text in training. So the prompt ends some
tokens earlier, and what is generated first must spell the bytes that were taken off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from midfill_engine.backends.base import Logits
from midfill_engine.decode.sampling import Row
from midfill_engine.tokenizer import TokenIndex

__all__ = ["Spelling", "heal"]

_MAX_HEALED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelling:
    """The bytes that the next tokens must begin with; free once nothing is left of them."""

    left: bytes
    index: TokenIndex | None
    token_bytes: Callable[[int], bytes] = field(repr=False)

    @classmethod
    def free(cls) -> Spelling:
        """Bind nothing."""
        return cls(left=b"", index=None, token_bytes=lambda token: b"")

    @property
    def done(self) -> bool:
        """Whether anything may follow."""
        return not self.left

    def restrict(self, row: Row) -> Row:
        """Return ``row`` with minus infinity for every token that cannot come next."""
        if self.index is None or self.done:
            return row
        allowed = np.full_like(row, -np.inf)
        for ids in (self.index.beginning_with(self.left), self.index.beginnings_of(self.left)):
            allowed[ids] = row[ids]
        # Every byte is a token of its own in the vocabularies that there are; where one is not,
        # nothing could spell the text, and then it is better to go on than to stop.
        return allowed if np.isfinite(allowed.max()) else row

    def restrict_rows(self, rows: Logits) -> Logits:
        """Return ``rows``, ``[n, vocabulary]``, of which only the first can be bound.

        Nothing is drafted while something is bound, so there is one row then.
        """
        return rows if self.done else self.restrict(rows[0])[None]

    def after(self, token: int) -> Spelling:
        """Return what is left once ``token`` was chosen."""
        if self.done:
            return self
        return Spelling(
            left=self.left[len(self.token_bytes(token)) :],
            index=self.index,
            token_bytes=self.token_bytes,
        )


def heal(
    tokens: Sequence[int], index: TokenIndex, token_bytes: Callable[[int], bytes]
) -> tuple[int, bytes]:
    """Return how many of ``tokens`` to keep, and the bytes of the others.

    As many are taken off as together begin some token of the vocabulary: "retu" may be two
    tokens, and "return" is one. At least the last one is, since it may grow.
    """
    kept, taken, longer = len(tokens), b"", b""
    for at in range(len(tokens) - 1, max(len(tokens) - 1 - _MAX_HEALED, -1), -1):
        piece = token_bytes(tokens[at])
        if not piece:
            break
        longer = piece + longer
        # The tokens in between go too: they are part of the one that may begin here.
        if not taken or len(index.beginning_with(longer)):
            kept, taken = at, longer
    return kept, taken
