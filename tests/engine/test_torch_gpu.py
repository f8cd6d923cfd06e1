"""What only a GPU can show: recorded steps, 16-bit kernels, our own kernels compiled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_models import golden, prompt_ids, tiny_model
from torch_models import NO_TORCH, hub_source, opened

torch = pytest.importorskip("torch", reason=NO_TORCH)

from midfill_engine.backends.base import Backend  # noqa: E402
from midfill_engine.backends.torch_backend import WeightKind  # noqa: E402
from midfill_engine.backends.torch_linear import (  # noqa: E402  (it imports torch)
    Int4Linear,
    Int8Linear,
    linear_kernels,
    quantize_int4,
    quantize_int8,
)
from midfill_engine.synthetic_weights import SyntheticWeights  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

# Two layers of a 7B.
SEVEN = replace(
    tiny_model("llama").config,
    hidden=4096,
    ffn=11008,
    heads=32,
    kv_heads=32,
    head_dim=128,
    vocab=32016,
    rope_theta=1e6,
)


def greedy(backend: Backend, prompt: list[int], count: int, width: int = 1) -> list[int]:
    """Greedy ids, every step given ``width`` tokens of which only the first is right."""
    cache = backend.new_cache(512)
    written = [int(backend.forward(prompt, cache, 1)[0].argmax())]
    while len(written) < count:
        before = cache.length
        rows = backend.forward([written[-1]] * width, cache, width)
        written.append(int(rows[0].argmax()))
        cache.truncate(before + 1)
    return written


@pytest.mark.parametrize("name", ["llama", "llama-gqa", "qwen2-tied", "starcoder2", "gemma"])
@pytest.mark.parametrize("width", [1, 3, 16])
def test_recorded_steps_give_the_golden_tokens(name: str, width: int, tmp_path: Path) -> None:
    backend = opened(hub_source(tiny_model(name), tmp_path), device="cuda")
    expected = golden(name)
    assert greedy(backend, expected["prompt"], len(expected["greedy"]), width) == expected["greedy"]


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("weights", ["bf16", "fp16", "int8", "int4"])
def test_a_gpu_computes_what_the_cpu_computes(weights: WeightKind, compile: bool) -> None:
    source = SyntheticWeights(SEVEN)
    on_gpu = opened(source, weights, device="cuda", compile=compile)
    on_cpu = opened(source, weights, kernel="plain" if weights.startswith("int") else None)
    tokens = prompt_ids(tiny_model("llama"), 40)
    ours, reference = on_gpu.new_cache(512), on_cpu.new_cache(512)
    for part in (tokens[:30], tokens[30:33], tokens[33:34]):
        mine = on_gpu.forward(part, ours, len(part)).copy()
        theirs = on_cpu.forward(part, reference, len(part))
        assert np.abs(mine - theirs).max() < 0.05 * np.abs(theirs).max()


def test_places_take_turns_on_a_gpu(tmp_path: Path) -> None:
    backend = opened(hub_source(tiny_model("llama-gqa"), tmp_path), device="cuda")
    tokens = prompt_ids(tiny_model("llama-gqa"))
    first, second = backend.new_cache(200), backend.new_cache(200)
    backend.forward(tokens[:30], first, 0)
    backend.forward(tokens[::-1], second, 0)
    ours = backend.forward(tokens[30:35], first, 1).copy()
    fresh = backend.forward(tokens[:35], backend.new_cache(200), 1)
    assert np.allclose(ours, fresh, atol=1e-3)


@pytest.mark.parametrize("kernel", linear_kernels("cuda"))
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("rows", [1, 5, 16])
def test_kernels_multiply_by_the_widened_matrix(kernel: str, bits: int, rows: int) -> None:
    values = torch.randn(1024, 4096, device="cuda") / 64
    if bits == 8:
        product = Int8Linear(*quantize_int8(values, torch.bfloat16), kernel=kernel)
    else:
        product = Int4Linear(*quantize_int4(values, 128, torch.bfloat16), kernel=kernel)
    x = torch.randn(rows, 4096, device="cuda").bfloat16()
    expected = x.float() @ product.widened(0, 1024).float().T
    assert (product(x).float() - expected).norm() < 0.01 * expected.norm()
