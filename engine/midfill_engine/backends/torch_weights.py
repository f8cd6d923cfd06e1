"""Puts a checkpoint's tensors on a device, cast or quantised on the way, a slice at a time."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn

from midfill_engine.backends.torch_linear import (
    Int4Linear,
    Int8Linear,
    Linear,
    group_size,
    quantize_int4,
    quantize_int8,
)
from midfill_engine.cancel import CancelToken
from midfill_engine.errors import ModelFormatError, WorkCancelledError
from midfill_engine.gguf.blocks import QuantizedRows
from midfill_engine.progress import Progress, ProgressSink
from midfill_engine.weights import Floats, WeightSource

__all__ = ["DTYPES", "TorchWeights"]

# In float32 on the host: 16 MB, which malloc gives again and again without asking the kernel.
_SLICE_WEIGHTS = 1 << 22

DTYPES = MappingProxyType(
    {
        "float32": torch.float32,
        "bf16": torch.bfloat16,
        "fp16": torch.float16,
        "int8": torch.bfloat16,
        "int4": torch.bfloat16,
    }
)
"""The type that is computed in, by the name of how the weights are held."""


class TorchWeights:
    """Implements ``models.layers.Weights`` over a ``WeightSource``.

    ``kind`` is a name of ``DTYPES``. With ``"int4"`` the output head has 8 bits, because its
    errors fall on the logits directly, and so has a matrix whose width no group divides.
    Every method raises ``WorkCancelledError`` once ``cancel`` is set.
    """

    def __init__(
        self,
        source: WeightSource,
        *,
        device: torch.device,
        kind: str,
        progress: ProgressSink,
        cancel: CancelToken,
    ) -> None:
        self._source, self._device = source, device
        self._kind = kind
        self._progress, self._cancel = progress, cancel
        self._dtype = DTYPES[kind]
        self._embedding: Tensor | None = None
        self._done = 0

    def embedding(self) -> Tensor:
        """Return the token embedding, ``[vocab, hidden]``, never quantised: rows are looked up."""
        self._embedding = self._plain(("token_embd.weight",))
        return self._embedding

    def vector(self, name: str) -> Tensor:
        """Return a one-dimensional tensor."""
        return self._on_device(self._source.vector(name)).to(self._dtype)

    def linear(self, *names: str) -> nn.Module:
        """Return the product with matrices ``names``, stacked, with their biases if any."""
        head = names == ("output",)
        matrices = tuple(f"{name}.weight" for name in names)
        if head and self._source.shape("output.weight") is None:
            if self._kind not in ("int8", "int4") and self._embedding is not None:
                return Linear(self._embedding, None)
            matrices = ("token_embd.weight",)
        bias = self._bias(names)
        group = group_size(self._size(matrices)[1])
        if self._kind == "int4" and group is not None and not head:
            return self._int4(matrices, group, bias)
        if self._kind in ("int8", "int4"):
            return self._int8(matrices, bias)
        return Linear(self._plain(matrices), bias)

    def _plain(self, names: tuple[str, ...]) -> Tensor:
        weight = self._empty(self._size(names), self._dtype)
        for start, values in self._slices(names):
            weight[start : start + len(values)] = values
        return weight

    def _int8(self, names: tuple[str, ...], bias: Tensor | None) -> Int8Linear:
        rows, columns = self._size(names)
        codes = self._empty((rows, columns), torch.int8)
        scales = self._empty((rows,), self._dtype)
        for start, values in self._slices(names):
            stop = start + len(values)
            codes[start:stop], scales[start:stop] = quantize_int8(values, self._dtype)
        return Int8Linear(codes, scales, bias=bias)

    def _int4(self, names: tuple[str, ...], group: int, bias: Tensor | None) -> Int4Linear:
        rows, columns = self._size(names)
        codes = self._empty((rows, columns // 2), torch.uint8)
        scales = self._empty((rows, columns // group), self._dtype)
        zeros = self._empty((rows, columns // group), self._dtype)
        for start, values in self._slices(names):
            at = slice(start, start + len(values))
            codes[at], scales[at], zeros[at] = quantize_int4(values, group, self._dtype)
        return Int4Linear(codes, scales, zeros, bias=bias)

    def _bias(self, names: tuple[str, ...]) -> Tensor | None:
        """Return the biases one after the other, zeros where one is missing."""
        if not any(self._source.shape(f"{name}.bias") for name in names):
            return None
        parts: list[Floats] = []
        for name in names:
            if self._source.shape(f"{name}.bias"):
                parts.append(self._source.vector(f"{name}.bias"))
            else:
                parts.append(np.zeros(self._size((f"{name}.weight",))[0], np.float32))
        return self._on_device(np.concatenate(parts)).to(self._dtype)

    def _size(self, names: tuple[str, ...]) -> tuple[int, int]:
        """Return rows and columns of matrices stacked."""
        shapes: list[tuple[int, ...]] = []
        for name in names:
            shape = self._source.shape(name)
            if shape is None or len(shape) != 2:
                raise ModelFormatError(f"the checkpoint has no matrix {name}")
            shapes.append(shape)
        return sum(shape[0] for shape in shapes), shapes[0][1]

    def _slices(self, names: tuple[str, ...]) -> Iterator[tuple[int, Tensor]]:
        """Yield float32 rows on the device, each with the number of its first."""
        first = 0
        for name in names:
            rows, columns = self._size((name,))
            step = max(1, _SLICE_WEIGHTS // columns)
            for start in range(0, rows, step):
                if self._cancel.cancelled:
                    raise WorkCancelledError("loading was stopped")
                part = self._source.rows(name, start, min(start + step, rows))
                values = part.values() if isinstance(part, QuantizedRows) else part
                yield first + start, self._on_device(values)
                self._report(values.size)
            first += rows

    def _empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=self._device)

    def _on_device(self, values: Floats) -> Tensor:
        # A tensor cannot be made of memory that must not be written, such as a mapped file's.
        writable = np.require(values, np.float32, ("C", "W"))
        return torch.from_numpy(writable).to(self._device)

    def _report(self, weights: int) -> None:
        self._done += weights
        total = self._source.config.matrix_weights
        self._progress(
            Progress(
                task=f"Loading as {self._kind}",
                done=self._done,
                # A tied head that is quantised is read once more than it counts.
                total=max(total, self._done),
                unit="weights",
            )
        )
