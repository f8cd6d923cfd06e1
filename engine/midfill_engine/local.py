"""The engine on this machine: render the prompt, reuse what is computed, decode, detokenise."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from midfill_engine.backends.base import Backend
from midfill_engine.cache.sequence import CachedSequence
from midfill_engine.cache.store import PrefixStore
from midfill_engine.cancel import CancelToken
from midfill_engine.decode.drafters import Drafter, NoDraft
from midfill_engine.decode.fit import first_token_behind, fit_of
from midfill_engine.decode.healing import Spelling, heal
from midfill_engine.decode.loop import PREFILL_CHUNK, Limits, OnChoice, Outcome, decode, prefill
from midfill_engine.decode.sampling import Row, Sampler
from midfill_engine.decode.scores import Scorer
from midfill_engine.errors import OutOfMemoryError, RequestError
from midfill_engine.prompt import (
    MAX_TYPED_TOKENS,
    ChatPrompt,
    Prompt,
    ResolvedChat,
    ResolvedFim,
    render,
    render_chat,
)
from midfill_engine.registry import MODELS
from midfill_engine.speed import Speed
from midfill_engine.tokenizer import StreamDecoder, Tokenizer
from midfill_engine.types import (
    ChatRequest,
    Chunk,
    CompletionRequest,
    Cost,
    EngineInfo,
    FinishReason,
    Fit,
    Request,
    Timings,
)

__all__ = ["LoadedModel", "LocalEngine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """All that answers need: the runtime, the vocabulary, and how this model is spoken to.

    ``stop_ids`` end a completion and never become text; an answer in a chat ends at those of
    ``chat``, which is ``None`` for a model that cannot. ``context_tokens`` bounds prompt and answer
    together, ``prompt_tokens`` the prompt of a request that does not say; ``prefill_chunk`` is how
    many of its tokens are computed between two looks at the cancel token. ``cache_bytes`` is what
    the computed states of several places may hold; 0 keeps that of the last one only. ``speed`` is
    what costs are predicted from; ``None`` where it was never measured.
    """

    backend: Backend
    tokenizer: Tokenizer
    fim: ResolvedFim | None
    stop_ids: frozenset[int]
    context_tokens: int
    prompt_tokens: int
    prefill_chunk: int = PREFILL_CHUNK
    cache_bytes: int = 0
    speed: Speed | None = None
    chat: ResolvedChat | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """A request in tokens: what to compute, and the bytes that the answer begins with.

    ``healed_tokens`` ids stood for these at the end of the prompt. Of those that are left, the last
    ``typed_tokens`` change with every key. ``drops_space``: the answer begins with a space that is
    no part of it.
    """

    tokens: tuple[int, ...]
    stop_ids: frozenset[int]
    healed: bytes = b""
    healed_tokens: int = 0
    typed_tokens: int
    drops_space: bool = False
    render_ms: float = 0.0


class LocalEngine:
    """Serves one model from this process; calls must not overlap.

    ``companion`` is a model that the drafter uses, closed along with this one; ``drafts_beside``
    says that it uses one that another engine serves.
    """

    def __init__(
        self,
        model: LoadedModel,
        info: EngineInfo,
        *,
        drafter: Drafter | None = None,
        companion: LoadedModel | None = None,
        drafts_beside: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._model = model
        self._info = info
        self._drafter = drafter or NoDraft()
        self._companion = companion
        self.drafts_beside = drafts_beside
        self._clock = clock
        self._latest: tuple[Request, _Task] | None = None
        self._store = PrefixStore(model.backend, model.context_tokens, model.cache_bytes)

    @property
    def info(self) -> EngineInfo:
        """Which model serves, where and why."""
        return self._info

    @property
    def model(self) -> LoadedModel:
        """The model that answers."""
        return self._model

    @property
    def sequences(self) -> PrefixStore:
        """What is computed at the places completed lately."""
        return self._store

    @property
    def cold_prompt_ms(self) -> float:
        """Expected time for a default prompt of which nothing is computed; 0: never measured."""
        speed = self._model.speed
        return 0.0 if speed is None else speed.completion_ms(self._model.prompt_tokens, 0)

    def stream(self, request: Request, cancel: CancelToken) -> Iterator[Chunk]:
        """Yield the answer as it grows; see ``Engine.stream``.

        Where the device's memory ends, what other places hold is given up, for good: the answer
        is then tried once more, or ends with what there is of it.
        """
        started_s = self._clock()
        task = self._task(request, started_s)
        try:
            yield from self._answer(task, request, cancel, started_s)
            return
        except OutOfMemoryError:
            self._store.shrink()
        # Not before the error is gone: it holds on to what held the memory.
        yield from self._answer(task, request, cancel, started_s)

    def _answer(
        self, task: _Task, request: Request, cancel: CancelToken, started_s: float
    ) -> Iterator[Chunk]:
        """Yield the answer; ``OutOfMemoryError`` is raised only before there is any of it."""
        sequence = self._store.take(task.tokens, task.typed_tokens)
        reused_tokens = sequence.length
        tokenizer = self._model.tokenizer
        decoder = StreamDecoder(
            tokenizer, drop_first_space=task.drops_space, skip_bytes=len(task.healed)
        )
        generated_tokens = written = 0
        typed_bytes = len(task.healed)
        scorer = Scorer(task.stop_ids, tokenizer.token_bytes, lambda: written, typed_bytes)
        scored = isinstance(request, CompletionRequest) and request.scored
        on_choice = scorer.observe if scored else _unheard
        first_s: float | None = None
        outcome = Outcome(finish=FinishReason.CANCELLED)
        try:
            for event in _events(self._decode(task, sequence, request, cancel, on_choice)):
                if isinstance(event, Outcome):
                    outcome = event
                    break
                generated_tokens += 1
                first_s = self._clock() if first_s is None else first_s
                if text := decoder.push(event):
                    written += len(text)
                    yield Chunk(text=text, scores=scorer.take())
        except OutOfMemoryError:
            if not generated_tokens:
                raise
            self._store.shrink()
            outcome = Outcome(finish=FinishReason.LENGTH)
        ended_s = self._clock()
        # A prompt that was cancelled half way has prefilled only what the sequence now holds.
        computed = min(sequence.length, len(task.tokens))
        timings = Timings(
            prompt_tokens=computed,
            reused_tokens=reused_tokens,
            prefilled_tokens=computed - reused_tokens,
            generated_tokens=generated_tokens,
            drafted_tokens=outcome.drafted,
            accepted_tokens=outcome.accepted,
            render_ms=task.render_ms,
            ttft_ms=None if first_s is None else (first_s - started_s) * 1000,
            decode_ms=0.0 if first_s is None else (ended_s - first_s) * 1000,
        )
        text = _unfinished(decoder, outcome.finish)
        yield Chunk(text=text, finish=outcome.finish, timings=timings, scores=scorer.take())

    def fit(
        self, request: CompletionRequest, answers: Sequence[str], then: str, cancel: CancelToken
    ) -> tuple[Fit, ...]:
        """Tell how probable ``then`` is after each answer; see ``Engine.fit``."""
        task, tokenizer = self._task(request, self._clock()), self._model.tokenizer
        fits: list[Fit] = []
        for answer in answers:
            # What was healed is spelled again, in the tokens that it has together with the answer.
            before = task.healed + answer.encode()
            ids = tokenizer.encode_fragment((before + then.encode()).decode(errors="replace"))
            at = first_token_behind(ids, len(before), tokenizer.token_bytes)
            tokens, start = (*task.tokens, *ids), len(task.tokens) + at
            sequence = self._store.take(tokens[:start], task.typed_tokens + at)
            sequence.truncate(min(sequence.length, start - 1))
            # Mostly the prompt is computed, and one step does for the answer and what follows.
            if start - 1 - sequence.length > self._model.prefill_chunk:
                prefill(sequence, tokens[: start - 1], cancel, self._model.prefill_chunk)
            if cancel.cancelled:
                break
            fits.append(fit_of(sequence, tokens, len(tokens) - start))
        return tuple(fits)

    def estimate(self, request: Request) -> Cost:
        """Predict the cost from what is computed; see ``Engine.estimate``."""
        tokens = self._task(request, self._clock()).tokens
        missing = len(tokens) - self._store.shared_with(tokens)
        speed = self._model.speed
        prefill_ms = 0.0 if speed is None else speed.completion_ms(missing, 0)
        return Cost(prefill_tokens=missing, prefill_ms=prefill_ms)

    def _decode(
        self,
        task: _Task,
        sequence: CachedSequence,
        request: Request,
        cancel: CancelToken,
        on_choice: OnChoice,
    ) -> Generator[int, None, Outcome]:
        tokenizer = self._model.tokenizer
        hints = [tokenizer.encode_fragment(hint) for hint in request.hints]
        self._drafter.begin(task.tokens, hints)
        return decode(
            sequence,
            task.tokens,
            limits=Limits(
                stop_ids=task.stop_ids,
                max_tokens=request.max_tokens and request.max_tokens + task.healed_tokens,
                prefill_chunk=self._model.prefill_chunk,
            ),
            sampler=Sampler(request.sampling),
            drafter=self._drafter,
            cancel=cancel,
            spelling=Spelling(
                left=task.healed, index=tokenizer.index, token_bytes=tokenizer.token_bytes
            ),
            on_choice=on_choice,
        )

    def _task(self, request: Request, began_s: float) -> _Task:
        """Return ``request`` in tokens; asked again for the same one, without a second rendering.

        What a request would cost is asked for right before it is computed. ``began_s``: now.
        """
        if self._latest is None or self._latest[0] is not request:
            task = self._tokenised(request)
            render_ms = (self._clock() - began_s) * 1000
            self._latest = request, replace(task, render_ms=render_ms)
        return self._latest[1]

    def _tokenised(self, request: Request) -> _Task:
        if isinstance(request, ChatRequest):
            chat = self._chat()
            answering = self._render_chat(request, chat)
            # The start of an answer is the same every time: nothing of it changes with a key.
            return self._healed(
                _Task(
                    tokens=answering.tokens,
                    stop_ids=chat.stop_ids,
                    typed_tokens=0,
                    drops_space=answering.drops_space,
                ),
                answering.healable_tokens,
            )
        prompt = self._render(request)
        task = _Task(
            tokens=prompt.tokens,
            stop_ids=self._model.stop_ids,
            typed_tokens=prompt.healable_tokens,
            drops_space=prompt.opens_text and self._model.tokenizer.space_prefix,
        )
        return self._healed(task, prompt.healable_tokens if request.heal else 0)

    def _healed(self, task: _Task, healable_tokens: int) -> _Task:
        """Take off what may be part of a longer token, of the last ``healable_tokens``."""
        start = len(task.tokens) - healable_tokens
        if not healable_tokens:
            return task
        tokenizer = self._model.tokenizer
        kept, healed = heal(task.tokens[start:], tokenizer.index, tokenizer.token_bytes)
        if start + kept == 0:
            # Something must be there to go on from.
            return task
        return replace(
            task,
            tokens=task.tokens[: start + kept],
            healed=healed,
            # What spells the typed text again is no part of the answer.
            healed_tokens=healable_tokens - kept,
            typed_tokens=min(task.typed_tokens, kept),
        )

    def close(self) -> None:
        """Release the model, and the one that drafts for it alone."""
        self._model.backend.close()
        if self._companion is not None:
            self._companion.backend.close()

    def _chat(self) -> ResolvedChat:
        if self._model.chat is None:
            able = ", ".join(spec.id for spec in MODELS if spec.chat and not spec.variant_of)
            raise RequestError(
                f"{self._info.model_id} completes code and was not made to chat; these can: {able}."
            )
        return self._model.chat

    def _render(self, request: CompletionRequest) -> Prompt:
        model = self._model
        # Some of the room is for what was typed, which comes on top of the budget.
        room = self._room(request)
        budget = min(self._budget(request), room - min(room // 3, MAX_TYPED_TOKENS))
        # Context comes on top as well, in what typed text leaves; less than nothing means none.
        left = room - budget - min(budget // 2, MAX_TYPED_TOKENS)
        prompt = render(
            request,
            tokenizer=model.tokenizer,
            fim=model.fim,
            budget_tokens=budget,
            context_tokens=min(budget * 3 // 4, left),
        )
        if not prompt.tokens:
            raise RequestError("there is no text before the cursor, and this model needs some")
        return prompt

    def _render_chat(self, request: ChatRequest, chat: ResolvedChat) -> ChatPrompt:
        budget = min(self._budget(request), self._room(request))
        return render_chat(
            request, chat=chat, tokenizer=self._model.tokenizer, budget_tokens=budget
        )

    def _budget(self, request: Request) -> int:
        return request.max_prompt_tokens or self._model.prompt_tokens

    def _room(self, request: Request) -> int:
        """Return what the answer leaves of the context: it is promised its room first."""
        room = self._model.context_tokens - request.max_tokens
        if room < 1:
            raise RequestError(
                f"an answer of {request.max_tokens} tokens leaves no room for a prompt in a "
                f"context of {self._model.context_tokens}"
            )
        return room


def _unfinished(decoder: StreamDecoder, finish: FinishReason) -> str:
    """Text that the stream still held: only a model that stopped by itself meant to end there.

    Anywhere else the held bytes are half a letter that was still being written.
    """
    return decoder.flush() if finish is FinishReason.STOP else ""


def _unheard(token: int, row: Row) -> None:
    """Take no notice of a choice."""


def _events(answer: Generator[int, None, Outcome]) -> Iterator[int | Outcome]:
    """Yield each token, then what the generator returned."""
    while True:
        try:
            token = next(answer)
        except StopIteration as end:
            yield end.value
            return
        yield token
