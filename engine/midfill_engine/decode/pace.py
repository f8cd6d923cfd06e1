"""How much to guess: as many tokens as pay, by how often guesses stood and what checking costs."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from itertools import accumulate, pairwise

__all__ = ["HitRates", "Origin", "StepCosts", "best_length"]

# How fast a text is found to be unlike others: what its guesses are worth is a mean over about
# 20 of them, and one more that came out as foreseen.
_RECENT, _TRUST = 0.95, 1.0
# A hit counts for about this many observations: text changes, and so does what it resembles.
_MEMORY = 60
# How much one step counts for the cost of its width, and by what factor it may be off at most.
_STEP_WEIGHT, _CLIP = 0.15, 3.0
# Costs vary from step to step; what pays less than this would be lost in that.
_MARGIN = 1.02


class Origin(Enum):
    """Why a place is thought to be what comes next."""

    TEXT = "text"
    """The tokens before it are those written last; it stands in the prompt or in the answer."""
    HINT = "hint"
    """The same, in a text that was named as similar."""
    DETOUR = "detour"
    """It was followed until other tokens were written, and may go on after them."""


# How often a guess stood in traces of two models, by how many tokens before it agreed; each is
# worth ``_PRIOR_WEIGHT`` observations. See benchmarks/LOG.md.
_PRIORS = {
    Origin.TEXT: (0.0, 0.25, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9),
    Origin.HINT: (0.25, 0.45, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.9),
    Origin.DETOUR: (0.25, 0.5, 0.6, 0.7, 0.8, 0.85, 0.85, 0.9, 0.9),
}
_PRIOR_WEIGHT = 8.0


class HitRates:
    """How often a guess stood, by its origin and by how many tokens before it agreed.

    Lives as long as the engine: each generation starts with what the ones before taught.
    """

    def __init__(self) -> None:
        self._hits = {
            (origin, matched): [rate * _PRIOR_WEIGHT, _PRIOR_WEIGHT]
            for origin, rates in _PRIORS.items()
            for matched, rate in enumerate(rates)
        }
        self._stood = self._foreseen = 0.0

    def begin(self) -> None:
        """Start a generation: it is not known yet whether guesses stand in it as elsewhere."""
        self._stood = self._foreseen = 0.0

    def rate(self, origin: Origin, matched: int) -> float:
        """Return the chance that a guess stands, after ``matched`` tokens that agree."""
        hits, seen = self._hits[self._cell(origin, matched)]
        return hits / seen

    def learn(self, origin: Origin, matched: int, hit: bool) -> None:
        """Count one guess that was ``matched`` tokens into its source."""
        self._stood = (self._stood + hit) * _RECENT
        self._foreseen = (self._foreseen + self.rate(origin, matched)) * _RECENT
        cell = self._hits[self._cell(origin, matched)]
        kept = 1 - 1 / _MEMORY
        cell[0] = cell[0] * kept + hit
        cell[1] = cell[1] * kept + 1

    def ahead(self, origin: Origin, matched: int, count: int) -> list[float]:
        """Return the chances of the next ``count`` guesses, each if those before it stood."""
        # In some texts, such as tables of numbers, much looks alike and then differs.
        share = min(1.0, (self._stood + _TRUST) / (self._foreseen + _TRUST))
        return [share * self.rate(origin, matched + index) for index in range(count)]

    @staticmethod
    def _cell(origin: Origin, matched: int) -> tuple[Origin, int]:
        return origin, min(matched, len(_PRIORS[origin]) - 1)


def best_length(odds: Sequence[float], costs_ms: Sequence[float]) -> int:
    """Return how many ids to draft for the most tokens per millisecond; 0 where none pays.

    ``odds[i]`` is the chance that id ``i`` stands if those before it do. ``costs_ms[i]`` is what
    a step costs that checks ``i`` ids; no more than it tells of are drafted.
    """
    best, length = _MARGIN / costs_ms[0], 0
    expected = chance = 1.0
    for count, (odd, cost_ms) in enumerate(zip(odds, costs_ms[1:], strict=False), start=1):
        chance *= odd
        expected += chance
        if expected / cost_ms > best:
            best, length = expected / cost_ms, count
    return length


class StepCosts:
    """What a step costs that checks 0, 1, 2, … drafted ids, by measurement and by experience.

    ``measured_ms`` has the tokens of a step and its time, ascending from one token; between them
    lie straight lines. What was measured while others used the machine may be far off, so each
    step of a generation corrects it.
    """

    def __init__(self, measured_ms: Sequence[tuple[int, float]]) -> None:
        self._measured_ms = _between(measured_ms)
        # Steps of 1, 2, 3-4, 5-8, … tokens: by what factor they cost more than was measured.
        self._factors = [1.0] * (len(self._measured_ms).bit_length() + 1)
        self.ms: Sequence[float] = self._measured_ms

    def learn(self, drafted: int, ms: float) -> None:
        """Count a step that checked ``drafted`` ids."""
        if not 0 <= drafted < len(self._measured_ms):
            return
        width = drafted.bit_length()
        factor = self._factors[width]
        # A step that was interrupted tells nothing of its width, so none counts for much.
        surprise = ms / (self._measured_ms[drafted] * factor)
        self._factors[width] = factor * min(max(surprise, 1 / _CLIP), _CLIP) ** _STEP_WEIGHT
        found = (
            ms * self._factors[count.bit_length()] for count, ms in enumerate(self._measured_ms)
        )
        # A wider step is never taken to be cheaper.
        self.ms = tuple(accumulate(found, max))


def _between(measured_ms: Sequence[tuple[int, float]]) -> tuple[float, ...]:
    costs = [ms for _, ms in measured_ms[:1]]
    for (fewer, low_ms), (more, high_ms) in pairwise(measured_ms):
        for tokens in range(fewer + 1, more + 1):
            ms = low_ms + (high_ms - low_ms) * (tokens - fewer) / (more - fewer)
            costs.append(max(ms, costs[-1]))
    return tuple(costs)
