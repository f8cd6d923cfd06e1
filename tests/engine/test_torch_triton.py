"""Our Triton kernels in Triton's interpreter: their arithmetic and edges, not their speed."""

from __future__ import annotations

import os

import pytest
from torch_models import NO_TORCH

torch = pytest.importorskip("torch", reason=NO_TORCH)
if torch.cuda.is_available():
    pytest.skip("on a GPU they are tested compiled: test_torch_gpu.py", allow_module_level=True)
# Triton looks at this when a function is decorated, its own among them, so before it is imported.
os.environ["TRITON_INTERPRET"] = "1"
# A CPU build of torch comes without; the interpreter itself needs no GPU.
pytest.importorskip("triton", reason="the kernels need triton: pip install triton")

from midfill_engine.backends.torch_linear import (  # noqa: E402  (it imports torch)
    Int4Linear,
    Int8Linear,
    group_size,
    quantize_int4,
    quantize_int8,
)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("rows", [1, 3, 16])
@pytest.mark.parametrize(
    ("outputs", "columns"), [(96, 256), (72, 384), (33, 128), (40, 64), (64, 224)]
)
def test_a_product_is_that_of_the_widened_matrix(
    bits: int, rows: int, outputs: int, columns: int
) -> None:
    # float16, because the interpreter multiplies the bits of a bfloat16 as if they were integers.
    generator = torch.Generator().manual_seed(bits)
    values = torch.randn(outputs, columns, generator=generator) / columns**0.5
    x = torch.randn(rows, columns, generator=generator).half()
    if bits == 8:
        product = Int8Linear(*quantize_int8(values, torch.float16), kernel="triton")
    else:
        group = group_size(columns)
        assert group is not None
        product = Int4Linear(*quantize_int4(values, group, torch.float16), kernel="triton")
    expected = x.float() @ product.widened(0, outputs).float().T
    assert torch.allclose(product(x).float(), expected, atol=0.004)
    # A row's result does not depend on those beside it, nor on how it lies in memory.
    apart = torch.stack((x, x), dim=2)[..., 0]
    assert torch.equal(product(apart[:1]), product(x)[:1])


@pytest.mark.parametrize("bits", [4, 8])
def test_a_compiled_layer_takes_them_as_they_are(bits: int) -> None:
    values = torch.linspace(-1, 1, 64 * 256).view(64, 256).flip(0)
    if bits == 8:
        product = Int8Linear(*quantize_int8(values, torch.float16), kernel="triton")
    else:
        product = Int4Linear(*quantize_int4(values, 128, torch.float16), kernel="triton")
    compiled = torch.compile(product, fullgraph=True, backend="aot_eager")
    for rows in (1, 3, 7):
        x = torch.linspace(-1, 1, rows * 256).view(rows, 256).half()
        assert torch.equal(compiled(x), product(x))
