"""The forms that each runtime keeps a model in, and what they take: computed from its shape.

Nothing here asks what is installed: the figures are as true for a machine that is planned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midfill_engine.architectures import ARCHITECTURES
from midfill_engine.errors import ModelError
from midfill_engine.onnx.layouts import LAYOUTS
from midfill_engine.plan import Footprint
from midfill_engine.registry import ModelSpec
from midfill_engine.runtimes.base import Device, Layout
from midfill_engine.weights import ModelConfig

if TYPE_CHECKING:
    from midfill_engine.backends.torch_backend import WeightKind

__all__ = ["llama_layouts", "onnx_layouts", "optimum_layouts", "torch_layouts"]

# A block of 128 weights has a float32 scale, of 4 bits also a zero point and its padding.
_ONNX_BITS = {"float32": 32.0, "exact": 9.0, "int8": 8.25, "int4": 4.3, "int4-fine": 5.2}
# Forms of a model that are narrower than its own, for where that does not fit.
_NARROWER = ("mixed", "int4")
# This share of an FFN has 4 bits in the layout "mixed".
_MIXED_SHARE = 0.82
_TORCH_KINDS: tuple[WeightKind, ...] = ("bf16", "int8", "int4", "fp16", "float32")
# The process and its buffers, measured with small models.
_ONNX_BYTES, _TORCH_BYTES, _LLAMA_BYTES, _OPTIMUM_BYTES = (
    250_000_000,
    1_500_000_000,
    400_000_000,
    300_000_000,
)
# While a step is computed there are two of each cache: an exported graph makes it grow by a copy.
_OPTIMUM_COPIES = 2


def onnx_layouts(spec: ModelSpec, device: Device) -> tuple[Layout, ...]:
    """Return the model's own layout, then narrower ones, then the others.

    Raises ``ModelError`` for an architecture that midfill cannot convert.
    """
    _check_architecture(spec, "midfill cannot convert itself. Run: pip install 'midfill[optimum]'")
    config = spec.config
    names = dict.fromkeys((spec.layout, *_NARROWER, *LAYOUTS))
    # The graph holds the embedding and the output matrix, also where they are the same.
    weights = config.matrix_weights + (config.vocab * config.hidden if config.tied else 0)
    return tuple(
        Layout(
            name=name,
            footprint=Footprint(
                weights_bytes=int(weights * (_ONNX_BITS.get(name) or _mixed_bits(config)) / 8),
                kv_bytes=config.kv_values * (2 if device == "gpu" else 4),
                overhead_bytes=_ONNX_BYTES,
            ),
            only_by_name=name not in (spec.layout, *_NARROWER),
        )
        for name in names
    )


def torch_layouts(spec: ModelSpec, device: Device) -> tuple[Layout, ...]:
    """Return the best first: bf16 on a GPU; 8 bits on the CPU, which computes bf16 slowly."""
    # Loads nothing of PyTorch.
    from midfill_engine.backends.torch_backend import weight_bytes

    _check_architecture(spec, "midfill has no module for")
    config = spec.config
    names: tuple[WeightKind, ...] = (
        ("bf16", "int8", "int4") if device == "gpu" else ("int8", "float32", "bf16")
    )
    found: list[Layout] = []
    for name in dict.fromkeys((*names, *_TORCH_KINDS)):
        footprint = Footprint(
            weights_bytes=weight_bytes(config, name),
            kv_bytes=config.kv_values * (4 if name == "float32" else 2),
            overhead_bytes=_TORCH_BYTES,
        )
        found.append(Layout(name=name, footprint=footprint, only_by_name=name not in names))
    return tuple(found)


def llama_layouts(spec: ModelSpec, device: Device) -> tuple[Layout, ...]:
    """Return the file's own form. Raises ``ModelError`` for what is no GGUF file."""
    if spec.format != "gguf":
        raise ModelError(f"{spec.id} is no GGUF file, and llama.cpp reads only these")
    footprint = Footprint(
        weights_bytes=spec.size_bytes,
        kv_bytes=spec.config.kv_values * 2,
        overhead_bytes=_LLAMA_BYTES,
    )
    return (Layout(name="gguf", footprint=footprint),)


def optimum_layouts(spec: ModelSpec, device: Device) -> tuple[Layout, ...]:
    """Return the one form that the exporter writes. Raises ``ModelError`` for GGUF files."""
    if spec.format != "safetensors":
        raise ModelError(f"{spec.id} is no folder of safetensors, which the exporter needs")
    footprint = Footprint(
        weights_bytes=spec.config.matrix_weights * 4,
        kv_bytes=spec.config.kv_values * 4 * _OPTIMUM_COPIES,
        overhead_bytes=_OPTIMUM_BYTES,
    )
    return (Layout(name="float32", footprint=footprint),)


def _check_architecture(spec: ModelSpec, objection: str) -> None:
    if spec.config.architecture not in ARCHITECTURES:
        kind = spec.config.architecture
        raise ModelError(f"{spec.id} is a model of the kind {kind}, which {objection}")


def _mixed_bits(config: ModelConfig) -> float:
    """Return the mean of the layout ``mixed``: most of the FFN at 4 bits, all else at 8."""
    ffn = (3 if config.gated else 2) * config.hidden * config.ffn * config.layers
    share = _MIXED_SHARE * ffn / config.matrix_weights
    return _ONNX_BITS["int4"] * share + _ONNX_BITS["int8"] * (1 - share)
