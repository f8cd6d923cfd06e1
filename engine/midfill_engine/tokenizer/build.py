"""Makes a tokenizer from GGUF metadata (the keys under ``tokenizer.ggml``)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import IntEnum

from midfill_engine.errors import ModelFormatError
from midfill_engine.gguf.reader import MetaValue
from midfill_engine.tokenizer.core import Tokenizer, Vocabulary
from midfill_engine.tokenizer.pretokenize import PRE_TOKENIZERS

__all__ = ["build_tokenizer"]

# Some files call their markers normal tokens. SentencePiece would then make the Code Llama marker
# out of the text " <PRE>" in a user's file, so markers are known by their looks as well.
_MARKER = re.compile(
    r"▁?(?:<(?:PRE|SUF|MID|EOT)>)+|<fim[_-]\w+>|<\|.+\|>|<\uff5c.+\uff5c>"
    r"|\[(?:PREFIX|SUFFIX|MIDDLE)\]|<\[.+\]>|<(?:file_sep|repo_name|reponame|filename|gh_stars|step)>"
    r"|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk|mask|unused\d+)>"
)


class _Type(IntEnum):
    """The values of ``tokenizer.ggml.token_type``."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


def build_tokenizer(metadata: Mapping[str, MetaValue]) -> Tokenizer:
    """Make the tokenizer that ``metadata`` describes.

    Raises ``ModelFormatError`` when something is missing or of an unknown kind. Text is taken as
    it is: the NFC normalisation of some families is left out (as in llama.cpp), so that decoding
    gives back exactly the user's text.
    """
    kind = metadata.get("tokenizer.ggml.model")
    if kind == "gpt2":
        return Tokenizer(_byte_level(metadata))
    if kind == "llama":
        return Tokenizer(_sentencepiece(metadata))
    raise ModelFormatError(
        f"The model's tokenizer is of kind {kind!r}; midfill knows 'gpt2' and 'llama'."
    )


def _byte_level(metadata: Mapping[str, MetaValue]) -> Vocabulary:
    pre = metadata.get("tokenizer.ggml.pre", "default")
    if not isinstance(pre, str) or pre not in PRE_TOKENIZERS:
        known = ", ".join(PRE_TOKENIZERS)
        raise ModelFormatError(
            f"The model's tokenizer cuts words in an unknown way, {pre!r}; midfill knows: {known}."
        )
    tokens = _strings(metadata, "tokenizer.ggml.tokens")
    merges = _listed_merges(metadata)
    types = _types(metadata, len(tokens))
    made = {left + right for left, right in merges}
    # User-defined tokens are added ones ("<tool_call>"): shown when generated, but text that
    # merely looks like one stays text. A normal token that merges make is text, whatever its looks.
    usual = [
        kind == _Type.NORMAL and (token in made or _MARKER.fullmatch(token) is None)
        for token, kind in zip(tokens, types, strict=True)
    ]
    return _vocabulary(metadata, tokens, types, usual, merges, pre=pre, add_bos=False)


def _sentencepiece(metadata: Mapping[str, MetaValue]) -> Vocabulary:
    tokens = _strings(metadata, "tokenizer.ggml.tokens")
    types = _types(metadata, len(tokens))
    usual = [
        kind in (_Type.NORMAL, _Type.BYTE, _Type.USER_DEFINED) and _MARKER.fullmatch(token) is None
        for token, kind in zip(tokens, types, strict=True)
    ]
    if "tokenizer.ggml.merges" in metadata:
        merges = _listed_merges(metadata)
    else:
        scores = _scores(metadata, len(tokens))
        known = zip(tokens, scores, types, usual, strict=True)
        merges = _derive_merges(
            {token: score for token, score, kind, keep in known if keep and kind != _Type.BYTE}
        )
    return _vocabulary(metadata, tokens, types, usual, merges, pre=None, add_bos=True)


def _listed_merges(metadata: Mapping[str, MetaValue]) -> list[tuple[str, str]]:
    merges: list[tuple[str, str]] = []
    for merge in _strings(metadata, "tokenizer.ggml.merges"):
        left, _, right = merge.partition(" ")
        merges.append((left, right))
    return merges


