"""What all decoders share: embedding, layers one after the other, a norm, the output head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from midfill_engine.models.layers import (
    Block,
    Rotary,
    Step,
    Weights,
    additive_mask,
    make_norm,
    visible,
)
from midfill_engine.weights import ModelConfig

__all__ = ["Decoder"]

Layer: TypeAlias = Callable[..., Tensor]
MakeFeedForward: TypeAlias = Callable[[int], nn.Module]


class Decoder(nn.Module):
    """A decoder whose layers differ from one another only in their weights.

    ``rows`` is how far its rotary tables reach. The tensors come from ``weights``, in the order
    in which they are needed, and stay where those put them.
    """

    def __init__(
        self, config: ModelConfig, weights: Weights, rows: int, feed_forward: MakeFeedForward
    ) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Parameter(weights.embedding(), requires_grad=False)
        self.layers = nn.ModuleList(
            [Block(config, weights, layer, feed_forward(layer)) for layer in range(config.layers)]
        )
        self.norm = make_norm(config, weights, "output_norm")
        self.head = weights.linear("output")
        self.rotary = Rotary(config, rows, dtype=self.embedding.dtype, device=self.embedding.device)
        self._narrow: Sequence[Layer] = [*self.layers]

    def compile_layers(self, backend: str = "inductor") -> None:
        """Let steps with a mask run through ``torch.compile``, which happens at their first run.

        One layer at a time: all have the same code, so that the first is compiled for all.
        """
        self._narrow = [
            torch.compile(layer, fullgraph=True, backend=backend) for layer in self.layers
        ]

    def narrow_step(self, tokens: Tensor, positions: Tensor, buffer: Tensor, reach: int) -> Tensor:
        """Run a few tokens anywhere in a buffer; nothing in it depends on the tensors' values.

        ``tokens`` and ``positions`` are int64 ``[tokens]``, all positions below ``reach``;
        ``buffer`` is ``[layers, 2, kv_heads, rows, head_dim]``. Returns float32
        ``[tokens, vocab]``.
        """
        seen = visible(positions, reach, self.config.window)
        step = self._step(positions, reach, additive_mask(seen, buffer.dtype))
        x = self._embed(tokens)
        for layer, (keys, values) in zip(self._narrow, buffer, strict=True):
            x = layer(x, keys, values, step)
        return self.head(self.norm(x)).float()

    def wide_step(self, tokens: Tensor, start: int, buffer: Tensor, wanted: int) -> Tensor:
        """Run many tokens from position ``start`` on; return float32 ``[wanted, vocab]``."""
        end = start + len(tokens)
        positions = torch.arange(start, end, device=buffer.device)
        window, bias = self.config.window, None
        if window is not None and end > window:
            bias = additive_mask(visible(positions, end, window), buffer.dtype)
        step = self._step(positions, end, bias)
        x, last = self._embed(tokens), len(self.layers) - 1
        for at, (layer, (keys, values)) in enumerate(zip(self.layers, buffer, strict=True)):
            x = layer(x, keys, values, step, wanted=wanted if at == last else None)
        if not wanted:
            return torch.empty((0, self.config.vocab), device=buffer.device)
        return self.head(self.norm(x)).float()

    def _embed(self, tokens: Tensor) -> Tensor:
        x = functional.embedding(tokens, self.embedding)
        scale = self.config.embedding_scale
        return x if scale == 1.0 else x * scale

    def _step(self, positions: Tensor, reach: int, bias: Tensor | None) -> Step:
        return Step(
            positions=positions,
            cosines=self.rotary.cosines.index_select(0, positions),
            sines=self.rotary.sines.index_select(0, positions),
            reach=reach,
            bias=bias,
        )
