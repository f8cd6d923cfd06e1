"""llama.cpp in this process: GGUF files as they are, on the CPU or on what its build drives."""

from __future__ import annotations

import importlib.util
from pathlib import Path

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
from midfill_engine.runtimes.layouts import llama_layouts

__all__ = ["LlamaRuntime"]

_BYTES_PER_VALUE = 2


class LlamaRuntime(RunsAsItIs):
    """Loads a GGUF file with the weights that it has."""

    def layouts(self, spec: ModelSpec, device: Device) -> tuple[Layout, ...]:
        """Return the file's own form; see ``Runtime.layouts``."""
        if importlib.util.find_spec("llama_cpp") is None:
            raise BackendUnavailableError(
                "llama.cpp is not installed. Run: pip install 'midfill[llama]'"
            )
        if device == "gpu" and not _offloads():
            raise BackendUnavailableError(
                "this build of llama.cpp drives no GPU; its documentation says how to build one"
            )
        return llama_layouts(spec, device)

    def open(self, prepared: Path, chosen: ChosenModel, opening: Opening) -> Opened:
        """Load the file."""
        from midfill_engine.backends.llama_backend import LlamaBackend
        from midfill_engine.runtimes.checkpoint import open_tokenizer

        kv_bytes = chosen.spec.config.kv_values * _BYTES_PER_VALUE
        backend = LlamaBackend(
            prepared,
            capacity=opening.context_tokens,
            cells=opening.context_tokens + opening.cache_bytes // kv_bytes,
            threads=opening.threads,
            gpu_layers=None if chosen.device == "gpu" else 0,
        )
        return Opened(backend=backend, tokenizer=open_tokenizer(prepared))


def _offloads() -> bool:
    from midfill_engine.backends.llama_backend import offloads

    return offloads()
