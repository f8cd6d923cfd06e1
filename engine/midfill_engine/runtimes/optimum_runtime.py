"""Architectures that midfill does not know, by optimum's exporter: slower, but they work."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from midfill_engine.cancel import CancelToken
from midfill_engine.errors import BackendUnavailableError
from midfill_engine.progress import ProgressSink
from midfill_engine.registry import ModelSpec
from midfill_engine.runtimes.base import (
    ChosenModel,
    Device,
    Layout,
    Opened,
    Opening,
    conversion_folder,
    made_once,
)
from midfill_engine.runtimes.layouts import optimum_layouts
from midfill_engine.store import ModelStore

__all__ = ["OptimumRuntime"]


class OptimumRuntime:
    """Exports once, in a process of its own, and needs no torch from then on."""

    def layouts(self, spec: ModelSpec, device: Device) -> tuple[Layout, ...]:
        """Return the one form that the exporter writes; see ``Runtime.layouts``."""
        if device == "gpu":
            raise BackendUnavailableError("models that optimum exported run on the CPU only")
        for module, extra in (("onnxruntime", "cpu"), ("optimum", "optimum")):
            if importlib.util.find_spec(module) is None:
                raise BackendUnavailableError(
                    f"{module} is not installed. Run: pip install 'midfill[{extra}]'"
                )
        return optimum_layouts(spec, device)

    def prepared(self, chosen: ChosenModel, store: ModelStore) -> Path | None:
        """Return the folder of a finished export."""
        from midfill_engine.export import is_exported

        folder = conversion_folder(chosen, store)
        return folder if is_exported(folder, store.identity(chosen.spec)) else None

    def prepare(
        self,
        chosen: ChosenModel,
        store: ModelStore,
        *,
        download: bool,
        progress: ProgressSink,
        cancel: CancelToken,
    ) -> Path:
        """Fetch and export what is missing."""

        def make(path: Path, folder: Path) -> None:
            from midfill_engine.export import export

            identity = store.identity(chosen.spec)
            export(path, folder, identity=identity, progress=progress, cancel=cancel)

        return made_once(
            self, chosen, store, make, download=download, progress=progress, cancel=cancel
        )

    def open(self, prepared: Path, chosen: ChosenModel, opening: Opening) -> Opened:
        """Load the exported graph."""
        from midfill_engine.backends.optimum_backend import OptimumBackend
        from midfill_engine.tokenizer.huggingface import build_from_folder

        backend = OptimumBackend(prepared, threads=opening.threads)
        return Opened(backend=backend, tokenizer=build_from_folder(prepared))
