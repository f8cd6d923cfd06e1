"""Weights in MatMulNBits layouts: exact where they can be, bounded where not, and as run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_files import encode_blocks

from midfill_engine.gguf.blocks import QuantizedRows, unpack
from midfill_engine.onnx.quantize import (
    BlockLayout,
    EncodedRows,
    decode_rows,
    encode_rows,
    exact_layout,
)

Floats = npt.NDArray[np.float32]

LAYOUTS = (
    BlockLayout(bits=8, block=16),
    BlockLayout(bits=8, block=32),
    BlockLayout(bits=8, block=128),
    BlockLayout(bits=4, block=32),
    BlockLayout(bits=4, block=32, symmetric=False),
    BlockLayout(bits=4, block=128, symmetric=False),
)


def name_of(layout: BlockLayout) -> str:
    return f"int{layout.bits}-{layout.block}{'' if layout.symmetric else '-zeros'}"


def weights(rows: int, columns: int, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


def quantised(block_type: str, rows: int = 6, columns: int = 512) -> QuantizedRows:
    return unpack(block_type, encode_blocks(weights(rows, columns), block_type))


@pytest.mark.parametrize(
    ("block_type", "expected"),
    [
        ("Q4_0", BlockLayout(bits=4, block=32)),
        ("Q5_0", BlockLayout(bits=8, block=32)),
        ("Q8_0", BlockLayout(bits=8, block=32)),
        ("Q6_K", BlockLayout(bits=8, block=16)),
    ],
)
def test_symmetric_formats_are_repacked_without_loss(
    block_type: str, expected: BlockLayout
) -> None:
    rows = quantised(block_type)
    assert exact_layout(rows) == expected
    decoded = decode_rows(encode_rows(rows, expected), expected, 512)
    np.testing.assert_array_equal(decoded, rows.values())


@pytest.mark.parametrize("block_type", ["Q4_0", "Q5_0", "Q8_0"])
def test_a_wider_or_finer_layout_loses_nothing_either(block_type: str) -> None:
    rows, finer = quantised(block_type), BlockLayout(bits=8, block=16)
    decoded = decode_rows(encode_rows(rows, finer), finer, 512)
    np.testing.assert_array_equal(decoded, rows.values())


@pytest.mark.parametrize("block_type", ["Q4_K", "Q5_K"])
def test_formats_with_minima_have_no_exact_layout(block_type: str) -> None:
    assert exact_layout(quantised(block_type)) is None


def test_floats_have_no_exact_layout() -> None:
    assert exact_layout(weights(1, 32)) is None


@pytest.mark.parametrize("layout", LAYOUTS, ids=name_of)
def test_shapes_are_those_of_the_operator(layout: BlockLayout) -> None:
    # 224 columns do not fill two blocks of 128, and make an odd number of blocks of 32.
    encoded = encode_rows(weights(5, 224), layout)
    blocks = -(-224 // layout.block)
    assert encoded.codes.shape == (5, blocks, layout.block * layout.bits // 8)
    assert encoded.scales.shape == (5, blocks)
    if layout.symmetric:
        assert encoded.zero_points is None
    else:
        assert encoded.zero_points is not None
        assert encoded.zero_points.shape == (5, (blocks + 1) // 2)


@pytest.mark.parametrize("columns", [512, 224])
@pytest.mark.parametrize("block", [16, 32, 128])
def test_int8_is_never_off_by_more_than_half_a_step(block: int, columns: int) -> None:
    layout = BlockLayout(bits=8, block=block)
    values = weights(16, columns)
    decoded = decode_rows(encode_rows(values, layout), layout, columns)
    assert np.abs(decoded - values).max() <= np.abs(values).max() / 127 * 0.5001


@pytest.mark.parametrize(
    ("layout", "bound"),
    [(LAYOUTS[3], 0.12), (LAYOUTS[4], 0.09), (LAYOUTS[5], 0.12)],
    ids=lambda v: name_of(v) if isinstance(v, BlockLayout) else str(v),
)
def test_int4_error_stays_below_the_bound(layout: BlockLayout, bound: float) -> None:
    values = weights(64, 512)
    decoded = decode_rows(encode_rows(values, layout), layout, 512)
    relative = np.sqrt(np.mean((decoded - values) ** 2) / np.mean(values**2))
    assert relative < bound


@pytest.mark.parametrize("layout", LAYOUTS, ids=name_of)
@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("zeros", np.zeros((2, 128), np.float32)),
        ("tiny", np.full((2, 128), 1e-20, np.float32)),
        ("all positive", 1 + np.abs(weights(2, 128))),
        ("all negative", -1 - np.abs(weights(2, 128))),
        ("constant", np.full((2, 128), -0.25, np.float32)),
        (
            "one large",
            np.where(np.arange(256).reshape(2, 128) % 128 == 5, 100.0, 0.01).astype(np.float32),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_odd_blocks_stay_finite_and_in_range(
    layout: BlockLayout, kind: str, values: Floats
) -> None:
    decoded = decode_rows(encode_rows(values, layout), layout, values.shape[1])
    assert np.isfinite(decoded).all()
    # A step of the grid spans the values and zero; half of one is what rounding may cost, and the
    # search may trade that for a smaller error elsewhere.
    span = max(values.max(), 0) - min(values.min(), 0)
    if layout.symmetric:
        span = 2 * np.abs(values).max()
    assert np.abs(decoded - values).max() <= span / (2**layout.bits - 1) * 2 + 1e-12


def run_node(
    node: onnx.NodeProto,
    constants: dict[str, npt.NDArray[np.generic]],
    given: npt.NDArray[np.generic],
) -> Floats:
    """Run one operator of the runtime's own on ``given``."""
    kind = helper.np_dtype_to_tensor_dtype(given.dtype)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", kind, list(given.shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": given})[0]


