"""Edits as people make them: every answer is that of a cold engine that does nothing clever."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from drafting import FREE, Constant, Similar, model_drafter
from tiny_files import converted_gguf, vocabulary
from tiny_models import Floats, ToyBackend, tiny_model
from token_corpus import corpus

from midfill_engine.backends.base import Backend, KVCache, Logits
from midfill_engine.backends.onnx_backend import OnnxBackend
from midfill_engine.cancel import CancelToken
from midfill_engine.decode.chain import ChainDrafter
from midfill_engine.decode.drafters import Drafter, NoDraft
from midfill_engine.decode.lookup import LookupDrafter
from midfill_engine.local import LoadedModel, LocalEngine
from midfill_engine.prompt import resolve
from midfill_engine.tokenizer import build_tokenizer
from midfill_engine.types import (
    CompletionRequest,
    ContextChunk,
    EngineInfo,
    FinishReason,
    Sampling,
    Timings,
)

TOKENIZER = build_tokenizer(vocabulary())
FIM = resolve("qwen2.5-coder", TOKENIZER)
PLENTY = 1_000_000_000


def engine(
    backend: Backend,
    *,
    drafter: Drafter | None = None,
    prefill_chunk: int = 100_000,
    cache_bytes: int = 0,
) -> LocalEngine:
    model = LoadedModel(
        backend=backend,
        tokenizer=TOKENIZER,
        fim=FIM,
        stop_ids=FIM.stop_ids,
        context_tokens=256,
        prompt_tokens=96,
        prefill_chunk=prefill_chunk,
        cache_bytes=cache_bytes,
    )
    info = EngineInfo(model_id="tiny", backend="test", device="none")
    return LocalEngine(model, info, drafter=drafter)


def ask(
    engine: LocalEngine, request: CompletionRequest, cancel: CancelToken
) -> tuple[str, FinishReason, Timings]:
    *_, last = chunks = list(engine.stream(request, cancel))
    assert last.finish is not None
    assert last.timings is not None
    return "".join(chunk.text for chunk in chunks), last.finish, last.timings


class Guesser(NoDraft):
    """Knows the true answer, and tells it, something else, or too much."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self.truth: list[int] = []

    def propose(self, tokens: Sequence[int], limit: int, cancel: CancelToken) -> Sequence[int]:
        rest = self.truth[len(tokens) :] if self.truth[: len(tokens)] == list(tokens) else [5, 6]
        odds = self._random.choice([0.0, 0.7, 1.0])
        return [
            token if self._random.random() < odds else int(self._random.integers(384))
            for token in rest[: self._random.integers(0, 2 * limit)]
        ]


class Listener(NoDraft):
    """Guesses nothing, and hears what is generated."""

    def __init__(self) -> None:
        self.heard: list[int] = []

    def propose(self, tokens: Sequence[int], limit: int, cancel: CancelToken) -> Sequence[int]:
        self.heard = list(tokens)
        return ()


class Editor:
    """Two files in an editor: somebody types, takes back, jumps, and accepts what is shown.

    The split stays at ``anchor`` while keys are typed after it.
    """

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        texts = corpus()
        self._files = [texts["python"][:700], texts["typescript"][:500] + "é = '漢🙂'\n" * 3]
        self._undo: list[tuple[list[str], int, int, int]] = []
        self._at, self._anchor, self._cursor = 0, 40, 40
        self.shown = ""

    def requests(self, steps: int) -> Iterator[CompletionRequest]:
        for _ in range(steps):
            act = self._random.choice(
                ["type", "back", "jump", "file", "edit", "accept", "undo", "stay"],
                p=[0.4, 0.1, 0.08, 0.08, 0.08, 0.1, 0.1, 0.06],
            )
            before = (list(self._files), self._at, self._anchor, self._cursor)
            if act == "undo" and self._undo:
                self._files, self._at, self._anchor, self._cursor = self._undo.pop()
            else:
                self._undo.append(before)
                self._act(str(act))
            yield self._request()

    def _act(self, act: str) -> None:
        text = self._files[self._at]
        if act == "type":
            start = int(self._random.integers(len(text) - 3))
            self._insert(text[start : start + int(self._random.integers(1, 4))] or " ")
        elif act == "accept":
            self._insert(self.shown)
        elif act == "back" and self._cursor > self._anchor:
            self._files[self._at] = text[: self._cursor - 1] + text[self._cursor :]
            self._cursor -= 1
        elif act == "edit":
            where = int(self._random.integers(len(text)))
            self._files[self._at] = text[:where] + "new" + text[where + 4 :]
        elif act in ("jump", "file"):
            self._at ^= act == "file"
            text = self._files[self._at]
            self._cursor = int(self._random.choice([60, 150, 151, 380, len(text)]))
            self._anchor = text.rfind("\n", 0, self._cursor) + 1
        self._anchor, self._cursor = (
            min(at, len(self._files[self._at])) for at in (self._anchor, self._cursor)
        )

    def _insert(self, new: str) -> None:
        text = self._files[self._at]
        self._files[self._at] = text[: self._cursor] + new + text[self._cursor :]
        self._cursor += len(new)

    def _request(self) -> CompletionRequest:
        draw = self._random.random
        text, anchor = self._files[self._at], self._anchor
        if draw() < 0.15:
            anchor = self._cursor
        return CompletionRequest(
            prefix=text[:anchor],
            typed=text[anchor : self._cursor],
            suffix=text[self._cursor :],
            context=(ContextChunk(path="o.py", text="import os\n"),) if self._at else (),
            heal=draw() < 0.8,
            max_tokens=0 if draw() < 0.1 else 7,
            hints=(self.shown,),
        )


