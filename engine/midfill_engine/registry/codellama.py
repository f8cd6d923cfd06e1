"""Code Llama: https://arxiv.org/abs/2308.12950. Four sizes, each as base, Python and Instruct.

What each was trained for is in the paper's table 1 and in the model cards; the shapes are those of
the checkpoints' ``config.json``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from midfill_engine.registry.spec import HubRepo, Licence, ModelSpec
from midfill_engine.weights import ModelConfig

__all__ = ["CODE_LLAMA"]

_LICENCE = Licence(
    name="Llama 2 Community License",
    url="https://ai.meta.com/llama/license/",
    must_accept=True,
)
# Trained on 16,384 tokens with a rotary base that keeps perplexity falling up to this (section
# 3.3 of the paper); two of the 70B models were not.
_REACH_TOKENS = 100_000
_END = "</s>"
_MARKERS = ("▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>")
_STEP = "<step>"
_BITS: Mapping[str, float] = MappingProxyType({"q4_k_m": 4.85, "q8_0": 8.5})
_NEVER_INFILL = "It was never trained to fill in: it completes from the text before the cursor."
_UNTESTED_INFILL = (
    "Whether it can fill in was never published, so it completes from the text before the cursor."
)
_PYTHON_ONLY = "It was trained further on Python, and on no instructions."

_Kind = Literal["", "-python", "-instruct"]


def _shape(layers: int, hidden: int, ffn: int, heads: int, kv_heads: int) -> ModelConfig:
    return ModelConfig(
        architecture="llama",
        layers=layers,
        hidden=hidden,
        ffn=ffn,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=hidden // heads,
        vocab=32_000,
        context_tokens=16_384,
        rope_theta=1e6,
        rope_interleaved=False,
        norm_epsilon=1e-5,
    )


_SHAPES: Mapping[str, ModelConfig] = MappingProxyType(
    {
        "7b": _shape(32, 4096, 11_008, 32, 32),
        "13b": _shape(40, 5120, 13_824, 40, 40),
        "34b": _shape(48, 8192, 22_016, 64, 8),
        "70b": _shape(80, 8192, 28_672, 64, 8),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checkpoint:
    """How one checkpoint differs; ``rank`` is its 4-bit file's, and the next two are free."""

    size: str
    kind: _Kind
    rank: int
    vocab: int = 32_000
    fills_in: bool = False
    short: bool = False
    note: str = ""


_CHECKPOINTS = (
    _Checkpoint(size="7b", kind="", rank=58, vocab=32_016, fills_in=True),
    _Checkpoint(size="7b", kind="-python", rank=34, note=_NEVER_INFILL),
    _Checkpoint(size="7b", kind="-instruct", rank=55, vocab=32_016, fills_in=True),
    _Checkpoint(size="13b", kind="", rank=66, vocab=32_016, fills_in=True),
    _Checkpoint(size="13b", kind="-python", rank=37, note=_NEVER_INFILL),
    _Checkpoint(size="13b", kind="-instruct", rank=63, vocab=32_016, fills_in=True),
    _Checkpoint(size="34b", kind="", rank=46, note=_NEVER_INFILL),
    _Checkpoint(size="34b", kind="-python", rank=40, note=_NEVER_INFILL),
    _Checkpoint(size="34b", kind="-instruct", rank=43, note=_NEVER_INFILL),
    _Checkpoint(size="70b", kind="", rank=72, vocab=32_016, fills_in=True),
    _Checkpoint(
        size="70b", kind="-python", rank=49, vocab=32_016, short=True, note=_UNTESTED_INFILL
    ),
    # Its last token, 32015, is <step>, where the others have an unused one.
    _Checkpoint(
        size="70b", kind="-instruct", rank=52, vocab=32_016, short=True, note=_UNTESTED_INFILL
    ),
)


def _row(checkpoint: _Checkpoint) -> ModelSpec:
    """Make the row of an original checkpoint."""
    size, kind = checkpoint.size, checkpoint.kind
    config = replace(_SHAPES[size], vocab=checkpoint.vocab)
    if checkpoint.short:
        config = replace(config, context_tokens=4096, rope_theta=1e4)
    is_large_chat = (size, kind) == ("70b", "-instruct")
    chat = ("codellama-70b" if is_large_chat else "codellama") if kind == "-instruct" else None
    # A checkpoint that has markers may write one by mistake, whether it can fill in or not.
    markers = _MARKERS if checkpoint.vocab > 32_000 else ()
    notes = (checkpoint.note, _PYTHON_ONLY if kind == "-python" else "")
    return ModelSpec(
        id=f"codellama-{size}{kind}",
        family="Code Llama",
        config=config,
        format="safetensors",
        repo=HubRepo(repo=f"codellama/CodeLlama-{size}{_capitalised(kind)}-hf"),
        fim="codellama" if checkpoint.fills_in else None,
        chat=chat,
        stop_texts=(_END, *markers, *((_STEP,) if is_large_chat else ())),
        extrapolated_tokens=None if checkpoint.short else _REACH_TOKENS,
        licence=_LICENCE,
        notes=tuple(filter(None, notes)),
        rank=checkpoint.rank + 2,
        layout="mixed",
    )


def _quantised(original: ModelSpec, checkpoint: _Checkpoint) -> Iterator[ModelSpec]:
    """Yield the rows of the GGUF files made of a checkpoint."""
    size, kind = checkpoint.size, checkpoint.kind
    # The one repository that is named after the checkpoint's own.
    suffix = "-hf" if (size, kind) == ("70b", "") else ""
    for place, (width, bits) in enumerate(_BITS.items()):
        if (size, width) == ("70b", "q8_0"):
            # Uploaded in pieces that no program reads as they are.
            continue
        file = f"codellama-{size}{kind}{suffix}.{width.upper()}.gguf"
        repo = f"TheBloke/CodeLlama-{size.upper()}{_capitalised(kind)}{suffix}-GGUF"
        yield replace(
            original,
            id=f"{original.id}-{width}",
            config=replace(original.config, rope_interleaved=True),
            format="gguf",
            repo=HubRepo(repo=repo, wanted=(file,)),
            bits_per_weight=bits,
            variant_of=original.id,
            rank=checkpoint.rank + place,
        )


def _capitalised(kind: _Kind) -> str:
    return {"": "", "-python": "-Python", "-instruct": "-Instruct"}[kind]


def _rows() -> Iterator[ModelSpec]:
    for checkpoint in _CHECKPOINTS:
        original = _row(checkpoint)
        yield original
        yield from _quantised(original, checkpoint)


CODE_LLAMA: tuple[ModelSpec, ...] = tuple(_rows())
