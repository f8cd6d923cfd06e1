"""What decoders are made of: norms, rotary positions, attention over a buffer, feed-forward nets.

There is no batch: ``x`` is ``[tokens, hidden]``. Keys and values of a layer lie in
``[kv_heads, rows, head_dim]``, are written in place and read as far as a step reaches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from midfill_engine.weights import ModelConfig

__all__ = [
    "Attention",
    "Block",
    "FeedForward",
    "GatedFeedForward",
    "LayerNorm",
    "RMSNorm",
    "Rotary",
    "Step",
    "Weights",
    "additive_mask",
    "gelu",
    "make_norm",
    "visible",
]

Activation: TypeAlias = Callable[[Tensor], Tensor]


class Weights(Protocol):
    """Hands out a checkpoint's tensors by GGUF names, loaded and on their device."""

    def linear(self, *names: str) -> nn.Module:
        """Return the product with matrices ``names``, stacked, with their biases if any."""
        ...

    def embedding(self) -> Tensor:
        """Return the token embedding, ``[vocab, hidden]``."""
        ...

    def vector(self, name: str) -> Tensor:
        """Return a one-dimensional tensor."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Where the tokens of one step lie, for all layers alike.

    ``positions``: int64 ``[tokens]``; ``cosines`` and ``sines`` are the rotary tables' rows there,
    ``[tokens, 1, head_dim]``. The step attends to the first ``reach`` rows of the buffer, of which
    ``bias`` (``[tokens, reach]``) hides some: 0 or minus infinity. Without one, the last row is
    that of the last token, and every token sees what is not after it.
    """

    positions: Tensor
    cosines: Tensor
    sines: Tensor
    reach: int
    bias: Tensor | None


def visible(positions: Tensor, reach: int, window: int | None) -> Tensor:
    """Return which of ``reach`` rows each position sees, bool ``[tokens, reach]``."""
    rows = torch.arange(reach, device=positions.device)
    seen = rows <= positions[:, None]
    return seen if window is None else seen & (rows > positions[:, None] - window)


def additive_mask(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """Return 0 where ``seen`` is true, else minus infinity."""
    zeros = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return zeros.masked_fill(~seen, float("-inf"))


class RMSNorm(nn.Module):
    """Root mean square norm (arXiv 1910.07467)."""

    def __init__(self, weight: Tensor, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``[tokens, hidden]``."""
        return functional.rms_norm(x, self.weight.shape, self.weight, self.epsilon)


class LayerNorm(nn.Module):
    """Layer norm (arXiv 1607.06450)."""

    def __init__(self, weight: Tensor, bias: Tensor, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``[tokens, hidden]``."""
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.epsilon)


def make_norm(config: ModelConfig, weights: Weights, name: str) -> nn.Module:
    """Make the norm ``name`` of the kind that the model has."""
    weight = weights.vector(f"{name}.weight")
    if config.norm == "rms":
        return RMSNorm(weight, config.norm_epsilon)
    return LayerNorm(weight, weights.vector(f"{name}.bias"), config.norm_epsilon)


class Rotary:
    """Tables of rotary positions (arXiv 2104.09864), ``[rows, head_dim]``.

    A pair ``(a, b)`` becomes ``(a cos - b sin, b cos + a sin)``: every value times its cosine, plus
    its partner times a sine, whose sign is in the table. Pairs lie side by side, or half a head
    apart; the tables are laid out likewise.
    """

    def __init__(
        self, config: ModelConfig, rows: int, *, dtype: torch.dtype, device: torch.device
    ) -> None:
        half = config.head_dim // 2
        exponents = torch.arange(half, dtype=torch.float64) / half
        places = torch.arange(rows, dtype=torch.float64) / config.rope_factor
        angles = places[:, None] / config.rope_theta**exponents
        axis = 2 if config.rope_interleaved else 1
        cosines = torch.stack((angles.cos(), angles.cos()), axis).reshape(rows, 1, -1)
        sines = torch.stack((-angles.sin(), angles.sin()), axis).reshape(rows, 1, -1)
        self.cosines = cosines.to(dtype).to(device)
        self.sines = sines.to(dtype).to(device)


def _rotated(x: Tensor, step: Step, interleaved: bool) -> Tensor:
    """Rotate ``[tokens, heads, head_dim]`` in three passes, whatever the layout of its pairs."""
    half = x.shape[-1] // 2
    pairs = x.unflatten(-1, (half, 2) if interleaved else (2, half))
    partners = pairs.flip(-1 if interleaved else -2).flatten(-2)
    return torch.addcmul(x * step.cosines, partners, step.sines)


class Attention(nn.Module):
    """Causal attention; several query heads may share the keys and values of one."""

    def __init__(self, config: ModelConfig, weights: Weights, layer: int) -> None:
        super().__init__()
        at = f"blk.{layer}.attn"
        self.heads, self.kv_heads = config.heads, config.kv_heads
        self.head_dim, self.interleaved = config.head_dim, config.rope_interleaved
        self.qkv = weights.linear(f"{at}_q", f"{at}_k", f"{at}_v")
        self.output = weights.linear(f"{at}_output")

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, step: Step) -> Tensor:
        """Write this step's keys and values, and return the heads' mix, ``[tokens, inner]``."""
        heads = self.qkv(x).view(len(x), -1, self.head_dim)
        turned = self.heads + self.kv_heads
        rotated = _rotated(heads[:, :turned], step, self.interleaved)
        keys.index_copy_(1, step.positions, rotated[:, self.heads :].transpose(0, 1))
        values.index_copy_(1, step.positions, heads[:, turned:].transpose(0, 1))
        query, keys, values = (
            rotated[:, : self.heads],
            keys[:, : step.reach],
            values[:, : step.reach],
        )
        if step.bias is None:
            return _attend_causally(query, keys, values)
        return _attend_narrowly(query, keys, values, step.bias)