def replay(
    backend: Backend,
    seed: int,
    *,
    steps: int,
    cache_bytes: int,
    cold_backend: Backend | None = None,
    sampling: Sampling | None = None,
    drafter: Drafter | None = None,
) -> None:
    random, editor = np.random.default_rng(seed), Editor(seed)
    guesser = Guesser(seed)
    chunk = int(random.choice([3, 16, 50, 1000]))
    warm = engine(
        backend,
        drafter=drafter or (None if sampling else guesser),
        prefill_chunk=chunk,
        cache_bytes=cache_bytes,
    )
    reused = prompts = cancelled = accepted = 0
    for at, request in enumerate(editor.requests(steps)):
        if sampling:
            choice = Sampling(temperature=sampling.temperature, top_p=0.9, seed=at)
            request = replace(request, max_tokens=7, sampling=choice)
        listener = Listener()
        expected, finish, _ = ask(
            engine(cold_backend or backend, drafter=listener), request, CancelToken()
        )
        guesser.truth = listener.heard
        if random.random() < 0.25:
            ticks = count()
            soon = CancelToken(
                deadline_s=int(random.integers(0, 9)), clock=lambda ticks=ticks: next(ticks)
            )
            text, ended, _ = ask(warm, request, soon)
            assert expected.startswith(text)
            assert ended in (finish, FinishReason.CANCELLED)
            cancelled += ended is FinishReason.CANCELLED
            if random.random() < 0.5:
                continue
        text, ended, timings = ask(warm, request, CancelToken())
        assert (text, ended) == (expected, finish), request
        reused += timings.reused_tokens
        accepted += timings.accepted_tokens
        prompts += timings.prompt_tokens
        editor.shown = text
    assert cancelled
    assert reused > prompts / 3
    assert sampling or accepted


@pytest.mark.parametrize("cache_bytes", [0, 20_000, PLENTY])
@pytest.mark.parametrize("seed", range(5))
def test_edits_on_the_toy(seed: int, cache_bytes: int) -> None:
    replay(ToyBackend(TOKENIZER.vocab_size), seed, steps=60, cache_bytes=cache_bytes)


@pytest.mark.parametrize("seed", range(3))
def test_edits_on_the_toy_with_sampling(seed: int) -> None:
    sampling = Sampling(temperature=1.5)
    replay(ToyBackend(TOKENIZER.vocab_size), seed, steps=40, cache_bytes=20_000, sampling=sampling)


@pytest.mark.parametrize("seed", range(3))
def test_edits_on_the_toy_with_a_draft_model_and_lookup(seed: int) -> None:
    vocab = TOKENIZER.vocab_size
    model = model_drafter(Similar(vocab, every=2 + seed))
    drafter = ChainDrafter(LookupDrafter(Constant(FREE), FIM), model)
    replay(ToyBackend(vocab), seed, steps=60, cache_bytes=20_000, drafter=drafter)


class Decided:
    """A backend that was never in doubt: two nearly equal tokens would be a matter of rounding."""

    def __init__(self, backend: OnnxBackend) -> None:
        self._backend = backend
        self.vocab_size = backend.vocab_size
        self.new_cache: Callable[[int], KVCache] = backend.new_cache
        self.least_gap = np.inf

    def forward(self, tokens: Sequence[int], cache: KVCache, logits_for: int) -> Logits:
        rows: Floats = self._backend.forward(tokens, cache, logits_for)
        if logits_for:
            second, first = np.partition(rows[-1], -2)[-2:]
            self.least_gap = min(self.least_gap, float(first - second))
        return rows

    def close(self) -> None:
        self._backend.close()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> OnnxBackend:
    folder = converted_gguf(tiny_model("qwen2"), tmp_path_factory.mktemp("identity"))
    return OnnxBackend(folder, threads=1)


@pytest.mark.parametrize(("seed", "cache_bytes"), [(1, 0), (2, 1_500_000), (3, PLENTY)])
def test_edits_on_a_model(real: OnnxBackend, seed: int, cache_bytes: int) -> None:
    cold = Decided(real)
    replay(real, seed, steps=50, cache_bytes=cache_bytes, cold_backend=cold)
    assert cold.least_gap > 1e-4, "pick another seed"
