"""Conversion: what it reads, what it leaves behind, and how little memory it takes."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from test_exactness import numpy_logits
from tiny_files import convert_to, mixed_types, write_gguf, write_safetensors
from tiny_models import TINY_MODELS, prompt_ids, tiny_model

from midfill_engine.backends.onnx_backend import OnnxBackend
from midfill_engine.cancel import CancelToken
from midfill_engine.errors import ModelError, ModelFormatError, WorkCancelledError
from midfill_engine.gguf.weights import GgufWeights
from midfill_engine.onnx.convert import (
    CONVERTER_VERSION,
    OnnxManifest,
    convert,
)
from midfill_engine.onnx.layouts import LAYOUTS, find_layout
from midfill_engine.progress import Progress, silent
from midfill_engine.safetensors_weights import SafetensorsWeights
from midfill_engine.weights import ModelConfig

Floats = npt.NDArray[np.float32]
MODEL = tiny_model("qwen2")


def start(
    source: object,
    folder: Path,
    *,
    layout: str = "int8",
    progress: Callable[[Progress], None] = silent,
    cancel: CancelToken | None = None,
) -> OnnxManifest:
    return convert(
        source,
        folder,
        layout=find_layout(layout),
        source_sha256="ab" * 32,
        progress=progress,
        cancel=cancel or CancelToken(),
    )


def tiny_source(name: str, folder: Path) -> SafetensorsWeights:
    return SafetensorsWeights(write_safetensors(tiny_model(name), folder / "hub"))


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_manifest_says_what_was_made_of_what(tmp_path: Path) -> None:
    source = GgufWeights(write_gguf(MODEL, tmp_path / "m.gguf", mixed_types))
    folder = tmp_path / "out"
    folder.mkdir()
    manifest = start(source, folder)
    assert manifest == OnnxManifest.read(folder)
    assert manifest == OnnxManifest(
        source_sha256="ab" * 32,
        layout="int8",
        converter_version=CONVERTER_VERSION,
        positions=MODEL.config.context_tokens,
        # The file holds its numbers as float32.
        config=replace(MODEL.config, norm_epsilon=float(np.float32(MODEL.config.norm_epsilon))),
    )


def test_a_manifest_of_before_there_was_a_choice_is_still_valid(tmp_path: Path) -> None:
    source = GgufWeights(write_gguf(MODEL, tmp_path / "m.gguf"))
    (tmp_path / "out").mkdir()
    manifest, path = start(source, tmp_path / "out"), tmp_path / "out" / "model.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    assert fields.pop("precision") == "float32"
    newer = ("rope_factor", "norm", "activation", "gated", "embedding_scale", "window", "tied")
    for name in newer:
        fields["config"].pop(name)
    path.write_text(json.dumps(fields), encoding="utf-8")
    assert OnnxManifest.read(tmp_path / "out") == manifest


@pytest.mark.parametrize(("asked", "positions"), [(None, 512), (64, 64), (700, 700)])
def test_a_cache_reaches_as_far_as_asked(asked: int | None, positions: int, tmp_path: Path) -> None:
    folder = convert_to(tiny_source("llama", tmp_path), tmp_path / "out", positions=asked)
    backend = OnnxBackend(folder, threads=1)
    assert backend.new_cache(1 << 20).capacity == positions


def test_positions_beyond_the_trained_ones_are_computed(tmp_path: Path) -> None:
    folder = convert_to(tiny_source("llama", tmp_path), tmp_path / "out", positions=600)
    tokens, backend = prompt_ids(tiny_model("llama"), 600), OnnxBackend(folder, threads=1)
    logits = backend.forward(tokens, backend.new_cache(600), 1)
    expected = numpy_logits(tiny_model("llama"), tokens)[-1:]
    np.testing.assert_allclose(logits, expected, atol=1e-4 * np.abs(expected).max())


def test_a_conversion_is_the_same_each_time(tmp_path: Path) -> None:
    source = GgufWeights(write_gguf(MODEL, tmp_path / "m.gguf", mixed_types))
    one, two = (convert_to(source, tmp_path / name, "int4") for name in ("one", "two"))
    assert files_of(one) == files_of(two)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"config": {}}', '{"config": 3}'])
def test_a_damaged_manifest_is_no_conversion(text: str, tmp_path: Path) -> None:
    assert OnnxManifest.read(tmp_path) is None
    (tmp_path / "model.json").write_text(text, encoding="utf-8")
    assert OnnxManifest.read(tmp_path) is None


@pytest.mark.parametrize("name", TINY_MODELS)
@pytest.mark.parametrize("layout", ["float32", "mixed"])
def test_progress_ends_exactly_at_its_total(name: str, layout: str, tmp_path: Path) -> None:
    reports: list[Progress] = []
    source = GgufWeights(write_gguf(tiny_model(name), tmp_path / "m.gguf"))
    (tmp_path / "out").mkdir()
    start(source, tmp_path / "out", layout=layout, progress=reports.append)
    done = [report.done for report in reports]
    assert done == sorted(done)
    assert done[-1] == reports[-1].total
    assert len({report.total for report in reports}) == 1


@pytest.mark.parametrize("kind", ["gguf", "safetensors"])
@pytest.mark.parametrize(
    "name",
    ["blk.1.ffn_up.weight", "blk.0.attn_k.weight", "output_norm.weight", "token_embd.weight"],
)
def test_a_checkpoint_that_lacks_a_tensor_is_refused(name: str, kind: str, tmp_path: Path) -> None:
    weights = {key: values for key, values in MODEL.weights.items() if key != name}
    model = replace(MODEL, weights=weights)
    (tmp_path / "out").mkdir()

    def attempt() -> None:
        if kind == "gguf":
            start(GgufWeights(write_gguf(model, tmp_path / "m.gguf")), tmp_path / "out")
        else:
            start(SafetensorsWeights(write_safetensors(model, tmp_path)), tmp_path / "out")

    with pytest.raises(ModelFormatError, match=f"{name}|token embedding"):
        attempt()
    assert OnnxManifest.read(tmp_path / "out") is None


@pytest.mark.parametrize("after", [0, 3])
def test_a_cancelled_conversion_is_none(after: int, tmp_path: Path) -> None:
    source, cancel, seen = GgufWeights(write_gguf(MODEL, tmp_path / "m.gguf")), CancelToken(), []
    (tmp_path / "out").mkdir()
    # An older conversion lay there: half overwritten it must not count as one.
    start(source, tmp_path / "out")

    def report(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) >= after:
            cancel.cancel()

    if after == 0:
        cancel.cancel()
    with pytest.raises(WorkCancelledError):
        start(source, tmp_path / "out", progress=report, cancel=cancel)
    assert len(seen) == after
    assert OnnxManifest.read(tmp_path / "out") is None


class MadeUpWeights:
    """A model whose weights are made when they are read: 300 MB as float32, none of it held."""

    config = ModelConfig(
        architecture="llama",
        layers=2,
        hidden=1024,
        ffn=4096,
        heads=16,
        kv_heads=4,
        head_dim=64,
        vocab=22000,
        context_tokens=1024,
        rope_theta=1e4,
        rope_interleaved=True,
        norm_epsilon=1e-5,
    )

    def shape(self, name: str) -> tuple[int, ...] | None:
        config, part = self.config, name.split(".")[-2]
        if name.endswith(".bias"):
            return None
        wide, keys = config.hidden, config.kv_heads * config.head_dim
        return {
            "token_embd": (config.vocab, wide),
            "output": (config.vocab, wide),
            "attn_k": (keys, wide),
            "attn_v": (keys, wide),
            "ffn_gate": (config.ffn, wide),
            "ffn_up": (config.ffn, wide),
            "ffn_down": (wide, config.ffn),
        }.get(part, (wide, wide))

    def rows(self, name: str, start: int, stop: int) -> Floats:
        shape = self.shape(name)
        assert shape is not None
        values = np.arange(start * shape[1], stop * shape[1], dtype=np.float32) % 997 / 997 - 0.5
        return values.reshape(stop - start, shape[1])

    def vector(self, name: str) -> Floats:
        return np.ones(self.config.hidden, np.float32)


def test_memory_is_a_few_slices_whatever_the_size(tmp_path: Path) -> None:
    source = MadeUpWeights()
    (tmp_path / "out").mkdir()
    tracemalloc.start()
    try:
        start(source, tmp_path / "out")
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "out" / "model.bin").stat().st_size > 70e6
    assert peak_bytes < 100e6


def test_an_unknown_layout_names_the_known_ones() -> None:
    with pytest.raises(ModelError, match=", ".join(LAYOUTS)):
        find_layout("int3")


@pytest.mark.parametrize(
    ("architecture", "expected"), [("gptneox", "gptneox"), ("qwen2moe", "qwen2moe")]
)
def test_other_architectures_are_refused(architecture: str, expected: str, tmp_path: Path) -> None:
    model = replace(MODEL, config=replace(MODEL.config, architecture=architecture))
    with pytest.raises(ModelFormatError, match=f"'{expected}'.*only llama, qwen2"):
        GgufWeights(write_gguf(model, tmp_path / "m.gguf"))


def rewritten(path: Path, old: bytes, new: bytes) -> Path:
    """The file with one of its names changed to another of the same length."""
    assert len(old) == len(new)
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    return path


@pytest.mark.parametrize("name", TINY_MODELS)
def test_a_gguf_file_tells_the_whole_shape(name: str, tmp_path: Path) -> None:
    model = tiny_model(name)
    config = GgufWeights(write_gguf(model, tmp_path / "m.gguf")).config
    narrow = float(np.float32(model.config.norm_epsilon))
    interleaved = model.config.architecture == "llama"
    assert config == replace(model.config, norm_epsilon=narrow, rope_interleaved=interleaved)


def test_starcoder2_has_its_window_though_gguf_files_leave_it_out(tmp_path: Path) -> None:
    model = tiny_model("starcoder2")
    for context, window in ((4096, None), (16384, 4096)):
        longer = replace(model, config=replace(model.config, context_tokens=context))
        path = write_gguf(longer, tmp_path / "m.gguf")
        rewritten(
            path, b"starcoder2.attention.sliding_window", b"starcoder2.attention.sliding_wxxxxx"
        )
        assert GgufWeights(path).config.window == window


def test_scaling_other_than_linear_is_refused(tmp_path: Path) -> None:
    path = write_gguf(tiny_model("llama-linear"), tmp_path / "m.gguf")
    assert GgufWeights(path).config.rope_factor == 4
    # As long a name of a scaling that nobody knows.
    with pytest.raises(ModelFormatError, match=r"rotary positions \(square\)"):
        GgufWeights(rewritten(path, b"linear", b"square"))


def test_scaling_without_a_factor_is_refused(tmp_path: Path) -> None:
    path = write_gguf(tiny_model("llama-linear"), tmp_path / "m.gguf")
    with pytest.raises(ModelFormatError, match=r"lacks llama\.rope\.scaling\.factor"):
        GgufWeights(rewritten(path, b"rope.scaling.factor", b"rope.scaling.fxctor"))
