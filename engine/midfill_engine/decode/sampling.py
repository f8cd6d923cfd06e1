"""Choosing the next token from a row of logits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from midfill_engine.types import Sampling

__all__ = ["Sampler"]

Row = npt.NDArray[np.float32]
Probabilities = npt.NDArray[np.float64]


class Sampler:
    """Greedy at temperature 0; else temperature, then nucleus (top-p, arXiv 1904.09751).

    One sampler serves one generation: with a seed its choices depend on the rows alone.
    """

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._random = np.random.default_rng(sampling.seed)

    def choose(self, row: Row) -> int:
        """Draw the next token."""
        if self._sampling.temperature <= 0:
            return int(row.argmax())
        return self._draw(self.probabilities(row))

    def accept(self, row: Row, proposed: int) -> int:
        """Return ``proposed`` if it may stand, else the token that takes its place.

        The result is distributed as ``choose(row)`` is, whatever was proposed: a draft of one
        certain token is kept with its probability, and otherwise replaced by a draw from the
        rest (arXiv 2211.17192, with q a point mass).
        """
        if self._sampling.temperature <= 0:
            return int(row.argmax())
        probabilities = self.probabilities(row)
        if self._random.random() < probabilities[proposed]:
            return proposed
        probabilities[proposed] = 0.0
        rest = probabilities.sum()
        if rest <= 0:
            # Only rounding leads here: the draft was certain.
            return proposed
        return self._draw(probabilities / rest)

    def probabilities(self, row: Row) -> Probabilities:
        """The distribution that ``choose`` draws from, float64 ``[vocabulary]``."""
        scaled = row.astype(np.float64) / self._sampling.temperature
        scaled -= scaled.max()
        weights = np.exp(scaled)
        weights /= weights.sum()
        top_p = self._sampling.top_p
        if top_p < 1:
            order = np.argsort(-weights, kind="stable")
            before = np.cumsum(weights[order]) - weights[order]
            # The first token always stays: nothing comes before it.
            weights[order[before >= max(top_p, np.finfo(np.float64).tiny)]] = 0.0
            weights /= weights.sum()
        return weights

    def _draw(self, probabilities: Probabilities) -> int:
        bounds = np.cumsum(probabilities)
        at = self._random.random() * float(bounds[-1])
        index = int(np.searchsorted(bounds, at, side="right"))
        return min(index, len(bounds) - 1)
