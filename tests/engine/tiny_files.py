"""Files of tiny models as GGUF and as safetensors, in all block types, and what is made of them."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from tiny_models import Floats, TinyModel, hub_config, hub_weights
from tiny_vocabulary import tiny_metadata

from midfill_engine.cancel import CancelToken
from midfill_engine.gguf.weights import GgufWeights
from midfill_engine.onnx.convert import Precision, convert
from midfill_engine.onnx.layouts import find_layout
from midfill_engine.progress import silent
from midfill_engine.registry import Licence, ModelFile, ModelSpec
from midfill_engine.runtimes import ChosenModel
from midfill_engine.store import ModelStore
from midfill_engine.weights import ModelConfig, WeightSource

Plan = Callable[[str], str]
"""The block type of each matrix by its GGUF name."""

_PLAIN = {"F32": np.float32, "F16": np.float16}


def same_type(block_type: str) -> Plan:
    return lambda name: block_type


F16 = same_type("F16")
F32 = same_type("F32")
Q8_0 = same_type("Q8_0")


def mixed_types(name: str) -> str:
    """All formats of the two real files, and the others, spread over one model."""
    if name in ("token_embd.weight", "output.weight"):
        return {"token_embd.weight": "Q5_0", "output.weight": "Q8_0"}[name]
    layer, part = name.split(".")[1:3]
    if part == "ffn_down":
        return ("Q4_K", "Q6_K", "Q5_K")[int(layer)]
    return {"attn_v": "Q8_0", "ffn_gate": "Q4_0", "ffn_up": "F16"}.get(part, "Q5_0")


def encode_blocks(values: Floats, block_type: str) -> npt.NDArray[np.uint8]:
    """Quantise a matrix to the bytes of a GGUF tensor, uint8 ``[rows, row_bytes]``."""
    if block_type in ("Q4_K", "Q5_K"):
        return _encode_affine_k(values, 4 if block_type == "Q4_K" else 5)
    if block_type == "Q6_K":
        return _encode_q6_k(values)
    raw = gguf.quants.quantize(values, gguf.GGMLQuantizationType[block_type])
    return np.ascontiguousarray(raw).view(np.uint8)


def decode_blocks(raw: npt.NDArray[np.uint8], block_type: str) -> Floats:
    """What the gguf library makes of those bytes."""
    if block_type in _PLAIN:
        return raw.view(_PLAIN[block_type]).astype(np.float32)
    return gguf.quants.dequantize(raw, gguf.GGMLQuantizationType[block_type])


def _f16_bytes(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return values.astype(np.float16)[..., None].view(np.uint8)


def _through_f16(values: Floats) -> Floats:
    return values.astype(np.float16).astype(np.float32)


def _encode_q6_k(values: Floats) -> npt.NDArray[np.uint8]:
    """Round to the nearest of Q6_K's grid; the gguf library itself cannot write this format."""
    groups = values.reshape(values.shape[0], -1, 16, 16)
    wanted = np.abs(groups).max(-1) / 31
    unit = _through_f16(wanted.max(-1) / 127)
    scales = np.rint(wanted / np.maximum(unit, 1e-12)[..., None]).astype(np.int8)
    step = np.maximum(scales * unit[..., None], 1e-12)
    codes = np.clip(np.rint(groups / step[..., None]), -32, 31).astype(np.int8) + 32
    codes = codes.astype(np.uint8).reshape(*groups.shape[:2], 2, 4, 32)
    low = codes[..., :2, :] & 15 | (codes[..., 2:, :] & 15) << 4
    high = codes >> 4
    high = high[..., 0, :] | high[..., 1, :] << 2 | high[..., 2, :] << 4 | high[..., 3, :] << 6
    parts = [part.reshape(*groups.shape[:2], -1) for part in (low, high, scales.view(np.uint8))]
    return np.concatenate([*parts, _f16_bytes(unit)], axis=-1).reshape(len(values), -1)


def _encode_affine_k(values: Floats, bits: int) -> npt.NDArray[np.uint8]:
    """Q4_K and Q5_K, by plain rounding."""
    top = 2**bits - 1
    groups = values.reshape(values.shape[0], -1, 8, 32)
    minimum = np.maximum(-groups.min(-1), 0)
    span = (groups.max(-1) + minimum) / top
    units = [_through_f16(wanted.max(-1) / 63) for wanted in (span, minimum)]
    steps = [
        np.rint(wanted / np.maximum(unit, 1e-12)[..., None]).astype(np.uint8)
        for wanted, unit in zip((span, minimum), units, strict=True)
    ]
    scale, low = (step * unit[..., None] for step, unit in zip(steps, units, strict=True))
    codes = np.rint((groups + low[..., None]) / np.maximum(scale, 1e-12)[..., None])
    codes = np.clip(codes, 0, top).astype(np.uint8)
    (s, m), fifth = steps, codes >> 4
    packed = [
        s[..., :4] | (s[..., 4:] >> 4) << 6,
        m[..., :4] | (m[..., 4:] >> 4) << 6,
        s[..., 4:] & 15 | (m[..., 4:] & 15) << 4,
    ]
    if bits == 5:
        packed.append(np.bitwise_or.reduce(fifth << np.arange(8, dtype=np.uint8)[:, None], axis=-2))
    nibbles = codes[..., 0::2, :] & 15 | (codes[..., 1::2, :] & 15) << 4
    packed.append(nibbles.reshape(*groups.shape[:2], -1))
    return np.concatenate([*map(_f16_bytes, units), *packed], axis=-1).reshape(len(values), -1)


@lru_cache
def stored_as(model: TinyModel, plan: Plan) -> TinyModel:
    """The model whose weights are what quantising left of them."""
    weights = {
        name: decode_blocks(encode_blocks(values, plan(name)), plan(name))
        if values.ndim == 2
        else values
        for name, values in model.weights.items()
    }
    return replace(model, weights=weights)


