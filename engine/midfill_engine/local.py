"""The engine on this machine: render the prompt, reuse what is computed, decode, detokenise."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from midfill_engine.backends.base import Backend
from midfill_engine.cache.store import PrefixStore
from midfill_engine.cancel import CancelToken
from midfill_engine.decode.drafters import Drafter, NoDraft
from midfill_engine.decode.loop import PREFILL_CHUNK, Limits, decode
from midfill_engine.decode.sampling import Sampler
from midfill_engine.errors import RequestError
from midfill_engine.prompt import Prompt, ResolvedFim, render
from midfill_engine.tokenizer import StreamDecoder, Tokenizer
from midfill_engine.types import Chunk, CompletionRequest, EngineInfo, FinishReason, Timings

__all__ = ["LoadedModel", "LocalEngine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """All that answers need: the runtime, the vocabulary, and how this model is spoken to.

    ``stop_ids`` end an answer and never become text. ``context_tokens`` bounds prompt and answer
    together, ``prompt_tokens`` the prompt of a request that does not say; ``prefill_chunk`` is how
    many of its tokens are computed between two looks at the cancel token. ``cache_bytes`` is what
    the computed states of several places may hold; 0 keeps that of the last one only.
    """

    backend: Backend
    tokenizer: Tokenizer
    fim: ResolvedFim | None
    stop_ids: frozenset[int]
    context_tokens: int
    prompt_tokens: int
    prefill_chunk: int = PREFILL_CHUNK
    cache_bytes: int = 0


class LocalEngine:
    """Serves one model from this process; calls must not overlap."""

    def __init__(
        self,
        model: LoadedModel,
        info: EngineInfo,
        *,
        drafter: Drafter | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._model = model
        self._info = info
        self._drafter = drafter or NoDraft()
        self._clock = clock
        self._store = PrefixStore(model.backend, model.context_tokens, model.cache_bytes)

    @property
    def info(self) -> EngineInfo:
        """Which model serves, where and why."""
        return self._info

    def stream(self, request: CompletionRequest, cancel: CancelToken) -> Iterator[Chunk]:
        """Yield the answer as it grows; see ``Engine.stream``."""
        started_s = self._clock()
        prompt = self._render(request)
        rendered_s = self._clock()
        sequence = self._store.take(prompt.tokens)
        reused_tokens = sequence.length
        answer = decode(
            sequence,
            prompt.tokens,
            limits=Limits(
                stop_ids=self._model.stop_ids,
                max_tokens=request.max_tokens,
                prefill_chunk=self._model.prefill_chunk,
            ),
            sampler=Sampler(request.sampling),
            drafter=self._drafter,
            cancel=cancel,
        )
        decoder = StreamDecoder(self._model.tokenizer)
        generated_tokens = 0
        first_s: float | None = None
        finish = FinishReason.CANCELLED
        for token, reason in _with_reason(answer):
            if token is None:
                finish = reason
                break
            generated_tokens += 1
            first_s = self._clock() if first_s is None else first_s
            if text := decoder.push(token):
                yield Chunk(text=text)
        ended_s = self._clock()
        # A prompt that was cancelled half way has prefilled only what the sequence now holds.
        computed = min(sequence.length, len(prompt.tokens))
        timings = Timings(
            prompt_tokens=computed,
            reused_tokens=reused_tokens,
            prefilled_tokens=computed - reused_tokens,
            generated_tokens=generated_tokens,
            render_ms=(rendered_s - started_s) * 1000,
            ttft_ms=None if first_s is None else (first_s - started_s) * 1000,
            decode_ms=0.0 if first_s is None else (ended_s - first_s) * 1000,
        )
        yield Chunk(text=_unfinished(decoder, finish), finish=finish, timings=timings)

    def close(self) -> None:
        """Release the model."""
        self._model.backend.close()

    def _render(self, request: CompletionRequest) -> Prompt:
        model = self._model
        # The answer is promised its room before the prompt gets the rest.
        room = model.context_tokens - request.max_tokens
        budget = request.max_prompt_tokens or model.prompt_tokens
        if room < 1:
            raise RequestError(
                f"an answer of {request.max_tokens} tokens leaves no room for a prompt in a "
                f"context of {model.context_tokens}"
            )
        prompt = render(
            request,
            tokenizer=model.tokenizer,
            fim=model.fim,
            budget_tokens=min(budget, room),
        )
        if not prompt.tokens:
            raise RequestError("there is no text before the cursor, and this model needs some")
        return prompt


def _unfinished(decoder: StreamDecoder, finish: FinishReason) -> str:
    """Text that the stream still held: only a model that stopped by itself meant to end there.

    Anywhere else the held bytes are half a letter that was still being written.
    """
    return decoder.flush() if finish is FinishReason.STOP else ""


def _with_reason(
    answer: Generator[int, None, FinishReason],
) -> Iterator[tuple[int | None, FinishReason]]:
    """Yield each token, then ``None`` with the reason that the generator returned."""
    while True:
        try:
            token = next(answer)
        except StopIteration as end:
            yield None, end.value
            return
        yield token, FinishReason.CANCELLED
