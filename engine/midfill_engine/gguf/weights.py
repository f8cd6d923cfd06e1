"""A GGUF checkpoint as a ``WeightSource``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from midfill_engine.architectures import ARCHITECTURES
from midfill_engine.errors import ModelFormatError
from midfill_engine.gguf.blocks import dequantize, has_grid, unpack
from midfill_engine.gguf.reader import GgufFile, MetaValue, TensorEntry, open_gguf
from midfill_engine.weights import Floats, ModelConfig, Rows

__all__ = ["GgufWeights"]


class GgufWeights:
    """Reads tensors of one GGUF file; nothing is held between calls.

    Raises ``ModelFormatError`` for architectures not in ``ARCHITECTURES``, and for rotary
    positions that are scaled other than linearly.
    """

    def __init__(self, path: Path) -> None:
        self.file: GgufFile = open_gguf(path)
        self._config = _read_config(self.file)

    @property
    def config(self) -> ModelConfig:
        """The model's shape, from the file's metadata."""
        return self._config

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Shape of a tensor, or ``None``."""
        entry = self.file.tensors.get(name)
        return None if entry is None else entry.shape

    def rows(self, name: str, start: int, stop: int) -> Rows:
        """Rows of a matrix, on the file's own integer grid where it has one."""
        entry = self._entry(name)
        data = np.asarray(entry.data[start:stop])
        if has_grid(entry.block_type):
            return unpack(entry.block_type, data)
        return dequantize(entry.block_type, data)

    def vector(self, name: str) -> Floats:
        """A one-dimensional tensor in float32."""
        entry = self._entry(name)
        return dequantize(entry.block_type, np.asarray(entry.data)).reshape(-1).copy()

    def _entry(self, name: str) -> TensorEntry:
        entry = self.file.tensors.get(name)
        if entry is None:
            raise ModelFormatError(f"{self.file.path.name} has no tensor {name}")
        return entry


def _read_config(file: GgufFile) -> ModelConfig:
    metadata = file.metadata
    name = str(metadata.get("general.architecture", "unknown"))
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ModelFormatError(
            f"{file.path.name} is a model of architecture {name!r}; only {known} can be converted."
        )
    architecture = ARCHITECTURES[name]

    def number(key: str, default: float | None = None) -> float:
        value: MetaValue | None = metadata.get(f"{name}.{key}", default)
        if not isinstance(value, (int, float)):
            raise ModelFormatError(f"{file.path.name} lacks {name}.{key}")
        return float(value)

    embedding = file.tensors.get("token_embd.weight")
    if embedding is None:
        raise ModelFormatError(f"{file.path.name} has no tensor token_embd.weight")
    hidden, heads = int(number("embedding_length")), int(number("attention.head_count"))
    context = int(number("context_length"))
    window = int(number("attention.sliding_window", architecture.gguf_window or context))
    epsilon = "layer_norm_epsilon" if architecture.norm == "layer" else "layer_norm_rms_epsilon"
    return ModelConfig(
        architecture=name,
        layers=int(number("block_count")),
        hidden=hidden,
        ffn=int(number("feed_forward_length")),
        heads=heads,
        kv_heads=int(number("attention.head_count_kv", heads)),
        head_dim=int(number("attention.key_length", hidden // heads)),
        vocab=embedding.shape[0],
        context_tokens=context,
        rope_theta=number("rope.freq_base", 10000.0),
        rope_interleaved=architecture.gguf_interleaved,
        norm_epsilon=number(f"attention.{epsilon}"),
        rope_factor=_rope_factor(file, name),
        norm=architecture.norm,
        activation=architecture.activation,
        gated=architecture.gated,
        embedding_scale=hidden**0.5 if architecture.scales_embedding else 1.0,
        # A window that the context never reaches is none.
        window=window if 0 < window < context else None,
        tied="output.weight" not in file.tensors,
    )


def _rope_factor(file: GgufFile, architecture: str) -> float:
    """By how much positions are divided; older files have one key for that, newer ones two."""
    metadata = file.metadata
    scaling = metadata.get(f"{architecture}.rope.scaling.type", "none")
    factor = metadata.get(f"{architecture}.rope.scaling.factor")
    if scaling == "none":
        factor = metadata.get(f"{architecture}.rope.scale_linear", 1.0)
    if scaling not in ("none", "linear") or "rope_freqs.weight" in file.tensors:
        raise ModelFormatError(f"{file.path.name} scales its rotary positions ({scaling})")
    if not isinstance(factor, (int, float)) or factor <= 0:
        raise ModelFormatError(f"{file.path.name} lacks {architecture}.rope.scaling.factor")
    return float(factor)
