"""GGUF block formats: every one equals the gguf library's own dequantisation, bit for bit."""

from __future__ import annotations

import gguf
import numpy as np
import numpy.typing as npt
import pytest
from tiny_files import encode_blocks

from midfill_engine.errors import ModelFormatError
from midfill_engine.gguf.blocks import dequantize, has_grid, unpack

GRIDS = ("Q4_0", "Q5_0", "Q8_0", "Q4_K", "Q5_K", "Q6_K")
# Where the float16 numbers of a block begin: random bytes there would be infinite or no number.
HALVES = {"Q4_0": (0,), "Q5_0": (0,), "Q8_0": (0,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}


def kind_of(block_type: str) -> gguf.GGMLQuantizationType:
    return gguf.GGMLQuantizationType[block_type]


def random_blocks(block_type: str, rows: int, columns: int) -> npt.NDArray[np.uint8]:
    """Any bytes a file may hold, as long as its scales are finite."""
    size, size_bytes = gguf.GGML_QUANT_SIZES[kind_of(block_type)]
    rng = np.random.default_rng(len(block_type))
    data = rng.integers(0, 256, (rows, columns // size, size_bytes), dtype=np.uint8)
    for at in HALVES[block_type]:
        scales = (rng.random((rows, columns // size, 1)) - 0.5).astype(np.float16)
        data[..., at : at + 2] = scales.view(np.uint8)
    return data.reshape(rows, -1)


def real_values(rows: int, columns: int) -> npt.NDArray[np.float32]:
    """Weights as a model has them: a bell, with some that stand out, and a block of zeros."""
    values = np.random.default_rng(5).standard_normal((rows, columns)).astype(np.float32)
    values[0, ::37] *= 20
    values[1, :256] = 0
    return values


@pytest.mark.parametrize("block_type", GRIDS)
def test_any_bytes_unpack_to_the_librarys_values(block_type: str) -> None:
    data = random_blocks(block_type, 9, 768)
    expected = gguf.quants.dequantize(data, kind_of(block_type))
    rows = unpack(block_type, data)
    np.testing.assert_array_equal(rows.values(), expected)
    np.testing.assert_array_equal(dequantize(block_type, data), expected)
    assert rows.codes.min() >= rows.low
    assert rows.codes.max() <= rows.high
    assert rows.scales.shape == (9, 768 // rows.block)


@pytest.mark.parametrize("block_type", [*GRIDS, "F32", "F16", "BF16", "Q4_1", "Q5_1"])
def test_quantised_weights_equal_the_librarys_values(block_type: str) -> None:
    values = real_values(6, 512)
    data = encode_blocks(values, block_type)
    ours = dequantize(block_type, data)
    # The library takes floats by their own type, everything else as bytes.
    plain = {"F32": np.float32, "F16": np.float16}.get(block_type, np.uint8)
    expected = gguf.quants.dequantize(data.view(plain), kind_of(block_type))
    np.testing.assert_array_equal(ours, expected.astype(np.float32))
    # And the bytes were worth comparing: they hold these weights, not noise.
    assert np.abs(ours - values).max() < 0.15 * np.abs(values).max()


@pytest.mark.parametrize("block_type", GRIDS)
def test_a_view_into_a_larger_array_unpacks_too(block_type: str) -> None:
    data = random_blocks(block_type, 8, 512)
    wide = np.zeros((8, data.shape[1] + 3), np.uint8)
    wide[:, : data.shape[1]] = data
    strided = wide[::2, : data.shape[1]]
    np.testing.assert_array_equal(
        unpack(block_type, strided).codes, unpack(block_type, data).codes[::2]
    )


@pytest.mark.parametrize("block_type", ["F32", "Q4_1", "IQ4_NL"])
def test_formats_without_a_grid_are_refused_by_unpack(block_type: str) -> None:
    assert not has_grid(block_type)
    with pytest.raises(ModelFormatError, match=block_type):
        unpack(block_type, np.zeros((1, 64), np.uint8))


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ModelFormatError, match="Q9_X"):
        dequantize("Q9_X", np.zeros((1, 64), np.uint8))
