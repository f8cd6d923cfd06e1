"""Steps padded to few shapes: which shapes, what they are given, and what they leave behind."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import prompt_ids, tiny_model
from torch_models import NO_TORCH, hub_source, opened

torch = pytest.importorskip("torch", reason=NO_TORCH)

from midfill_engine.backends.torch_backend import TorchBackend  # noqa: E402
from midfill_engine.backends.torch_steps import (  # noqa: E402  (it imports torch)
    StepRunner,
    reach_for,
    width_for,
)

MODEL = tiny_model("llama-gqa")
PROMPT = prompt_ids(MODEL)


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> TorchBackend:
    return opened(hub_source(MODEL, tmp_path_factory.mktemp("steps")), capacity=600)


def test_widths() -> None:
    assert [width_for(count) for count in (1, 2, 3, 4, 5, 8, 9, 16)] == [1, 2, 4, 4, 8, 8, 16, 16]
    assert width_for(17) is None


def test_reaches_are_powers_of_two_up_to_all_rows() -> None:
    ends = (1, 256, 257, 512, 513, 600, 616)
    assert [reach_for(end, 616) for end in ends] == [256, 256, 512, 512, 616, 616, 616]
    assert reach_for(10, 40) == 40


def shapes(backend: TorchBackend) -> set[tuple[int, int]]:
    steps = backend._steps
    assert steps is not None
    return set(steps._recorded)


def test_few_shapes_are_recorded(backend: TorchBackend) -> None:
    assert backend._model is not None
    backend._steps = StepRunner(backend._model, backend._buffer.values)
    cache = backend.new_cache(600)
    for count in (1, 2, 3, 4, 7, 9, 16):
        backend.forward(PROMPT[:count], cache, 1)
    assert shapes(backend) == {(width, 256) for width in (1, 2, 4, 8, 16)}
    backend.forward(prompt_ids(MODEL, 250), cache, 0)
    backend.forward([1], cache, 1)
    assert shapes(backend) - {(width, 256) for width in (1, 2, 4, 8, 16)} == {(1, 512)}


@pytest.mark.parametrize("at", [0, 1, 239, 241, 255, 256, 500, 583])
def test_a_reach_is_far_enough_wherever_a_step_lies(backend: TorchBackend, at: int) -> None:
    tokens = prompt_ids(MODEL, at + 17)
    cache = backend.new_cache(600)
    for start in range(0, at, 100):
        backend.forward(tokens[start : min(start + 100, at)], cache, 0)
    for count in (16, 5, 1):
        ours = backend.forward(tokens[at : at + count], cache, count).copy()
        cache.truncate(at)
        # One more token than the widest step takes goes another way.
        wide = backend.forward(tokens[at:], cache, 17)[:count]
        cache.truncate(at)
        assert np.allclose(ours, wide, atol=2e-4)


def test_padding_leaves_what_is_computed_alone(backend: TorchBackend) -> None:
    cache, values = backend.new_cache(600), backend._buffer.values
    backend.forward(PROMPT[:20], cache, 0)
    before = values[:, :, :, :20].clone()
    backend.forward(PROMPT[20:23], cache, 1)
    assert torch.equal(values[:, :, :, :20], before)
    # Three tokens and one of padding, which the next step overwrites.
    ours = backend.forward(PROMPT[23:25], cache, 1).copy()
    assert np.allclose(ours, backend.forward(PROMPT[:25], backend.new_cache(600), 1), atol=1e-4)


def test_garbage_behind_the_sequence_is_not_seen(backend: TorchBackend) -> None:
    cache = backend.new_cache(600)
    backend.forward(PROMPT[:20], cache, 0)
    expected = backend.forward(PROMPT[20:23], cache, 3).copy()
    cache.truncate(20)
    backend._buffer.values[:, :, :, 20:] = 1000.0
    assert np.array_equal(backend.forward(PROMPT[20:23], cache, 3), expected)
