"""What a checkpoint's architecture implies and its configuration does not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

__all__ = ["ARCHITECTURES", "Architecture"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """How one kind of decoder differs from Llama, whose shape the defaults are.

    ``norm``, ``activation`` and ``gated`` are ``ModelConfig``'s; ``scales_embedding``: embeddings
    are multiplied by the root of their width; ``norm_offset`` is what a Hugging Face checkpoint
    leaves out of its norm weights (GGUF files have it in); ``tied``: the head is the embedding
    where a configuration says nothing; ``gguf_interleaved``: in a GGUF file the two rows that
    rotate together are neighbours; ``gguf_window`` is the window that GGUF files leave out.
    """

    norm: Literal["rms", "layer"] = "rms"
    activation: Literal["silu", "gelu"] = "silu"
    gated: bool = True
    scales_embedding: bool = False
    norm_offset: float = 0.0
    tied: bool = False
    gguf_interleaved: bool = False
    gguf_window: int | None = None


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "llama": Architecture(gguf_interleaved=True),
        "qwen2": Architecture(),
        # All three sizes were trained with the window (arXiv 2402.19173).
        "starcoder2": Architecture(
            norm="layer", activation="gelu", gated=False, tied=True, gguf_window=4096
        ),
        "gemma": Architecture(activation="gelu", scales_embedding=True, norm_offset=1.0, tied=True),
    }
)
"""By the name that both GGUF files and ``config.json`` give it."""
