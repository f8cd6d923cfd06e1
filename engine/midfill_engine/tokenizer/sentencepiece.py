"""Reads a SentencePiece model file: what it says of its pieces, as GGUF metadata would say it.

The file is a protocol buffer, and of the whole format a few fields matter, so it is walked here
rather than by a library. Format:
https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from midfill_engine.errors import ModelFormatError
from midfill_engine.gguf.reader import MetaValue

__all__ = ["read_sentencepiece"]

_Value: TypeAlias = int | bytes
"""What a field holds: a number, or the bytes of a float, a text or a message within."""

# Numbers of fields in the messages ModelProto, SentencePiece, TrainerSpec and NormalizerSpec.
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_TEXT, _SCORE, _TYPE = 1, 2, 3
_MODEL_TYPE, _BOS, _EOS = 3, 41, 42
_DUMMY_PREFIX, _REMOVE_SPACES = 3, 4

_KINDS = {1: "unigram", 2: "BPE", 3: "word", 4: "char"}
_BPE = 2
_NORMAL = 1
_VARINT, _EIGHT_BYTES, _SIZED, _FOUR_BYTES = 0, 1, 2, 5
_NEGATIVE = 1 << 31


def read_sentencepiece(path: Path) -> dict[str, MetaValue]:
    """Return the tokenizer of a ``tokenizer.model`` under the keys of ``tokenizer.ggml``.

    Raises ``ModelFormatError`` when the file is damaged or not of the kind BPE.
    """
    try:
        fields = list(_fields(path.read_bytes()))
        trainer = _last(fields, _TRAINER)
        normalizer = _last(fields, _NORMALIZER)
        pieces = [_piece(value) for number, value in fields if number == _PIECES]
        if not pieces:
            raise ValueError("it holds no pieces")
    except (OSError, ValueError, IndexError, struct.error) as error:
        raise ModelFormatError(f"{path} is no SentencePiece model ({error}).") from error
    kind = trainer.get(_MODEL_TYPE, 1)
    if kind != _BPE:
        name = _KINDS.get(kind, kind) if isinstance(kind, int) else kind
        raise ModelFormatError(
            f"{path} is a SentencePiece model of kind {name}; midfill reads BPE."
        )
    if normalizer.get(_REMOVE_SPACES, 1):
        raise ModelFormatError(f"{path} removes spaces from text, so it cannot write code.")
    metadata: dict[str, MetaValue] = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [text for text, _, _ in pieces],
        "tokenizer.ggml.scores": [score for _, score, _ in pieces],
        "tokenizer.ggml.token_type": [kind for _, _, kind in pieces],
        "tokenizer.ggml.add_space_prefix": bool(normalizer.get(_DUMMY_PREFIX, 1)),
    }
    for key, number, default in (("bos", _BOS, 1), ("eos", _EOS, 2)):
        token_id = trainer.get(number, default)
        # A negative number says that there is none; on the wire it is a huge one.
        if isinstance(token_id, int) and token_id < _NEGATIVE:
            metadata[f"tokenizer.ggml.{key}_token_id"] = token_id
    return metadata


def _piece(value: _Value) -> tuple[str, float, int]:
    """Return a piece's text, score and type (the numbers of types are those of GGUF)."""
    fields = dict(_fields(_bytes(value)))
    (score,) = struct.unpack("<f", _bytes(fields.get(_SCORE, bytes(4))))
    kind = fields.get(_TYPE, _NORMAL)
    if not isinstance(kind, int):
        raise ValueError("a piece's type is no number")
    return _bytes(fields.get(_TEXT, b"")).decode(), score, kind


def _last(fields: list[tuple[int, _Value]], number: int) -> dict[int, _Value]:
    """Return the fields of the message in field ``number``; none where it is not there."""
    found = [value for at, value in fields if at == number]
    return dict(_fields(_bytes(found[-1]))) if found else {}


def _bytes(value: _Value) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number stands where a message should be")
    return value


def _fields(data: bytes) -> Iterator[tuple[int, _Value]]:
    """Yield the number and the value of each field of a message."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _SIZED:
            size, at = _varint(data, at)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            size = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"an unknown kind of field, {kind}")
        if at + size > len(data):
            raise ValueError("the file ends too early")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at ``at``, seven bits a byte, and where it ends."""
    value, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number has no end")
