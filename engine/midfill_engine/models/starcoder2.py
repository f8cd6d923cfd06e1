"""StarCoder2 (arXiv 2402.19173)."""

from __future__ import annotations

from midfill_engine.models.decoder import Decoder
from midfill_engine.models.layers import FeedForward, Weights, gelu
from midfill_engine.weights import ModelConfig

__all__ = ["StarCoder2"]


class StarCoder2(Decoder):
    """Layer norms, biases everywhere, an ungated feed-forward net, attention in a window."""

    def __init__(self, config: ModelConfig, weights: Weights, rows: int) -> None:
        def feed_forward(layer: int) -> FeedForward:
            return FeedForward(weights, layer, gelu)

        super().__init__(config, weights, rows, feed_forward)
