"""Checkpoints in the true shapes of Code Llama, with made-up weights: larger than memory, some.

What a conversion costs in time, memory and disk depends on shapes and formats alone. A file is
written from one piece of random weights, over and over from another place in it: writing is then
as fast as the disk.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from midfill_engine.registry import find_model
from midfill_engine.weights import ModelConfig, WeightSource

__all__ = ["SHAPES", "SOURCES", "Checkpoint", "open_source", "write_checkpoint"]

SOURCES = ("safetensors", "gguf", "synthetic")
"""bfloat16 in shards with an index; one file in Q4_K; or no file at all, weights made when read."""

_SHARD_BYTES = 5_000_000_000
_PIECE_WEIGHTS = 1 << 22
# A weight of this size keeps a product of normalised activations of order one, as trained ones do.
_SPREAD = 0.02
_Q4_K_WEIGHTS, _Q4_K_BYTES = 256, 144

SHAPES: Mapping[str, ModelConfig] = MappingProxyType(
    {size: find_model(f"codellama-{size}").config for size in ("7b", "13b", "34b")}
)
"""Code Llama's, by the name of its size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Where a made-up checkpoint lies: ``path`` is a folder, a file, or for none ``None``."""

    source: str
    path: Path | None
    size_bytes: int


def write_checkpoint(
    config: ModelConfig, source: str, folder: Path, *, shard_bytes: int = _SHARD_BYTES
) -> Checkpoint:
    """Write a checkpoint of the shape ``config`` into the empty ``folder``, as one of SOURCES."""
    if source == "safetensors":
        _write_safetensors(config, folder, shard_bytes)
    elif source == "gguf":
        _write_gguf(config, folder / "model.gguf")
    elif source != "synthetic":
        raise ValueError(f"{source} is none of {', '.join(SOURCES)}")
    path = {"safetensors": folder, "gguf": folder / "model.gguf", "synthetic": None}[source]
    size_bytes = sum(file.stat().st_size for file in folder.iterdir())
    return Checkpoint(source=source, path=path, size_bytes=size_bytes)


def open_source(source: str, path: str, config: ModelConfig | None = None) -> WeightSource:
    """Open a file or folder of that kind; weights that lie nowhere are made in the shape."""
    if source == "safetensors":
        from midfill_engine.safetensors_weights import SafetensorsWeights

        return SafetensorsWeights(Path(path))
    if source == "gguf":
        from midfill_engine.gguf.weights import GgufWeights

        return GgufWeights(Path(path))
    from midfill_engine.synthetic_weights import SyntheticWeights

    if config is None:
        raise ValueError("weights that lie nowhere need a shape")
    return SyntheticWeights(config)


