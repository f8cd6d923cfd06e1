"""transformers' ``generate`` with the same weights on the same device, to stand beside ours."""

from __future__ import annotations

import gc
import re
import time
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.gpu_setting import Setting
from midfill_engine.synthetic_weights import SyntheticWeights
from midfill_engine.weights import ModelConfig

if TYPE_CHECKING:
    import torch

__all__ = ["Peer", "PeerMissingError"]

_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "float32": "float32"}
_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)\.weight")
_IN_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_OUTER = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_SLICE_ROWS = 2048


class PeerMissingError(RuntimeError):
    """transformers cannot be measured here; says why."""


class Peer:
    """A Llama of transformers. Raises ``PeerMissingError``."""

    def __init__(self, config: ModelConfig, weights: str, setting: Setting) -> None:
        if weights not in _DTYPES:
            raise PeerMissingError(f"transformers by itself has no {weights} weights")
        try:
            import torch
            import transformers
        except ImportError as error:
            raise PeerMissingError(f"transformers is not installed: {error}") from error
        self.version = str(transformers.__version__)
        self._setting = setting
        try:
            with warnings.catch_warnings(), torch.device(setting.device):
                # What it warns of while it loads is not about us.
                warnings.simplefilter("ignore")
                self._model: Any = transformers.AutoModelForCausalLM.from_config(
                    _llama(config), dtype=getattr(torch, _DTYPES[weights])
                ).eval()
        except torch.OutOfMemoryError as error:
            raise PeerMissingError("both models do not fit into memory together") from error
        source = SyntheticWeights(config, setting.seed)
        with torch.no_grad():
            for name, tensor in self._model.named_parameters():
                _fill(tensor, name, source)

    def answer(self, prompt: Sequence[int], tokens: int) -> tuple[list[int], float]:
        """Return ``tokens`` greedy ids after ``prompt``, and the seconds they took."""
        import torch

        ids = torch.tensor([list(prompt)], device=self._setting.device)
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            began_s = time.perf_counter()
            found = self._model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=tokens,
                min_new_tokens=tokens,
                do_sample=False,
                eos_token_id=None,
                pad_token_id=0,
            )
            answer: list[int] = found[0, len(prompt) :].tolist()
            return answer, time.perf_counter() - began_s

    def close(self) -> None:
        """Give the memory back."""
        import torch

        del self._model
        gc.collect()
        if self._setting.on_gpu:
            torch.cuda.empty_cache()


def _llama(config: ModelConfig) -> Any:
    import transformers

    return transformers.LlamaConfig(
        hidden_size=config.hidden,
        intermediate_size=config.ffn,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        vocab_size=config.vocab,
        max_position_embeddings=config.context_tokens,
        rope_theta=config.rope_theta,
        rms_norm_eps=config.norm_epsilon,
        tie_word_embeddings=config.tied,
        bos_token_id=None,
        eos_token_id=None,
    )


def _fill(tensor: torch.Tensor, name: str, source: SyntheticWeights) -> None:
    import torch

    match = _LAYER.fullmatch(name)
    ours = f"blk.{match[1]}.{_IN_LAYER[match[2]]}.weight" if match else _OUTER[name]
    if tensor.ndim == 1:
        tensor.copy_(torch.from_numpy(source.vector(ours)))
        return
    for start in range(0, len(tensor), _SLICE_ROWS):
        rows: Any = source.rows(ours, start, start + _SLICE_ROWS)
        tensor[start : start + len(rows)].copy_(torch.from_numpy(rows))
