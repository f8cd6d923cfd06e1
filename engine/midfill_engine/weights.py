"""What a converter reads: the shape of a decoder model, and its tensors by one set of names.

The names are GGUF's (``blk.0.attn_q.weight``, ``token_embd.weight``, …), whatever the file is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from midfill_engine.gguf.blocks import QuantizedRows

__all__ = ["Floats", "ModelConfig", "Rows", "WeightSource"]

Floats: TypeAlias = npt.NDArray[np.float32]
Rows: TypeAlias = "QuantizedRows | Floats"
"""Some rows of a matrix: as integers on a grid where the file holds such, else float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """A pre-norm decoder with grouped-query attention, rotary positions and a gated FFN.

    That is Llama and Qwen2. ``rope_interleaved`` tells how rotated pairs lie in a head: adjacent
    (GGUF files of Llama) or half a head apart (Qwen2, and every safetensors checkpoint).
    """

    architecture: str
    layers: int
    hidden: int
    ffn: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context_tokens: int
    rope_theta: float
    rope_interleaved: bool
    norm_epsilon: float


class WeightSource(Protocol):
    """A checkpoint opened for reading, one slice of one tensor at a time."""

    @property
    def config(self) -> ModelConfig:
        """The model's shape."""
        ...

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Shape ``[outputs, inputs]`` of a tensor, or ``None`` where the model has none."""
        ...

    def rows(self, name: str, start: int, stop: int) -> Rows:
        """Rows ``start`` to ``stop`` of a matrix."""
        ...

    def vector(self, name: str) -> Floats:
        """A one-dimensional tensor (norm weights, biases), float32."""
        ...
