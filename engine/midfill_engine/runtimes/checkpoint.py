"""A model's own files: its weights by one set of names, and its tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from midfill_engine.errors import ModelFormatError
from midfill_engine.registry import ModelSpec
from midfill_engine.tokenizer import Tokenizer, build_tokenizer
from midfill_engine.weights import WeightSource

__all__ = ["Checkpoint", "open_checkpoint", "open_tokenizer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A GGUF file or a folder of safetensors, open for reading."""

    source: WeightSource
    tokenizer: Tokenizer


def open_checkpoint(path: Path, spec: ModelSpec) -> Checkpoint:
    """Open what ``path`` holds.

    Raises ``ModelFormatError`` where it cannot be read, or is not shaped as ``spec`` says.
    """
    if path.is_dir():
        from midfill_engine.safetensors_weights import SafetensorsWeights
        from midfill_engine.tokenizer.huggingface import build_from_folder

        checkpoint = Checkpoint(source=SafetensorsWeights(path), tokenizer=build_from_folder(path))
    else:
        from midfill_engine.gguf.weights import GgufWeights

        gguf = GgufWeights(path)
        checkpoint = Checkpoint(source=gguf, tokenizer=build_tokenizer(gguf.file.metadata))
    _check_shape(checkpoint, path, spec)
    return checkpoint


def open_tokenizer(path: Path) -> Tokenizer:
    """Make the tokenizer that a GGUF file describes, without its weights."""
    from midfill_engine.gguf.reader import open_gguf

    return build_tokenizer(open_gguf(path).metadata)


def _check_shape(checkpoint: Checkpoint, path: Path, spec: ModelSpec) -> None:
    """A repository may hold something else tomorrow; prompts and memory follow from the shape."""
    config = checkpoint.source.config
    for field in ("layers", "hidden", "heads", "kv_heads"):
        found, expected = getattr(config, field), getattr(spec.config, field)
        if found != expected:
            raise ModelFormatError(
                f"{path} is not {spec.id}: it has {field} {found}, and that has {expected}"
            )
