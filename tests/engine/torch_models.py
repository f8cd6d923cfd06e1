"""Tiny models on the PyTorch backend, opened the same way by all its tests."""

from __future__ import annotations

from pathlib import Path

from tiny_files import Plan, write_gguf, write_safetensors
from tiny_models import TinyModel

from midfill_engine.backends.torch_backend import TorchBackend, WeightKind
from midfill_engine.cancel import CancelToken
from midfill_engine.gguf.weights import GgufWeights
from midfill_engine.progress import silent
from midfill_engine.safetensors_weights import SafetensorsWeights
from midfill_engine.weights import WeightSource

NO_TORCH = "the PyTorch backend needs torch: pip install torch==2.13.0"


def gguf_source(model: TinyModel, folder: Path, plan: Plan | None = None) -> WeightSource:
    folder.mkdir(parents=True, exist_ok=True)
    return GgufWeights(write_gguf(model, folder / "tiny.gguf", plan))


def hub_source(model: TinyModel, folder: Path) -> WeightSource:
    return SafetensorsWeights(write_safetensors(model, folder / "hub"))


def opened(
    source: WeightSource,
    weights: WeightKind = "float32",
    *,
    capacity: int = 512,
    device: str = "cpu",
    compile: bool = False,
    kernel: str | None = None,
) -> TorchBackend:
    return TorchBackend(
        source,
        device=device,
        weights=weights,
        capacity=capacity,
        progress=silent,
        cancel=CancelToken(),
        compile=compile,
        kernel=kernel,
    )
