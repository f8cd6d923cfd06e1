"""Tiny seeded models of every architecture, their references, and a toy that stands in for one.

Weights are uniform numbers of a fixed generator, so the committed golden answers stay true on
every machine. ``python tests/engine/tiny_models.py`` makes those anew, from transformers.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from midfill_engine.weights import ModelConfig

Floats = npt.NDArray[np.float32]

GOLDEN = Path(__file__).parent / "data"
GOLDEN_STEPS = 40
NO_REFERENCE = (
    "the live reference needs torch and transformers: "
    "pip install torch==2.13.0 transformers==4.57.6"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TinyModel:
    """``weights`` by GGUF name, rows of queries and keys in the order of transformers.

    Equal only to itself, so that what is computed from it can be cached.
    """

    name: str
    config: ModelConfig
    weights: Mapping[str, Floats]

    @property
    def tied(self) -> bool:
        return self.config.tied


def _config(
    architecture: str, heads: int, kv_heads: int, head_dim: int, **more: Any
) -> ModelConfig:
    fields = {
        "architecture": architecture,
        "layers": 2,
        "hidden": heads * head_dim,
        "ffn": 512,
        "heads": heads,
        "kv_heads": kv_heads,
        "head_dim": head_dim,
        "vocab": 384,
        "context_tokens": 512,
        "rope_theta": 1e4,
        "rope_interleaved": False,
        "norm_epsilon": 1e-5,
    }
    return ModelConfig(**{**fields, **more})


# The tied Qwen2 is shaped like the real 0.5B: its width is no multiple of 128 or 256.
_CONFIGS = {
    "qwen2-tied": _config(
        "qwen2", 7, 1, 32, layers=3, rope_theta=1e6, norm_epsilon=1e-6, tied=True
    ),
    "qwen2": _config("qwen2", 4, 2, 64, rope_theta=1e6, norm_epsilon=1e-6),
    "llama": _config("llama", 4, 4, 64),
    "llama-gqa": _config("llama", 8, 2, 32, rope_theta=1e6),
    "llama-linear": _config("llama", 4, 4, 32, rope_theta=1e5, rope_factor=4.0),
    "starcoder2": _config(
        "starcoder2",
        6,
        2,
        32,
        norm="layer",
        activation="gelu",
        gated=False,
        window=20,
        tied=True,
        rope_theta=1e5,
    ),
    "starcoder2-wide": _config(
        "starcoder2", 4, 4, 32, norm="layer", activation="gelu", gated=False
    ),
    # Its heads together are wider than the model, as the real 7B's are.
    "gemma": _config(
        "gemma",
        3,
        1,
        64,
        hidden=160,
        activation="gelu",
        embedding_scale=160**0.5,
        tied=True,
        norm_epsilon=1e-6,
    ),
}
TINY_MODELS = tuple(_CONFIGS)


@lru_cache
def tiny_model(name: str) -> TinyModel:
    """One of ``TINY_MODELS``; the same numbers each time and everywhere."""
    config = _CONFIGS[name]
    rng = np.random.default_rng([2407, TINY_MODELS.index(name)])
    weights: dict[str, Floats] = {}

    def matrix(name: str, rows: int, columns: int, gain: float = 1.0) -> None:
        values = (rng.random((rows, columns)) - 0.5) * (gain * np.sqrt(12 / columns))
        weights[name] = values.astype(np.float32)

    def vector(name: str, size: int, middle: float, spread: float) -> None:
        weights[name] = (middle + spread * (rng.random(size) - 0.5)).astype(np.float32)

    def norm(name: str) -> None:
        vector(f"{name}.weight", hidden, 1.0, 0.6)
        if config.norm == "layer":
            vector(f"{name}.bias", hidden, 0.0, 0.6)

    everywhere = config.architecture == "starcoder2"

    hidden, query, key = (
        config.hidden,
        config.heads * config.head_dim,
        config.kv_heads * config.head_dim,
    )
    matrix(
        "token_embd.weight",
        config.vocab,
        hidden,
        gain=np.sqrt(hidden) * (0.5 if config.gated else 0.2) / config.embedding_scale,
    )
    for layer in range(config.layers):
        at = f"blk.{layer}"
        norm(f"{at}.attn_norm")
        # Queries and keys are large, so that attention looks somewhere, and positions matter.
        for which, rows, gain in (("q", query, 2.0), ("k", key, 2.0), ("v", key, 1.0)):
            matrix(f"{at}.attn_{which}.weight", rows, hidden, gain)
            if config.architecture == "qwen2" or everywhere:
                vector(f"{at}.attn_{which}.bias", rows, 0.0, 2.0)
        matrix(f"{at}.attn_output.weight", hidden, query)
        if everywhere:
            vector(f"{at}.attn_output.bias", hidden, 0.0, 0.3)
        norm(f"{at}.ffn_norm")
        for which in ("gate", "up") if config.gated else ("up",):
            matrix(f"{at}.ffn_{which}.weight", config.ffn, hidden, 1.5)
        if everywhere:
            vector(f"{at}.ffn_up.bias", config.ffn, 0.0, 0.3)
        matrix(f"{at}.ffn_down.weight", hidden, config.ffn, 1.5 if config.gated else 4.0)
        if everywhere:
            vector(f"{at}.ffn_down.bias", hidden, 0.0, 0.3)
    norm("output_norm")
    if not config.tied:
        matrix("output.weight", config.vocab, hidden, 2.0)
    return TinyModel(name=name, config=config, weights=weights)


_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_OUTER_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}


_CLASSES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "starcoder2": "Starcoder2ForCausalLM",
    "gemma": "GemmaForCausalLM",
}


def hub_name(name: str, architecture: str = "llama") -> str:
    """The name that transformers gives a tensor."""
    parts, inner = name.split("."), dict(_LAYER_NAMES)
    if architecture == "starcoder2":
        inner |= {"ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"}
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{inner[parts[2]]}.{parts[3]}"
    return f"{_OUTER_NAMES[parts[0]]}.{parts[1]}"


def hub_weights(model: TinyModel) -> dict[str, Floats]:
    """The tensors of a Hugging Face checkpoint: Gemma's norm weights there lack their 1."""
    architecture = model.config.architecture
    missing = np.float32(architecture == "gemma")
    return {
        hub_name(name, architecture): values - missing if name.endswith("norm.weight") else values
        for name, values in model.weights.items()
    }


