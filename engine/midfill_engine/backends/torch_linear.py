"""Products with matrices of 8 and 4 bits, whose weights are widened while they are multiplied.

A few rows, as a decode step has, cost what the matrix costs to read: there kernels compete. Many
rows, as a prompt has, cost what they cost to compute: there the matrix is widened first, in parts.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "NARROW_ROWS",
    "Int4Linear",
    "Int8Linear",
    "Linear",
    "QuantizedLinear",
    "choose_kernels",
    "group_size",
    "linear_kernels",
    "quantize_int4",
    "quantize_int8",
    "working_kernel",
]

Kernel: TypeAlias = Callable[..., Tensor]
"""Multiplies at most ``NARROW_ROWS`` rows, ``[rows, columns]``, by the matrix of one module."""

NARROW_ROWS = 16
"""With more rows than this the matrix is widened for them."""

# Widened at a time, so that a large matrix does not need its full size once more.
_WIDE_WEIGHTS = 1 << 27
_GROUPS = (128, 64, 32)
_MIDDLE = 8
_MOST_SHAPES = 64
_LEAST_SCALE = 1e-12
# Ranges that a group is tried with: a few large weights are better clipped than paid for by all.
_SHRINKS = (1.0, 0.94, 0.88, 0.82, 0.76, 0.7)
# Of the product's norm: what rounding to 16 bits here and there may make of it.
_TOLERANCE = 0.02


def linear_kernels(device: str) -> tuple[str, ...]:
    """Return the kernels that quantised products have on ``device`` (``"cpu"``, ``"cuda:0"``).

    ``"plain"`` widens the matrix and multiplies: what the others are compared with. ``"packed"``
    is PyTorch's own, ``"compiled"`` what ``torch.compile`` makes of the plain one, ``"triton"``
    ours. ``"packed"`` keeps the codes of a 4-bit matrix twice, in PyTorch's order as well.
    """
    on_gpu = device.startswith("cuda")
    ours = on_gpu and importlib.util.find_spec("triton") is not None
    return ("plain", "packed", *(("compiled",) if on_gpu else ()), *(("triton",) if ours else ()))


def group_size(columns: int) -> int | None:
    """Return how many columns share a 4-bit scale, or ``None`` where no group divides them."""
    return next((group for group in _GROUPS if columns % group == 0), None)


def quantize_int8(values: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Round float32 ``[rows, columns]`` to codes of -127 … 127 and a scale a row.

    Returns int8 ``[rows, columns]`` and ``[rows]`` of ``dtype``: a weight is ``scale * code``.
    """
    scales = (values.abs().amax(dim=1) / 127).clamp_min(_LEAST_SCALE).to(dtype)
    codes = (values / scales.float()[:, None]).round_().clamp_(-127, 127)
    return codes.to(torch.int8), scales


