"""What a converter reads: the shape of a decoder model, and its tensors by one set of names.

The names are GGUF's (``blk.0.attn_q.weight``, ``token_embd.weight``, …), whatever the file is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from midfill_engine.gguf.blocks import QuantizedRows

__all__ = ["Floats", "ModelConfig", "Rows", "WeightSource"]

Floats: TypeAlias = npt.NDArray[np.float32]
Rows: TypeAlias = "QuantizedRows | Floats"
"""Some rows of a matrix: as integers on a grid where the file holds such, else float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """A pre-norm decoder with rotary positions: what Llama and its relatives have in common.

    ``rope_interleaved`` tells how rotated pairs lie in a head: adjacent (GGUF files of Llama) or
    half a head apart (Qwen2, and every safetensors checkpoint); positions are divided by
    ``rope_factor`` before they are rotated. The defaults are those of Llama and Qwen2: ``norm`` is
    ``"rms"`` (a weight) or ``"layer"`` (a weight and a bias); ``gated``: the FFN is
    ``down(act(gate(x)) * up(x))``, else ``down(act(up(x)))``; ``"gelu"`` is its tanh form. Biases
    are there where the checkpoint has them. Embeddings are multiplied by ``embedding_scale``.
    ``window``: a token sees only so many positions, itself included. ``tied``: the embedding
    serves as the output matrix too.
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
    rope_factor: float = 1.0
    norm: Literal["rms", "layer"] = "rms"
    activation: Literal["silu", "gelu"] = "silu"
    gated: bool = True
    embedding_scale: float = 1.0
    window: int | None = None
    tied: bool = False

    @property
    def matrix_weights(self) -> int:
        """How many weights its matrices have; norms and biases add less than a thousandth."""
        attention = 2 * self.hidden * self.head_dim * (self.heads + self.kv_heads)
        ffn = (3 if self.gated else 2) * self.hidden * self.ffn
        ends = self.vocab * self.hidden * (1 if self.tied else 2)
        return self.layers * (attention + ffn) + ends

    @property
    def kv_values(self) -> int:
        """How many values one position of a KV cache has, keys and values of all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim


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
