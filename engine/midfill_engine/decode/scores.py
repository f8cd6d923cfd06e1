"""What the model thought of the tokens it wrote: the evidence for where, and whether, to stop."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from midfill_engine.decode.sampling import Row
from midfill_engine.types import TokenScore

__all__ = ["Scorer", "log_normaliser"]


class Scorer:
    """Scores the tokens of one answer; ``observe`` is an ``OnChoice``.

    ``length`` tells how many characters of the answer there are so far. The first ``typed_bytes``
    that are chosen spell typed text and are no part of it.
    """

    def __init__(
        self,
        stop_ids: Collection[int],
        token_bytes: Callable[[int], bytes],
        length: Callable[[], int],
        typed_bytes: int = 0,
    ) -> None:
        self._stop_ids = np.fromiter(stop_ids, np.int64)
        self._token_bytes = token_bytes
        self._length = length
        self._typed_bytes = typed_bytes
        self._scores: list[TokenScore] = []

    def observe(self, token: int, row: Row) -> None:
        """Score ``token``, which was chosen by ``row``; takes about 0.3 ms."""
        normaliser = log_normaliser(row)
        chosen = float(row[token])
        # Looking for the second best: a copy costs less than sorting.
        others = row.copy()
        others[token] = -np.inf
        second = int(others.argmax())
        stops = row[self._stop_ids]
        self._scores.append(
            TokenScore(
                at=self._length(),
                logprob=chosen - normaliser,
                stop_logprob=log_normaliser(stops) - normaliser if len(stops) else -np.inf,
                runner_up=self._text(second),
                runner_up_logprob=float(others[second]) - normaliser,
            )
        )
        if self._typed_bytes:
            left = self._typed_bytes - len(self._token_bytes(token))
            self._typed_bytes = max(left, 0)

    def take(self) -> tuple[TokenScore, ...]:
        """Return the scores since the last call."""
        scores, self._scores = self._scores, []
        return tuple(scores)

    def _text(self, token: int) -> str:
        if token in self._stop_ids:
            return ""
        try:
            return self._token_bytes(token)[self._typed_bytes :].decode()
        except UnicodeDecodeError:
            # Half a letter is nothing to go on from.
            return ""


def log_normaliser(row: Row) -> float:
    """Return the logarithm of the sum of the exponentials of ``row``."""
    most = float(row.max())
    if not np.isfinite(most):
        return most
    return most + float(np.log(np.exp(row - most).sum()))
