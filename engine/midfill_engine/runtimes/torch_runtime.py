"""PyTorch: for NVIDIA GPUs, and on the CPU wherever exactness counts more than speed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import cast

from midfill_engine.cancel import CancelToken
from midfill_engine.errors import BackendUnavailableError
from midfill_engine.progress import ProgressSink
from midfill_engine.registry import ModelSpec
from midfill_engine.runtimes.base import ChosenModel, Device, Layout, Opened, Opening, fetched
from midfill_engine.runtimes.layouts import torch_layouts
from midfill_engine.store import ModelStore

__all__ = ["TorchRuntime"]


class TorchRuntime:
    """One ``nn.Module`` per architecture, its weights quantised while they are loaded."""

    def layouts(self, spec: ModelSpec, device: Device) -> tuple[Layout, ...]:
        """Return bf16 first, then narrower ones; see ``Runtime.layouts``."""
        if importlib.util.find_spec("torch") is None:
            raise BackendUnavailableError(
                "torch is not installed. Run: pip install 'midfill[torch]'"
            )
        return torch_layouts(spec, device)

    def prepared(self, chosen: ChosenModel, store: ModelStore) -> Path | None:
        """Return the model's files, if they are here: they are quantised while they are read."""
        return store.model_path(chosen.spec)

    def prepare(
        self,
        chosen: ChosenModel,
        store: ModelStore,
        *,
        download: bool,
        progress: ProgressSink,
        cancel: CancelToken,
    ) -> Path:
        """Fetch the files where they are missing."""
        return fetched(chosen.spec, store, download=download, progress=progress, cancel=cancel)

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
