"""PyTorch: for NVIDIA GPUs, and on the CPU wherever exactness counts more than speed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import cast

from midfill_engine.errors import BackendUnavailableError
from midfill_engine.registry import ModelSpec
from midfill_engine.runtimes.base import (
    ChosenModel,
    Device,
    Layout,
    Opened,
    Opening,
    RunsAsItIs,
)
from midfill_engine.runtimes.layouts import torch_layouts

__all__ = ["TorchRuntime"]


class TorchRuntime(RunsAsItIs):
    """One ``nn.Module`` per architecture, its weights quantised while they are loaded."""

    def layouts(self, spec: ModelSpec, device: Device) -> tuple[Layout, ...]:
        """Return bf16 first, then narrower ones; see ``Runtime.layouts``."""
        if importlib.util.find_spec("torch") is None:
            raise BackendUnavailableError(
                "torch is not installed. Run: pip install 'midfill[torch]'"
            )
        return torch_layouts(spec, device)

    def open(self, prepared: Path, chosen: ChosenModel, opening: Opening) -> Opened:
        """Read the weights onto the device, a tensor at a time."""
        from midfill_engine.backends.torch_backend import TorchBackend, WeightKind
        from midfill_engine.runtimes.checkpoint import open_checkpoint

        checkpoint = open_checkpoint(prepared, chosen.spec)
        backend = TorchBackend(
            checkpoint.source,
            device="cuda" if chosen.device == "gpu" else "cpu",
            weights=cast("WeightKind", chosen.layout),
            capacity=opening.context_tokens,
            progress=opening.progress,
            cancel=opening.cancel,
        )
        return Opened(backend=backend, tokenizer=checkpoint.tokenizer)
