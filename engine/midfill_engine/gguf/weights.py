"""A GGUF checkpoint as a ``WeightSource``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from midfill_engine.errors import ModelFormatError
from midfill_engine.gguf.blocks import dequantize, has_grid, unpack
from midfill_engine.gguf.reader import GgufFile, MetaValue, TensorEntry, open_gguf
from midfill_engine.weights import Floats, ModelConfig, Rows

__all__ = ["GgufWeights"]

_INTERLEAVED = {"llama": True, "qwen2": False}


class GgufWeights:
    """Reads tensors of one GGUF file; nothing is held between calls.

    Raises ``ModelFormatError`` for architectures other than Llama and Qwen2, and for scaled
    rotary positions, which the graph does not have.
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
    architecture = str(metadata.get("general.architecture", "unknown"))
    if architecture not in _INTERLEAVED:
        known = ", ".join(sorted(_INTERLEAVED))
        raise ModelFormatError(
            f"{file.path.name} is a model of architecture {architecture!r}; "
            f"only {known} can be converted."
        )

    def number(key: str, default: float | None = None) -> float:
        value: MetaValue | None = metadata.get(f"{architecture}.{key}", default)
        if not isinstance(value, (int, float)):
            raise ModelFormatError(f"{file.path.name} lacks {architecture}.{key}")
        return float(value)

    scaling = metadata.get(f"{architecture}.rope.scaling.type", "none")
    if scaling != "none" or "rope_freqs.weight" in file.tensors:
        raise ModelFormatError(f"{file.path.name} scales its rotary positions ({scaling})")
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None:
        raise ModelFormatError(f"{file.path.name} has no tensor token_embd.weight")
    hidden, heads = int(number("embedding_length")), int(number("attention.head_count"))
    return ModelConfig(
        architecture=architecture,
        layers=int(number("block_count")),
        hidden=hidden,
        ffn=int(number("feed_forward_length")),
        heads=heads,
        kv_heads=int(number("attention.head_count_kv", heads)),
        head_dim=int(number("attention.key_length", hidden // heads)),
        vocab=embedding.shape[0],
        context_tokens=int(number("context_length")),
        rope_theta=number("rope.freq_base", 10000.0),
        rope_interleaved=_INTERLEAVED[architecture],
        norm_epsilon=number("attention.layer_norm_rms_epsilon"),
    )
