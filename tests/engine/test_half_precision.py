"""The float16 graph, which is meant for a GPU, run by the processor's kernels.

Where the processor has no float16 kernel, ONNX Runtime puts casts around the float32 one: so what
is tested is the graph, its types and weights, and not what a GPU's kernels make of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from test_exactness import BOUNDS, in_chunks, numpy_logits, off_by
from tiny_files import converted_gguf
from tiny_models import TINY_MODELS, TinyModel, prompt_ids, tiny_model

from midfill_engine.backends.onnx_backend import OnnxBackend
from midfill_engine.backends.onnx_cache import CacheType, DeviceMemory
from midfill_engine.backends.onnx_session import open_session
from midfill_engine.errors import BackendUnavailableError, ModelFormatError
from midfill_engine.onnx.convert import OnnxManifest

HALF = 5e-3
"""How far off logits may be, as a share of their spread, because float16 has 11 bits."""


def converted(model: TinyModel, folder: Path, layout: str = "float32") -> Path:
    return converted_gguf(model, folder, layout, precision="float16")


@pytest.mark.parametrize("name", TINY_MODELS)
def test_logits_are_those_of_float32_but_for_rounding(name: str, tmp_path: Path) -> None:
    model, tokens = tiny_model(name), prompt_ids(tiny_model(name))
    backend = OnnxBackend(converted(model, tmp_path), threads=1)
    for chunk in (7, 48):
        logits = in_chunks(backend, tokens, chunk)
        assert logits.dtype == np.float32
        assert off_by(logits, numpy_logits(model, tokens)) < HALF


@pytest.mark.parametrize("layout", ["int8", "mixed", "int4-fine"])
@pytest.mark.parametrize("name", ["qwen2-tied", "llama-gqa", "starcoder2", "gemma"])
def test_quantised_weights_are_the_same(name: str, layout: str, tmp_path: Path) -> None:
    model, tokens = tiny_model(name), prompt_ids(tiny_model(name))
    backend = OnnxBackend(converted(model, tmp_path, layout), threads=1)
    # Nothing but the weights is rounded to 8 bits here, so the bounds of float32 are generous.
    assert off_by(in_chunks(backend, tokens, 16), numpy_logits(model, tokens)) < BOUNDS[layout]


@pytest.mark.parametrize("layout", ["float32", "mixed"])
@pytest.mark.parametrize("name", TINY_MODELS)
def test_all_but_the_logits_is_float16(name: str, layout: str, tmp_path: Path) -> None:
    folder = converted(tiny_model(name), tmp_path, layout)
    graph = onnx.load(OnnxManifest.graph_path(folder), load_external_data=False).graph
    values = [*graph.input, *graph.output]
    floats = {
        value.name: value.type.tensor_type.elem_type
        for value in values
        if value.type.tensor_type.elem_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    }
    assert floats.pop("logits") == onnx.TensorProto.FLOAT
    assert len(floats) == 4 * tiny_model(name).config.layers
    assert set(floats.values()) == {onnx.TensorProto.FLOAT16}
    assert all(each.data_type != onnx.TensorProto.FLOAT for each in graph.initializer)
    # Products in int8 are the processor's alone.
    levels = [each.i for node in graph.node for each in node.attribute if "accuracy" in each.name]
    assert not any(levels)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return converted(tiny_model("llama-gqa"), tmp_path_factory.mktemp("half"), "mixed")


TOKENS = prompt_ids(tiny_model("llama-gqa"), 20)


def test_the_manifest_tells_the_precision(folder: Path) -> None:
    manifest = OnnxManifest.read(folder)
    assert manifest is not None
    assert manifest.precision == "float16"


def test_a_cache_takes_half_the_memory(folder: Path) -> None:
    backend, config = OnnxBackend(folder, threads=1), tiny_model("llama-gqa").config
    cache = backend.new_cache(32)
    backend.forward(TOKENS[:3], cache, 0)
    assert cache.nbytes == 3 * 2 * config.kv_values


class PlacedBackend(OnnxBackend):
    """Keeps its caches in memory of the kind that a GPU's are in, on the device called "cpu"."""

    def _take_memory(self, shape: tuple[int, ...], dtype: CacheType, count: int) -> DeviceMemory:
        return DeviceMemory(shape, dtype, count, device="cpu")


def test_a_cache_in_device_memory_gives_the_same_logits(folder: Path) -> None:
    plain, placed = OnnxBackend(folder, threads=1), PlacedBackend(folder, threads=1)
    np.testing.assert_array_equal(in_chunks(placed, TOKENS, 6), in_chunks(plain, TOKENS, 6))


@pytest.mark.parametrize("capacity", [16, 32, 64])
def test_device_memory_is_copied_whatever_its_size(folder: Path, capacity: int) -> None:
    backend = PlacedBackend(folder, threads=1)
    one, two = backend.new_cache(32), backend.new_cache(capacity)
    backend.forward(TOKENS[:12], one, 0)
    backend.forward(TOKENS[10:20], two, 0)
    two.copy_beginning(one, 9)
    one.truncate(2)
    backend.forward(TOKENS[8:16], one, 0)
    assert two.length == 9
    rows = backend.forward(TOKENS[9:12], two, 3).copy()
    fresh = backend.new_cache(32)
    backend.forward(TOKENS[:9], fresh, 0)
    np.testing.assert_array_equal(rows, backend.forward(TOKENS[9:12], fresh, 3))


def test_device_memory_is_counted_whole(folder: Path) -> None:
    cache = PlacedBackend(folder, threads=1).new_cache(32)
    assert cache.nbytes == 32 * 2 * tiny_model("llama-gqa").config.kv_values


def test_the_two_kinds_of_memory_do_not_mix(folder: Path) -> None:
    one = PlacedBackend(folder, threads=1).new_cache(32)
    with pytest.raises(TypeError, match="another device"):
        OnnxBackend(folder, threads=1).new_cache(32).copy_beginning(one, 0)


def test_a_gpu_is_not_given_a_float32_graph(tmp_path: Path) -> None:
    folder = converted_gguf(tiny_model("qwen2"), tmp_path)
    with pytest.raises(ModelFormatError, match="precision float16"):
        OnnxBackend(folder, device="cuda")


def test_without_cuda_the_error_says_what_to_install(folder: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="the runtime is not installed")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("the onnxruntime that is installed has CUDA")
    with pytest.raises(BackendUnavailableError, match=r"pip install 'midfill\[cuda\]'"):
        open_session(folder, None, "cuda")
