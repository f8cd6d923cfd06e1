"""Quantised products: near the matrix that was quantised, and exactly that of what it became."""

from __future__ import annotations

import pytest
from torch_models import NO_TORCH

torch = pytest.importorskip("torch", reason=NO_TORCH)

from midfill_engine.backends import torch_linear  # noqa: E402  (it imports torch)
from midfill_engine.backends.torch_linear import (  # noqa: E402
    Int4Linear,
    Int8Linear,
    Linear,
    QuantizedLinear,
    choose_kernels,
    group_size,
    linear_kernels,
    quantize_int4,
    quantize_int8,
    working_kernel,
)

ROUNDING = {torch.float32: 1e-5, torch.bfloat16: 0.01, torch.float16: 0.002}


def matrix(rows: int, columns: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rows + columns)
    return torch.randn(rows, columns, generator=generator) / columns**0.5


def vectors(count: int, columns: int, dtype: torch.dtype) -> torch.Tensor:
    return matrix(count, columns).mul(columns**0.5).to(dtype)


def int8(values: torch.Tensor, dtype: torch.dtype = torch.bfloat16, **more: object) -> Int8Linear:
    return Int8Linear(*quantize_int8(values, dtype), **more)


def int4(values: torch.Tensor, dtype: torch.dtype = torch.bfloat16, **more: object) -> Int4Linear:
    group = group_size(values.shape[1])
    assert group is not None
    return Int4Linear(*quantize_int4(values, group, dtype), **more)


def off_by(ours: torch.Tensor, reference: torch.Tensor) -> float:
    return float((ours.float() - reference).norm() / reference.norm())


def test_what_quantisation_loses() -> None:
    values = matrix(96, 512)
    # Half a step of a uniform grid over what normal numbers reach.
    assert off_by(int8(values).widened(0, 96), values) < 0.01
    assert off_by(int4(values).widened(0, 96), values) < 0.11


def test_a_few_large_weights_are_not_paid_for_by_all() -> None:
    values = matrix(64, 512)
    values[:, ::128] *= 6
    grouped = values.view(64, 4, 128)
    least, most = grouped.aminmax(dim=2, keepdim=True)
    plain = ((grouped - least) / (most - least) * 15).round() * (most - least) / 15 + least
    usual = values.abs() < values.abs().quantile(0.95)
    found = int4(values, torch.float32).widened(0, 64)
    lost, lost_plainly = (
        float((kept - values)[usual].norm()) for kept in (found, plain.view(64, 512))
    )
    assert lost < 0.97 * lost_plainly
    assert off_by(found, values) < off_by(plain.view(64, 512), values)


def test_weights_on_the_grid_are_kept() -> None:
    codes = torch.arange(-127, 128, dtype=torch.float32).repeat(3, 2)
    assert torch.equal(int8(codes * 0.25, torch.float32).widened(0, 3), codes * 0.25)
    steps = (torch.arange(256) % 16).float().view(2, 128) * 0.5 - 3
    assert torch.equal(int4(steps).widened(0, 2).float(), steps)


def test_a_row_of_equal_weights() -> None:
    # A range of nothing must not be divided by; zeros are the padding of some vocabularies.
    for value in (0.0, 0.75):
        same = torch.full((16, 128), value)
        for product in (int8(same), int4(same)):
            assert torch.allclose(product.widened(0, 16).float(), same, rtol=0.005)


def test_groups_divide_every_width_there_is() -> None:
    assert [group_size(columns) for columns in (4096, 11008, 896, 4864, 5504)] == [128] * 5
    assert [group_size(columns) for columns in (192, 224, 40)] == [64, 32, None]


@pytest.mark.parametrize("kernel", ["plain", "packed"])
@pytest.mark.parametrize("make", [int8, int4])
@pytest.mark.parametrize("rows", [1, 3, 16, 17, 60])
@pytest.mark.parametrize(("outputs", "columns"), [(96, 256), (48, 224)])
def test_a_product_is_that_of_the_widened_matrix(
    make: type, kernel: str, rows: int, outputs: int, columns: int
) -> None:
    bias = torch.linspace(-1, 1, outputs)
    product: QuantizedLinear = make(matrix(outputs, columns), bias=bias.bfloat16(), kernel=kernel)
    x = vectors(rows, columns, torch.bfloat16)
    expected = x.float() @ product.widened(0, outputs).float().T + bias
    assert off_by(product(x), expected) < ROUNDING[torch.bfloat16]


@pytest.mark.parametrize("make", [int8, int4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("rows", [2, 20])
def test_other_types_than_bfloat16(make: type, dtype: torch.dtype, rows: int) -> None:
    product: QuantizedLinear = make(matrix(64, 256), dtype)
    x = vectors(rows, 256, dtype)
    expected = x.float() @ product.widened(0, 64).float().T
    assert off_by(product(x), expected) < ROUNDING[dtype]


@pytest.mark.parametrize("make", [int8, int4])
def test_a_wide_product_goes_in_parts(make: type, monkeypatch: pytest.MonkeyPatch) -> None:
    product: QuantizedLinear = make(matrix(100, 128), torch.float32)
    x = vectors(20, 128, torch.float32)
    whole = product(x)
    monkeypatch.setattr(torch_linear, "_WIDE_WEIGHTS", 128 * 32)
    widened: list[tuple[int, int]] = []
    real = product.widened

    def noted(start: int, stop: int) -> torch.Tensor:
        widened.append((start, stop))
        return real(start, stop)

    monkeypatch.setattr(product, "widened", noted)
    assert torch.allclose(product(x), whole, atol=1e-6)
    assert widened == [(0, 32), (32, 64), (64, 96), (96, 100)]


@pytest.mark.parametrize("make", [int8, int4])
def test_a_kernel_that_does_not_work_is_passed_over(make: type) -> None:
    product: QuantizedLinear = make(matrix(64, 256))
    assert working_kernel(product, ["unheard of", "packed"]) == "packed"
    assert working_kernel(product, ["unheard of"]) == "plain"

    def wrong(x: torch.Tensor, matrix: QuantizedLinear) -> torch.Tensor:
        return torch.ones(len(x), len(matrix.scales), dtype=x.dtype)

    real = product.choose

    def choose(kernel: str) -> None:
        real("plain" if kernel == "wrong" else kernel)
        if kernel == "wrong":
            product._narrow = wrong

    product.choose = choose
    assert working_kernel(product, ["wrong", "packed"]) == "packed"


def test_a_model_uses_one_kernel_for_all_products_of_a_kind() -> None:
    model = torch.nn.ModuleList(
        [int8(matrix(64, 256)), int4(matrix(32, 128)), Linear(matrix(8, 8), None)]
    )
    choose_kernels(model, None, "cpu")
    assert model[0]._narrow.__name__ == "_packed_int8"
    assert model[1]._narrow.__name__ == "_packed_int4"
    choose_kernels(model, "plain", "cpu")
    assert model[0]._narrow.__name__ == "_plain_int8"
    # The codes in PyTorch's own order are given back.
    assert model[1].tiles is None
    with pytest.raises(ValueError, match="no kernel"):
        choose_kernels(model, "marlin", "cpu")


def test_kernels_are_named() -> None:
    assert linear_kernels("cpu") == ("plain", "packed")
    assert linear_kernels("cuda:0")[:3] == ("plain", "packed", "compiled")
