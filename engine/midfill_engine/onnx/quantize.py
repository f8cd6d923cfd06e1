"""Weights in the block layouts of ONNX Runtime's ``MatMulNBits``.

Spec: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#commicrosoftmatmulnbits
A row of the matrix is cut into blocks; each block has one float32 scale and, optionally, one
integer zero point: ``value = scale * (code - zero_point)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from midfill_engine.gguf.blocks import QuantizedRows
from midfill_engine.weights import Floats, Rows

__all__ = ["BlockLayout", "EncodedRows", "decode_rows", "encode_rows", "exact_layout"]

Bytes = npt.NDArray[np.uint8]

# Ends of the range that a 4-bit block is tried with, as a share of its full range: a few large
# weights in a block of 128 are better clipped than paid for by all the others.
_SHRINKS = (1.0, 0.94, 0.88, 0.82, 0.76, 0.7)
_TINY = np.float32(1e-12)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockLayout:
    """``bits`` per code (4 or 8) and ``block`` columns per scale (a power of two, at least 16).

    8-bit codes are symmetric about 128; 4-bit codes carry a zero point per block unless
    ``symmetric``.
    """

    bits: int
    block: int
    symmetric: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedRows:
    """Rows ready to be written: shapes as ``MatMulNBits`` wants its inputs B, scales, zero_points.

    ``codes``: uint8 ``[rows, blocks, block * bits / 8]``; ``scales``: float32 ``[rows, blocks]``;
    ``zero_points``: uint8 ``[rows, ceil(blocks * bits / 8)]``, or ``None`` for the default (the
    middle of the range).
    """

    codes: Bytes
    scales: Floats
    zero_points: Bytes | None


def exact_layout(rows: Rows) -> BlockLayout | None:
    """Return the layout that holds ``rows`` without any loss, or ``None`` if there is none."""
    if not isinstance(rows, QuantizedRows) or rows.minima is not None or rows.block < 16:
        return None
    if rows.low >= -8 and rows.high <= 7:
        return BlockLayout(bits=4, block=rows.block)
    return BlockLayout(bits=8, block=rows.block)


def encode_rows(rows: Rows, layout: BlockLayout) -> EncodedRows:
    """Encode ``rows`` in ``layout``: a repack where that is exact, else quantised anew.

    Columns that do not fill the last block are padded with zeros.
    """
    if isinstance(rows, QuantizedRows):
        if _holds(layout, rows):
            return _repack(rows, layout)
        rows = rows.values()
    blocks = _to_blocks(rows, layout.block)
    if layout.bits == 8:
        codes, scales = _nearest_int8(blocks)
        return EncodedRows(codes=codes, scales=scales, zero_points=None)
    codes, scales, zeros = _search_int4(blocks, symmetric=layout.symmetric)
    return EncodedRows(
        codes=_pack_nibbles(codes),
        scales=scales,
        zero_points=None if layout.symmetric else _pack_nibbles(_even(zeros)),
    )


def decode_rows(encoded: EncodedRows, layout: BlockLayout, columns: int) -> Floats:
    """The float32 matrix that the runtime sees, ``[rows, columns]``; for checks and reports."""
    if layout.bits == 8:
        codes = encoded.codes.astype(np.float32) - 128
    else:
        codes = _unpack_nibbles(encoded.codes).astype(np.float32)
        zeros = np.full(encoded.scales.shape, 8, np.float32)
        if encoded.zero_points is not None:
            zeros = _unpack_nibbles(encoded.zero_points)[:, : encoded.scales.shape[1]]
        codes -= zeros[:, :, None]
    values = codes * encoded.scales[:, :, None]
    return values.reshape(values.shape[0], -1)[:, :columns]


def _holds(layout: BlockLayout, rows: QuantizedRows) -> bool:
    """Whether every code of ``rows`` is one of ``layout``'s, which may be wider or finer."""
    exact = exact_layout(rows)
    if exact is None or not layout.symmetric:
        return False
    return layout.bits >= exact.bits and exact.block % layout.block == 0


