"""Our logits are those of transformers, from GGUF and from safetensors, however they are asked for.

Three references: the committed golden answers, a short forward pass in numpy, and, where torch and
transformers are installed, those libraries themselves.
"""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tiny_files import (
    F16,
    Q8_0,
    convert_to,
    converted_gguf,
    mixed_types,
    stored_as,
    write_safetensors,
)
from tiny_models import (
    NO_REFERENCE,
    TINY_MODELS,
    TinyModel,
    golden,
    prompt_ids,
    tiny_model,
    transformers_logits,
    transformers_model,
)

from midfill_engine.backends.onnx_backend import OnnxBackend
from midfill_engine.onnx.layouts import LAYOUTS, WeightLayout
from midfill_engine.onnx.quantize import BlockLayout, decode_rows, encode_rows
from midfill_engine.safetensors_weights import SafetensorsWeights

Logits = npt.NDArray[np.float32]

TOLERANCE = 1e-4
"""Of the largest logit."""

needs_reference = pytest.mark.skipif(
    not (importlib.util.find_spec("torch") and importlib.util.find_spec("transformers")),
    reason=NO_REFERENCE,
)


@pytest.fixture(
    scope="module",
    params=[f"{name}/{kind}" for name in TINY_MODELS for kind in ("gguf", "safetensors")],
)
def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TinyModel, OnnxBackend]:
    """Each model from each kind of file, in float32."""
    name, kind = request.param.split("/")
    model, folder = tiny_model(name), tmp_path_factory.mktemp("exact")
    if kind == "gguf":
        converted = converted_gguf(model, folder)
    else:
        source = SafetensorsWeights(write_safetensors(model, folder / "hub"))
        converted = convert_to(source, folder / "float32")
    return model, OnnxBackend(converted, threads=1)


def numpy_logits(model: TinyModel, tokens: list[int]) -> Logits:
    return _numpy_logits(model, tuple(tokens))


@lru_cache
def _numpy_logits(model: TinyModel, tokens: tuple[int, ...]) -> Logits:
    """The whole decoder in float64, written from the papers and nothing else of ours."""
    config = model.config
    weights = {name: values.astype(np.float64) for name, values in model.weights.items()}
    count, half = len(tokens), config.head_dim // 2
    frequencies = config.rope_theta ** -(np.arange(half) / half)
    angles = np.arange(count)[:, None] / config.rope_factor * frequencies
    turn = np.exp(1j * angles)[:, None, :]

    behind = np.arange(count)[:, None] - np.arange(count)
    hidden = (behind < 0) | (behind >= (config.window or count))

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        if config.norm == "layer":
            x = x - x.mean(-1, keepdims=True)
        scaled = x / np.sqrt((x**2).mean(-1, keepdims=True) + config.norm_epsilon)
        return scaled * weights[f"{name}.weight"] + weights.get(f"{name}.bias", 0.0)

    def act(x: np.ndarray) -> np.ndarray:
        if config.activation == "silu":
            return x / (1 + np.exp(-x))
        return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0.0)

    def rotate(x: np.ndarray) -> np.ndarray:
        turned = (x[..., :half] + 1j * x[..., half:]) * turn
        return np.concatenate((turned.real, turned.imag), axis=-1)

    def heads(x: np.ndarray, name: str, count_heads: int) -> np.ndarray:
        return linear(x, name).reshape(count, count_heads, config.head_dim)

    x = weights["token_embd.weight"][list(tokens)] * config.embedding_scale
    for layer in range(config.layers):
        at = f"blk.{layer}"
        normed = norm(x, f"{at}.attn_norm")
        q = rotate(heads(normed, f"{at}.attn_q", config.heads))
        k = rotate(heads(normed, f"{at}.attn_k", config.kv_heads))
        v = heads(normed, f"{at}.attn_v", config.kv_heads)
        k, v = (np.repeat(each, config.heads // config.kv_heads, axis=1) for each in (k, v))
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(config.head_dim)
        scores[:, hidden] = -np.inf
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", scores, v).reshape(count, -1)
        x = x + linear(mixed, f"{at}.attn_output")
        normed = norm(x, f"{at}.ffn_norm")
        inner = linear(normed, f"{at}.ffn_up")
        inner = act(linear(normed, f"{at}.ffn_gate")) * inner if config.gated else act(inner)
        x = x + linear(inner, f"{at}.ffn_down")
    head = "token_embd" if model.tied else "output"
    return linear(norm(x, "output_norm"), head).astype(np.float32)


def in_chunks(backend: OnnxBackend, tokens: list[int], chunk: int) -> Logits:
    """Logits of all positions, computed ``chunk`` at a time."""
    cache, rows = backend.new_cache(len(tokens)), []
    for start in range(0, len(tokens), chunk):
        part = tokens[start : start + chunk]
        rows.append(backend.forward(part, cache, len(part)).copy())
    return np.concatenate(rows)


def greedy(backend: OnnxBackend, prompt: list[int], count: int) -> list[int]:
    cache, step, written = backend.new_cache(len(prompt) + count), prompt, []
    for _ in range(count):
        written.append(int(backend.forward(step, cache, 1)[0].argmax()))
        step = written[-1:]
    return written


def assert_close(ours: Logits, reference: Logits, tolerance: float = TOLERANCE) -> None:
    assert ours.shape == reference.shape
    assert np.abs(ours - reference).max() <= tolerance * np.abs(reference).max()


def test_logits_equal_the_golden_ones(opened: tuple[TinyModel, OnnxBackend]) -> None:
    model, backend = opened
    expected = golden(model.name)
    ours = in_chunks(backend, expected["prompt"], len(expected["prompt"]))
    assert_close(ours[expected["positions"]], np.array(expected["logits"], np.float32))


def test_greedy_tokens_equal_the_golden_ones(opened: tuple[TinyModel, OnnxBackend]) -> None:
    model, backend = opened
    expected = golden(model.name)
    assert len(expected["greedy"]) >= 32
    assert greedy(backend, expected["prompt"], len(expected["greedy"])) == expected["greedy"]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 16, 31, 47, 48])
