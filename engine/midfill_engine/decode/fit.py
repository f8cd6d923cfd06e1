"""How well what follows the cursor goes on from an answer: the evidence for where it should end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from midfill_engine.backends.base import Logits
from midfill_engine.cache.sequence import CachedSequence
from midfill_engine.decode.scores import log_normaliser
from midfill_engine.types import Fit

__all__ = ["first_token_behind", "fit_of"]


def fit_of(sequence: CachedSequence, tokens: Sequence[int], then_tokens: int) -> Fit:
    """Return how probable the last ``then_tokens`` of ``tokens`` are after those before them.

    ``sequence`` holds a true beginning of ``tokens``, and not more than what precedes these and
    lacks the last of it, whose step tells of the first. One step for all that is missing: callers
    compute long prompts beforehand.
    """
    logits: Logits = sequence.forward(tokens[sequence.length : -1], then_tokens)
    then = tokens[len(tokens) - then_tokens :]
    logprob = sum(
        float(row[token]) - log_normaliser(row) for token, row in zip(then, logits, strict=True)
    )
    return Fit(logprob=logprob, tokens=then_tokens)


def first_token_behind(
    tokens: Sequence[int], length: int, token_bytes: Callable[[int], bytes]
) -> int:
    """Return the index of the first token that reaches behind the first ``length`` bytes.

    A token may belong to both sides: then it says something of what follows, and counts to it.
    """
    end = 0
    for index, token in enumerate(tokens):
        end += len(token_bytes(token))
        if end > length:
            return index
    return len(tokens)
