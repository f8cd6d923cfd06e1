"""Safetensors folders: read as GGUF files are, and refused where they are not what they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_files import bfloat16_bits, write_safetensors
from tiny_models import TINY_MODELS, Floats, TinyModel, hub_config, tiny_model

from midfill_engine.errors import ModelFormatError
from midfill_engine.safetensors_weights import SafetensorsWeights

MODEL = tiny_model("qwen2")


def assert_same_weights(model: TinyModel, source: SafetensorsWeights) -> None:
    assert source.config == model.config
    for name, values in model.weights.items():
        assert source.shape(name) == values.shape
        if values.ndim == 1:
            np.testing.assert_array_equal(source.vector(name), values)
        else:
            np.testing.assert_array_equal(source.rows(name, 3, 9), values[3:9])
            assert source.rows(name, 3, 9).dtype == np.float32


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("name", TINY_MODELS)
def test_safetensors_hold_the_same_weights(name: str, shards: int, tmp_path: Path) -> None:
    model = tiny_model(name)
    assert_same_weights(
        model, SafetensorsWeights(write_safetensors(model, tmp_path, shards=shards))
    )


@pytest.mark.parametrize(
    ("dtype", "through"),
    [
        ("F16", lambda values: values.astype(np.float16).astype(np.float32)),
        ("BF16", lambda values: (bfloat16_bits(values).astype(np.uint32) << 16).view(np.float32)),
    ],
)
def test_half_precision_is_widened(
    dtype: str, through: Callable[[Floats], Floats], tmp_path: Path
) -> None:
    source = SafetensorsWeights(write_safetensors(MODEL, tmp_path, dtype=dtype))
    weights = {name: through(values) for name, values in MODEL.weights.items()}
    assert not np.array_equal(weights["output.weight"], MODEL.weights["output.weight"])
    assert_same_weights(replace(MODEL, weights=weights), source)


def test_a_tensor_that_is_not_there_has_no_shape(tmp_path: Path) -> None:
    source = SafetensorsWeights(write_safetensors(tiny_model("llama"), tmp_path))
    for name in (
        "blk.0.attn_q.bias",
        "blk.9.attn_q.weight",
        "blk.0.mystery.weight",
        "rope_freqs.weight",
    ):
        assert source.shape(name) is None
    with pytest.raises(ModelFormatError, match=r"blk\.9\.attn_q\.weight"):
        source.rows("blk.9.attn_q.weight", 0, 1)


def test_a_tied_checkpoint_that_repeats_its_embedding_is_tied(tmp_path: Path) -> None:
    model = tiny_model("qwen2-tied")
    weights = {**model.weights, "output.weight": model.weights["token_embd.weight"]}
    folder = write_safetensors(replace(model, weights=weights), tmp_path)
    edit(folder, tie_word_embeddings=True)
    assert SafetensorsWeights(folder).shape("output.weight") is None


def edit(folder: Path, **changes: object) -> None:
    fields = {**hub_config(MODEL), **changes}
    (folder / "config.json").write_text(json.dumps(fields), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "mixtral"}, "'mixtral'"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, r"rotary positions \(llama3\)"),
        ({"rope_scaling": {"type": "linear"}}, "does not say how far"),
        ({"rope_parameters": {"rope_type": "yarn"}}, r"rotary positions \(yarn\)"),
        ({"use_sliding_window": True}, "in some layers only"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantised"),
        ({"hidden_act": "gelu"}, "'gelu', not 'silu'"),
        ({"model_type": "starcoder2", "hidden_act": "gelu"}, "'gelu', not 'gelu_pytorch_tanh'"),
        ({"model_type": "gemma", "hidden_activation": "relu"}, "'relu', not 'gelu_pytorch_tanh'"),
        ({"hidden_size": None}, "lacks hidden_size"),
        ({"num_hidden_layers": "two"}, "lacks num_hidden_layers"),
    ],
)
def test_what_the_graph_has_not_is_refused(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    folder = write_safetensors(MODEL, tmp_path)
    edit(folder, **changes)
    with pytest.raises(ModelFormatError, match=message):
        SafetensorsWeights(folder)


def test_newer_and_shorter_configurations_are_read(tmp_path: Path) -> None:
    folder = write_safetensors(MODEL, tmp_path)
    table = {"rope_type": "default", "rope_theta": 5e5}
    edit(folder, rope_parameters=table, rope_theta=None, num_key_value_heads=None)
    config = SafetensorsWeights(folder).config
    assert (config.rope_theta, config.kv_heads) == (5e5, config.heads)


@pytest.mark.parametrize("table", ["rope_scaling", "rope_parameters"])
@pytest.mark.parametrize("key", ["type", "rope_type"])
def test_linearly_scaled_positions_are_read(table: str, key: str, tmp_path: Path) -> None:
    folder = write_safetensors(MODEL, tmp_path)
    edit(folder, **{"rope_scaling": None, table: {key: "linear", "factor": 4.0}})
    assert SafetensorsWeights(folder).config == replace(MODEL.config, rope_factor=4.0)


@pytest.mark.parametrize(("window", "read"), [(20, 20), (511, 511), (512, None), (None, None)])
def test_a_window_counts_where_the_context_is_longer(
    window: int | None, read: int | None, tmp_path: Path
) -> None:
    folder = write_safetensors(tiny_model("starcoder2"), tmp_path)
    fields = {**hub_config(tiny_model("starcoder2")), "sliding_window": window}
    (folder / "config.json").write_text(json.dumps(fields), encoding="utf-8")
    assert SafetensorsWeights(folder).config.window == read


def test_gemma_means_the_tanh_form_whatever_its_older_key_says(tmp_path: Path) -> None:
    model = tiny_model("gemma")
    folder = write_safetensors(model, tmp_path)
    fields = {**hub_config(model), "hidden_act": "gelu", "hidden_activation": None}
    # Its configurations leave out what is the default: that the head is the embedding.
    del fields["tie_word_embeddings"]
    (folder / "config.json").write_text(json.dumps(fields), encoding="utf-8")
    assert SafetensorsWeights(folder).config == model.config


def test_pickled_checkpoints_are_never_opened(tmp_path: Path) -> None:
    edit(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(ModelFormatError, match="convert them to safetensors"):
        SafetensorsWeights(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "header", "empty", "gone"])
def test_damaged_files_are_refused(damage: str, tmp_path: Path) -> None:
    path = write_safetensors(MODEL, tmp_path, shards=2) / "model-00002-of-00002.safetensors"
    content = path.read_bytes()
    path.write_bytes(
        {"cut": content[:-5], "header": b"\xff" * 8 + content[8:], "empty": b"", "gone": b""}[
            damage
        ]
    )
    if damage == "gone":
        path.unlink()
    with pytest.raises(ModelFormatError, match="cannot be read as safetensors"):
        SafetensorsWeights(tmp_path)


@pytest.mark.parametrize("name", ["../other/model.safetensors", "/etc/model", "sub\\model"])
def test_an_index_cannot_lead_out_of_its_folder(name: str, tmp_path: Path) -> None:
    edit(tmp_path)
    index = json.dumps({"weight_map": {"model.norm.weight": name}})
    (tmp_path / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    with pytest.raises(ModelFormatError, match="elsewhere"):
        SafetensorsWeights(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_broken_configuration_is_refused(text: str, tmp_path: Path) -> None:
    write_safetensors(MODEL, tmp_path)
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelFormatError, match=r"config\.json"):
        SafetensorsWeights(tmp_path)


def test_unread_dtypes_are_named(tmp_path: Path) -> None:
    folder = write_safetensors(MODEL, tmp_path)
    path = folder / "model.safetensors"
    # Eight-bit floats of the same number of bytes: the file is valid, but not for us.
    content = path.read_bytes().replace(b'"F32"', b'"I32"')
    path.write_bytes(content)
    with pytest.raises(ModelFormatError, match="stored as I32"):
        SafetensorsWeights(folder).vector("output_norm.weight")
