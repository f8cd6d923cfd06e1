"""The PyTorch backend behind the protocol: caches in the buffer and beside it, errors, loading."""

from __future__ import annotations

import builtins
import gc
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from types import ModuleType

import numpy as np
import pytest
from tiny_models import ToyBackend, prompt_ids, tiny_model
from torch_models import NO_TORCH, hub_source, opened

from midfill_engine.backends.base import KVCache, Logits
from midfill_engine.backends.torch_backend import TorchBackend, weight_bytes
from midfill_engine.cache.sequence import CachedSequence
from midfill_engine.cancel import CancelToken
from midfill_engine.decode.drafters import Drafter, NoDraft
from midfill_engine.decode.lookup import LookupDrafter
from midfill_engine.decode.loop import Limits, decode
from midfill_engine.decode.pace import StepCosts
from midfill_engine.decode.sampling import Sampler
from midfill_engine.errors import (
    BackendUnavailableError,
    ModelFormatError,
    OutOfMemoryError,
    WorkCancelledError,
)
from midfill_engine.progress import Progress
from midfill_engine.synthetic_weights import SyntheticWeights
from midfill_engine.types import Sampling
from midfill_engine.weights import ModelConfig, WeightSource

torch = pytest.importorskip("torch", reason=NO_TORCH)
torch.set_num_threads(1)

MODEL = tiny_model("llama-gqa")
PROMPT = prompt_ids(MODEL)
# Two layers, keys and values, two heads of 32, four bytes.
POSITION_BYTES = 2 * 2 * 2 * 32 * 4


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> WeightSource:
    return hub_source(MODEL, tmp_path_factory.mktemp("torch"))


@pytest.fixture
def backend(source: WeightSource) -> TorchBackend:
    return opened(source, capacity=320)


def answer(
    sequence: CachedSequence,
    prompt: Sequence[int],
    *,
    chunk: int = 64,
    drafter: Drafter | None = None,
    most: int = 40,
) -> list[int]:
    drafter = drafter or NoDraft()
    drafter.begin(prompt, ())
    limits = Limits(stop_ids=frozenset(), max_tokens=most, prefill_chunk=chunk)
    return list(
        decode(
            sequence,
            prompt,
            limits=limits,
            sampler=Sampler(Sampling()),
            drafter=drafter,
            cancel=CancelToken(),
        )
    )


def plainly(backend: TorchBackend, prompt: Sequence[int], most: int = 40) -> list[int]:
    """Greedy decoding that computes everything anew for each token."""
    written = list(prompt)
    for _ in range(most):
        logits = backend.forward(written, backend.new_cache(320), 1)
        written.append(int(logits[0].argmax()))
    return written[len(prompt) :]


@pytest.mark.parametrize("chunk", [1, 5, 16, 30, 64])
def test_cached_decoding_is_plain_decoding(backend: TorchBackend, chunk: int) -> None:
    expected = plainly(backend, PROMPT)
    assert answer(CachedSequence(backend, 320), PROMPT, chunk=chunk) == expected