def _derive_merges(scores: Mapping[str, float]) -> list[tuple[str, str]]:
    """List all pairs of pieces that join to a piece, best score of the joint piece first.

    SentencePiece has no merge list: it joins, of all neighbours that make a piece, those whose
    piece scores best. Python's sort is stable, so equal scores keep the order of the vocabulary.
    """
    merges: list[tuple[str, str]] = []
    for piece in sorted(scores, key=scores.__getitem__, reverse=True):
        for at in range(1, len(piece)):
            left, right = piece[:at], piece[at:]
            if left in scores and right in scores:
                merges.append((left, right))
    return merges


def _vocabulary(
    metadata: Mapping[str, MetaValue],
    tokens: Sequence[str],
    types: Sequence[int],
    usual: Sequence[bool],
    merges: list[tuple[str, str]],
    *,
    pre: str | None,
    add_bos: bool,
) -> Vocabulary:
    """Part the tokens into those that text may become and those placed by id only."""
    ordinary: dict[str, int] = {}
    special: dict[str, int] = {}
    shown: list[int] = []
    whole: list[str] = []
    for token_id, (token, kind, keep) in enumerate(zip(tokens, types, usual, strict=True)):
        if keep:
            ordinary[token] = token_id
            if kind == _Type.USER_DEFINED:
                whole.append(token)
        elif kind != _Type.UNUSED:
            special[token] = token_id
            if kind == _Type.USER_DEFINED and _MARKER.fullmatch(token) is None:
                shown.append(token_id)
    space_prefix = metadata.get("tokenizer.ggml.add_space_prefix", True)
    wants_bos = metadata.get("tokenizer.ggml.add_bos_token", add_bos)
    return Vocabulary(
        pre=pre,
        size=len(tokens),
        ordinary=ordinary,
        merges=_usable_merges(merges, ordinary, special),
        special=special,
        shown=tuple(shown),
        whole=tuple(whole),
        bos_id=_id(metadata, "tokenizer.ggml.bos_token_id") if wants_bos else None,
        eos_id=_id(metadata, "tokenizer.ggml.eos_token_id"),
        space_prefix=pre is None and space_prefix is True,
    )


def _usable_merges(
    merges: list[tuple[str, str]], ordinary: Mapping[str, int], special: Mapping[str, int]
) -> list[tuple[str, str]]:
    """Leave out the merges that lead to a special token."""
    usable: list[tuple[str, str]] = []
    for pair in merges:
        left, right = pair
        if left in ordinary and right in ordinary and left + right in ordinary:
            usable.append(pair)
        elif not any(part in special for part in (left, right, left + right)):
            raise ModelFormatError(
                f"The model's tokenizer merges {left!r} and {right!r}, which are not all tokens."
            )
    return usable


def _id(metadata: Mapping[str, MetaValue], key: str) -> int | None:
    value = metadata.get(key)
    return value if isinstance(value, int) else None


def _strings(metadata: Mapping[str, MetaValue], key: str) -> list[str]:
    value = metadata.get(key)
    if not isinstance(value, list) or not value:
        raise ModelFormatError(f"The model's tokenizer has no {key}.")
    strings = [item for item in value if isinstance(item, str)]
    if len(strings) != len(value):
        raise ModelFormatError(f"The model's {key} is not a list of strings.")
    return strings


def _scores(metadata: Mapping[str, MetaValue], count: int) -> list[float]:
    value = metadata.get("tokenizer.ggml.scores")
    if not isinstance(value, list) or len(value) != count:
        raise ModelFormatError("The model's tokenizer has no score for each token.")
    return [float(item) if isinstance(item, int | float) else 0.0 for item in value]


def _types(metadata: Mapping[str, MetaValue], count: int) -> list[int]:
    value = metadata.get("tokenizer.ggml.token_type")
    if value is None:
        return [_Type.NORMAL] * count
    if not isinstance(value, list) or len(value) != count:
        raise ModelFormatError("The model's tokenizer has no type for each token.")
    return [item if isinstance(item, int) else _Type.NORMAL for item in value]
