"""The decoder graph of every ``ModelConfig``, with keys and values written in place.

Inputs (batch is always 1; S new tokens, N wanted positions, C capacity of the cache):

    input_ids              int64   [1, S]
    wanted                 int64   [N]        positions in 0..S-1 whose logits are wanted
    seqlens_k              int32   [1]        total length after this step, minus one
    total_sequence_length  int32   []         total length after this step
    past.L.key, past.L.value          [1, kv_heads, C, head_dim], the writer's type of floats

Outputs: ``logits`` ``[1, N, vocab]``, float32 in any case, and ``present.L.key/value``, which the
caller binds to the same memory as ``past``: ``GroupQueryAttention`` then writes only the new
positions, and forgetting the last ones is nothing but passing a smaller length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from midfill_engine.onnx.writer import GraphWriter
from midfill_engine.weights import ModelConfig

__all__ = ["MatrixWriter", "build_graph"]


class MatrixWriter(Protocol):
    """Puts the checkpoint's weights into the graph; the graph only says where."""

    def embed(self, ids: str, output: str) -> None:
        """Look up rows of the token embedding."""
        ...

    def linear(self, source: str, names: tuple[str, ...], output: str) -> None:
        """Multiply by the matrices ``names``, stacked, and add their biases if there are any."""
        ...

    def norm(self, name: str) -> tuple[str, ...]:
        """Store a norm's weight, and its bias if it has one; returns their value names."""
        ...


@dataclass(frozen=True, slots=True)
class _Layers:
    """Node patterns of one layer, named by prefix."""

    writer: GraphWriter
    weights: MatrixWriter
    config: ModelConfig

    def first_norm(self, source: str, name: str, output: str) -> None:
        operators = {"rms": "SimplifiedLayerNormalization", "layer": "LayerNormalization"}
        self.writer.add_node(
            operators[self.config.norm],
            (source, *self.weights.norm(name)),
            (output,),
            axis=-1,
            epsilon=self.config.norm_epsilon,
        )

    def residual_norm(self, source: str, residual: str, name: str, at: str) -> tuple[str, str]:
        """Add and normalise in one node; returns the names of (normalised, sum)."""
        operators = {"rms": "SkipSimplifiedLayerNormalization", "layer": "SkipLayerNormalization"}
        outputs = (f"{at}.normed", "", "", f"{at}.sum")
        self.writer.add_node(
            operators[self.config.norm],
            (source, residual, *self.weights.norm(name)),
            outputs,
            contrib=True,
            epsilon=self.config.norm_epsilon,
        )
        return outputs[0], outputs[3]

    def attention(self, normed: str, layer: int) -> str:
        """Return the heads' mixed values, before the output projection."""
        config, at = self.config, f"blk.{layer}"
        names = tuple(f"{at}.attn_{which}" for which in "qkv")
        self.weights.linear(normed, names, f"{at}.qkv")
        past = [f"past.{layer}.key", f"past.{layer}.value"]
        present = [f"present.{layer}.key", f"present.{layer}.value"]
        shape = (1, config.kv_heads, "capacity", config.head_dim)
        for name in past:
            self.writer.add_input(name, self.writer.floats, shape)
        for name in present:
            self.writer.add_output(name, self.writer.floats, shape)
        window = {} if config.window is None else {"local_window_size": config.window}
        self.writer.add_node(
            "GroupQueryAttention",
            (f"{at}.qkv", "", "", *past, "seqlens_k", "total_sequence_length", "cos", "sin"),
            (f"{at}.heads", *present),
            contrib=True,
            num_heads=config.heads,
            kv_num_heads=config.kv_heads,
            do_rotary=1,
            rotary_interleaved=int(config.rope_interleaved),
            **window,
        )
        return f"{at}.heads"

    def ffn(self, normed: str, layer: int) -> str:
        at = f"blk.{layer}"
        if self.config.gated:
            self.weights.linear(normed, (f"{at}.ffn_gate",), f"{at}.gate")
        self.weights.linear(normed, (f"{at}.ffn_up",), f"{at}.up")
        inner = self.activation(f"{at}.gate" if self.config.gated else f"{at}.up", f"{at}.act")
        if self.config.gated:
            self.writer.add_node("Mul", (inner, f"{at}.up"), (f"{at}.inner",))
            inner = f"{at}.inner"
        self.weights.linear(inner, (f"{at}.ffn_down",), f"{at}.down")
        return f"{at}.down"

    def activation(self, source: str, output: str) -> str:
        if self.config.activation == "silu":
            # QuickGelu with alpha 1 is SiLU, x * sigmoid(x), in one pass over memory.
            self.writer.add_node("QuickGelu", (source,), (output,), contrib=True, alpha=1.0)
        else:
            # The tanh form of GELU.
            self.writer.add_node("FastGelu", (source,), (output,), contrib=True)
        return output

    def only_wanted(self, source: str, output: str) -> str:
        self.writer.add_node("Gather", (source, "wanted"), (output,), axis=1)
        return output