def hub_config(model: TinyModel) -> dict[str, Any]:
    """``config.json`` as the architecture's own checkpoints have it."""
    config = model.config
    scaling = {"type": "linear", "factor": config.rope_factor}
    fields = {
        "model_type": config.architecture,
        "architectures": [_CLASSES[config.architecture]],
        "hidden_size": config.hidden,
        "intermediate_size": config.ffn,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "vocab_size": config.vocab,
        "max_position_embeddings": config.context_tokens,
        "rope_theta": config.rope_theta,
        "rope_scaling": None if config.rope_factor == 1 else scaling,
        "tie_word_embeddings": model.tied,
    }
    match config.architecture:
        case "starcoder2":
            own = {"norm_epsilon": config.norm_epsilon, "hidden_act": "gelu_pytorch_tanh"}
            own |= {"sliding_window": config.window, "use_bias": True}
        case "gemma":
            own = {"rms_norm_eps": config.norm_epsilon, "hidden_act": "gelu_pytorch_tanh"}
        case _:
            own = {"rms_norm_eps": config.norm_epsilon, "hidden_act": "silu"}
            own |= {"use_sliding_window": False}
    return fields | own


class ToyCache:
    """Remembers the tokens themselves, so that a wrong rollback shows as a wrong answer."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.tokens: list[int] = []

    @property
    def length(self) -> int:
        return len(self.tokens)

    @property
    def nbytes(self) -> int:
        return 8 * len(self.tokens)

    def truncate(self, length: int) -> None:
        assert 0 <= length <= len(self.tokens)
        del self.tokens[length:]

    def copy_beginning(self, other: ToyCache, length: int) -> None:
        assert 0 <= length <= min(other.length, self.capacity)
        self.tokens = other.tokens[:length]


class ToyBackend:
    """A model in a few lines: each row of logits is a function of all tokens so far."""

    def __init__(self, vocab_size: int = 40, spread: float = 4.0) -> None:
        self.vocab_size = vocab_size
        self.steps: list[int] = []
        """How many tokens each step had."""
        self._spread = spread

    def new_cache(self, capacity: int) -> ToyCache:
        return ToyCache(capacity)

    def forward(self, tokens: Sequence[int], cache: ToyCache, logits_for: int) -> Floats:
        assert tokens
        if cache.length + len(tokens) > cache.capacity:
            raise ValueError("the cache is full")
        self.steps.append(len(tokens))
        cache.tokens.extend(tokens)
        rows = np.zeros((logits_for, self.vocab_size), np.float32)
        for row in range(logits_for):
            rows[row] = self.row(cache.tokens[: cache.length - logits_for + row + 1])
        return rows

    def row(self, tokens: Sequence[int]) -> Floats:
        state = 1
        for token in tokens:
            state = (state * 31 + token + 7) % 65521
        ids = np.arange(self.vocab_size)
        return (self._spread * np.sin(state * (ids + 1) * 0.7391 + ids)).astype(np.float32)

    def close(self) -> None:
        pass


def prompt_ids(model: TinyModel, length: int = 48) -> list[int]:
    """An arbitrary prompt, the same everywhere."""
    return [(7 + 101 * at * at + 13 * at) % model.config.vocab for at in range(length)]


def transformers_model(model: TinyModel) -> Any:
    """The same weights in transformers, float32 on the CPU. Needs torch and transformers."""
    with warnings.catch_warnings():
        # What these libraries warn of while they load is not about us.
        warnings.simplefilter("ignore")
        import torch
        import transformers

        # These models are so small that threads would only wait for each other.
        torch.set_num_threads(1)
        fields = hub_config(model)
        fields.pop("architectures")
        config = transformers.AutoConfig.for_model(**fields)
        config._attn_implementation = "eager"
        reference = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        state = {
            name: torch.from_numpy(values.copy()) for name, values in hub_weights(model).items()
        }
        missing = reference.load_state_dict(state, strict=False).missing_keys
        assert set(missing) <= ({"lm_head.weight"} if model.tied else set()), missing
        return reference.eval()


def transformers_logits(reference: Any, tokens: list[int]) -> Floats:
    """Logits of all positions, ``[tokens, vocabulary]``."""
    import torch

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return reference(torch.tensor([tokens])).logits[0].numpy()


def make_golden(name: str) -> dict[str, Any]:
    """What transformers answers: logits at three positions, then greedy ids."""
    model = tiny_model(name)
    reference, prompt = transformers_model(model), prompt_ids(model)
    logits = transformers_logits(reference, prompt)
    positions = [0, len(prompt) // 2, len(prompt) - 1]
    tokens, gaps = list(prompt), []
    for _ in range(GOLDEN_STEPS):
        row = transformers_logits(reference, tokens)[-1]
        second, first = np.sort(row)[-2:]
        gaps.append(float(first - second))
        tokens.append(int(row.argmax()))
    # Two nearly equal candidates would make the greedy answer a matter of rounding.
    assert min(gaps) > 1e-3, f"{name}: pick another seed, the smallest gap is {min(gaps)}"
    return {
        "config": asdict(model.config),
        "prompt": prompt,
        "positions": positions,
        "logits": [[float(f"{value:.7g}") for value in logits[at]] for at in positions],
        "greedy": tokens[len(prompt) :],
    }


def golden(name: str) -> dict[str, Any]:
    """The committed answers of transformers for one model."""
    return json.loads((GOLDEN / f"golden_{name}.json").read_text(encoding="utf-8"))


def main() -> None:
    for name in TINY_MODELS:
        made = make_golden(name)
        print(name, "greedy:", *made["greedy"])
        (GOLDEN / f"golden_{name}.json").write_text(
            json.dumps(made), encoding="utf-8", newline="\n"
        )


if __name__ == "__main__":
    main()