def matmul(
    encoded: EncodedRows, layout: BlockLayout, columns: int, given: Floats, accuracy: int
) -> Floats:
    constants: dict[str, npt.NDArray[np.generic]] = {
        "codes": encoded.codes,
        "scales": encoded.scales,
    }
    if encoded.zero_points is not None:
        constants["zeros"] = encoded.zero_points
    node = helper.make_node(
        "MatMulNBits",
        ["x", *constants],
        ["y"],
        domain="com.microsoft",
        K=columns,
        N=len(encoded.scales),
        bits=layout.bits,
        block_size=layout.block,
        accuracy_level=accuracy,
    )
    return run_node(node, constants, given)


@pytest.mark.parametrize("columns", [512, 224])
@pytest.mark.parametrize("positions", [1, 5])
@pytest.mark.parametrize("layout", LAYOUTS, ids=name_of)
def test_the_runtime_multiplies_what_decode_rows_says(
    layout: BlockLayout, positions: int, columns: int
) -> None:
    encoded = encode_rows(weights(96, columns), layout)
    given = weights(positions, columns, seed=2)
    expected = given @ decode_rows(encoded, layout, columns).T
    scale = np.abs(expected).max()
    in_float = matmul(encoded, layout, columns, given, accuracy=1)
    assert np.abs(in_float - expected).max() < 1e-5 * scale
    # Level 4, which the graph asks for, rounds the inputs to 8 bits per block as well.
    in_int8 = matmul(encoded, layout, columns, given, accuracy=4)
    assert np.abs(in_int8 - expected).max() < 0.03 * scale


@pytest.mark.parametrize("block", [16, 32])
def test_the_runtime_looks_up_what_decode_rows_says(block: int) -> None:
    layout = BlockLayout(bits=8, block=block)
    encoded = encode_rows(weights(40, 224), layout)
    table = decode_rows(encoded, layout, 224)
    ids = np.array([[3, 39, 0, 3]], np.int64)
    node = helper.make_node(
        "GatherBlockQuantized",
        ["codes", "x", "scales", "zeros"],
        ["y"],
        domain="com.microsoft",
        bits=8,
        block_size=block,
        gather_axis=0,
        quantize_axis=1,
    )
    constants = {
        "codes": encoded.codes.reshape(40, 224),
        "scales": encoded.scales,
        "zeros": np.full(encoded.scales.shape, 128, np.uint8),
    }
    np.testing.assert_allclose(run_node(node, constants, ids)[0], table[ids[0]], rtol=1e-6)
