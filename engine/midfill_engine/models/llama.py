"""Llama (arXiv 2302.13971, 2307.09288), and with it Code Llama, DeepSeek-Coder and Qwen2.

Qwen2 (arXiv 2407.10671) is the same module: its biases of queries, keys and values are there
because its checkpoints have them, as those of some Llamas are.
"""

from __future__ import annotations

from torch.nn import functional

from midfill_engine.models.decoder import Decoder
from midfill_engine.models.layers import GatedFeedForward, Weights
from midfill_engine.weights import ModelConfig

__all__ = ["Llama"]


class Llama(Decoder):
    """RMS norms, rotary positions, a feed-forward net gated by SiLU."""

    def __init__(self, config: ModelConfig, weights: Weights, rows: int) -> None:
        def feed_forward(layer: int) -> GatedFeedForward:
            return GatedFeedForward(weights, layer, functional.silu)

        super().__init__(config, weights, rows, feed_forward)
