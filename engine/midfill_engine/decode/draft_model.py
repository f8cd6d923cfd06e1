"""Drafts by a smaller model of the same vocabulary: it writes some tokens ahead, one by one."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from midfill_engine.backends.base import Logits
from midfill_engine.cache.sequence import CachedSequence, common_prefix_length
from midfill_engine.cancel import CancelToken
from midfill_engine.decode.backlog import Backlog
from midfill_engine.decode.pace import (
    HitRates,
    Origin,
    Savings,
    StepCosts,
    best_prospect,
)
from midfill_engine.decode.sampling import Row
from midfill_engine.errors import OutOfMemoryError

__all__ = ["DraftModel", "ModelDrafter", "Sequences"]

# Guesses are told apart by how likely the draft model thinks them: below the first of these, from
# there to the second, and so on. How often each kind stands is learned.
_LEVELS = (0.3, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98, 0.995)
# How often a guess stands, whatever its kind: before anything was seen, and over how many.
_USUAL, _USUAL_MEMORY = 0.75, 30
# What it would have written instead of so many tokens that it missed is looked at, to learn from.
_REVIEWED = 8
# What saves a smaller share of the time than this would be lost in how much costs vary.
_LEAST_SHARE = 0.03
# An answer begins with short drafts: those that are as long as the first are doubled.
_FIRST_LENGTH = 4
# The step after a draft that stood has two tokens that the draft model has not seen.
_SEEN_NEXT = 2


class Sequences(Protocol):
    """Where the computed sequences of a draft model are kept, such as a ``PrefixStore``."""

    def shared_with(self, tokens: Sequence[int]) -> int:
        """Return how many leading ids of ``tokens`` are computed."""
        ...

    def take(self, tokens: Sequence[int], typed_tokens: int = 0) -> CachedSequence:
        """Return a sequence that holds these; the last ``typed_tokens`` will soon change."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftModel:
    """A loaded model that writes drafts, and what that costs.

    ``sequences`` may be those of an engine that serves the same model, if calls never overlap:
    what that one computed of a prompt is used then. Ids from ``vocab_size`` on mean nothing to one
    of the two models. ``context_tokens`` is how long a sequence may get. ``costs`` are those of
    its own steps, ``prefill_ms`` is for one token of a prompt.
    """

    sequences: Sequences
    vocab_size: int
    context_tokens: int
    costs: StepCosts
    prefill_ms: float
    prefill_chunk: int


@dataclass(frozen=True, slots=True)
class _Guess:
    """What the draft model would write, and at which of ``_LEVELS`` it is sure of it."""

    token: int
    level: int