def test_chunks_of_any_size_give_the_same_logits(
    opened: tuple[TinyModel, OnnxBackend], chunk: int
) -> None:
    model, backend = opened
    tokens = prompt_ids(model)
    assert_close(in_chunks(backend, tokens, chunk), numpy_logits(model, tokens))


def test_all_positions_up_to_a_full_cache(opened: tuple[TinyModel, OnnxBackend]) -> None:
    model, backend = opened
    tokens = prompt_ids(model, model.config.context_tokens)
    assert_close(in_chunks(backend, tokens, 64), numpy_logits(model, tokens))


def test_a_cache_that_was_rolled_back_answers_like_a_new_one(
    opened: tuple[TinyModel, OnnxBackend],
) -> None:
    model, backend = opened
    first, cache = prompt_ids(model), backend.new_cache(64)
    backend.forward(first, cache, 0)
    for kept in (40, 17, 1, 0):
        other = [(token + 5 * kept + 1) % model.config.vocab for token in first[: 60 - kept]]
        cache.truncate(kept)
        ours = backend.forward(other, cache, len(other)).copy()
        fresh = backend.forward(first[:kept] + other, backend.new_cache(64), len(other))
        assert_close(ours, fresh)


def test_golden_answers_belong_to_these_weights() -> None:
    # A change of the generator would otherwise show as a wrong forward pass.
    for name in TINY_MODELS:
        expected = golden(name)
        reference = numpy_logits(tiny_model(name), expected["prompt"])
        assert_close(reference[expected["positions"]], np.array(expected["logits"], np.float32))


@needs_reference
@pytest.mark.parametrize("name", TINY_MODELS)
def test_transformers_still_answers_as_the_golden_file_says(name: str) -> None:
    expected, model = golden(name), tiny_model(name)
    tokens = expected["prompt"] + expected["greedy"]
    logits = transformers_logits(transformers_model(model), tokens)
    assert expected["config"] == asdict(model.config)
    assert_close(logits[expected["positions"]], np.array(expected["logits"], np.float32))
    # Each token of the answer is the best after those before it: so it was made greedily.
    assert logits[len(expected["prompt"]) - 1 : -1].argmax(-1).tolist() == expected["greedy"]


