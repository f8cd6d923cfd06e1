"""What tests of drafters share: costs that stay, answers with drafts, models that are alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from tiny_models import Floats, ToyBackend

from midfill_engine.backends.base import Backend, KVCache
from midfill_engine.cache.sequence import CachedSequence
from midfill_engine.cache.store import PrefixStore
from midfill_engine.cancel import CancelToken
from midfill_engine.decode.draft_model import DraftModel, ModelDrafter
from midfill_engine.decode.drafters import Drafter
from midfill_engine.decode.loop import Limits, Outcome, decode
from midfill_engine.decode.pace import StepCosts
from midfill_engine.decode.sampling import Sampler
from midfill_engine.types import Sampling

# Wide steps are free, so everything that is found is drafted.
FREE = (10.0,) * 9
# And here nothing ever pays.
DEAR = tuple(10.0 * width for width in range(1, 10))


class Constant(StepCosts):
    """A step takes what ``costs_ms`` has for the ids it checks, always."""

    def __init__(self, costs_ms: Sequence[float]) -> None:
        super().__init__(list(enumerate(costs_ms, start=1)))

    def learn(self, drafted: int, ms: float) -> None:
        pass


class Similar(ToyBackend):
    """Thinks as a toy does, except after one text in ``every``, where it is as sure of nonsense."""

    def __init__(self, vocab_size: int = 40, spread: float = 4.0, *, every: int = 3) -> None:
        super().__init__(vocab_size, spread)
        self._every = every
        self.caches: list[KVCache] = []

    def row(self, tokens: Sequence[int]) -> Floats:
        row = super().row(tokens)
        return np.roll(row, 1) if self._every and sum(tokens) % self._every == 0 else row

    def new_cache(self, capacity: int) -> KVCache:
        self.caches.append(super().new_cache(capacity))
        return self.caches[-1]


def draft_model(
    backend: Backend, *, costs_ms: Sequence[float] = (1.0,) * 9, prefill_ms: float = 0.1
) -> DraftModel:
    """A draft model whose steps cost a tenth of those in ``FREE``."""
    return DraftModel(
        sequences=PrefixStore(backend, 512),
        vocab_size=backend.vocab_size,
        context_tokens=512,
        costs=Constant(costs_ms),
        prefill_ms=prefill_ms,
        prefill_chunk=16,
    )


def model_drafter(
    backend: Backend,
    *,
    costs_ms: Sequence[float] = FREE,
    stop_ids: frozenset[int] = frozenset(),
    draft_costs_ms: Sequence[float] = (1.0,) * 9,
    prefill_ms: float = 0.1,
) -> ModelDrafter:
    draft = draft_model(backend, costs_ms=draft_costs_ms, prefill_ms=prefill_ms)
    # By its clock, no time passes: then all plain steps that were not needed count as saved.
    return ModelDrafter(Constant(costs_ms), draft, stop_ids, clock=lambda: 0.0)


def run(
    backend: Backend,
    prompt: Sequence[int],
    drafter: Drafter,
    hints: Sequence[Sequence[int]] = (),
    *,
    stop_ids: frozenset[int] = frozenset(),
    most: int = 32,
    room: int = 64,
    cancel_after: int | None = None,
    sampling: Sampling | None = None,
) -> list[int]:
    """The answer, in a sequence that has ``room`` for it; cancelled after so many tokens."""
    tokens: list[int] = []
    cancel = CancelToken()
    limits = Limits(stop_ids=stop_ids, max_tokens=most)
    for token in _answer(backend, prompt, drafter, hints, limits, room, cancel, sampling):
        if isinstance(token, Outcome):
            break
        tokens.append(token)
        if len(tokens) == cancel_after:
            cancel.cancel()
    return tokens


def outcome_of(backend: Backend, prompt: Sequence[int], drafter: Drafter, most: int) -> Outcome:
    """How the answer of ``most`` tokens ended."""
    return tokens_and_outcome(backend, prompt, drafter, most=most)[1]


def tokens_and_outcome(
    backend: Backend,
    prompt: Sequence[int],
    drafter: Drafter,
    *,
    most: int = 32,
    cancel: CancelToken | None = None,
) -> tuple[list[int | Outcome], Outcome]:
    """The greedy answer, and how it ended."""
    limits = Limits(stop_ids=frozenset(), max_tokens=most)
    *tokens, last = _answer(
        backend, prompt, drafter, (), limits, most, cancel or CancelToken(), None
    )
    assert isinstance(last, Outcome)
    return tokens, last


def _answer(
    backend: Backend,
    prompt: Sequence[int],
    drafter: Drafter,
    hints: Sequence[Sequence[int]],
    limits: Limits,
    room: int,
    cancel: CancelToken,
    sampling: Sampling | None,
) -> Iterator[int | Outcome]:
    drafter.begin(prompt, hints)
    outcome = yield from decode(
        CachedSequence(backend, len(prompt) + room),
        prompt,
        limits=limits,
        sampler=Sampler(sampling or Sampling()),
        drafter=drafter,
        cancel=cancel,
    )
    yield outcome
