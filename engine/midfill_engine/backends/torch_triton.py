"""Our own kernels for a few rows times a quantised matrix, in Triton.

Always 16 rows, which is what a tensor core takes at least; missing ones count as zero. So a row's
result is the same however many rows are computed with it, and the time is that of reading the
matrix.
"""

# A kernel is not Python: its arguments are pointers, its numbers blocks, and only Triton knows.
# pyright: basic

from __future__ import annotations

from types import MappingProxyType
from typing import Protocol

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["int4_rows", "int8_rows"]

_ROWS = tl.constexpr(16)
_OUTPUTS = 32
_COLUMNS = 256
# The bits of a power of two whose last four bits count ones, and that number plus 8, by type.
_OFFSETS = MappingProxyType(
    {torch.bfloat16: (0x4300, 128.0 + 8), torch.float16: (0x6400, 1024.0 + 8)}
)


class _Int8(Protocol):
    codes: Tensor
    scales: Tensor


class _Int4(_Int8, Protocol):
    zeros: Tensor


def int8_rows(x: Tensor, matrix: _Int8) -> Tensor:
    """Multiply ``[rows, columns]`` of at most 16 rows; returns ``[rows, outputs]``."""
    return _multiply_int8(x, matrix.codes, matrix.scales)


def int4_rows(x: Tensor, matrix: _Int4) -> Tensor:
    """Multiply at most 16 rows of 16-bit floats, ``[rows, columns]``; see ``int8_rows``."""
    return _multiply_int4(x, matrix.codes, matrix.scales, matrix.zeros)


# As operators, so that torch.compile takes them as they are.
@torch.library.custom_op("midfill::multiply_int8", mutates_args=())
def _multiply_int8(x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
    x, outputs, columns = x.contiguous(), *codes.shape
    product = torch.empty((len(x), outputs), dtype=x.dtype, device=x.device)
    _int8_kernel[(triton.cdiv(outputs, _OUTPUTS),)](
        x,
        codes,
        scales,
        product,
        len(x),
        outputs,
        columns,
        OUTPUTS=_OUTPUTS,
        COLUMNS=_COLUMNS,
        num_warps=4,
        num_stages=4,
    )
    return product


@torch.library.custom_op("midfill::multiply_int4", mutates_args=())
def _multiply_int4(x: Tensor, codes: Tensor, scales: Tensor, zeros: Tensor) -> Tensor:
    bits, offset = _OFFSETS[x.dtype]
    x, outputs, columns = x.contiguous(), *codes.shape
    product = torch.empty((len(x), outputs), dtype=x.dtype, device=x.device)
    _int4_kernel[(triton.cdiv(outputs, _OUTPUTS),)](
        x,
        codes,
        scales,
        zeros,
        product,
        len(x),
        outputs,
        2 * columns,
        OUTPUTS=_OUTPUTS,
        HALF=columns // scales.shape[1],
        BITS=bits,
        OFFSET=offset,
        num_warps=4,
        num_stages=5,
    )
    return product


@_multiply_int8.register_fake
def _(x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
    return torch.empty((len(x), len(codes)), dtype=x.dtype, device=x.device)


@_multiply_int4.register_fake
def _(x: Tensor, codes: Tensor, scales: Tensor, zeros: Tensor) -> Tensor:
    return torch.empty((len(x), len(codes)), dtype=x.dtype, device=x.device)


@triton.jit
def _int8_kernel(
    x,
    codes,
    scales,
    product,
    rows,
    outputs,
    columns,
    OUTPUTS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    row, column = tl.arange(0, _ROWS), tl.arange(0, COLUMNS)
    output = tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    # 64 bits: a matrix may have more than two billion weights.
    line = output.to(tl.int64) * columns
    inside = output < outputs
    total = tl.zeros((_ROWS, OUTPUTS), dtype=tl.float32)
    for start in range(0, columns, COLUMNS):
        there = start + column < columns
        left = tl.load(
            x + row[:, None] * columns + (start + column)[None, :],
            mask=(row < rows)[:, None] & there[None, :],
            other=0.0,
        )
        right = tl.load(
            codes + line[None, :] + (start + column)[:, None],
            mask=inside[None, :] & there[:, None],
            other=0,
        )
        total = tl.dot(left, right.to(left.dtype), total, input_precision="ieee")
    scale = tl.load(scales + output, mask=inside, other=0.0).to(tl.float32)
    total = total * scale[None, :]
    at = product + row[:, None] * outputs + output[None, :]
    tl.store(at, total.to(product.dtype.element_ty), mask=(row < rows)[:, None] & inside[None, :])


@triton.jit
def _int4_kernel(
    x,
    codes,
    scales,
    zeros,
    product,
    rows,
    outputs,
    columns,
    OUTPUTS: tl.constexpr,
    HALF: tl.constexpr,
    BITS: tl.constexpr,
    OFFSET: tl.constexpr,
):
    row, column = tl.arange(0, _ROWS), tl.arange(0, HALF)
    output = tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    groups = columns // (2 * HALF)
    line = output.to(tl.int64) * (columns // 2)
    inside, real = output < outputs, (row < rows)[:, None]
    total = tl.zeros((_ROWS, OUTPUTS), dtype=tl.float32)
    for group in range(0, groups):
        at = x + row[:, None] * columns + (group * 2 * HALF + column)[None, :]
        first = tl.load(at, mask=real, other=0.0)
        last = tl.load(at + HALF, mask=real, other=0.0)
        packed = tl.load(
            codes + line[None, :] + (group * HALF + column)[:, None], mask=inside[None, :], other=0
        ).to(tl.int16)
        # A code set into the last bits of such a power of two is added to it: nothing has to be
        # converted, only that number times the sum of x taken off again.
        low = ((packed & 15) | BITS).to(tl.int16).to(first.dtype, bitcast=True)
        high = (((packed >> 4) & 15) | BITS).to(tl.int16).to(first.dtype, bitcast=True)
        part = tl.dot(first, low)
        part = tl.dot(last, high, part)
        sums = tl.sum(first.to(tl.float32), 1) + tl.sum(last.to(tl.float32), 1)
        place = output * groups + group
        scale = tl.load(scales + place, mask=inside, other=0.0).to(tl.float32)
        zero = tl.load(zeros + place, mask=inside, other=0.0).to(tl.float32)
        total += scale[None, :] * part + (zero - OFFSET * scale)[None, :] * sums[:, None]
    at = product + row[:, None] * outputs + output[None, :]
    tl.store(at, total.to(product.dtype.element_ty), mask=real & inside[None, :])