def build_graph(
    writer: GraphWriter, weights: MatrixWriter, config: ModelConfig, positions: int
) -> None:
    """Write the whole decoder; ``positions`` is how far its rotary tables reach."""
    writer.add_input("input_ids", np.int64, (1, "tokens"))
    writer.add_input("wanted", np.int64, ("wanted",))
    writer.add_input("seqlens_k", np.int32, (1,))
    writer.add_input("total_sequence_length", np.int32, ())
    writer.add_output("logits", np.float32, (1, "wanted", config.vocab))
    _rotary_tables(writer, config, positions)
    layers = _Layers(writer, weights, config)
    residual = _embed(writer, weights, config)
    layers.first_norm(residual, "blk.0.attn_norm", "blk.0.normed")
    normed = "blk.0.normed"
    for layer in range(config.layers):
        at = f"blk.{layer}"
        heads = layers.attention(normed, layer)
        if layer == config.layers - 1:
            # Past the last attention only the wanted positions matter: a prefilled prompt needs
            # the last layer's FFN, and the output head, for its last token alone.
            heads = layers.only_wanted(heads, "wanted.heads")
            residual = layers.only_wanted(residual, "wanted.residual")
        weights.linear(heads, (f"{at}.attn_output",), f"{at}.attended")
        normed, residual = layers.residual_norm(
            f"{at}.attended", residual, f"{at}.ffn_norm", f"{at}.middle"
        )
        down = layers.ffn(normed, layer)
        last = layer == config.layers - 1
        norm = "output_norm" if last else f"blk.{layer + 1}.attn_norm"
        normed, residual = layers.residual_norm(down, residual, norm, f"{at}.end")
    _logits(writer, weights, normed)


def _embed(writer: GraphWriter, weights: MatrixWriter, config: ModelConfig) -> str:
    weights.embed("input_ids", "embedded")
    if config.embedding_scale == 1:
        return "embedded"
    scale = writer.add_small("embedding_scale", np.array(config.embedding_scale, writer.floats))
    writer.add_node("Mul", ("embedded", scale), ("embedded.scaled",))
    return "embedded.scaled"


def _logits(writer: GraphWriter, weights: MatrixWriter, normed: str) -> None:
    if writer.floats == np.float32:
        weights.linear(normed, ("output",), "logits")
        return
    weights.linear(normed, ("output",), "logits.narrow")
    writer.add_cast("logits.narrow", "logits", np.float32)


def _rotary_tables(writer: GraphWriter, config: ModelConfig, positions: int) -> None:
    """Cosines and sines, ``[positions, head_dim / 2]`` (RoFormer, arXiv 2104.09864)."""
    exponents = np.arange(0, config.head_dim, 2, dtype=np.float64) / config.head_dim
    rotated = np.arange(positions, dtype=np.float64) / config.rope_factor
    angles = rotated[:, None] / config.rope_theta**exponents
    writer.add_floats("cos", np.cos(angles))
    writer.add_floats("sin", np.sin(angles))
