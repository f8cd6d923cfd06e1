"""Rows of the registry for files made here."""

from __future__ import annotations

import hashlib

from midfill_engine.registry import Capability, ModelFile, ModelSpec


def make_spec(
    model_id: str, *, file_name: str, content: bytes, parameters: int, rank: int
) -> ModelSpec:
    """A model whose one file holds ``content``; no source has it."""
    file = ModelFile(
        name=file_name,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        sources=(),
    )
    return ModelSpec(
        id=model_id,
        family="qwen2",
        parameters=parameters,
        files=(file,),
        fim="qwen2.5-coder",
        stop_texts=("<|endoftext|>",),
        chat=None,
        context_tokens=1024,
        licence="MIT",
        capabilities=frozenset({Capability.FIM}),
        rank=rank,
    )
