"""Which models can draft for which: their ids must mean the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from midfill_engine.decode.vocabularies import check_pair
from midfill_engine.tokenizer import Tokenizer
from midfill_engine.tokenizer.core import Vocabulary

BYTES = {f"<0x{byte:02X}>": 3 + byte for byte in range(256)}
WORDS = {"a": 259, "b": 260, "ab": 261}


def tokenizer(
    words: Mapping[str, int] = WORDS,
    special: Mapping[str, int] | None = None,
    size: int = 270,
) -> Tokenizer:
    markers = {"<unk>": 0, "<s>": 1, "</s>": 2} if special is None else special
    return Tokenizer(
        Vocabulary(
            pre=None,
            size=size,
            ordinary={**BYTES, **words},
            merges=[("a", "b")],
            special=markers,
        )
    )


def test_the_same_vocabulary_fits() -> None:
    assert check_pair(tokenizer(), tokenizer()) is None


def test_more_ids_at_the_end_are_no_obstacle() -> None:
    markers = {"<unk>": 0, "<s>": 1, "</s>": 2, "▁<PRE>": 271, "▁<MID>": 272}
    wide = tokenizer({**WORDS, "more": 273}, markers, size=286)
    assert check_pair(tokenizer(), wide) is None
    assert check_pair(wide, tokenizer()) is None


def test_a_token_that_is_spelled_otherwise_is_named() -> None:
    reason = check_pair(tokenizer(), tokenizer({"a": 259, "b": 261, "ab": 260}))
    assert reason is not None
    assert "token 260 is b'b' to the model and b'ab'" in reason


def test_a_token_that_only_one_has_is_named() -> None:
    reason = check_pair(tokenizer(), tokenizer({**WORDS, "c": 262}))
    assert reason is not None
    assert "token 262 is b'' to the model and b'c'" in reason


def test_markers_must_be_the_same_too() -> None:
    reason = check_pair(tokenizer(), tokenizer(special={"<unk>": 0, "<bos>": 1, "</s>": 2}))
    assert reason is not None
    assert "token 1 is the marker '<s>' to the model and '<bos>'" in reason


def test_a_loaded_tokenizer_can_be_compared() -> None:
    vocabulary = Vocabulary(pre=None, size=270, ordinary={**BYTES, **WORDS}, merges=(), special={})
    bare = Tokenizer(replace(vocabulary, special={"<s>": 1}), keep_tables=False)
    assert check_pair(tokenizer(), bare) is None
