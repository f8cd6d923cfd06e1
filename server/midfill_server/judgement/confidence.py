"""How sure one can be that a text is right, from what the model thought of each token of it.

What counts is the probability of all of its tokens together; the least probable one, the first, the
mean, the length and the kind of place were tried beside it, and told nothing more. A logistic curve
makes of it how often such texts were right, for every model the same. Its figures, and those of
what was tried: ``benchmarks/results/calibration.json``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from midfill_engine.types import TokenScore
from midfill_server.judgement.weights import BIAS, WEIGHTS

__all__ = [
    "EAGERNESS",
    "FEATURES",
    "Eagerness",
    "features",
    "is_shown",
    "may_be_shown",
    "probability",
    "shown_after",
    "trusted_length",
]

FEATURES = ("total",)
"""What a text is judged by: minus the root of minus the logarithm of its probability."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Eagerness:
    """What is shown: ``sureness`` is how probably right a first line must be.

    ``least_logprob``: lines after it are shown while the logarithm of the probability of all of
    the text up to their end is not below this.
    """

    sureness: float
    least_logprob: float


EAGERNESS: Mapping[str, Eagerness] = {
    "quiet": Eagerness(sureness=0.9, least_logprob=-1.0),
    "reserved": Eagerness(sureness=0.8, least_logprob=-4.0),
    "balanced": Eagerness(sureness=0.7, least_logprob=-12.0),
    "eager": Eagerness(sureness=0.35, least_logprob=-24.0),
    "always": Eagerness(sureness=0.0, least_logprob=-math.inf),
}
"""By the setting ``completion.eagerness``; each shows all that those above it do."""

# Where a token has this little probability, it makes no difference how little.
_LEAST_LOGPROB = -20.0
# A line that is farther from being shown seldom gets there by second thoughts.
_HOPE = 0.35
_LINE_END = re.compile(r"\r\n|[\r\n]")


def features(scores: Sequence[TokenScore], line: str) -> Mapping[str, float] | None:
    """Return the ``FEATURES`` of ``line``, the beginning of what the model wrote.

    ``scores`` are those of all its tokens so far. ``None``: there are none for this text, since
    the engine gives none or the text is empty.
    """
    end = len(line.rstrip())
    logprobs = [_bounded(score) for score in scores if score.at < end]
    if not logprobs:
        return None
    return {"total": -math.sqrt(-sum(logprobs))}


def probability(found: Mapping[str, float]) -> float:
    """Return how probably a text with these ``features`` is right, between 0 and 1."""
    score = BIAS + sum(
        weight * (found[name] - mean) / scale for name, (mean, scale, weight) in WEIGHTS.items()
    )
    # Kept from overflow: beyond this it is as good as certain.
    return 1 / (1 + math.exp(-max(-50.0, min(score, 50.0))))


def is_shown(sureness: float | None, eagerness: str) -> bool:
    """Tell whether to show a first line that is right with the probability ``sureness``.

    ``eagerness`` is the setting. What nothing is known of (``None``) is shown.
    """
    return sureness is None or sureness >= EAGERNESS[eagerness].sureness


def may_be_shown(sureness: float | None, eagerness: str) -> bool:
    """Tell whether a line that is so sure, or a better one, could be shown after a second look."""
    return is_shown(None if sureness is None else sureness + _HOPE, eagerness)


def shown_after(scores: Sequence[TokenScore], line: str, eagerness: str) -> int | None:
    """Return how much of ``line`` has to be typed, as it stands there, before the rest is shown.

    In characters, up to the start of a token; ``None``: whatever is typed of it.
    """
    for start in sorted({score.at for score in scores if 0 < score.at < len(line.rstrip())}):
        found = features([score for score in scores if score.at >= start], line)
        if found is not None and is_shown(probability(found), eagerness):
            return start
    return None


def trusted_length(scores: Sequence[TokenScore], shown: str, eagerness: str) -> int:
    """Return how many characters of ``shown`` to show: up to where confidence ends.

    That is all, or the end of a line, without the line end, and never before the end of the first
    line with something in it.
    """
    least = EAGERNESS[eagerness].least_logprob
    start = len(shown) - len(shown.lstrip())
    ends = [found.start() for found in _LINE_END.finditer(shown, start)]
    total, token, trusted = 0.0, 0, 0
    for end in (*ends, len(shown)):
        while token < len(scores) and scores[token].at < end:
            total += _bounded(scores[token])
            token += 1
        if trusted and total < least:
            return trusted
        if shown[trusted:end].strip():
            trusted = end
    return len(shown)


def _bounded(score: TokenScore) -> float:
    # Rounding may leave a certain token a little more than certain.
    return min(max(score.logprob, _LEAST_LOGPROB), 0.0)
