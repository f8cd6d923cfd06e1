"""What a caller may choose about the engine; every field has a default that works."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["EngineOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """Which model, where its files live and how it runs.

    ``model``: a registry id, the path of a GGUF file or of a folder of safetensors, or ``"auto"``
    (the best model that this machine serves within the latency budget). ``backend``: the runtime,
    ``"onnx"``, ``"torch"``, ``"llama"`` or ``"optimum"``; ``"auto"`` takes the first that is
    installed and able, or one that was measured to be clearly faster. ``device``: ``"cpu"``,
    ``"gpu"``, or ``"auto"`` for a GPU where there is one. ``weights``: layout of the weights,
    ``"auto"`` for the one that was best for the model by measured speed and quality, or the widest
    that fits. ``draft``: a smaller model that guesses for the chosen one: an id, ``"never"``, or
    ``"auto"``: on a GPU, the smallest of its family that is installed and fits. ``threads=None``
    takes the physical cores. ``context_tokens`` bounds prompt plus answer; ``prompt_tokens=None``
    takes the model's default. ``download`` allows fetching a missing model. ``cache_mb`` bounds the
    memory for what was computed of several places. ``stand_in`` says when a smaller model that is
    ready on disk answers: ``"loading"`` until the chosen one is loaded, ``"always"`` also where
    that one's prompt would take long to compute, ``"auto"``: ``"always"`` where there is plenty of
    memory, ``"loading"`` elsewhere, or ``"never"``.
    """

    model: str = "auto"
    backend: str = "auto"
    device: str = "auto"
    draft: str = "auto"
    weights: str = "auto"
    home: Path | None = None
    threads: int | None = None
    context_tokens: int = 4096
    prompt_tokens: int | None = None
    cache_mb: int = 256
    download: bool = False
    stand_in: str = "never"
