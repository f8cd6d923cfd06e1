"""A Hugging Face folder (``config.json`` and safetensors files) as a ``WeightSource``.

Safetensors only: a ``.bin`` or ``.pt`` file is a pickle, and opening one would run what it says.
Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt

from midfill_engine.architectures import ARCHITECTURES, Architecture
from midfill_engine.errors import ModelFormatError
from midfill_engine.weights import Floats, ModelConfig, Rows

__all__ = ["SafetensorsWeights"]

Stored: TypeAlias = npt.NDArray[np.generic]
"""A tensor as its file holds it."""

_CONFIG = "config.json"
_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
# bfloat16 has no numpy type: it is read as 16 bits and widened here.
_DTYPES: Mapping[str, str] = MappingProxyType({"F32": "<f4", "F16": "<f2", "BF16": "<u2"})
_WHOLE_MODEL: Mapping[str, str] = MappingProxyType(
    {
        "token_embd": "model.embed_tokens",
        "output_norm": "model.norm",
        "output": "lm_head",
    }
)
_IN_LAYER: Mapping[str, str] = MappingProxyType(
    {
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
)
_IN_STARCODER2: Mapping[str, str] = MappingProxyType(
    {**_IN_LAYER, "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"}
)
_TANH_GELU = ("gelu_pytorch_tanh", "gelu_new")
_LAYER_NAME = re.compile(r"blk\.(\d+)\.(\w+)\.(weight|bias)")
_HEADER_BYTES = struct.Struct("<Q")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One tensor: its bytes begin at ``offset`` of the file at ``path``."""

    path: Path
    offset: int
    dtype: str
    shape: tuple[int, ...]


class SafetensorsWeights:
    """Reads tensors of one folder, one file or several with an index; holds no data between calls.

    Raises ``ModelFormatError`` for architectures not in ``ARCHITECTURES``, for what no engine here
    has (rotary positions scaled other than linearly, windows in some layers only, quantised
    checkpoints), for damaged files, and for folders without safetensors.
    """

    def __init__(self, folder: Path) -> None:
        fields = _read_json(folder / _CONFIG)
        self._architecture = _read_architecture(folder, fields)
        self._starcoder2 = fields.get("model_type") == "starcoder2"
        self._entries = _read_entries(folder)
        # Some write the flag and store a head of its own all the same: then the flag counts.
        tied = fields.get("tie_word_embeddings")
        self._tied = tied if isinstance(tied, bool) else self._architecture.tied
        self._tied = self._tied or "lm_head.weight" not in self._entries
        embedding = self._find("token_embd.weight")
        if embedding is None or len(embedding.shape) != 2:
            raise ModelFormatError(f"{folder} holds no token embedding")
        self._config = _read_config(
            folder, fields, self._architecture, vocab=embedding.shape[0], tied=self._tied
        )

    @property
    def config(self) -> ModelConfig:
        """The model's shape, from ``config.json``."""
        return self._config

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Shape of a tensor by its GGUF name, or ``None``."""
        entry = self._find(name)
        return None if entry is None else entry.shape

    def rows(self, name: str, start: int, stop: int) -> Rows:
        """Rows of a matrix, float32 ``[stop - start, columns]``."""
        return _widen(self._map(name)[start:stop])

    def vector(self, name: str) -> Floats:
        """A one-dimensional tensor in float32."""
        values = _widen(self._map(name)).reshape(-1)
        if name.endswith("norm.weight"):
            values += np.float32(self._architecture.norm_offset)
        return values

    def _find(self, name: str) -> _Entry | None:
        # A tied checkpoint may carry a copy of the embedding as its head; it is the same.
        if name == "output.weight" and self._tied:
            return None
        stored = self._stored_name(name)
        return None if stored is None else self._entries.get(stored)

    def _stored_name(self, name: str) -> str | None:
        """Translate a GGUF name; ``None`` where checkpoints have no such tensor."""
        if match := _LAYER_NAME.fullmatch(name):
            layer, part, kind = match.groups()
            inner = (_IN_STARCODER2 if self._starcoder2 else _IN_LAYER).get(part)
            return None if inner is None else f"model.layers.{layer}.{inner}.{kind}"
        stem, _, kind = name.rpartition(".")
        outer = _WHOLE_MODEL.get(stem)
        return None if outer is None else f"{outer}.{kind}"

    def _map(self, name: str) -> Stored:
        """Map one tensor; the map goes with the array, so pages of one tensor at a time stay."""
        entry = self._find(name)
        if entry is None:
            raise ModelFormatError(
                f"the checkpoint has no tensor {name} ({self._stored_name(name)})"
            )
        kind = _DTYPES.get(entry.dtype)
        if kind is None:
            known = ", ".join(_DTYPES)
            raise ModelFormatError(f"{name} is stored as {entry.dtype}; midfill reads {known}")
        return np.memmap(
            entry.path, dtype=np.dtype(kind), mode="r", offset=entry.offset, shape=entry.shape
        )


def _widen(values: Stored) -> Floats:
    """Copy ``values`` out of the file as float32; 16-bit integers are the bits of bfloat16."""
    if values.dtype.kind == "u":
        # A bfloat16 is the upper half of the float32 of the same value.
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return np.array(values, dtype=np.float32)


def _read_entries(folder: Path) -> dict[str, _Entry]:
    """List the tensors of all the folder's files by their stored names."""
    if (folder / _INDEX).is_file():
        weight_map = _read_json(folder / _INDEX).get("weight_map")
        if not isinstance(weight_map, dict):
            raise ModelFormatError(f"{folder / _INDEX} lists no files")
        names = {str(name) for name in cast("dict[str, object]", weight_map).values()}
    elif (folder / _SINGLE).is_file():
        names = {_SINGLE}
    else:
        raise ModelFormatError(
            f"{folder} holds neither {_SINGLE} nor {_INDEX}. Checkpoints of other kinds "
            "(.bin, .pt) are programs, which midfill does not run: convert them to safetensors."
        )
    entries: dict[str, _Entry] = {}
    for name in sorted(names):
        # An index must not lead out of its folder.
        if Path(name).name != name or "\\" in name:
            raise ModelFormatError(f"{folder / _INDEX} names a file elsewhere: {name!r}")
        entries.update(_read_header(folder / name))
    return entries


