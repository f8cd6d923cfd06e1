"""Products of a few rows with the matrices of a shape, by each kernel that the backend has."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.gpu_setting import Setting
from midfill_engine.weights import ModelConfig

if TYPE_CHECKING:
    import torch

__all__ = ["KernelTime", "kernel_times", "matrices"]

_ROWS = (1, 2, 4, 8, 16)
# More than the cache of the largest GPU: each product must find its matrix in memory, as it does
# in a model.
_GPU_BYTES, _CPU_BYTES = 300_000_000, 1_000_000
_MOST_COPIES = 64
# Each may be compiled by itself, and PyTorch gives up after so many.
_MOST_COMPILED = 8
_GROUP = 128
_WEIGHT_BYTES = {"bf16": 2.0, "int8": 1.0, "int4": 0.5 + 4 / _GROUP}


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelTime:
    """What products take, in microseconds by number of rows; ``read_gb_s`` is for one row.

    ``failure`` says why there are none.
    """

    matrix: str
    weights: str
    kernel: str
    us: Mapping[int, float]
    read_gb_s: float = 0.0
    failure: str = ""


def matrices(config: ModelConfig) -> dict[str, tuple[int, int]]:
    """Return the matrices of a layer as they are multiplied by, and the head: outputs, inputs."""
    inner, narrow = config.heads * config.head_dim, config.kv_heads * config.head_dim
    return {
        "qkv": (inner + 2 * narrow, config.hidden),
        "attention output": (config.hidden, inner),
        "gate and up": (2 * config.ffn, config.hidden),
        "down": (config.hidden, config.ffn),
        "head": (config.vocab, config.hidden),
    }


def kernel_times(name: str, size: tuple[int, int], setting: Setting) -> Iterator[KernelTime]:
    """Yield the times of each kernel for one matrix."""
    makers = _makers(setting)
    for (weights, kernel), make in makers.items():
        matrix_bytes = size[0] * size[1] * _WEIGHT_BYTES[weights]
        most = _GPU_BYTES if setting.on_gpu else _CPU_BYTES
        allowed = _MOST_COMPILED if kernel == "compiled" else _MOST_COPIES
        copies = max(1, min(allowed, int(most / matrix_bytes) + 1))
        try:
            modules = [make(*size) for _ in range(copies)]
            us = {rows: _time_us(modules, rows, size[1], setting) for rows in _ROWS}
        except Exception as error:
            # Kernels come from three libraries, whose exceptions share no base: what one cannot
            # do on this device is a result, too.
            failure = f"{type(error).__name__}: {error}".splitlines()[0]
            yield KernelTime(matrix=name, weights=weights, kernel=kernel, us={}, failure=failure)
            continue
        yield KernelTime(
            matrix=name,
            weights=weights,
            kernel=kernel,
            us=us,
            read_gb_s=matrix_bytes / us[1] / 1000,
        )


def _makers(setting: Setting) -> dict[tuple[str, str], Callable[[int, int], Any]]:
    """Return what makes a product with random weights, by layout and kernel."""
    import torch

    from midfill_engine.backends import torch_linear as ours

    def noise(rows: int, columns: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        values = torch.randn(rows, columns, device=setting.device)
        return (values * columns**-0.5).to(dtype)

    def plain(rows: int, columns: int) -> Any:
        return ours.Linear(noise(rows, columns, torch.bfloat16), None)

    def eight(kernel: str, rows: int, columns: int) -> Any:
        parts = ours.quantize_int8(noise(rows, columns), torch.bfloat16)
        return _chosen(ours.Int8Linear(*parts), kernel)

    def four(kernel: str, rows: int, columns: int) -> Any:
        parts = ours.quantize_int4(noise(rows, columns), _GROUP, torch.bfloat16)
        return _chosen(ours.Int4Linear(*parts), kernel)

    makers: dict[tuple[str, str], Callable[[int, int], Any]] = {("bf16", "PyTorch"): plain}
    for kernel in ours.linear_kernels(setting.device):
        makers["int8", kernel] = lambda rows, columns, kernel=kernel: eight(kernel, rows, columns)
        makers["int4", kernel] = lambda rows, columns, kernel=kernel: four(kernel, rows, columns)
    makers |= _torchao(noise)
    return makers


def _chosen(module: Any, kernel: str) -> Any:
    module.choose(kernel)
    return module


def _torchao(
    noise: Callable[..., torch.Tensor],
) -> dict[tuple[str, str], Callable[[int, int], Any]]:
    """Return torchao's products, none where it is not installed."""
    try:
        from torchao.quantization import (  # type: ignore[import-not-found]
            Int4WeightOnlyConfig,
            Int8WeightOnlyConfig,
            quantize_,
        )
    except ImportError:
        return {}
    import torch

    def made(config: Any, rows: int, columns: int) -> Any:
        weight = noise(rows, columns, torch.bfloat16)
        layer = torch.nn.Linear(columns, rows, bias=False, device="meta")
        layer.weight = torch.nn.Parameter(weight, requires_grad=False)
        quantize_(layer, config)
        return layer

    return {
        ("int8", "torchao"): lambda rows, columns: made(Int8WeightOnlyConfig(), rows, columns),
        ("int4", "torchao"): lambda rows, columns: made(
            Int4WeightOnlyConfig(group_size=_GROUP), rows, columns
        ),
    }


def _time_us(modules: list[Any], rows: int, columns: int, setting: Setting) -> float:
    """Return the time of one product, all modules in turn; on a GPU as a recorded graph."""
    import torch

    x = torch.randn(rows, columns, device=setting.device, dtype=torch.bfloat16)

    def sweep() -> None:
        for module in modules:
            module(x)

    with torch.inference_mode():
        run = _recorded(sweep) if setting.on_gpu else sweep
        run()
        found: list[float] = []
        for _ in range(2 + setting.rounds):
            _wait(setting)
            began_s = time.perf_counter()
            run()
            _wait(setting)
            found.append(time.perf_counter() - began_s)
    return float(np.median(found)) / len(modules) * 1e6


def _recorded(sweep: Callable[[], None]) -> Callable[[], None]:
    """Return the sweep as a CUDA graph: starting kernels one by one takes longer than they do."""
    import torch

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            sweep()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        sweep()
    return graph.replay


def _wait(setting: Setting) -> None:
    if setting.on_gpu:
        import torch

        torch.cuda.synchronize()