def test_drafts_change_no_token(backend: TorchBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    # A prompt that has the answer in it, so that there is something to look up.
    prompt = [*PROMPT, *plainly(backend, PROMPT), *PROMPT]
    expected = plainly(backend, prompt)
    drafter = LookupDrafter(StepCosts([(1, 10.0), (8, 10.0), (16, 11.0)]))
    widths: list[int] = []
    forward = backend.forward

    def noted(tokens: Sequence[int], cache: KVCache, logits_for: int) -> Logits:
        widths.append(len(tokens))
        return forward(tokens, cache, logits_for)

    monkeypatch.setattr(backend, "forward", noted)
    assert answer(CachedSequence(backend, 320), prompt, drafter=drafter) == expected
    assert max(widths[3:]) > 1


class Wrong(NoDraft):
    """Drafts of every length, seldom right: all of them have to be rolled back."""

    def __init__(self, truth: Sequence[int]) -> None:
        self._truth, self._turn = truth, 0

    def propose(self, tokens: Sequence[int], limit: int, cancel: CancelToken) -> Sequence[int]:
        self._turn += 1
        draft = list(self._truth[len(tokens) :][: min(limit, self._turn % 16)])
        return [*draft[:-1], draft[-1] ^ 1] if draft else ()


def test_rolled_back_drafts_change_no_token(backend: TorchBackend) -> None:
    expected = plainly(backend, PROMPT)
    wrong = Wrong([*PROMPT, *expected])
    assert answer(CachedSequence(backend, 320), PROMPT, drafter=wrong) == expected


def test_places_that_take_turns_change_no_token(backend: TorchBackend) -> None:
    prompts = [PROMPT, PROMPT[:20] + PROMPT[5:30], PROMPT[::-1]]
    expected = [plainly(backend, prompt, 6) for prompt in prompts]
    sequences = [CachedSequence(backend, 320) for _ in prompts]
    for most in (1, 3, 6):
        for sequence, prompt, whole in zip(sequences, prompts, expected, strict=True):
            sequence.truncate(min(sequence.length, len(prompt) - 1))
            assert answer(sequence, prompt, most=most) == whole[:most]


def test_copies_answer_like_their_originals(backend: TorchBackend) -> None:
    original, in_use, aside = (CachedSequence(backend, 320) for _ in range(3))
    expected = answer(original, PROMPT)
    aside.copy_beginning(original, 30)
    assert answer(in_use, PROMPT[::-1], most=2)
    # From what is set aside into the buffer, and from what is set aside to beside it.
    in_use.copy_beginning(original, 25)
    again = CachedSequence(backend, 320)
    again.copy_beginning(aside, 20)
    for copy in (in_use, again, aside, original):
        copy.truncate(min(copy.length, len(PROMPT) - 1))
        assert answer(copy, PROMPT) == expected


def test_a_copy_does_not_follow_its_original(backend: TorchBackend) -> None:
    first, second = backend.new_cache(100), backend.new_cache(100)
    backend.forward(PROMPT[:20], first, 0)
    second.copy_beginning(first, 20)
    first.truncate(0)
    backend.forward(PROMPT[20:40], first, 0)
    ours = backend.forward(PROMPT[20:22], second, 2).copy()
    fresh = backend.new_cache(100)
    assert np.allclose(ours, backend.forward(PROMPT[:22], fresh, 2), atol=1e-4)


def test_copying_is_checked(backend: TorchBackend) -> None:
    first, small = backend.new_cache(100), backend.new_cache(8)
    backend.forward(PROMPT[:20], first, 0)
    for wrong in (9, 21, -1):
        with pytest.raises(ValueError, match="cannot copy"):
            small.copy_beginning(first, wrong)
    small.copy_beginning(first, 8)
    assert small.length == 8
    first.copy_beginning(first, 5)
    assert first.length == 5
    with pytest.raises(TypeError):
        first.copy_beginning(ToyBackend(8).new_cache(10), 0)


def test_places_cost_what_they_hold(backend: TorchBackend) -> None:
    first, second = backend.new_cache(320), backend.new_cache(320)
    assert first.nbytes == second.nbytes == 0
    backend.forward(PROMPT[:20], first, 0)
    backend.forward(PROMPT[:9], second, 0)
    assert (first.nbytes, second.nbytes) == (20 * POSITION_BYTES, 9 * POSITION_BYTES)
    assert first.parked is not None
    assert first.parked.numel() * 4 == first.nbytes
    # What is cut off of a tensor is held until it is used again, and counted.
    first.truncate(5)
    assert first.nbytes == 20 * POSITION_BYTES
    backend.forward([1], first, 0)
    assert first.nbytes == 6 * POSITION_BYTES
    first.truncate(0)
    assert first.nbytes == 0


def test_a_place_that_was_dropped_is_not_kept(backend: TorchBackend) -> None:
    first, second = backend.new_cache(320), backend.new_cache(320)
    backend.forward(PROMPT[:20], first, 0)
    kept = []
    real = backend._buffer.beginning
    backend._buffer.beginning = lambda length: (kept.append(length), real(length))[1]
    del first
    gc.collect()
    backend.forward(PROMPT[:5], second, 0)
    assert not kept


@pytest.mark.parametrize("width", [1, 2, 3, 5, 9, 16, 17])
def test_the_end_of_the_buffer(source: WeightSource, width: int) -> None:
    """A step padded to its width would write beyond a full cache."""
    capacity = 40
    backend, roomy = opened(source, capacity=capacity), opened(source, capacity=200)
    cache, other = backend.new_cache(1000), roomy.new_cache(1000)
    assert (cache.capacity, other.capacity) == (capacity, 200)
    before = capacity - width
    for each, engine in ((cache, backend), (other, roomy)):
        engine.forward(PROMPT[:before], each, 0)
    ours = backend.forward(PROMPT[before:capacity], cache, width).copy()
    assert cache.length == capacity
    expected = roomy.forward(PROMPT[before:capacity], other, width)
    assert np.allclose(ours, expected, atol=1e-4)
    with pytest.raises(ValueError, match="positions in a cache"):
        backend.forward([1], cache, 1)
    cache.truncate(before)
    assert np.allclose(backend.forward(PROMPT[before:capacity], cache, width), ours, atol=1e-4)


def test_what_cannot_be_asked(backend: TorchBackend) -> None:
    cache = backend.new_cache(20)
    for tokens, wanted in (([], 0), ([1, 2], 3), ([1], -1)):
        with pytest.raises(ValueError, match="rows of logits"):
            backend.forward(tokens, cache, wanted)
    with pytest.raises(ValueError, match="cannot truncate"):
        cache.truncate(1)
    with pytest.raises(TypeError):
        backend.forward([1], ToyBackend(8).new_cache(10), 1)
    backend.close()
    backend.close()
    with pytest.raises(ValueError, match="closed"):
        backend.forward([1], cache, 1)


@pytest.mark.parametrize("tokens", [3, 30])
def test_a_step_that_fails_leaves_the_cache_as_it_was(
    source: WeightSource, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = opened(source, capacity=320)
    cache, other = backend.new_cache(100), backend.new_cache(100)
    backend.forward(PROMPT[:10], other, 0)
    backend.forward(PROMPT[:10], cache, 0)
    expected = backend.forward(PROMPT[10 : 10 + tokens], cache, 1).copy()
    cache.truncate(10)
    model = backend._model
    assert model is not None

    def fails(*given: object, **more: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with monkeypatch.context() as patch:
        patch.setattr(model.layers[1], "forward", fails)
        with pytest.raises(OutOfMemoryError, match="int4"):
            backend.forward(PROMPT[10 : 10 + tokens], cache, 1)
    assert cache.length == 10
    again = backend.forward(PROMPT[10 : 10 + tokens], cache, 1)
    assert np.allclose(again, expected, atol=1e-5)


def test_no_room_to_set_a_place_aside_loses_neither(
    backend: TorchBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = backend.new_cache(100), backend.new_cache(100)
    backend.forward(PROMPT[:30], first, 0)

    def full(length: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with monkeypatch.context() as patch:
        patch.setattr(backend._buffer, "beginning", full)
        with pytest.raises(OutOfMemoryError):
            backend.forward([1], second, 0)
    assert (first.length, second.length) == (30, 0)
    ours = backend.forward(PROMPT[30:33], first, 1).copy()
    expected = backend.forward(PROMPT[:33], backend.new_cache(100), 1)
    assert np.allclose(ours, expected, atol=1e-4)


def test_a_model_that_does_not_fit_says_what_would(source: WeightSource) -> None:
    with pytest.raises(OutOfMemoryError, match=r"float32 weights and .* int8 .* 1000 tokens"):
        opened(source, capacity=10**12)


def load(source: WeightSource, cancel: CancelToken) -> list[Progress]:
    heard: list[Progress] = []
    TorchBackend(source, weights="int4", capacity=64, progress=heard.append, cancel=cancel)
    return heard


def test_loading_says_how_far_it_is(source: WeightSource) -> None:
    heard = load(source, CancelToken())
    done = [report.done for report in heard]
    assert done == sorted(done)
    assert done[-1] == heard[-1].total == source.config.matrix_weights
    assert len(done) > 10


@pytest.mark.parametrize("looks", [0, 3, 9])
def test_loading_can_be_cancelled(source: WeightSource, looks: int) -> None:
    ticks = count()
    with pytest.raises(WorkCancelledError):
        load(source, CancelToken(deadline_s=looks, clock=lambda: next(ticks)))


def test_an_architecture_without_a_module_is_refused(source: WeightSource) -> None:
    config = ModelConfig(**{**_fields(source.config), "architecture": "mamba"})
    with pytest.raises(ModelFormatError, match="mamba"):
        opened(SyntheticWeights(config))


def test_a_device_that_is_not_there(source: WeightSource) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(BackendUnavailableError, match="CUDA"):
        opened(source, device="cuda")


def test_without_torch_it_says_what_to_install(
    source: WeightSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., ModuleType] = builtins.__import__

    def without(name: str, *more: object) -> ModuleType:
        if name == "torch":
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BackendUnavailableError, match=r"pip install 'midfill\[torch\]'"):
        opened(source)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("weights", ["float32", "bf16", "int8", "int4"])
def test_weights_take_what_is_said(weights: str, tied: bool) -> None:
    fields = {**_fields(MODEL.config), "hidden": 256, "ffn": 1024, "tied": tied}
    config = ModelConfig(**fields)
    backend = opened(
        SyntheticWeights(config), weights, kernel="plain" if "int" in weights else None
    )
    model = backend._model
    assert model is not None
    held = {tensor.data_ptr(): tensor for tensor in (*model.parameters(), *model.buffers())}
    taken = sum(tensor.numel() * tensor.element_size() for tensor in held.values())
    assert taken == pytest.approx(weight_bytes(config, weights), rel=0.02)


def _fields(config: ModelConfig) -> Mapping[str, object]:
    return {name: getattr(config, name) for name in config.__slots__}
