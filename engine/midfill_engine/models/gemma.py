"""Gemma (arXiv 2403.08295), and with it CodeGemma."""

from __future__ import annotations

from midfill_engine.models.decoder import Decoder
from midfill_engine.models.layers import GatedFeedForward, Weights, gelu
from midfill_engine.weights import ModelConfig

__all__ = ["Gemma"]


class Gemma(Decoder):
    """As Llama, but gated by GELU, with embeddings scaled up and used as the output head."""

    def __init__(self, config: ModelConfig, weights: Weights, rows: int) -> None:
        def feed_forward(layer: int) -> GatedFeedForward:
            return GatedFeedForward(weights, layer, gelu)

        super().__init__(config, weights, rows, feed_forward)
