"""The one decode loop: prefill in chunks, then draft, verify in one step, accept, roll back."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from midfill_engine.backends.base import Logits
from midfill_engine.cache.sequence import CachedSequence
from midfill_engine.cancel import CancelToken
from midfill_engine.decode.drafters import Drafter
from midfill_engine.decode.healing import Spelling
from midfill_engine.decode.sampling import Row, Sampler
from midfill_engine.decode.verify import Verdict, verify
from midfill_engine.types import FinishReason

__all__ = ["PREFILL_CHUNK", "Limits", "OnChoice", "Outcome", "decode", "prefill"]

OnChoice: TypeAlias = Callable[[int, Row], None]
"""Is told of a chosen id, and of the logits that it was chosen by, float32 ``[vocabulary]``.

The row is valid during the call only: a backend may write the next step over it.
"""

PREFILL_CHUNK = 64
"""Tokens between two looks at the cancel token while a prompt is computed, if nobody says.

Measured on two cores: 128 and 256 are fastest, 64 is 4-6 % slower and 512 likewise.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When to stop: ids that end the answer (never yielded), and how much may be generated."""

    stop_ids: frozenset[int]
    max_tokens: int
    max_draft: int = 15
    prefill_chunk: int = PREFILL_CHUNK


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Why a generation ended, and how many of the ids that were guessed for it stood."""

    finish: FinishReason
    drafted: int = 0
    accepted: int = 0


def prefill(
    sequence: CachedSequence, tokens: Sequence[int], cancel: CancelToken, chunk: int = PREFILL_CHUNK
) -> Logits | None:
    """Compute what ``sequence`` lacks of ``tokens``; return the logits after the last one.

    Returns ``None`` when cancelled; the chunks that were finished stay in the sequence.
    ``sequence`` must hold a true beginning of ``tokens``, as ``PrefixStore.take`` makes it.
    """
    while not cancel.cancelled:
        start = sequence.length
        if start == len(tokens):
            return sequence.ending
        stop = min(start + chunk, len(tokens))
        last = stop == len(tokens)
        logits = sequence.forward(tokens[start:stop], 1 if last else 0)
        if last:
            sequence.keep_ending(logits)
            return logits
    return None


def decode(
    sequence: CachedSequence,
    prompt: Sequence[int],
    *,
    limits: Limits,
    sampler: Sampler,
    drafter: Drafter,
    cancel: CancelToken,
    spelling: Spelling | None = None,
    on_choice: OnChoice = lambda token, row: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Generator[int, None, Outcome]:
    """Yield the ids that follow ``prompt`` until something ends them; return what did.

    Plain decoding is the case of an empty draft. The last id yielded may not be in ``sequence``
    yet: its step was never needed. ``spelling`` binds the first ids. ``on_choice`` is told of each
    id before it is yielded, and of the one that ends the answer.
    """
    logits = prefill(sequence, prompt, cancel, limits.prefill_chunk)
    if logits is None:
        return Outcome(finish=FinishReason.CANCELLED)
    spelling, written = spelling or Spelling.free(), [*prompt]
    end, drafted, accepted = len(prompt) + limits.max_tokens, 0, 0
    logits = spelling.restrict_rows(logits)
    chosen: Sequence[int] = (sampler.choose(logits[0]),)

    def ended(finish: FinishReason) -> Outcome:
        return Outcome(finish=finish, drafted=drafted, accepted=accepted)

    while True:
        for token, row in zip(chosen, logits, strict=False):
            if len(written) >= end:
                return ended(FinishReason.LENGTH)
            on_choice(token, row)
            if token in limits.stop_ids:
                return ended(FinishReason.STOP)
            written.append(token)
            yield token
            spelling = spelling.after(token)
        if len(written) >= end or sequence.room < 1:
            return ended(FinishReason.LENGTH)
        most = min(limits.max_draft, end - len(written) - 1, sequence.room - 1)
        draft = _draft(drafter, written, most, cancel) if spelling.done else ()
        if cancel.cancelled:
            return ended(FinishReason.CANCELLED)
        began_s = clock()
        logits, verdict = _step(sequence, written[-1], draft, spelling, sampler)
        drafted, accepted = drafted + len(draft), accepted + verdict.accepted
        drafter.observe(len(draft), verdict.accepted, (clock() - began_s) * 1000)
        chosen = (*draft[: verdict.accepted], verdict.token)


def _draft(
    drafter: Drafter, written: Sequence[int], most: int, cancel: CancelToken
) -> Sequence[int]:
    """Return at most ``most`` ids: no more than may still be generated, and fit into the cache."""
    return drafter.propose(written, most, cancel)[:most] if most > 0 else ()


def _step(
    sequence: CachedSequence,
    token: int,
    draft: Sequence[int],
    spelling: Spelling,
    sampler: Sampler,
) -> tuple[Logits, Verdict]:
    """Compute ``token`` and the draft after it; keep of the draft what the model agrees with."""
    kept = sequence.length + 1
    logits = spelling.restrict_rows(sequence.forward((token, *draft), len(draft) + 1))
    verdict = verify(draft, logits, sampler)
    sequence.truncate(kept + verdict.accepted)
    return logits, verdict