def _tensors(config: ModelConfig) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Yield all tensors: the name in GGUF files, in safetensors files, and the shape."""
    hidden, ffn = config.hidden, config.ffn
    query, key = config.heads * config.head_dim, config.kv_heads * config.head_dim
    yield "token_embd.weight", "model.embed_tokens.weight", (config.vocab, hidden)
    for layer in range(config.layers):
        for ours, theirs, shape in (
            ("attn_norm", "input_layernorm", (hidden,)),
            ("attn_q", "self_attn.q_proj", (query, hidden)),
            ("attn_k", "self_attn.k_proj", (key, hidden)),
            ("attn_v", "self_attn.v_proj", (key, hidden)),
            ("attn_output", "self_attn.o_proj", (hidden, query)),
            ("ffn_norm", "post_attention_layernorm", (hidden,)),
            ("ffn_gate", "mlp.gate_proj", (ffn, hidden)),
            ("ffn_up", "mlp.up_proj", (ffn, hidden)),
            ("ffn_down", "mlp.down_proj", (hidden, ffn)),
        ):
            yield f"blk.{layer}.{ours}.weight", f"model.layers.{layer}.{theirs}.weight", shape
    yield "output_norm.weight", "model.norm.weight", (hidden,)
    yield "output.weight", "lm_head.weight", (config.vocab, hidden)


class _Piece:
    """One piece of bytes, written again and again, each tensor from another place of it."""

    def __init__(self, values: npt.NDArray[np.uint8 | np.uint16], unit_bytes: int) -> None:
        self._bytes = values.tobytes()
        self._unit_bytes = unit_bytes
        self._at = 0

    def write(self, file: BinaryIO, nbytes: int) -> None:
        # An odd number of units further each time: no two matrices are alike.
        self._at = (self._at + 7919 * self._unit_bytes) % len(self._bytes)
        at = self._at
        while nbytes:
            count = min(nbytes, len(self._bytes) - at)
            file.write(memoryview(self._bytes)[at : at + count])
            nbytes, at = nbytes - count, 0


def _write_safetensors(config: ModelConfig, folder: Path, shard_bytes: int) -> None:
    values = _random(_PIECE_WEIGHTS)
    # The upper half of a float32 is the bfloat16 nearest to it on the side of zero.
    piece = _Piece((values.view(np.uint32) >> np.uint32(16)).astype(np.uint16), 2)
    shards: list[dict[str, tuple[int, ...]]] = [{}]
    filled = 0
    for _, name, shape in _tensors(config):
        nbytes = 2 * math.prod(shape)
        if filled and filled + nbytes > shard_bytes:
            shards.append({})
            filled = 0
        shards[-1][name] = shape
        filled += nbytes
    weight_map: dict[str, str] = {}
    for number, tensors in enumerate(shards, start=1):
        file_name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        _write_shard(folder / file_name, tensors, piece)
        weight_map.update(dict.fromkeys(tensors, file_name))
    index = json.dumps({"metadata": {}, "weight_map": weight_map})
    (folder / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    fields = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": config.hidden,
        "intermediate_size": config.ffn,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "vocab_size": config.vocab,
        "max_position_embeddings": config.context_tokens,
        "rope_theta": config.rope_theta,
        "rms_norm_eps": config.norm_epsilon,
        "tie_word_embeddings": False,
        "hidden_act": "silu",
    }
    (folder / "config.json").write_text(json.dumps(fields), encoding="utf-8")


def _write_shard(path: Path, tensors: Mapping[str, tuple[int, ...]], piece: _Piece) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in tensors.items():
        nbytes = 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": (at, at + nbytes)}
        at += nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for shape in tensors.values():
            piece.write(file, 2 * math.prod(shape))


def _write_gguf(config: ModelConfig, path: Path) -> None:
    import gguf

    kinds = gguf.GGMLQuantizationType
    writer = gguf.GGUFWriter(None, "llama")
    writer.add_context_length(config.context_tokens)
    writer.add_embedding_length(config.hidden)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.ffn)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.norm_epsilon)
    for name, _, shape in _tensors(config):
        if len(shape) == 1:
            writer.add_tensor_info(name, shape, np.dtype(np.float32), 4 * shape[0])
        else:
            stored = (*shape[:-1], shape[-1] // _Q4_K_WEIGHTS * _Q4_K_BYTES)
            nbytes = math.prod(stored)
            writer.add_tensor_info(name, stored, np.dtype(np.uint8), nbytes, kinds.Q4_K)
    writer.write_header_to_file(path)
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    # The library would want each tensor as an array: what follows its header is only bytes.
    writer.close()
    piece = _Piece(_q4_k_blocks(_PIECE_WEIGHTS // _Q4_K_WEIGHTS), _Q4_K_BYTES)
    with path.open("ab") as file:
        _pad(file)
        for _, _, shape in _tensors(config):
            if len(shape) == 1:
                file.write((1 + _random(shape[0])).astype(np.float32).tobytes())
            else:
                piece.write(file, math.prod(shape) // _Q4_K_WEIGHTS * _Q4_K_BYTES)
            _pad(file)


def _pad(file: BinaryIO) -> None:
    """Fill up to the alignment that a GGUF file has where it does not say."""
    file.write(bytes(-file.tell() % 32))


def _q4_k_blocks(count: int) -> npt.NDArray[np.uint8]:
    """Blocks of random codes, uint8 ``[count, 144]``: two float16 steps, 12 bytes, 128 bytes."""
    blocks = np.random.default_rng(7).integers(0, 256, (count, _Q4_K_BYTES), dtype=np.uint8)
    # A sixteenth code of a step of 32 at most is about one spread.
    steps = np.array([_SPREAD / 240, _SPREAD / 32], np.float16)
    blocks[:, :4] = steps.view(np.uint8)
    return blocks


def _random(count: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(7).standard_normal(count, np.float32) * np.float32(_SPREAD)
