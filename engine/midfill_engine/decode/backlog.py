"""Whether a draft model should compute what it lacks of a text: it costs first and pays later."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

__all__ = ["AnswerLengths", "Backlog"]

# The lengths of the last answers say how much of one is still to come; at first this much.
_ANSWERS, _FIRST_REST = 32, 32.0
# So many tokens drafts give in a row, before anything was seen; and over how many rows.
_USUAL_RUN, _MEMORY = 16.0, 4
# Of the time of an answer, so much may be lost.
_RISKED = 0.03


class AnswerLengths:
    """How much of an answer is still to come, by the lengths of those before."""

    def __init__(self) -> None:
        self._lengths: deque[int] = deque(maxlen=_ANSWERS)

    def learn(self, tokens: int) -> None:
        """Count an answer; one of no tokens was none."""
        if tokens > 0:
            self._lengths.append(tokens)

    def rest(self, written: int) -> float:
        """Return how many tokens are expected to follow the first ``written``."""
        longer = [length - written for length in self._lengths if length > written]
        if longer:
            return sum(longer) / len(longer)
        # None was as long: it is taken to be half way.
        return max(float(written), _FIRST_REST)


class Backlog:
    """Knows how much drafts are used, and what an answer can afford to lose.

    Among several drafters the model's are used for a part of the tokens only, and in rows that
    others interrupt: after each it lacks what they gave.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lengths = AnswerLengths()
        self._usual_run, self._usual_share = _USUAL_RUN, 1.0
        self._run_tokens = self._given_tokens = self._written_tokens = 0
        self._prompt_tokens = 0
        # When the first token of the answer was there, and how many there were then.
        self._began_s = 0.0
        self._began_at: int | None = None

    def begin(self, prompt_tokens: int) -> None:
        """Start an answer; learn from the one before."""
        self._lengths.learn(self._written_tokens)
        if self._given_tokens:
            share = self._given_tokens / max(self._written_tokens, self._given_tokens)
            self._usual_share += (share - self._usual_share) / _MEMORY
        self.interrupt()
        self._given_tokens = self._written_tokens = 0
        self._prompt_tokens, self._began_at = prompt_tokens, None

    def hear(self, tokens: int) -> None:
        """Learn that there are so many tokens now, prompt and answer together."""
        self._written_tokens = tokens - self._prompt_tokens
        if self._began_at is None:
            self._began_s, self._began_at = self._clock(), self._written_tokens

    def give(self, tokens: int) -> None:
        """Count the tokens that a step gave with a draft of the model."""
        self._run_tokens += tokens
        self._given_tokens += tokens

    def interrupt(self) -> None:
        """Learn that others gave tokens since."""
        if self._run_tokens:
            self._usual_run += (self._run_tokens - self._usual_run) / _MEMORY
        self._run_tokens = 0

    def pays(self, cost_ms: float, saved_ms: float, plain_ms: float, *, again: bool) -> bool:
        """Whether to compute what is missing for ``cost_ms``, if each token drafted saves that.

        ``again``: it was computed before in this answer, and others took over.
        """
        if cost_ms <= 0:
            return True
        used = self._usual_share * self._lengths.rest(self._written_tokens)
        if again:
            used = min(used, self._usual_run)
        return cost_ms < min(saved_ms * used, self._affordable_ms(plain_ms))

    def _affordable_ms(self, plain_ms: float) -> float:
        """Return what may be lost, should the answer end before a cost was worth it.

        That is what drafts have saved of it so far, and a little of its time.
        """
        spent_ms = (self._clock() - self._began_s) * 1000
        saved_ms = (self._written_tokens - (self._began_at or 0)) * plain_ms - spent_ms
        return max(saved_ms, 0.0) + _RISKED * spent_ms
