"""The ONNX Runtime backend on an NVIDIA GPU: the contract of the processor's, within float16."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from test_exactness import in_chunks, numpy_logits, off_by
from tiny_files import converted_gguf
from tiny_models import TINY_MODELS, prompt_ids, tiny_model

from midfill_engine.backends.onnx_backend import OnnxBackend


def has_cuda() -> bool:
    if importlib.util.find_spec("onnxruntime") is None:
        return False
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not has_cuda(), reason="needs a CUDA device and pip install 'midfill[cuda]'"
    ),
]

# The kernels of a GPU add up in another order, and some round what the processor's do not.
CLOSE = 2e-2


def backend_for(name: str, folder: Path, layout: str) -> OnnxBackend:
    converted = converted_gguf(tiny_model(name), folder, layout, precision="float16")
    return OnnxBackend(converted, device="cuda")


@pytest.mark.parametrize("name", TINY_MODELS)
def test_logits_are_those_of_the_reference(name: str, tmp_path: Path) -> None:
    model, backend = tiny_model(name), backend_for(name, tmp_path, "float32")
    tokens = prompt_ids(model)
    for chunk in (1, 7, 48):
        assert off_by(in_chunks(backend, tokens, chunk), numpy_logits(model, tokens)) < CLOSE


@pytest.mark.parametrize("layout", ["int8", "mixed", "int4", "int4-fine"])
@pytest.mark.parametrize("name", ["qwen2-tied", "llama-gqa", "starcoder2", "gemma"])
def test_quantised_weights_give_what_they_give_on_the_processor(
    name: str, layout: str, tmp_path: Path
) -> None:
    tokens, backend = prompt_ids(tiny_model(name)), backend_for(name, tmp_path, layout)
    processor = OnnxBackend(tmp_path / layout, threads=1)
    for chunk in (1, 48):
        expected = in_chunks(processor, tokens, chunk)
        assert off_by(in_chunks(backend, tokens, chunk), expected) < CLOSE


def test_a_cache_is_rolled_back_and_copied(tmp_path: Path) -> None:
    backend, tokens = backend_for("llama-gqa", tmp_path, "mixed"), prompt_ids(tiny_model("llama"))
    fresh = backend.forward(tokens[:12], backend.new_cache(64), 3).copy()
    one = backend.new_cache(64)
    backend.forward([*tokens[:9], 5, 6], one, 0)
    one.truncate(9)
    for capacity in (64, 32):
        two = backend.new_cache(capacity)
        backend.forward(tokens[20:30], two, 0)
        two.copy_beginning(one, 9)
        assert off_by(backend.forward(tokens[9:12], two, 3).copy(), fresh) < CLOSE
    assert off_by(backend.forward(tokens[9:12], one, 3).copy(), fresh) < CLOSE


def test_a_full_cache_holds_numbers_only(tmp_path: Path) -> None:
    model, backend = tiny_model("qwen2"), backend_for("qwen2", tmp_path, "int8")
    tokens = prompt_ids(model, model.config.context_tokens)
    assert np.isfinite(in_chunks(backend, tokens, 64)).all()
