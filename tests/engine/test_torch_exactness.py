"""The PyTorch modules compute what transformers computes, from every kind of file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tiny_files import mixed_types, stored_as
from tiny_models import (
    TINY_MODELS,
    TinyModel,
    golden,
    prompt_ids,
    tiny_model,
    transformers_logits,
    transformers_model,
)
from torch_models import NO_TORCH, gguf_source, hub_source, opened

from midfill_engine.backends.torch_backend import TorchBackend, WeightKind

torch = pytest.importorskip("torch", reason=NO_TORCH)
# Tiny matrices: threads would only wait for each other.
torch.set_num_threads(1)

TOLERANCE = 5e-5
"""Of the largest logit."""

Logits = npt.NDArray[np.float32]


@pytest.fixture(
    scope="module",
    params=[f"{name}/{kind}" for name in TINY_MODELS for kind in ("gguf", "safetensors")],
)
def exact(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TinyModel, TorchBackend]:
    """Each model in float32; a GGUF file of Llama rotates neighbours, all others halves."""
    name, kind = request.param.split("/")
    model, folder = tiny_model(name), tmp_path_factory.mktemp("torch")
    source = (gguf_source if kind == "gguf" else hub_source)(model, folder)
    assert source.config.rope_interleaved == (kind == "gguf" and name.startswith("llama"))
    return model, opened(source)


def in_chunks(backend: TorchBackend, tokens: list[int], chunk: int) -> Logits:
    cache, rows = backend.new_cache(len(tokens)), []
    for start in range(0, len(tokens), chunk):
        part = tokens[start : start + chunk]
        rows.append(backend.forward(part, cache, len(part)).copy())
    return np.concatenate(rows)


def off_by(ours: Logits, reference: Logits) -> float:
    """As a share of the largest logit."""
    assert ours.shape == reference.shape
    assert ours.dtype == np.float32
    return float(np.abs(ours - reference).max() / np.abs(reference).max())


def test_logits_equal_the_golden_ones(exact: tuple[TinyModel, TorchBackend]) -> None:
    model, backend = exact
    expected = golden(model.name)
    ours = in_chunks(backend, expected["prompt"], len(expected["prompt"]))
    reference = np.array(expected["logits"], np.float32)
    assert off_by(ours[expected["positions"]], reference) < TOLERANCE


def test_greedy_tokens_equal_the_golden_ones(exact: tuple[TinyModel, TorchBackend]) -> None:
    model, backend = exact
    expected = golden(model.name)
    cache, step, written = backend.new_cache(256), expected["prompt"], []
    for _ in expected["greedy"]:
        written.append(int(backend.forward(step, cache, 1)[0].argmax()))
        step = written[-1:]
    assert written == expected["greedy"]


@pytest.mark.parametrize("name", TINY_MODELS)
def test_every_position_equals_transformers(name: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the live reference needs transformers")
    model = tiny_model(name)
    backend = opened(hub_source(model, tmp_path))
    # Long enough to leave the window, and the first power of two of rows that are read.
    tokens = prompt_ids(model, 300)
    reference = transformers_logits(transformers_model(model), tokens)
    for chunk in (300, 64, 7):
        assert off_by(in_chunks(backend, tokens, chunk), reference) < TOLERANCE


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 8, 15, 16, 17, 40])
def test_chunks_of_any_size_give_the_same_logits(
    exact: tuple[TinyModel, TorchBackend], chunk: int
) -> None:
    model, backend = exact
    tokens = prompt_ids(model)
    whole = in_chunks(backend, tokens, len(tokens))
    assert off_by(in_chunks(backend, tokens, chunk), whole) < TOLERANCE


def test_only_the_wanted_logits_come_and_they_are_the_last(
    exact: tuple[TinyModel, TorchBackend],
) -> None:
    model, backend = exact
    for count in (5, 40):
        tokens = prompt_ids(model, count)
        whole = backend.forward(tokens, backend.new_cache(64), count).copy()
        for wanted in (0, 1, 3):
            cache = backend.new_cache(64)
            rows = backend.forward(tokens, cache, wanted)
            assert rows.shape == (wanted, model.config.vocab)
            assert cache.length == count
            assert np.allclose(rows, whole[count - wanted :], atol=1e-4)


@pytest.mark.parametrize("name", ["qwen2-tied", "llama-gqa"])
def test_a_quantised_file_is_loaded_as_the_values_it_holds(name: str, tmp_path: Path) -> None:
    backend = opened(gguf_source(tiny_model(name), tmp_path / "a", mixed_types))
    same = opened(hub_source(stored_as(tiny_model(name), mixed_types), tmp_path / "b"))
    tokens = prompt_ids(tiny_model(name))
    assert off_by(in_chunks(backend, tokens, 16), in_chunks(same, tokens, 16)) < TOLERANCE


# These models are all noise, and forgive less than trained ones.
BOUNDS: dict[WeightKind, float] = {"bf16": 0.05, "fp16": 0.01, "int8": 0.06, "int4": 0.7}


@pytest.mark.parametrize("weights", BOUNDS)
@pytest.mark.parametrize("name", ["qwen2-tied", "llama-gqa", "starcoder2", "gemma"])
def test_every_form_of_weights_stays_close(name: str, weights: WeightKind, tmp_path: Path) -> None:
    source = hub_source(tiny_model(name), tmp_path)
    tokens = prompt_ids(tiny_model(name))
    exact, ours = opened(source), opened(source, weights)
    reference = in_chunks(exact, tokens, 48)
    for chunk in (4, 48):
        assert 1e-4 < off_by(in_chunks(ours, tokens, chunk), reference) < BOUNDS[weights]


@pytest.mark.parametrize("name", ["llama", "starcoder2"])
def test_layers_can_be_compiled_whole(name: str, tmp_path: Path) -> None:
    from midfill_engine.backends.torch_steps import StepRunner

    source = hub_source(tiny_model(name), tmp_path)
    plain, traced = opened(source), opened(source)
    assert traced._model is not None
    # Traced, and run as it is: a break in the graph or a value that is baked in would show.
    traced._model.compile_layers(backend="eager")
    traced._steps = StepRunner(traced._model, traced._buffer.values)
    tokens = prompt_ids(tiny_model(name))
    assert off_by(in_chunks(traced, tokens, 3), in_chunks(plain, tokens, 3)) < 1e-6
    assert off_by(in_chunks(traced, tokens, 1), in_chunks(plain, tokens, 1)) < 1e-6