def quantize_int4(values: Tensor, group: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Round float32 ``[rows, columns]`` to codes of 0 … 15, with a scale and a zero per group.

    A weight is ``scale * (code - 8) + zero``. Returns uint8 ``[rows, columns / 2]``, in which the
    low halves of a group's bytes hold its first columns and the high halves its last, and scales
    and zeros, ``[rows, columns / group]`` of ``dtype``.
    """
    grouped = values.unflatten(1, (-1, group))
    scales, zeros = (fitted.to(dtype) for fitted in _fit_int4(grouped))
    # Codes are found with the rounded scales and zeros, as it is those that they are used with.
    codes = _offsets(grouped, scales.float(), zeros.float()).add_(_MIDDLE).to(torch.uint8)
    low, high = codes.chunk(2, dim=2)
    return (low | (high << 4)).flatten(1), scales, zeros


def _fit_int4(grouped: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scale and the zero of each group with the least error of those that are tried.

    Some ranges, up to the full one, are rounded to; then scale and zero are fitted to the codes by
    least squares. Errors count by a weight's size, as in ``onnx.quantize``.
    """
    importance = grouped.abs()
    importance += grouped.square().mean(dim=2, keepdim=True).sqrt_()
    least, most = grouped.aminmax(dim=2)
    middle, half = (most + least) / 2, (most - least) / 2
    mass = importance.sum(2).clamp_min(_LEAST_SCALE)
    mean = (importance * grouped).sum(2) / mass
    best = torch.full_like(mass, math.inf)
    best_scales, best_zeros = best.clone(), best.clone()
    for shrink in _SHRINKS:
        scales = (half * (shrink * 2 / 15)).clamp_min(_LEAST_SCALE)
        offsets = _offsets(grouped, scales, middle - half * shrink + _MIDDLE * scales)
        centre = (importance * offsets).sum(2) / mass
        spread = offsets - centre[..., None]
        variance = (importance * spread.square()).sum(2)
        covariance = (importance * spread * (grouped - mean[..., None])).sum(2)
        # All of one code: any scale will do, and the zero is the mean.
        scales = torch.where(variance > 0, covariance / variance, scales)
        zeros = mean - scales * centre
        error = grouped - offsets * scales[..., None] - zeros[..., None]
        error = (importance * error.square_()).sum(2)
        better = error.lt(best)
        best = torch.where(better, error, best)
        best_scales = torch.where(better, scales, best_scales)
        best_zeros = torch.where(better, zeros, best_zeros)
    return best_scales.clamp_min_(_LEAST_SCALE), best_zeros


def _offsets(grouped: Tensor, scales: Tensor, zeros: Tensor) -> Tensor:
    """Return codes minus their middle, float32, for ``[rows, groups]`` of scales and zeros."""
    offsets = (grouped - zeros[..., None]).div_(scales[..., None]).round_()
    return offsets.clamp_(-_MIDDLE, 15 - _MIDDLE)


class Linear(nn.Module):
    """A product with a matrix as it is, ``[outputs, inputs]``."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[rows, inputs]`` to ``[rows, outputs]``."""
        return functional.linear(x, self.weight, self.bias)


class QuantizedLinear(nn.Module):
    """A product with a quantised matrix; ``kernel`` is what multiplies a few rows.

    A further kernel is a name in ``linear_kernels`` and a branch of ``choose``.
    """

    codes: Tensor
    scales: Tensor
    bias: Tensor | None
    _narrow: Kernel

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[rows, inputs]`` to ``[rows, outputs]``."""
        product = self._narrow(x, self) if len(x) <= NARROW_ROWS else self._multiply_wide(x)
        return product if self.bias is None else product + self.bias

    @property
    def columns(self) -> int:
        """How many inputs the matrix has."""
        raise NotImplementedError

    def choose(self, kernel: str) -> None:
        """Multiply a few rows by ``kernel`` from now on; raises ``ValueError`` if unknown."""
        raise NotImplementedError

    def widened(self, start: int, stop: int) -> Tensor:
        """Rows of the matrix as numbers, in the type of its scales."""
        raise NotImplementedError

    def _multiply_wide(self, x: Tensor) -> Tensor:
        rows = len(self.scales)
        step = max(1, _WIDE_WEIGHTS // x.shape[1])
        parts = [
            functional.linear(x, self.widened(start, min(start + step, rows)))
            for start in range(0, rows, step)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


class Int8Linear(QuantizedLinear):
    """``codes`` and ``scales`` as ``quantize_int8`` makes them."""

    def __init__(
        self, codes: Tensor, scales: Tensor, *, bias: Tensor | None = None, kernel: str = "plain"
    ) -> None:
        super().__init__()
        self.register_buffer("codes", codes)
        self.register_buffer("scales", scales)
        self.register_buffer("bias", bias)
        self.choose(kernel)

    @property
    def columns(self) -> int:
        """See ``QuantizedLinear.columns``."""
        return self.codes.shape[1]

    def choose(self, kernel: str) -> None:
        """See ``QuantizedLinear.choose``."""
        if kernel == "packed":
            self._narrow = _packed_int8
        elif kernel == "triton":
            from midfill_engine.backends.torch_triton import int8_rows

            self._narrow = int8_rows
        else:
            self._narrow = _plain_or_compiled(kernel, _plain_int8)

    def widened(self, start: int, stop: int) -> Tensor:
        """See ``QuantizedLinear.widened``."""
        return self.codes[start:stop].to(self.scales.dtype) * self.scales[start:stop, None]


class Int4Linear(QuantizedLinear):
    """``codes``, ``scales`` and ``zeros`` as ``quantize_int4`` makes them."""

    def __init__(
        self,
        codes: Tensor,
        scales: Tensor,
        zeros: Tensor,
        *,
        bias: Tensor | None = None,
        kernel: str = "plain",
    ) -> None:
        super().__init__()
        self.register_buffer("codes", codes)
        self.register_buffer("scales", scales)
        self.register_buffer("zeros", zeros)
        self.register_buffer("bias", bias)
        self.group = 2 * codes.shape[1] // scales.shape[1]
        self.register_buffer("tiles", None)
        self.register_buffer("grid", None)
        self.zeros: Tensor
        self.tiles: Tensor | None
        self.grid: Tensor | None
        self.choose(kernel)

    @property
    def columns(self) -> int:
        """See ``QuantizedLinear.columns``."""
        return 2 * self.codes.shape[1]

    def choose(self, kernel: str) -> None:
        """See ``QuantizedLinear.choose``."""
        self.tiles = self.grid = None
        if kernel == "packed":
            self.tiles = _int4_tiles(self)
            self.grid = torch.stack((self.scales.T, self.zeros.T), dim=2).contiguous()
            self._narrow = _packed_int4
        elif kernel == "triton":
            from midfill_engine.backends.torch_triton import int4_rows

            self._narrow = int4_rows
        else:
            self._narrow = _plain_or_compiled(kernel, _plain_int4)

    def unpacked(self, start: int, stop: int) -> Tensor:
        """Codes of some rows, uint8 ``[rows, groups, group]``."""
        codes = self.codes[start:stop].unflatten(1, (-1, self.group // 2))
        return torch.cat((codes & 15, codes >> 4), dim=2)

    def widened(self, start: int, stop: int) -> Tensor:
        """See ``QuantizedLinear.widened``."""
        scales, zeros = self.scales[start:stop, :, None], self.zeros[start:stop, :, None]
        centred = self.unpacked(start, stop).to(scales.dtype) - _MIDDLE
        return torch.addcmul(zeros, centred, scales).flatten(1)


def _plain_or_compiled(kernel: str, plain: Kernel) -> Kernel:
    if kernel == "plain":
        return plain
    if kernel == "compiled":
        return _compiled(plain)
    raise ValueError(f"no kernel {kernel!r} for quantised products")


@cache
def _compiled(plain: Kernel) -> Kernel:
    from torch._dynamo import config

    # It is compiled for every shape of a matrix, once for one row and once for more; PyTorch
    # would give up, and run the rest as it is, after eight.
    config.recompile_limit = max(config.recompile_limit, _MOST_SHAPES)
    return torch.compile(plain)


def _plain_int8(x: Tensor, matrix: Int8Linear) -> Tensor:
    return functional.linear(x, matrix.codes.to(x.dtype)) * matrix.scales


def _packed_int8(x: Tensor, matrix: Int8Linear) -> Tensor:
    return torch.ops.aten._weight_int8pack_mm(x, matrix.codes, matrix.scales)


def _plain_int4(x: Tensor, matrix: Int4Linear) -> Tensor:
    return functional.linear(x, matrix.widened(0, len(matrix.scales)))


def _packed_int4(x: Tensor, matrix: Int4Linear) -> Tensor:
    multiply = (
        torch.ops.aten._weight_int4pack_mm
        if x.is_cuda
        else torch.ops.aten._weight_int4pack_mm_for_cpu
    )
    assert matrix.tiles is not None, "another kernel was chosen meanwhile"
    assert matrix.grid is not None
    return multiply(x, matrix.tiles, matrix.group, matrix.grid)


def _int4_tiles(matrix: Int4Linear) -> Tensor:
    """Return the codes in the order that PyTorch's own product reads them in."""
    codes = matrix.unpacked(0, len(matrix.scales)).flatten(1)
    depth = 8 if codes.shape[1] % 128 == 0 else 2
    if not codes.is_cuda:
        return torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes.int(), depth)
    # Pairs of neighbours, the first in the high half of a byte.
    pairs = (codes[:, ::2] << 4) | codes[:, 1::2]
    return torch.ops.aten._convert_weight_to_int4pack(pairs, depth)


