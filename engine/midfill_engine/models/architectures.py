"""Which module computes which architecture."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from midfill_engine.errors import ModelFormatError
from midfill_engine.models.decoder import Decoder
from midfill_engine.models.gemma import Gemma
from midfill_engine.models.layers import Weights
from midfill_engine.models.llama import Llama
from midfill_engine.models.starcoder2 import StarCoder2
from midfill_engine.weights import ModelConfig

__all__ = ["build_model"]

_MODULES: Mapping[str, type[Llama] | type[StarCoder2] | type[Gemma]] = MappingProxyType(
    {"llama": Llama, "qwen2": Llama, "starcoder2": StarCoder2, "gemma": Gemma}
)


def build_model(config: ModelConfig, weights: Weights, rows: int) -> Decoder:
    """Make the decoder with its weights; its rotary tables reach ``rows`` positions.

    Raises ``ModelFormatError`` for an architecture that has no module.
    """
    module = _MODULES.get(config.architecture)
    if module is None:
        raise ModelFormatError(
            f"PyTorch modules are here for {', '.join(_MODULES)}, not {config.architecture!r}"
        )
    return module(config, weights, rows)