def _read_header(path: Path) -> dict[str, _Entry]:
    """Read where the tensors of one file lie, after the library has checked the whole header."""
    from safetensors import SafetensorError, safe_open

    try:
        # It checks that offsets, shapes and the file's length agree; its numpy reader is not used
        # because it knows no bfloat16.
        with safe_open(str(path), framework="numpy"):
            pass
        with path.open("rb") as file:
            length: int = _HEADER_BYTES.unpack(file.read(_HEADER_BYTES.size))[0]
            header = cast("dict[str, dict[str, object]]", json.loads(file.read(length)))
    except (OSError, SafetensorError) as error:
        raise ModelFormatError(f"{path} cannot be read as safetensors: {error}") from error
    start = _HEADER_BYTES.size + length
    return {
        name: _Entry(
            path=path,
            offset=start + cast("list[int]", fields["data_offsets"])[0],
            dtype=str(fields["dtype"]),
            shape=tuple(cast("list[int]", fields["shape"])),
        )
        for name, fields in header.items()
        if name != "__metadata__"
    }


def _read_json(path: Path) -> dict[str, object]:
    try:
        content: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFormatError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ModelFormatError(f"{path} is not a JSON object")
    return cast("dict[str, object]", content)


def _read_architecture(folder: Path, fields: Mapping[str, object]) -> Architecture:
    name = str(fields.get("model_type", "unknown"))
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ModelFormatError(
            f"{folder} holds a model of type {name!r}; only {known} can be converted."
        )
    return ARCHITECTURES[name]


def _read_config(
    folder: Path,
    fields: Mapping[str, object],
    architecture: Architecture,
    *,
    vocab: int,
    tied: bool,
) -> ModelConfig:
    _check_supported(folder, fields, architecture)

    def number(key: str, default: float | None = None) -> float:
        value = fields.get(key)
        # Checkpoints write null where the default is meant.
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ModelFormatError(f"{folder / _CONFIG} lacks {key}")
        return value

    hidden, heads = int(number("hidden_size")), int(number("num_attention_heads"))
    context = int(number("max_position_embeddings"))
    window = int(number("sliding_window", context)) if fields["model_type"] == "starcoder2" else 0
    epsilon = ("norm_epsilon", 1e-5) if architecture.norm == "layer" else ("rms_norm_eps", 1e-6)
    rope = _rope_table(fields)
    theta = rope.get("rope_theta")
    factor = rope.get("factor")
    return ModelConfig(
        architecture=str(fields["model_type"]),
        layers=int(number("num_hidden_layers")),
        hidden=hidden,
        ffn=int(number("intermediate_size")),
        heads=heads,
        kv_heads=int(number("num_key_value_heads", heads)),
        head_dim=int(number("head_dim", hidden // heads)),
        vocab=vocab,
        context_tokens=context,
        rope_theta=float(theta) if isinstance(theta, int | float) else number("rope_theta", 1e4),
        # Every checkpoint of this kind has the halves of a head rotated against each other.
        rope_interleaved=False,
        norm_epsilon=number(*epsilon),
        rope_factor=float(factor) if isinstance(factor, int | float) else 1.0,
        norm=architecture.norm,
        activation=architecture.activation,
        gated=architecture.gated,
        embedding_scale=hidden**0.5 if architecture.scales_embedding else 1.0,
        # A window that the context never reaches is none.
        window=window if 0 < window < context else None,
        tied=tied,
    )


def _rope_table(fields: Mapping[str, object]) -> Mapping[str, object]:
    # Newer checkpoints call the table rope_parameters and keep theta in it.
    table = fields.get("rope_parameters") or fields.get("rope_scaling")
    return cast("dict[str, object]", table) if isinstance(table, dict) else {}


def _check_supported(
    folder: Path, fields: Mapping[str, object], architecture: Architecture
) -> None:
    """Refuse what would be computed wrongly."""
    rope = _rope_table(fields)
    scaling = rope.get("rope_type", rope.get("type", "default"))
    if scaling not in ("default", "linear"):
        raise ModelFormatError(f"{folder} scales its rotary positions ({scaling})")
    if scaling == "linear" and not isinstance(rope.get("factor"), int | float):
        raise ModelFormatError(f"{folder} scales its rotary positions and does not say how far")
    if fields.get("use_sliding_window") is True:
        raise ModelFormatError(f"{folder} attends through a window in some layers only")
    if fields.get("quantization_config"):
        raise ModelFormatError(f"{folder} is quantised; midfill converts the original weights")
    # Gemma's first configurations said hidden_act "gelu" and were trained with the tanh form.
    gemma = fields["model_type"] == "gemma"
    activation = fields.get("hidden_activation" if gemma else "hidden_act")
    known = _TANH_GELU if architecture.activation == "gelu" else ("silu",)
    if activation is not None and activation not in known:
        raise ModelFormatError(
            f"{folder} uses the activation {activation!r}, not {' or '.join(map(repr, known))}"
        )
