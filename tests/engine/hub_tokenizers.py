"""Tokenizer files as they lie on a hub, made here by the library that reads them."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tiny_vocabulary import LETTERS, tiny_metadata
from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE

MODERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def split(pattern: str) -> Any:
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def letters_only() -> Any:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


# As the families publish them, in the words of the library.
PRE_TOKENIZERS: Mapping[str, Sequence[Any]] = {
    "qwen2": (split(MODERN), letters_only()),
    "llama-bpe": (split(MODERN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")), letters_only()),
    "gpt-2": (pre_tokenizers.ByteLevel(add_prefix_space=False),),
    "starcoder": (
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ),
    "deepseek-coder": (
        split(r"[\r\n]"),
        split(r"\s?\p{L}+"),
        split(r"\s?\p{P}+"),
        split("[一-龥ࠀ-一가-퟿]+"),
        pre_tokenizers.Digits(individual_digits=True),
        letters_only(),
    ),
}


def byte_level(family: str, specials: Sequence[str] = (), added: Sequence[str] = ()) -> Tokenizer:
    """A tiny tokenizer of bytes as ``family`` publishes it."""
    metadata = tiny_metadata("qwen2")
    merges = [tuple(str(merge).split(" ")) for merge in metadata["tokenizer.ggml.merges"]]  # type: ignore[union-attr]
    tokens = [*LETTERS, *("".join(pair) for pair in merges)]
    model = BPE(
        vocab={token: at for at, token in enumerate(tokens)},
        merges=merges,
        ignore_merges=family == "llama-bpe",
    )
    made = Tokenizer(model)
    steps = PRE_TOKENIZERS[family]
    made.pre_tokenizer = steps[0] if len(steps) == 1 else pre_tokenizers.Sequence(list(steps))
    made.add_special_tokens([AddedToken(text, special=True) for text in specials])
    made.add_tokens([AddedToken(text, normalized=False) for text in added])
    return made


SPACE = "▁"
CHARACTERS = "abcdefgh(){}_=.,:;0123456789é漢\n\t"
RUNS = [*(SPACE * n for n in range(2, 9)), *("\n" * n for n in range(2, 5))]
JOINED = ["ab", "bc", "abc", f"{SPACE}a", f"{SPACE}ab", "de", f"{SPACE}=", "()", "):", f"{SPACE}("]


def sentencepiece_style(kind: str, specials: Sequence[str] = ("<s>", "</s>")) -> Tokenizer:
    """A tiny tokenizer of pieces with a fallback to bytes.

    ``kind``: "llama" puts a space before a text, "llama-new" does so in another way, "gemma" does
    not, and takes runs of spaces and newlines out first.
    """
    gemma = kind == "gemma"
    pieces = ["<unk>", *specials, *(f"<0x{byte:02X}>" for byte in range(256)), SPACE, *CHARACTERS]
    pieces += [*RUNS, *JOINED] if gemma else JOINED
    vocab = {piece: at for at, piece in enumerate(pieces)}
    merges = [
        (piece[:at], piece[at:])
        for piece in pieces[len(specials) + 257 :]
        for at in range(1, len(piece))
        if piece[:at] in vocab and piece[at:] in vocab
    ]
    made = Tokenizer(BPE(vocab=vocab, merges=merges, byte_fallback=True, unk_token="<unk>"))
    to_pieces = normalizers.Replace(" ", SPACE)
    if kind == "llama":
        made.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), to_pieces])
    elif kind == "llama-new":
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        made.normalizer = to_pieces
        made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
        made.add_tokens([AddedToken(run, normalized=True) for run in RUNS])
    made.add_special_tokens([AddedToken(text, special=True) for text in ("<unk>", *specials)])
    made.post_processor = processors.TemplateProcessing(
        single=f"{specials[0]} $A", special_tokens=[(specials[0], vocab[specials[0]])]
    )
    return made


def write(folder: Path, reference: Tokenizer, **files: Mapping[str, object]) -> Path:
    """Save ``tokenizer.json`` and the other files, named without their ending."""
    folder.mkdir(parents=True, exist_ok=True)
    reference.save(str(folder / "tokenizer.json"))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def field(number: int, value: int | float | bytes) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return varint(number << 3) + varint(value)


def varint(value: int) -> bytes:
    out = b""
    value &= (1 << 64) - 1
    while value > 0x7F:
        out += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return out + bytes((value,))


def sentencepiece_file(
    pieces: Sequence[tuple[str, float, int]],
    *,
    model_type: int = 2,
    bos: int = 1,
    dummy_prefix: bool = True,
    remove_spaces: bool = False,
) -> bytes:
    """A ``tokenizer.model`` with the given pieces: text, score, type."""
    parts = [
        field(1, field(1, text.encode()) + field(2, score) + field(3, kind))
        for text, score, kind in pieces
    ]
    trainer = field(2, b"name") + field(3, model_type) + field(41, bos) + field(42, 2)
    normalizer = field(3, int(dummy_prefix)) + field(4, int(remove_spaces))
    return b"".join([*parts, field(2, trainer), field(3, normalizer)])
