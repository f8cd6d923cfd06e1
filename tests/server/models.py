"""Rows of the registry for files made here."""

from __future__ import annotations

import hashlib

from midfill_engine.registry import Licence, ModelFile, ModelSpec
from midfill_engine.weights import ModelConfig

TINY_SHAPE = ModelConfig(
    architecture="qwen2",
    layers=2,
    hidden=64,
    ffn=128,
    heads=4,
    kv_heads=2,
    head_dim=16,
    vocab=384,
    context_tokens=1024,
    rope_theta=1e6,
    rope_interleaved=False,
    norm_epsilon=1e-6,
)
MIT = Licence(name="MIT", url="https://opensource.org/license/mit")


def make_spec(model_id: str, *, file_name: str, content: bytes, rank: int) -> ModelSpec:
    """A model whose one file holds ``content``; no source has it."""
    file = ModelFile(
        name=file_name, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
    )
    return ModelSpec(
        id=model_id,
        family="Tiny",
        config=TINY_SHAPE,
        files=(file,),
        fim="qwen2.5-coder",
        stop_texts=("<|endoftext|>",),
        licence=MIT,
        rank=rank,
        embedded=True,
    )