def _repack(rows: QuantizedRows, layout: BlockLayout) -> EncodedRows:
    count, columns = rows.codes.shape
    blocks = rows.codes.reshape(count, columns // layout.block, layout.block)
    middle = 128 if layout.bits == 8 else 8
    codes = (blocks.astype(np.int16) + middle).astype(np.uint8)
    if layout.bits == 4:
        codes = _pack_nibbles(codes)
    scales = np.repeat(rows.scales, rows.block // layout.block, axis=1)
    return EncodedRows(codes=codes, scales=scales, zero_points=None)


def _to_blocks(values: Floats, block: int) -> Floats:
    rows, columns = values.shape
    if columns % block:
        values = np.pad(values, ((0, 0), (0, block - columns % block)))
    return values.reshape(rows, -1, block)


def _nearest_int8(blocks: Floats) -> tuple[Bytes, Floats]:
    scales = np.abs(blocks).max(axis=-1) / np.float32(127)
    inverse = np.float32(1) / np.maximum(scales, _TINY)
    codes = np.rint(blocks * inverse[..., None]) + np.float32(128)
    return codes.astype(np.uint8), scales


def _search_int4(blocks: Floats, *, symmetric: bool) -> tuple[Bytes, Floats, Bytes]:
    """Try several ranges per block, refit each scale by least squares, keep the smallest error.

    The error is weighted by a weight's size, as ggml's k-quants do without an importance matrix:
    large weights carry more of the output.
    """
    # A zero point is a code, so zero is in every range, even where all weights have one sign.
    low = np.minimum(blocks.min(axis=-1), np.float32(0))
    high = np.maximum(blocks.max(axis=-1), np.float32(0))
    if symmetric:
        high = np.maximum(-low, high)
        low = -high
    span = np.maximum(high - low, _TINY)
    zero = np.full_like(low, 8) if symmetric else np.rint(low * (np.float32(-15) / span))
    grid = _Grid(blocks)
    best_gain = np.full(low.shape, -1, np.float32)
    best_scale = np.empty_like(low)
    for shrink in _SHRINKS:
        scale, gain = grid.fit(span * np.float32(shrink / 15), zero)
        better = gain > best_gain
        np.copyto(best_gain, gain, where=better)
        np.copyto(best_scale, scale, where=better)
    # The refitted scale moves some weights to another code, and these the scale: once is enough.
    scale, _ = grid.fit(best_scale, zero)
    codes = grid.offsets + zero[..., None]
    return codes.astype(np.uint8), scale, zero.astype(np.uint8)


class _Grid:
    """Rounds the same blocks to one 4-bit grid after another.

    In place and in few passes over memory: the search is most of a conversion's time.
    """

    def __init__(self, blocks: Floats) -> None:
        self._blocks = blocks
        self._weight = np.abs(blocks)
        self._weight += np.sqrt(np.mean(np.square(blocks), axis=-1, keepdims=True))
        self._weighted = np.empty_like(blocks)
        self.offsets = np.empty_like(blocks)

    def fit(self, step: Floats, zero: Floats) -> tuple[Floats, Floats]:
        """Leave the codes minus ``zero`` in ``offsets``; return their best scale, and its gain.

        The gain is by how much the weighted square error is below that of a block of zeros.
        """
        inverse = np.float32(1) / np.maximum(step, _TINY)
        offsets = np.multiply(self._blocks, inverse[..., None], out=self.offsets)
        np.rint(offsets, out=offsets)
        np.maximum(offsets, -zero[..., None], out=offsets)
        np.minimum(offsets, (np.float32(15) - zero)[..., None], out=offsets)
        np.multiply(offsets, self._weight, out=self._weighted)
        product = np.vecdot(self._weighted, self._blocks)
        scale = product / np.maximum(np.vecdot(self._weighted, offsets), _TINY)
        return scale, product * scale


def _even(codes: Bytes) -> Bytes:
    """Pad the last axis to an even length, for packing two to a byte."""
    if codes.shape[-1] % 2:
        return np.concatenate((codes, np.zeros_like(codes[..., :1])), axis=-1)
    return codes


def _pack_nibbles(codes: Bytes) -> Bytes:
    """Two codes to a byte along the last axis, the first in the low half."""
    return codes[..., 0::2] | (codes[..., 1::2] << np.uint8(4))


def _unpack_nibbles(packed: Bytes) -> Bytes:
    pairs = np.stack((packed & np.uint8(0x0F), packed >> np.uint8(4)), axis=-1)
    return pairs.reshape(*packed.shape[:-1], -1)
