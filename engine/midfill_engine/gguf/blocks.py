"""GGUF block formats, unpacked to integer codes, scales and minima.

A format is unpacked, not dequantised, wherever its codes are integers on a regular grid: then a
runtime whose layout can hold the same grid loses nothing. Layouts as in ggml's ``ggml-common.h``
and ``ggml-quants.c`` (block structs ``block_q4_0`` … ``block_q6_K``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from midfill_engine.errors import ModelFormatError

__all__ = ["QuantizedRows", "dequantize", "has_grid", "unpack"]

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int8]
Bytes = npt.NDArray[np.uint8]

# Shifts by a plain int would widen the codes, for the type checker at least.
_FOUR, _SIX = np.uint8(4), np.uint8(6)
_LOW, _SIX_BITS = np.uint8(0x0F), np.uint8(63)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedRows:
    """Rows of a matrix as ``scale * code - minimum`` over blocks of ``block`` columns.

    ``codes``: int8 ``[rows, columns]``; ``scales`` and ``minima``: float32
    ``[rows, columns // block]``; ``minima`` is ``None`` where the format is symmetric.
    ``low`` and ``high`` bound the codes that the format can hold.
    """

    codes: Codes
    scales: Floats
    minima: Floats | None
    block: int
    low: int
    high: int

    def values(self) -> Floats:
        """The matrix in float32, ``[rows, columns]``."""
        rows, columns = self.codes.shape
        grid = self.codes.reshape(rows, columns // self.block, self.block).astype(np.float32)
        grid *= self.scales[:, :, None]
        if self.minima is not None:
            grid -= self.minima[:, :, None]
        return grid.reshape(rows, columns)


def unpack(block_type: str, data: Bytes) -> QuantizedRows:
    """Unpack ``data``, uint8 ``[rows, row_bytes]`` of one of the formats of ``_UNPACKERS``.

    Raises ``ModelFormatError`` for a format whose codes are not an affine grid.
    """
    unpacker = _UNPACKERS.get(block_type)
    if unpacker is None:
        raise ModelFormatError(f"tensors of type {block_type} cannot be unpacked to a grid")
    return unpacker(np.ascontiguousarray(data))


def has_grid(block_type: str) -> bool:
    """Whether ``unpack`` knows the format."""
    return block_type in _UNPACKERS


def dequantize(block_type: str, data: Bytes) -> Floats:
    """Any tensor of a GGUF file as float32 ``[rows, columns]``.

    The formats that ``unpack`` does not know go through the ``gguf`` library.
    """
    if block_type in _UNPACKERS:
        return unpack(block_type, data).values()
    if block_type == "F32":
        return np.ascontiguousarray(data).view(np.float32)
    if block_type == "F16":
        return np.ascontiguousarray(data).view(np.float16).astype(np.float32)
    import gguf

    try:
        kind = gguf.GGMLQuantizationType[block_type]
        return gguf.quants.dequantize(np.ascontiguousarray(data), kind).astype(np.float32)
    except (KeyError, NotImplementedError) as error:
        raise ModelFormatError(f"tensors of type {block_type} are not supported") from error


def _half(data: Bytes) -> Floats:
    """Two bytes on the last axis as one float16, widened; that axis goes."""
    return np.ascontiguousarray(data).view(np.float16)[..., 0].astype(np.float32)


def _nibbles(packed: Bytes) -> Bytes:
    """Low nibbles, then high nibbles, along the last axis."""
    return np.concatenate((packed & _LOW, packed >> _FOUR), axis=-1)


def _symmetric(codes: Codes, scales: Floats, low: int, high: int) -> QuantizedRows:
    rows = codes.shape[0]
    return QuantizedRows(
        codes=codes.reshape(rows, -1),
        scales=scales.reshape(rows, -1),
        minima=None,
        block=codes.shape[-1],
        low=low,
        high=high,
    )


def _q4_0(data: Bytes) -> QuantizedRows:
    blocks = data.reshape(data.shape[0], -1, 18)
    codes = _nibbles(blocks[..., 2:]).astype(np.int8) - np.int8(8)
    return _symmetric(codes, _half(blocks[..., :2]), -8, 7)


def _q8_0(data: Bytes) -> QuantizedRows:
    blocks = data.reshape(data.shape[0], -1, 34)
    codes = np.ascontiguousarray(blocks[..., 2:]).view(np.int8)
    return _symmetric(codes, _half(blocks[..., :2]), -128, 127)


def _q5_0(data: Bytes) -> QuantizedRows:
    blocks = data.reshape(data.shape[0], -1, 22)
    # Bit i of the 32-bit word is the fifth bit of code i.
    fifth = np.unpackbits(blocks[..., 2:6], axis=-1, bitorder="little")
    codes = (_nibbles(blocks[..., 6:]) | (fifth << 4)).astype(np.int8) - np.int8(16)
    return _symmetric(codes, _half(blocks[..., :2]), -16, 15)


def _q6_k(data: Bytes) -> QuantizedRows:
    rows = data.shape[0]
    blocks = data.reshape(rows, -1, 210)
    low = blocks[..., :128].reshape(rows, -1, 2, 64)
    high = blocks[..., 128:192].reshape(rows, -1, 2, 32)
    # Each half of 128 codes: its 64 low bytes hold two nibbles each, its 32 high bytes four pairs.
    shifts = np.array([0, 2, 4, 6], dtype=np.uint8)[:, None]
    top = (high[..., None, :] >> shifts) & 3
    bottom = np.stack((low & 0x0F, low >> 4), axis=-2).reshape(rows, -1, 2, 4, 32)
    codes = (bottom | (top << 4)).astype(np.int8) - np.int8(32)
    scales = np.ascontiguousarray(blocks[..., 192:208]).view(np.int8).astype(np.float32)
    scales *= _half(blocks[..., 208:210])[..., None]
    return _symmetric(codes.reshape(rows, -1, 16), scales, -32, 31)


def _k_scales(packed: Bytes) -> tuple[Bytes, Bytes]:
    """Eight 6-bit scales and eight 6-bit minima out of 12 bytes (``get_scale_min_k4``)."""
    first, second, third = packed[..., 0:4], packed[..., 4:8], packed[..., 8:12]
    scales = np.concatenate(
        (first & _SIX_BITS, (third & _LOW) | ((first >> _SIX) << _FOUR)), axis=-1
    )
    minima = np.concatenate(
        (second & _SIX_BITS, (third >> _FOUR) | ((second >> _SIX) << _FOUR)), axis=-1
    )
    return scales, minima


def _affine_k(blocks: Bytes, codes: Bytes, high: int) -> QuantizedRows:
    rows = blocks.shape[0]
    scales, minima = _k_scales(blocks[..., 4:16])
    return QuantizedRows(
        codes=codes.reshape(rows, -1).view(np.int8),
        scales=(scales * _half(blocks[..., 0:2])[..., None]).reshape(rows, -1),
        minima=(minima * _half(blocks[..., 2:4])[..., None]).reshape(rows, -1),
        block=32,
        low=0,
        high=high,
    )


def _q4_k(data: Bytes) -> QuantizedRows:
    rows = data.shape[0]
    blocks = data.reshape(rows, -1, 144)
    packed = blocks[..., 16:].reshape(rows, -1, 4, 32)
    codes = np.stack((packed & _LOW, packed >> _FOUR), axis=-2)
    return _affine_k(blocks, codes, 15)


def _q5_k(data: Bytes) -> QuantizedRows:
    rows = data.shape[0]
    blocks = data.reshape(rows, -1, 176)
    packed = blocks[..., 48:].reshape(rows, -1, 4, 32)
    nibbles = np.stack((packed & _LOW, packed >> _FOUR), axis=-2).reshape(rows, -1, 8, 32)
    shifts = np.arange(8, dtype=np.uint8)[:, None]
    fifth = (blocks[..., None, 16:48] >> shifts) & np.uint8(1)
    return _affine_k(blocks, nibbles | (fifth << _FOUR), 31)


_UNPACKERS: dict[str, Callable[[Bytes], QuantizedRows]] = {
    "Q4_0": _q4_0,
    "Q5_0": _q5_0,
    "Q8_0": _q8_0,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
}