@lru_cache
def vocabulary() -> Mapping[str, Any]:
    """Tokenizer metadata: byte-level, 384 tokens, the markers of Qwen's formats among them."""
    metadata = tiny_metadata("qwen2")
    tokens, types = (
        list(metadata["tokenizer.ggml.tokens"]),
        list(metadata["tokenizer.ggml.token_type"]),
    )
    assert len(tokens) == 384, len(tokens)
    return {**metadata, "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types}


def write_gguf(model: TinyModel, path: Path, plan: Plan | None = None) -> Path:
    """Write a file as llama.cpp's converter would."""
    config, plan = model.config, plan or F32
    writer = gguf.GGUFWriter(path, config.architecture)
    writer.add_block_count(config.layers)
    writer.add_context_length(config.context_tokens)
    writer.add_embedding_length(config.hidden)
    writer.add_feed_forward_length(config.ffn)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    if config.norm == "layer":
        writer.add_layer_norm_eps(config.norm_epsilon)
    else:
        writer.add_layer_norm_rms_eps(config.norm_epsilon)
    if config.rope_factor != 1:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(config.rope_factor)
    if config.architecture == "starcoder2":
        writer.add_sliding_window(config.window or config.context_tokens)
    for key, value in vocabulary().items():
        if isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        else:
            writer.add_string(key, value)
    for name, values in model.weights.items():
        if values.ndim == 1:
            writer.add_tensor(name, values)
            continue
        kind = gguf.GGMLQuantizationType[plan(name)]
        if config.architecture == "llama":
            values = _adjacent_pairs(name, values, config)
        raw = encode_blocks(values, plan(name))
        if plan(name) == "F32":
            writer.add_tensor(name, values)
        elif plan(name) == "F16":
            writer.add_tensor(name, values.astype(np.float16))
        else:
            writer.add_tensor(name, raw, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _adjacent_pairs(name: str, values: Floats, config: ModelConfig) -> Floats:
    """Llama's GGUF files put the two rows that rotate together next to each other."""
    heads = {"attn_q": config.heads, "attn_k": config.kv_heads}.get(name.split(".")[-2])
    if heads is None:
        return values
    halves = values.reshape(heads, 2, config.head_dim // 2, -1)
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape)


def write_safetensors(
    model: TinyModel, folder: Path, *, dtype: str = "F32", shards: int = 1
) -> Path:
    """Write a folder as ``save_pretrained`` would; ``dtype`` is F32, F16 or BF16."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(hub_config(model)), encoding="utf-8")
    tensors = hub_weights(model)
    names = sorted(tensors)
    files = {}
    for shard in range(shards):
        part = names[shard::shards]
        file = (
            "model.safetensors"
            if shards == 1
            else f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        )
        _write_shard(folder / file, {name: tensors[name] for name in part}, dtype)
        files.update(dict.fromkeys(part, file))
    if shards > 1:
        index = json.dumps({"metadata": {}, "weight_map": files})
        (folder / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    return folder


def bfloat16_bits(values: Floats) -> npt.NDArray[np.uint16]:
    """The upper halves of float32 (truncated, which is a bfloat16 too)."""
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def _write_shard(path: Path, tensors: Mapping[str, Floats], dtype: str) -> None:
    cast = {"F32": lambda v: v, "F16": lambda v: v.astype(np.float16), "BF16": bfloat16_bits}[dtype]
    header, blobs, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name, values in tensors.items():
        blob = cast(values).tobytes()
        header[name] = {"dtype": dtype, "shape": values.shape, "data_offsets": (at, at + len(blob))}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def convert_to(
    source: WeightSource,
    folder: Path,
    layout: str = "float32",
    precision: Precision = "float32",
    positions: int | None = None,
) -> Path:
    """Convert into a new folder, which the ONNX backend then opens."""
    folder.mkdir(parents=True)
    convert(
        source,
        folder,
        layout=find_layout(layout),
        source_sha256="0" * 64,
        progress=silent,
        cancel=CancelToken(),
        precision=precision,
        positions=positions,
    )
    return folder


def converted_gguf(
    model: TinyModel,
    folder: Path,
    layout: str = "float32",
    plan: Plan | None = None,
    *,
    precision: Precision = "float32",
) -> Path:
    """Write ``model`` as GGUF and convert that."""
    folder.mkdir(parents=True, exist_ok=True)
    path = write_gguf(model, folder / "tiny.gguf", plan)
    return convert_to(GgufWeights(path), folder / layout, layout, precision)


def model_spec(path: Path, *, layout: str = "int8") -> ModelSpec:
    """A row of the registry for a file made here; no source has it."""
    content = path.read_bytes()
    file = ModelFile(
        name="tiny.gguf",
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        sources=(),
    )
    return ModelSpec(
        id="tiny",
        family="Tiny",
        config=GgufWeights(path).config,
        files=(file,),
        fim="qwen2.5-coder",
        stop_texts=("<|endoftext|>", "<|fim_prefix|>", "<|fim_pad|>"),
        licence=Licence(name="none", url=""),
        rank=1,
        layout=layout,
    )


def pulled(
    store: ModelStore, tmp_path: Path, model: TinyModel, layout: str = "int8"
) -> ChosenModel:
    """Write a model to ``tmp_path``, pull it from there, and choose it."""
    path = write_gguf(model, tmp_path / f"{model.name}.gguf", mixed_types)
    spec = model_spec(path, layout=layout)
    store.pull(spec, progress=silent, cancel=CancelToken(), from_path=path)
    return ChosenModel(spec=spec, layout=layout, reason="for a test")