def _attend_narrowly(query: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    """Attend with few tokens and a mask.

    The query heads of one key head become so many more rows: so kernels that know nothing of
    shared keys read them once. ``query`` is ``[tokens, heads, head_dim]``.
    """
    tokens, heads, size = query.shape
    group = heads // len(keys)
    rows = query.view(tokens, len(keys), group, size).permute(1, 2, 0, 3)
    rows = rows.reshape(1, len(keys), group * tokens, size)
    seen = bias.expand(group, *bias.shape).reshape(group * tokens, -1)
    mixed = functional.scaled_dot_product_attention(rows, keys[None], values[None], attn_mask=seen)
    mixed = mixed.view(len(keys), group, tokens, size).permute(2, 0, 1, 3)
    return mixed.reshape(tokens, heads * size)


def _attend_causally(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attend with many tokens, the last of which is the last that there is."""
    tokens, total = len(query), keys.shape[1]
    if tokens == total:
        mask, causal = None, True
    elif query.is_cuda:
        # Said as such rather than drawn as a mask, it goes to flash attention.
        mask, causal = torch.nn.attention.bias.causal_lower_right(tokens, total), False
    else:
        ends = torch.arange(total - tokens, total, device=query.device)
        mask, causal = visible(ends, total, None), False
    mixed = functional.scaled_dot_product_attention(
        query.transpose(0, 1)[None],
        keys[None],
        values[None],
        attn_mask=mask,
        is_causal=causal,
        enable_gqa=query.shape[1] != len(keys),
    )
    return mixed[0].transpose(0, 1).reshape(tokens, -1)


def gelu(x: Tensor) -> Tensor:
    """GELU in its tanh form."""
    return functional.gelu(x, approximate="tanh")


class GatedFeedForward(nn.Module):
    """``down(act(gate(x)) * up(x))``; gate and up are one product."""

    def __init__(self, weights: Weights, layer: int, activation: Activation) -> None:
        super().__init__()
        self.activation = activation
        self.gate_up = weights.linear(f"blk.{layer}.ffn_gate", f"blk.{layer}.ffn_up")
        self.down = weights.linear(f"blk.{layer}.ffn_down")

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[tokens, hidden]`` to the same shape."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(self.activation(gate) * up)


class FeedForward(nn.Module):
    """``down(act(up(x)))``."""

    def __init__(self, weights: Weights, layer: int, activation: Activation) -> None:
        super().__init__()
        self.activation = activation
        self.up = weights.linear(f"blk.{layer}.ffn_up")
        self.down = weights.linear(f"blk.{layer}.ffn_down")

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[tokens, hidden]`` to the same shape."""
        return self.down(self.activation(self.up(x)))


class Block(nn.Module):
    """One layer: attention and feed-forward net, each after a norm and beside its input."""

    def __init__(
        self, config: ModelConfig, weights: Weights, layer: int, feed_forward: nn.Module
    ) -> None:
        super().__init__()
        self.attention_norm = make_norm(config, weights, f"blk.{layer}.attn_norm")
        self.attention = Attention(config, weights, layer)
        self.ffn_norm = make_norm(config, weights, f"blk.{layer}.ffn_norm")
        self.feed_forward = feed_forward

    def forward(
        self, x: Tensor, keys: Tensor, values: Tensor, step: Step, wanted: int | None = None
    ) -> Tensor:
        """Map ``[tokens, hidden]`` to the last ``wanted`` of them, or all."""
        mixed = self.attention(self.attention_norm(x), keys, values, step)
        if wanted is not None:
            # Past the last attention only the wanted tokens matter.
            first = len(x) - wanted
            x, mixed = x[first:], mixed[first:]
            if not wanted:
                return x
        x = x + self.attention.output(mixed)
        return x + self.feed_forward(self.ffn_norm(x))