class ModelDrafter:
    """Lets a draft model write ahead, as far as it is sure enough for that to pay.

    ``costs`` are those of the model that is drafted for; ``stop_ids`` end an answer. What drafts
    save is learned, in each answer anew and over all of them. Where they save nothing, nothing is
    computed; and what the draft model lacks of a text, it computes only where the rest of the
    answer is expected to pay for it.
    """

    def __init__(
        self,
        costs: StepCosts,
        draft: DraftModel,
        stop_ids: frozenset[int] = frozenset(),
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._costs = costs
        self._draft = draft
        self._stop_ids = stop_ids
        self._clock = clock
        # Taken once it pays, and left to others with the end of the answer.
        self._copy: _Copy | None = None
        # What the draft model has of a text before that; ``None``: nobody has looked yet.
        self._shared: int | None = None
        self._rates = HitRates()
        self._usual = _USUAL
        self._savings = Savings(_promised(costs, draft.costs))
        self._backlog = Backlog(clock)
        self._prompt_tokens = self._heard_tokens = 0
        self._able = False
        # How long the next draft may be.
        self._most = _FIRST_LENGTH
        # What was guessed last, for the place after so many tokens; and what that cost.
        self._guesses: list[_Guess] = []
        self._guessed_at = 0
        self._drafting_ms = 0.0

    def begin(self, prompt: Sequence[int], hints: Sequence[Sequence[int]]) -> None:
        """Start an answer; the draft model's sequences are not touched yet."""
        self._backlog.begin(len(prompt))
        self._prompt_tokens = self._heard_tokens = len(prompt)
        self._able = max(prompt, default=0) < self._draft.vocab_size
        self._rates.begin()
        self._savings.begin()
        self._copy = self._shared = None
        self._most = _FIRST_LENGTH
        self._guesses = []
        self._drafting_ms = 0.0

    def rate(self, tokens: Sequence[int], limit: int) -> float:
        """Return the tokens per millisecond to expect; those of plain steps where none pays."""
        self._hear(tokens)
        self._backlog.hear(len(tokens))
        plain_ms = self._costs.ms[0]
        saved_ms = plain_ms * self._savings.share
        fits = len(tokens) + limit <= self._draft.context_tokens
        if not self._able or not fits or self._savings.share < _LEAST_SHARE:
            return 1 / plain_ms
        again = self._copy is not None
        if not self._backlog.pays(self._missing_ms(tokens), saved_ms, plain_ms, again=again):
            return 1 / plain_ms
        return 1 / (plain_ms - saved_ms)

    def propose(self, tokens: Sequence[int], limit: int, cancel: CancelToken) -> Sequence[int]:
        """Return what the draft model writes after ``tokens``, as far as it may well stand."""
        if self.rate(tokens, limit) <= 1 / self._costs.ms[0]:
            return ()
        try:
            chances = self._guess(tokens, min(limit, self._most, len(self._costs.ms) - 1), cancel)
        except OutOfMemoryError:
            # No answer needs a draft; the next one tries again.
            self._able = False
            return ()
        if cancel.cancelled:
            return ()
        worth_ms = self._worth_ms()
        # The guesses are there: what counts from here on is what it costs to check them.
        gains = [
            sum(chances[1 : count + 1]) * worth_ms - self._costs.ms[count]
            for count in range(len(chances))
        ]
        return [guess.token for guess in self._guesses[: gains.index(max(gains))]]

    def observe(self, drafted: int, accepted: int, step_ms: float) -> None:
        """Count what the step and its draft cost, and what they gave."""
        self._costs.learn(drafted, step_ms)
        if self._drafting_ms > 0 and drafted < len(self._costs.ms):
            spent_ms = self._drafting_ms + self._costs.ms[drafted]
            self._savings.learn(accepted + 1, spent_ms / self._costs.ms[0])
            self._backlog.give(accepted + 1)
            grown = 2 * self._most if drafted else self._most
            self._most = grown if accepted == drafted else max(accepted, _FIRST_LENGTH)
        self._drafting_ms = 0.0

    def _guess(self, tokens: Sequence[int], limit: int, cancel: CancelToken) -> Sequence[float]:
        """Let the draft model write; return the chances that 0, 1, 2, … of its guesses stand."""
        self._guesses, self._guessed_at = [], len(tokens)
        chances = [1.0]
        if self._copy is None:
            answered = len(tokens) - self._prompt_tokens
            sequence = self._draft.sequences.take(tokens, answered)
            self._copy = _Copy(self._draft, sequence, self._prompt_tokens, self._clock)
        copy = self._copy
        if len(tokens) - copy.holds(tokens) > _SEEN_NEXT:
            self._backlog.interrupt()
        rows = copy.catch_up(tokens, cancel)
        if rows is None:
            return chances
        for row, token in zip(rows, tokens[len(tokens) - len(rows) + 1 :], strict=False):
            self._learn(self._read(row), token)
        row = rows[-1]
        while True:
            guess = self._read(row)
            self._guesses.append(guess)
            self._drafting_ms = copy.spent_ms
            chances.append(chances[-1] * self._rates.ahead(Origin.MODEL, guess.level, 1)[0])
            last = guess.token in self._stop_ids or len(self._guesses) >= limit
            if last or not self._goes_on(chances) or cancel.cancelled:
                return chances
            row = copy.write(guess.token)

    def _missing_ms(self, tokens: Sequence[int]) -> float:
        """Return what it costs to compute what is missing, beyond what any draft costs."""
        if self._shared is None:
            self._shared = self._draft.sequences.shared_with(tokens)
        missing = len(tokens) - (self._shared if self._copy is None else self._copy.holds(tokens))
        steps_ms = self._draft.costs.ms
        if missing <= _SEEN_NEXT:
            return 0.0
        if missing <= len(steps_ms):
            return steps_ms[missing - 1] - steps_ms[0]
        return missing * self._draft.prefill_ms

    def _goes_on(self, chances: Sequence[float]) -> bool:
        """Whether one more guess is likely to give more than writing and checking it costs."""
        count = len(chances)
        checking_ms = self._costs.ms[count] - self._costs.ms[count - 1]
        gain_ms = chances[-1] * self._usual * self._worth_ms()
        return gain_ms > self._draft.costs.ms[0] + checking_ms

    def _worth_ms(self) -> float:
        """Return the time that a token takes now, so that time is worth as much elsewhere."""
        return self._costs.ms[0] * (1 - max(self._savings.share, 0.0))

    def _hear(self, tokens: Sequence[int]) -> None:
        """Learn from what was written since, where something had been guessed."""
        new = tokens[self._heard_tokens :]
        self._heard_tokens = len(tokens)
        self._able = self._able and max(new, default=0) < self._draft.vocab_size
        written = tokens[self._guessed_at :]
        if not new or not self._guesses:
            return
        for guess, token in zip(self._guesses, written, strict=False):
            self._learn(guess, token)
            if guess.token != token:
                break
        self._guesses = []

    def _learn(self, guess: _Guess, token: int) -> None:
        hit = guess.token == token
        self._rates.learn(Origin.MODEL, guess.level, hit)
        self._usual += (hit - self._usual) / _USUAL_MEMORY

    def _read(self, row: Row) -> _Guess:
        row = row[: self._draft.vocab_size]
        token = int(row.argmax())
        return _Guess(token, bisect_right(_LEVELS, 1 / float(np.exp(row - row[token]).sum())))


class _Copy:
    """What the draft model has seen of one answer, in a sequence of its own."""

    def __init__(
        self,
        draft: DraftModel,
        sequence: CachedSequence,
        prompt_tokens: int,
        clock: Callable[[], float],
    ) -> None:
        self._draft = draft
        self._sequence = sequence
        self._prompt_tokens = prompt_tokens
        self._clock = clock
        # So many leading ids of the answer the sequence certainly holds.
        self._held = 0
        self.spent_ms = 0.0
        """What the guesses since the answer was last caught up with cost."""

    def holds(self, tokens: Sequence[int]) -> int:
        """Return how many leading ids of ``tokens`` are computed, guesses that stood included."""
        held = self._held
        return held + common_prefix_length(self._sequence.tokens[held:], tokens[held:])

    def catch_up(self, tokens: Sequence[int], cancel: CancelToken) -> Logits | None:
        """Compute what is missing of ``tokens``; return the logits after the last of them.

        A few rows before that say what would have been guessed. ``None``: cancelled.
        """
        # The last id is always left to compute, and guesses that did not stand are taken back.
        self._held = min(self.holds(tokens), len(tokens) - 1)
        self._sequence.truncate(self._held)
        step_ms, chunk = self._draft.costs.ms, self._draft.prefill_chunk
        while not cancel.cancelled:
            missing = len(tokens) - self._held
            if missing <= chunk:
                # What was missed before is no part of what a draft costs.
                self.spent_ms = step_ms[missing - 1 if missing <= _SEEN_NEXT else 0]
                # A prompt is not what a model would have written.
                answered = max(1, len(tokens) - self._prompt_tokens)
                rows = self._forward(tokens[self._held :], min(missing, answered, _REVIEWED))
                self._held = len(tokens)
                return rows
            self._sequence.forward(tokens[self._held : self._held + chunk], 0)
            self._held += chunk
        return None

    def write(self, token: int) -> Row:
        """Add ``token``, which is only a guess; return the logits after it."""
        self.spent_ms += self._draft.costs.ms[0]
        return self._forward((token,), 1)[0]

    def _forward(self, tokens: Sequence[int], logits_for: int) -> Logits:
        began_s = self._clock()
        rows = self._sequence.forward(tokens, logits_for)
        self._draft.costs.learn(len(tokens) - 1, (self._clock() - began_s) * 1000)
        return rows


def _promised(costs: StepCosts, draft_costs: StepCosts) -> float:
    """Return the share of the time that drafts of the usual quality save."""
    step_ms = draft_costs.ms[0]
    costs_ms = [ms + step_ms * count for count, ms in enumerate(costs.ms)]
    best = best_prospect([_USUAL] * len(costs_ms), costs_ms)
    return 1 - 1 / (best.rate * costs.ms[0])
