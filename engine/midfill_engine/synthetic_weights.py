"""Weights of a model's true shape, made up as they are read: for measuring without a checkpoint.

Numbers, not knowledge: sizes, speeds and memory are those of the real model, its text is noise.
"""

from __future__ import annotations

import re
import zlib

import numpy as np

from midfill_engine.errors import ModelFormatError
from midfill_engine.weights import Floats, ModelConfig, Rows

__all__ = ["SyntheticWeights"]

# A row begins so many numbers after the row before it, in one short line of noise that stays in
# the processor's cache: 34 billion weights are read at the speed of a copy.
_STEP = 5
# Matrices of one shape begin at different places, so that no two are equal.
_PHASES = 8192
_IN_LAYER = re.compile(r"blk\.(\d+)\.(\w+)\.(weight|bias)")


class SyntheticWeights:
    """A ``WeightSource`` of normally distributed weights: any slice gives the same numbers.

    Matrices have a standard deviation of ``1 / sqrt(columns)``, norms lie around 1, biases are
    small; they are there for ``starcoder2`` (everywhere) and ``qwen2`` (queries, keys, values).
    Raises ``ModelFormatError`` for a name that the model does not have.
    """

    def __init__(self, config: ModelConfig, seed: int = 0) -> None:
        self._config = config
        shapes = [shape for name in _matrix_names(config) if (shape := self.shape(name))]
        length = max(rows * _STEP + columns for rows, columns in shapes) + _PHASES
        self._noise = np.random.default_rng(seed).standard_normal(length, dtype=np.float32)
        self._scaled: dict[int, Floats] = {}

    @property
    def config(self) -> ModelConfig:
        """The shape that was asked for."""
        return self._config

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Shape of a tensor, or ``None``."""
        if match := _IN_LAYER.fullmatch(name):
            layer, part, kind = match.groups()
            return self._layer_shape(part, kind) if int(layer) < self._config.layers else None
        config = self._config
        if name == "token_embd.weight" or (name == "output.weight" and not config.tied):
            return config.vocab, config.hidden
        if name == "output_norm.weight" or (name == "output_norm.bias" and config.norm == "layer"):
            return (config.hidden,)
        return None

    def rows(self, name: str, start: int, stop: int) -> Rows:
        """Rows of a matrix, float32 ``[stop - start, columns]``, the caller's to change."""
        rows, columns = self._known(name)
        start, stop = min(start, rows), min(stop, rows)
        scaled = self._scaled.get(columns)
        if scaled is None:
            scaled = self._scaled[columns] = self._noise * np.float32(columns**-0.5)
        beginning = scaled[_phase(name) + start * _STEP :]
        lines = np.lib.stride_tricks.sliding_window_view(beginning, columns)[::_STEP]
        return lines[: stop - start].copy()

    def vector(self, name: str) -> Floats:
        """A norm's weight or a bias, float32."""
        (size,) = self._known(name)
        middle = 1.0 if name.endswith("norm.weight") else 0.0
        phase = _phase(name)
        return np.float32(middle) + np.float32(0.05) * self._noise[phase : phase + size]

    def _known(self, name: str) -> tuple[int, ...]:
        shape = self.shape(name)
        if shape is None:
            raise ModelFormatError(f"a model of this shape has no tensor {name}")
        return shape

    def _layer_shape(self, part: str, kind: str) -> tuple[int, ...] | None:
        config = self._config
        inner, narrow = config.heads * config.head_dim, config.kv_heads * config.head_dim
        shapes: dict[str, tuple[int, ...]] = {
            "attn_norm": (config.hidden,),
            "attn_q": (inner, config.hidden),
            "attn_k": (narrow, config.hidden),
            "attn_v": (narrow, config.hidden),
            "attn_output": (config.hidden, inner),
            "ffn_norm": (config.hidden,),
            "ffn_up": (config.ffn, config.hidden),
            "ffn_down": (config.hidden, config.ffn),
        }
        if config.gated:
            shapes["ffn_gate"] = (config.ffn, config.hidden)
        shape = shapes.get(part)
        if shape is None or kind == "weight":
            return shape
        attends = config.architecture == "qwen2" and part in ("attn_q", "attn_k", "attn_v")
        return shape[:1] if attends or config.norm == "layer" else None


def _matrix_names(config: ModelConfig) -> list[str]:
    parts = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    return ["token_embd.weight", *(f"blk.0.{part}.weight" for part in parts)]


def _phase(name: str) -> int:
    return zlib.crc32(name.encode()) % _PHASES
