"""Drafts by a smaller model: what they cost and gain, computed from steps and in the real loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.gpu_setting import Generation, Model, Setting, arbitrary_prompt, generate, median_ms
from midfill_engine.cache.sequence import CachedSequence, common_prefix_length
from midfill_engine.cancel import CancelToken
from midfill_engine.decode.loop import prefill
from midfill_engine.decode.sampling import Row, Sampler
from midfill_engine.types import Sampling

__all__ = [
    "ACCEPTANCES",
    "WIDTHS",
    "ForcedSampler",
    "LoopRun",
    "PayingDrafter",
    "best_draft",
    "run_loop",
    "speed_up",
    "step_costs_ms",
]

WIDTHS = (1, 2, 4, 8, 16)
ACCEPTANCES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopRun:
    """The real loop with drafts of ``length``, of which about ``acceptance`` were let stand."""

    acceptance: float
    length: int
    drafted: Generation
    plain: Generation

    @property
    def speed_up(self) -> float:
        """Times as many tokens per second as the plain loop right beside it."""
        return self.drafted.tokens_per_s / self.plain.tokens_per_s


def step_costs_ms(model: Model, setting: Setting, widths: Sequence[int]) -> dict[int, float]:
    """Return what steps of so many tokens cost after the prompt, with logits for all of them."""
    sequence, prompt = model.sequence, arbitrary_prompt(model.config, setting)
    sequence.truncate(0)
    prefill(sequence, prompt, CancelToken(), len(prompt))

    def step(width: int) -> None:
        sequence.truncate(len(prompt))
        sequence.forward(prompt[:width], width)

    repeats = 5 * setting.rounds
    return {width: median_ms(partial(step, width), repeats) for width in widths}


def speed_up(
    target_ms: Mapping[int, float], draft_ms: float, acceptance: float, length: int
) -> float:
    """Return the expected gain over plain decoding.

    Each of ``length`` drafted tokens stands with ``acceptance`` if those before it do, and one
    token comes with every step. A step costs what the next measured width costs.
    """
    expected = sum(acceptance**count for count in range(length + 1))
    width = min(width for width in target_ms if width > length)
    return expected * target_ms[1] / (target_ms[width] + length * draft_ms)


def best_draft(
    target_ms: Mapping[int, float], draft_ms: float, acceptance: float
) -> tuple[int, float]:
    """Return the length of draft that gains most, and its gain."""
    lengths = range(1, max(target_ms))
    gains = {length: speed_up(target_ms, draft_ms, acceptance, length) for length in lengths}
    best = max(gains, key=lambda length: gains[length])
    return best, gains[best]


class ForcedSampler(Sampler):
    """Lets a drafted token stand at a given rate, whatever the models make of it.

    Synthetic models agree on nothing, and two that differ by rounding part after some tokens. So
    what stands is drawn; what it costs to look at the logits is paid all the same.
    """

    def __init__(self, acceptance: float, seed: int) -> None:
        super().__init__(Sampling())
        self._acceptance = acceptance
        self._draws = np.random.default_rng(seed)

    def accept(self, row: Row, proposed: int) -> int:
        """Return ``proposed`` or another token."""
        token = int(row.argmax())
        if self._draws.random() < self._acceptance:
            return proposed
        return token if token != proposed else (token + 1) % len(row)


class PayingDrafter:
    """Drafts ``length`` tokens by a real model, step by step, over a cache of its own."""

    def __init__(self, model: Model, *, length: int, vocab: int) -> None:
        self._sequence: CachedSequence = model.sequence
        self._length, self._vocab = length, vocab

    def begin(self, prompt: Sequence[int], hints: Sequence[Sequence[int]]) -> None:
        """Compute the prompt."""
        self._sequence.truncate(0)
        prefill(self._sequence, prompt, CancelToken(), len(prompt))

    def propose(self, tokens: Sequence[int], limit: int, cancel: CancelToken) -> Sequence[int]:
        """Go on from ``tokens``, after what the target did not take is forgotten."""
        sequence = self._sequence
        sequence.truncate(min(common_prefix_length(sequence.tokens, tokens), len(tokens) - 1))
        draft: list[int] = []
        missing = list(tokens[sequence.length :])
        for _ in range(min(limit, self._length)):
            row = sequence.forward(missing, 1)[0]
            # A draft that the target has no logits for could not be checked.
            draft.append(int(row[: self._vocab].argmax()))
            missing = draft[-1:]
        return draft

    def observe(self, drafted: int, accepted: int, step_ms: float) -> None:
        """Learn nothing: the length is given."""


def run_loop(
    target: Model, draft: Model, setting: Setting, *, acceptance: float, length: int, chunk: int
) -> LoopRun:
    """Time an answer with drafts beside a plain one."""
    prompt = arbitrary_prompt(target.config, setting)
    vocab = min(target.config.vocab, draft.config.vocab)
    plain = generate(target.sequence, prompt, setting, chunk=chunk)
    drafted = generate(
        target.sequence,
        prompt,
        setting,
        chunk=chunk,
        drafter=PayingDrafter(draft, length=length, vocab=vocab),
        max_draft=length,
        sampler=ForcedSampler(acceptance, setting.seed),
    )
    return LoopRun(acceptance=acceptance, length=length, drafted=drafted, plain=plain)