@needs_reference
@pytest.mark.parametrize("name", TINY_MODELS)
def test_a_quantised_file_equals_transformers_on_its_values(name: str, tmp_path: Path) -> None:
    plan = mixed_types if name == "qwen2-tied" else Q8_0
    model = stored_as(tiny_model(name), plan)
    backend = OnnxBackend(converted_gguf(tiny_model(name), tmp_path, plan=plan), threads=1)
    tokens = prompt_ids(model)
    assert_close(
        in_chunks(backend, tokens, 16), transformers_logits(transformers_model(model), tokens)
    )


@pytest.mark.parametrize("name", TINY_MODELS)
@pytest.mark.parametrize("plan", [F16, mixed_types], ids=["F16", "mixed"])
def test_a_quantised_file_equals_the_reference_on_its_values(
    plan: object, name: str, tmp_path: Path
) -> None:
    model = stored_as(tiny_model(name), plan)
    backend = OnnxBackend(converted_gguf(tiny_model(name), tmp_path, plan=plan), threads=1)
    tokens = prompt_ids(model)
    assert_close(in_chunks(backend, tokens, 16), numpy_logits(model, tokens))


ROUNDED_INPUTS = 0.05
"""How far off logits may be, as a share of their spread, because every layout but float32 rounds
the inputs of its products to 8 bits. These models, all noise, forgive less than trained ones."""

BOUNDS = {
    "float32": 1e-5,
    "exact": 0.05,
    "int8": 0.07,
    "mixed": 0.25,
    "int4": 0.45,
    "int4-fine": 0.4,
}
"""Likewise, against the weights before they were quantised."""


def off_by(ours: Logits, reference: Logits) -> float:
    return float(np.sqrt(np.mean((ours - reference) ** 2) / np.var(reference)))


def as_laid_out(model: TinyModel, layout: WeightLayout) -> TinyModel:
    """The model whose weights are what ``layout`` left of them, embedding and head apart."""

    def left(name: str, values: Logits, block: int | None = None) -> Logits:
        chosen = layout.choose(name, values)
        assert chosen is not None
        chosen = chosen if block is None else BlockLayout(bits=8, block=block)
        return decode_rows(encode_rows(values, chosen), chosen, values.shape[1])

    weights = {
        name: left(name, values, 32 if name == "token_embd.weight" else None)
        if values.ndim == 2
        else values
        for name, values in model.weights.items()
    }
    head = model.weights.get("output.weight", model.weights["token_embd.weight"])
    weights["output.weight"] = left("output.weight", head)
    return replace(model, config=replace(model.config, tied=False), weights=weights)


@pytest.mark.parametrize("layout", ["int8", "mixed", "int4", "int4-fine"])
@pytest.mark.parametrize("name", ["qwen2-tied", "llama-gqa", "starcoder2", "gemma"])
def test_a_layout_runs_on_the_weights_it_says_it_holds(
    name: str, layout: str, tmp_path: Path
) -> None:
    model = tiny_model(name)
    backend = OnnxBackend(converted_gguf(model, tmp_path, layout), threads=1)
    tokens = prompt_ids(model)
    reference = numpy_logits(as_laid_out(model, LAYOUTS[layout]), tokens)
    assert off_by(in_chunks(backend, tokens, 16), reference) < ROUNDED_INPUTS


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["qwen2-tied", "llama-gqa", "starcoder2", "gemma"])
def test_every_layout_stays_close_to_float32(name: str, layout: str, tmp_path: Path) -> None:
    model = stored_as(tiny_model(name), mixed_types)
    backend = OnnxBackend(
        converted_gguf(tiny_model(name), tmp_path, layout, mixed_types), threads=1
    )
    tokens = prompt_ids(model)
    assert off_by(in_chunks(backend, tokens, 16), numpy_logits(model, tokens)) < BOUNDS[layout]
