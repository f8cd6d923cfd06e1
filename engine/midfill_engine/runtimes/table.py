"""Which runtimes there are."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from midfill_engine.errors import BackendUnavailableError
from midfill_engine.runtimes.base import Runtime
from midfill_engine.runtimes.llama_runtime import LlamaRuntime
from midfill_engine.runtimes.onnx_runtime import OnnxRuntime
from midfill_engine.runtimes.optimum_runtime import OptimumRuntime
from midfill_engine.runtimes.torch_runtime import TorchRuntime

__all__ = ["RUNTIME_NAMES", "find_runtime", "runtimes_for"]

_RUNTIMES: Mapping[str, Runtime] = MappingProxyType(
    {
        "onnx": OnnxRuntime(),
        "torch": TorchRuntime(),
        "llama": LlamaRuntime(),
        "optimum": OptimumRuntime(),
    }
)

RUNTIME_NAMES = tuple(_RUNTIMES)
"""In the order in which they are asked where nothing was measured."""


def find_runtime(name: str) -> Runtime:
    """Return the runtime of that name; ``BackendUnavailableError`` lists those there are."""
    try:
        return _RUNTIMES[name]
    except KeyError:
        known = ", ".join(RUNTIME_NAMES)
        raise BackendUnavailableError(
            f"there is no backend {name!r}; choose one of: auto, {known}"
        ) from None


def runtimes_for(name: str) -> tuple[str, ...]:
    """Return the names that ``name`` stands for: all of them for ``"auto"``."""
    if name == "auto":
        return RUNTIME_NAMES
    find_runtime(name)
    return (name,)
