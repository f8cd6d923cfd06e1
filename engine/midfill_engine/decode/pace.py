"""How much to guess: as many tokens as pay, by how often guesses stood and what checking costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate, pairwise

__all__ = [
    "HitRates",
    "Origin",
    "Prospect",
    "Savings",
    "StepCosts",
    "best_length",
    "best_prospect",
    "expected_speedup",
]

# How fast a text is found to be unlike others: what its guesses are worth is a mean over about
# 20 of them, and one more that came out as foreseen.
_RECENT, _TRUST = 0.95, 1.0
# A hit counts for about this many observations: text changes, and so does what it resembles.
_MEMORY = 60
# How much one step counts for the cost of its width, and by what factor it may be off at most.
# What a plain step costs more, wider ones do as well that were not seen for about so many steps.
_STEP_WEIGHT, _CLIP = 0.15, 3.0
_STALE_AFTER = 20
# What drafts save is a mean over about 7 of one answer, and over about 50 of all. An answer starts
# as if so many of its tokens had been drafted and had saved what is usual, and each answer forgets
# this share of what was learned.
_SAVED_HERE, _SAVED_EVER = 0.85, 0.98
_SAVED_START, _FORGOTTEN = 6.0, 0.03
# Costs vary from step to step; what pays less than this would be lost in that.
_MARGIN = 1.05


class Origin(Enum):
    """Why a place is thought to be what comes next."""

    TEXT = "text"
    """The tokens before it are those written last; it stands in the prompt or in the answer."""
    HINT = "hint"
    """The same, in a text that was named as similar."""
    DETOUR = "detour"
    """It was followed until other tokens were written, and may go on after them."""
    MODEL = "model"
    """A draft model wrote it; instead of tokens that agree it is how sure that was that counts."""


# How often a guess stood in traces of two models, by how many tokens before it agreed; each is
# worth ``_PRIOR_WEIGHT`` observations. See benchmarks/LOG.md.
_PRIORS = {
    Origin.TEXT: (0.0, 0.25, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9),
    Origin.HINT: (0.25, 0.45, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.9),
    Origin.DETOUR: (0.25, 0.5, 0.6, 0.7, 0.8, 0.85, 0.85, 0.9, 0.9),
    Origin.MODEL: (0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.88, 0.94, 0.97),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """What a step is expected to give with a draft of ``length`` ids, and what it costs.

    ``tokens`` counts the one that the model adds itself; ``ms`` the drafting, too.
    """

    length: int
    tokens: float
    ms: float

    @property
    def rate(self) -> float:
        """Tokens per millisecond."""
        return self.tokens / self.ms


def best_prospect(odds: Sequence[float], costs_ms: Sequence[float]) -> Prospect:
    """Return the draft that gives the most tokens per millisecond; an empty one where none pays.

    ``odds[i]`` is the chance that id ``i`` stands if those before it do. ``costs_ms[i]`` is what
    it costs to draft ``i`` ids and to check them; no more than it tells of are drafted.
    """
    best = Prospect(length=0, tokens=1.0, ms=costs_ms[0])
    least = _MARGIN * best.rate
    expected = chance = 1.0
    for count, (odd, cost_ms) in enumerate(zip(odds, costs_ms[1:], strict=False), start=1):
        chance *= odd
        expected += chance
        if expected / cost_ms > least:
            best = Prospect(length=count, tokens=expected, ms=cost_ms)
            least = best.rate
    return best


def best_length(odds: Sequence[float], costs_ms: Sequence[float]) -> int:
    """Return how many ids to draft; see ``best_prospect``."""
    return best_prospect(odds, costs_ms).length


def expected_speedup(
    acceptance: float, length: int, target_step_ms: Sequence[float], draft_step_ms: float
) -> float:
    """Return how many times as fast decoding is with drafts of ``length`` ids as without.

    Each drafted id stands with the chance ``acceptance`` if those before it do, and costs
    ``draft_step_ms``; ``target_step_ms[i]`` is what a step costs that checks ``i`` ids, as in
    ``StepCosts.ms``. arXiv 2211.17192, with measured instead of equal costs of wide steps.
    """
    tokens = sum(acceptance**count for count in range(length + 1))
    cost_ms = target_step_ms[length] + length * draft_step_ms
    return tokens * target_step_ms[0] / cost_ms


class StepCosts:
    """What a step costs that checks 0, 1, 2, … drafted ids, by measurement and by experience.

    ``measured_ms`` has the tokens of a step and its time, ascending from one token; between them
    lie straight lines. What was measured while others used the machine may be far off, and they may
    begin to use it, so each step of a generation corrects what is known of its width; and a plain
    step what is known of the others, the less the more lately they were seen. Else the machine's
    getting slower would look as if wide steps had become cheap.
    """

    def __init__(self, measured_ms: Sequence[tuple[int, float]]) -> None:
        self._measured_ms = _between(measured_ms)
        # Steps of 1, 2, 3-4, 5-8, … tokens: by what factor they cost more than was measured.
        self._factors = [1.0] * (len(self._measured_ms).bit_length() + 1)
        self._unseen_steps = [_STALE_AFTER] * len(self._factors)
        self.ms: Sequence[float] = self._measured_ms

    def learn(self, drafted: int, ms: float) -> None:
        """Count a step that checked ``drafted`` ids."""
        if not 0 <= drafted < len(self._measured_ms):
            return
        width = drafted.bit_length()
        surprise = ms / (self._measured_ms[drafted] * self._factors[width])
        # A step that was interrupted tells nothing of its width, so none counts for much.
        change = min(max(surprise, 1 / _CLIP), _CLIP) ** _STEP_WEIGHT
        self._factors[width] *= change
        self._unseen_steps = [steps + 1 for steps in self._unseen_steps]
        self._unseen_steps[width] = 0
        if width == 0:
            # The machine has become slower or faster, for all that was not seen since as well.
            for other, unseen in enumerate(self._unseen_steps[1:], start=1):
                self._factors[other] *= change ** min(unseen / _STALE_AFTER, 1.0)
        found = (
            ms * self._factors[count.bit_length()] for count, ms in enumerate(self._measured_ms)
        )
        # A wider step is never taken to be cheaper.
        self.ms = tuple(accumulate(found, max))


class Savings:
    """How much of the time of plain decoding drafts save: the share, below 0 where they cost.

    ``promised`` is what is expected before anything was seen.
    """

    def __init__(self, promised: float) -> None:
        self._promised = promised
        # Tokens, and the plain steps that they took the time of.
        self._ever = (_SAVED_START, _SAVED_START * (1 - promised))
        self._here = self._ever

    @property
    def share(self) -> float:
        """What is expected of the next draft, from those of this answer above all."""
        tokens, steps = self._here
        return 1 - steps / tokens

    def begin(self) -> None:
        """Start an answer; what was learned is forgotten slowly, so that it is tried again."""
        tokens, steps = self._ever
        steps += _FORGOTTEN * tokens * (1 - self._promised - steps / tokens)
        self._ever = tokens, steps
        self._here = _SAVED_START, _SAVED_START * steps / tokens

    def learn(self, tokens: int, steps: float) -> None:
        """Count a draft: ``tokens`` came in the time of ``steps`` plain steps."""
        self._here, self._ever = (
            (known * kept + tokens, spent * kept + steps)
            for (known, spent), kept in ((self._here, _SAVED_HERE), (self._ever, _SAVED_EVER))
        )


def _between(measured_ms: Sequence[tuple[int, float]]) -> tuple[float, ...]:
    costs = [ms for _, ms in measured_ms[:1]]
    for (fewer, low_ms), (more, high_ms) in pairwise(measured_ms):
        for tokens in range(fewer + 1, more + 1):
            ms = low_ms + (high_ms - low_ms) * (tokens - fewer) / (more - fewer)
            costs.append(max(ms, costs[-1]))
    return tuple(costs)