def choose_kernels(model: nn.Module, kernel: str | None, device: str) -> None:
    """Let all quantised products of ``model`` use ``kernel``, or else the first that works.

    Products of one kind have one kernel. Raises ``ValueError`` for one that does not exist.
    """
    known = linear_kernels(device)
    preferred = [name for name in ("triton", "packed") if name in known]
    products = [module for module in model.modules() if isinstance(module, QuantizedLinear)]
    for kind in {type(product) for product in products}:
        alike = [product for product in products if type(product) is kind]
        chosen = kernel or working_kernel(alike[0], preferred)
        for product in alike:
            product.choose(chosen)


def working_kernel(product: QuantizedLinear, kernels: Sequence[str]) -> str:
    """Return the first of ``kernels`` that multiplies as ``"plain"`` does, else ``"plain"``."""
    columns = product.columns
    x = torch.linspace(-1, 1, 3 * columns, device=product.scales.device).view(3, columns)
    x = x.to(product.scales.dtype)
    product.choose("plain")
    expected = product(x).float()
    for kernel in kernels:
        try:
            product.choose(kernel)
            off = (product(x).float() - expected).norm() / expected.norm()
        except Exception:
            # A kernel may not fit this GPU, driver or shape, and says so by errors of the
            # compiler, of Triton or of PyTorch, which share no base. The next one is tried.
            continue
        if off < _TOLERANCE:
            return kernel
    return "plain"
