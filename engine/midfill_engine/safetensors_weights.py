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

from midfill_engine.errors import ModelFormatError
from midfill_engine.weights import Floats, ModelConfig, Rows

__all__ = ["SafetensorsWeights"]

Stored: TypeAlias = npt.NDArray[np.generic]
"""A tensor as its file holds it."""

_CONFIG = "config.json"
_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_ARCHITECTURES = ("llama", "qwen2")
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

    Raises ``ModelFormatError`` for architectures other than Llama and Qwen2, for what the graph
    does not have (scaled rotary positions, sliding windows, quantised checkpoints), for damaged
    files, and for folders without safetensors.
    """

    def __init__(self, folder: Path) -> None:
        fields = _read_json(folder / _CONFIG)
        self._tied = fields.get("tie_word_embeddings", False) is True
        self._entries = _read_entries(folder)
        embedding = self._find("token_embd.weight")
        if embedding is None or len(embedding.shape) != 2:
            raise ModelFormatError(f"{folder} holds no token embedding")
        self._config = _read_config(folder, fields, vocab=embedding.shape[0])

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
        return _widen(self._map(name)).reshape(-1)

    def _find(self, name: str) -> _Entry | None:
        # A tied checkpoint may carry a copy of the embedding as its head; it is the same.
        if name == "output.weight" and self._tied:
            return None
        stored = _stored_name(name)
        return None if stored is None else self._entries.get(stored)

    def _map(self, name: str) -> Stored:
        """Map one tensor; the map goes with the array, so pages of one tensor at a time stay."""
        entry = self._find(name)
        if entry is None:
            raise ModelFormatError(f"the checkpoint has no tensor {name} ({_stored_name(name)})")
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


def _stored_name(name: str) -> str | None:
    """Translate a GGUF name; ``None`` where checkpoints have no such tensor."""
    if match := _LAYER_NAME.fullmatch(name):
        layer, part, kind = match.groups()
        inner = _IN_LAYER.get(part)
        return None if inner is None else f"model.layers.{layer}.{inner}.{kind}"
    stem, _, kind = name.rpartition(".")
    outer = _WHOLE_MODEL.get(stem)
    return None if outer is None else f"{outer}.{kind}"


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


def _read_config(folder: Path, fields: Mapping[str, object], *, vocab: int) -> ModelConfig:
    architecture = str(fields.get("model_type", "unknown"))
    if architecture not in _ARCHITECTURES:
        known = ", ".join(_ARCHITECTURES)
        raise ModelFormatError(
            f"{folder} holds a model of type {architecture!r}; only {known} can be converted."
        )
    rope = _check_supported(folder, fields)

    def number(key: str, default: float | None = None) -> float:
        value = fields.get(key)
        # Checkpoints write null where the default is meant.
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ModelFormatError(f"{folder / _CONFIG} lacks {key}")
        return value

    hidden, heads = int(number("hidden_size")), int(number("num_attention_heads"))
    theta = rope.get("rope_theta")
    return ModelConfig(
        architecture=architecture,
        layers=int(number("num_hidden_layers")),
        hidden=hidden,
        ffn=int(number("intermediate_size")),
        heads=heads,
        kv_heads=int(number("num_key_value_heads", heads)),
        head_dim=int(number("head_dim", hidden // heads)),
        vocab=vocab,
        context_tokens=int(number("max_position_embeddings")),
        rope_theta=float(theta) if isinstance(theta, int | float) else number("rope_theta", 1e4),
        # Every checkpoint of this kind has the halves of a head rotated against each other.
        rope_interleaved=False,
        norm_epsilon=number("rms_norm_eps", 1e-6),
    )


def _check_supported(folder: Path, fields: Mapping[str, object]) -> Mapping[str, object]:
    """Refuse what the graph does not have; return the rotary settings where they have a table."""
    # Newer checkpoints call the table rope_parameters and keep theta in it.
    table = fields.get("rope_parameters") or fields.get("rope_scaling")
    rope = cast("dict[str, object]", table) if isinstance(table, dict) else {}
    scaling = rope.get("rope_type", rope.get("type", "default"))
    if scaling != "default":
        raise ModelFormatError(f"{folder} scales its rotary positions ({scaling})")
    if fields.get("use_sliding_window") is True:
        raise ModelFormatError(f"{folder} attends through a sliding window")
    if fields.get("quantization_config"):
        raise ModelFormatError(f"{folder} is quantised; midfill converts the original weights")
    activation = fields.get("hidden_act", "silu")
    if activation != "silu":
        raise ModelFormatError(f"{folder} uses the activation {activation!r}, not 'silu'")
    return rope
