"""Where a device's memory ends, caches become smaller; the engine goes on."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import pytest
from tiny_files import vocabulary
from tiny_models import Floats, ToyBackend, ToyCache

from midfill_engine.cancel import CancelToken
from midfill_engine.errors import OutOfMemoryError
from midfill_engine.local import LoadedModel, LocalEngine
from midfill_engine.tokenizer import build_tokenizer
from midfill_engine.types import Chunk, CompletionRequest, EngineInfo, FinishReason


class Device(ToyBackend):
    """Has room for so many positions in all its caches together."""

    def __init__(self, positions: int) -> None:
        super().__init__(vocab_size=384)
        self.positions = positions
        self.fails_at: int | None = None
        self._caches: weakref.WeakSet[ToyCache] = weakref.WeakSet()

    def new_cache(self, capacity: int) -> ToyCache:
        cache = ToyCache(capacity)
        self._caches.add(cache)
        return cache

    def forward(self, tokens: Sequence[int], cache: ToyCache, logits_for: int) -> Floats:
        held = sum(one.length for one in self._caches)
        if held + len(tokens) > self.positions or self.fails_at == len(self.steps):
            raise OutOfMemoryError(f"no room for {len(tokens)} more positions")
        return super().forward(tokens, cache, logits_for)


def engine_on(device: Device) -> LocalEngine:
    model = LoadedModel(
        backend=device,
        tokenizer=build_tokenizer(vocabulary()),
        fim=None,
        stop_ids=frozenset(),
        context_tokens=200,
        prompt_tokens=100,
        cache_bytes=1_000_000,
    )
    return LocalEngine(model, EngineInfo(model_id="tiny", backend="toy", device="cpu"))


def ask(engine: LocalEngine, letter: str, length: int = 60) -> list[Chunk]:
    request = CompletionRequest(prefix=letter * length, max_tokens=8, heal=False)
    return list(engine.stream(request, CancelToken()))


def text(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def test_other_places_are_given_up_for_an_answer() -> None:
    plenty = engine_on(Device(10_000))
    expected = [text(ask(plenty, letter)) for letter in "xyz"]
    device = Device(150)
    engine = engine_on(device)
    found = [text(ask(engine, letter)) for letter in "xyz"]
    assert found == expected
    # And it still answers where it was before.
    assert text(ask(engine, "x")) == expected[0]


def test_what_can_never_fit_is_a_clear_error_and_the_engine_lives() -> None:
    engine = engine_on(Device(40))
    with pytest.raises(OutOfMemoryError, match="no room"):
        ask(engine, "x")
    assert text(ask(engine, "y", length=10))


def test_an_answer_that_runs_out_of_memory_ends_with_what_there_is() -> None:
    device = Device(10_000)
    engine = engine_on(device)
    whole = text(ask(engine, "x"))
    again = engine_on(device)
    device.fails_at = len(device.steps) + 4
    chunks = ask(again, "x")
    assert chunks[-1].finish is FinishReason.LENGTH
    assert whole.startswith(text(chunks))
    assert 0 < len(text(chunks)) < len(whole)
