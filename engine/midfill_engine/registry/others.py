"""Other families that can fill in: DeepSeek-Coder, StarCoder2, CodeGemma.

The shapes are those of the checkpoints' ``config.json``.
"""

from __future__ import annotations

from midfill_engine.registry.spec import HubRepo, Licence, ModelSpec
from midfill_engine.weights import ModelConfig

__all__ = ["CODE_GEMMA", "DEEPSEEK_CODER", "STAR_CODER"]

_DEEPSEEK = Licence(
    name="DeepSeek License",
    url="https://huggingface.co/deepseek-ai/deepseek-coder-6.7b-base/blob/main/LICENSE",
    must_accept=True,
)
_OPENRAIL = Licence(
    name="BigCode OpenRAIL-M v1",
    url="https://huggingface.co/spaces/bigcode/bigcode-model-license-agreement",
    must_accept=True,
)
_GEMMA = Licence(
    name="Gemma Terms of Use", url="https://ai.google.dev/gemma/terms", must_accept=True
)
_GATED = (
    "The hub hands it out only to accounts that agreed to its terms there: do so on its page, "
    "and set HF_TOKEN."
)
_COMPLETION_IS_THE_BASE_MODELS = "For completion, its makers name the base model."

_DEEPSEEK_STOPS = (
    "<\uff5cend▁of▁sentence\uff5c>",
    "<|EOT|>",
    "<\uff5cfim▁begin\uff5c>",
    "<\uff5cfim▁hole\uff5c>",
    "<\uff5cfim▁end\uff5c>",
)
_STAR_STOPS = (
    "<|endoftext|>",
    "<fim_prefix>",
    "<fim_middle>",
    "<fim_suffix>",
    "<fim_pad>",
    "<repo_name>",
    "<file_sep>",
)
_GEMMA_STOPS = (
    "<eos>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|file_separator|>",
)


def _deepseek(*, layers: int, hidden: int, ffn: int, heads: int) -> ModelConfig:
    return ModelConfig(
        architecture="llama",
        layers=layers,
        hidden=hidden,
        ffn=ffn,
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        vocab=32_256,
        context_tokens=16_384,
        rope_theta=1e5,
        rope_factor=4.0,
        rope_interleaved=False,
        norm_epsilon=1e-6,
    )


def _deepseek_rows(size: str, config: ModelConfig, rank: int, revision: str) -> list[ModelSpec]:
    """Make the rows of the base model and of the one that follows instructions."""
    base = ModelSpec(
        id=f"deepseek-coder-{size}",
        family="DeepSeek-Coder",
        config=config,
        format="safetensors",
        repo=HubRepo(repo=f"deepseek-ai/deepseek-coder-{size}-base", revision=revision),
        fim="deepseek-coder",
        stop_texts=_DEEPSEEK_STOPS,
        licence=_DEEPSEEK,
        rank=rank,
        layout="mixed",
    )
    instruct = ModelSpec(
        id=f"deepseek-coder-{size}-instruct",
        family="DeepSeek-Coder",
        config=config,
        format="safetensors",
        repo=HubRepo(repo=f"deepseek-ai/deepseek-coder-{size}-instruct"),
        chat="deepseek-coder",
        stop_texts=_DEEPSEEK_STOPS,
        licence=_DEEPSEEK,
        notes=(_COMPLETION_IS_THE_BASE_MODELS,),
        rank=rank - 1,
        layout="mixed",
    )
    return [base, instruct]


DEEPSEEK_CODER: tuple[ModelSpec, ...] = (
    # Its main branch has a pickle only; the hub's own converter proposed the same as safetensors.
    *_deepseek_rows("1.3b", _deepseek(layers=24, hidden=2048, ffn=5504, heads=16), 14, "refs/pr/3"),
    *_deepseek_rows("6.7b", _deepseek(layers=32, hidden=4096, ffn=11_008, heads=32), 71, "main"),
)
"""https://arxiv.org/abs/2401.14196"""


def _star(
    size: str,
    *,
    layers: int,
    hidden: int,
    heads: int,
    kv_heads: int,
    rope_theta: float,
    tied: bool,
    bits: float,
    rank: int,
) -> ModelSpec:
    return ModelSpec(
        id=f"starcoder2-{size}",
        family="StarCoder2",
        config=ModelConfig(
            architecture="starcoder2",
            layers=layers,
            hidden=hidden,
            ffn=4 * hidden,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=hidden // heads,
            vocab=49_152,
            context_tokens=16_384,
            rope_theta=rope_theta,
            rope_interleaved=False,
            norm_epsilon=1e-5,
            norm="layer",
            activation="gelu",
            gated=False,
            window=4096,
            tied=tied,
        ),
        format="safetensors",
        repo=HubRepo(repo=f"bigcode/starcoder2-{size}"),
        bits_per_weight=bits,
        fim="starcoder2",
        stop_texts=_STAR_STOPS,
        licence=_OPENRAIL,
        rank=rank,
        layout="mixed",
    )


STAR_CODER: tuple[ModelSpec, ...] = (
    _star(
        "3b",
        layers=30,
        hidden=3072,
        heads=24,
        kv_heads=2,
        rope_theta=999_999.4420358813,
        tied=True,
        bits=32,
        rank=24,
    ),
    _star(
        "7b",
        layers=32,
        hidden=4608,
        heads=36,
        kv_heads=4,
        rope_theta=1e6,
        tied=True,
        bits=16,
        rank=61,
    ),
    _star(
        "15b",
        layers=40,
        hidden=6144,
        heads=48,
        kv_heads=4,
        rope_theta=1e5,
        tied=False,
        bits=32,
        rank=69,
    ),
)
"""https://arxiv.org/abs/2402.19173"""


def _gemma(layers: int, hidden: int, ffn: int, heads: int, kv_heads: int) -> ModelConfig:
    return ModelConfig(
        architecture="gemma",
        layers=layers,
        hidden=hidden,
        ffn=ffn,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=256,
        vocab=256_000,
        context_tokens=8192,
        rope_theta=1e4,
        rope_interleaved=False,
        norm_epsilon=1e-6,
        activation="gelu",
        embedding_scale=hidden**0.5,
        tied=True,
    )


def _gemma_row(name: str, config: ModelConfig, rank: int) -> ModelSpec:
    follows = name.endswith("-it")
    return ModelSpec(
        id=f"codegemma-{name}",
        family="CodeGemma",
        config=config,
        format="safetensors",
        repo=HubRepo(repo=f"google/codegemma-{name}"),
        fim=None if follows else "codegemma",
        chat="gemma" if follows else None,
        stop_texts=_GEMMA_STOPS,
        licence=_GEMMA,
        notes=(_GATED, *((_COMPLETION_IS_THE_BASE_MODELS,) if follows else ())),
        rank=rank,
        layout="mixed",
    )


_GEMMA_2B = _gemma(18, 2048, 16_384, 8, 1)
_GEMMA_7B = _gemma(28, 3072, 24_576, 16, 16)
CODE_GEMMA: tuple[ModelSpec, ...] = (
    _gemma_row("2b", _GEMMA_2B, 22),
    _gemma_row("7b", _GEMMA_7B, 62),
    _gemma_row("7b-it", _GEMMA_7B, 32),
)
"""https://arxiv.org/abs/2406.11409"""
