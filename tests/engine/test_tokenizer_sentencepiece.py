"""SentencePiece BPE: equal to SentencePiece itself, with and without its leading space."""

from __future__ import annotations

from pathlib import Path

import pytest
from codellama_model import codellama, metadata, sentencepiece_model
from hypothesis import given, settings
from hypothesis import strategies as st
from token_corpus import corpus

from midfill_engine.errors import ModelFormatError
from midfill_engine.gguf.reader import MetaValue
from midfill_engine.tokenizer import StreamDecoder, Tokenizer, build_tokenizer, load_tokenizer

TINY_PIECES = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
TINY_TYPES = [2, 3, 3, *[6] * 256]


def tiny(pieces: dict[str, float], types: dict[str, int] | None = None) -> Tokenizer:
    """A tokenizer of bytes and the given pieces with their scores."""
    found: dict[str, MetaValue] = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [*TINY_PIECES, *pieces],
        "tokenizer.ggml.scores": [*([0.0] * len(TINY_PIECES)), *pieces.values()],
        "tokenizer.ggml.token_type": [*TINY_TYPES, *((types or {}).get(p, 1) for p in pieces)],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }
    return build_tokenizer(found)


def pieces_of(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    return [tokenizer.token_bytes(token_id).decode() for token_id in ids]


def check(text: str, tokenizer: Tokenizer, expected: list[str]) -> None:
    """``text``, in the middle of a text, is encoded as the ``expected`` pieces."""
    assert pieces_of(tokenizer, tokenizer.encode_fragment(text)) == expected


LETTERS = {"▁": -9.0, "a": -9.0, "b": -9.0, "c": -9.0}


def test_the_best_score_is_joined_first() -> None:
    check("abc", tiny({**LETTERS, "ab": -2.0, "bc": -1.0, "abc": -5.0}), ["abc"])
    check("abc", tiny({**LETTERS, "ab": -2.0, "bc": -1.0}), ["a", "bc"])
    check("abc", tiny({**LETTERS, "ab": -1.0, "bc": -2.0}), ["ab", "c"])


def test_the_leading_space_is_added_only_at_the_start() -> None:
    tokenizer = tiny({**LETTERS, "▁a": -1.0})
    assert pieces_of(tokenizer, tokenizer.encode("ab")) == [" a", "b"]
    assert pieces_of(tokenizer, tokenizer.encode_fragment("ab")) == ["a", "b"]
    assert tokenizer.encode("") == []
    assert tokenizer.bos_id == 1


def test_letters_without_a_piece_are_bytes() -> None:
    tokenizer = tiny(LETTERS)
    assert tokenizer.encode_fragment("é\n") == [3 + 0xC3, 3 + 0xA9, 3 + 0x0A]
    assert tokenizer.decode(tokenizer.encode_fragment("é\n")) == "é\n"


def test_markers_called_normal_are_not_made_from_text() -> None:
    extra = {"<": -9.0, ">": -9.0, "P": -9.0, "▁<": -1.0, "▁<P": -2.0, "▁<P>": -3.0}
    tokenizer = tiny({**LETTERS, **extra, "▁<PRE>": -4.0, "▁<PRE": -3.0, "R": -9.0, "E": -9.0})
    marker = tokenizer.special_id("▁<PRE>")
    assert marker is not None
    assert marker not in tokenizer.encode("<PRE>")
    assert tokenizer.decode(tokenizer.encode_fragment(" <PRE>")) == " <PRE>"
    assert tokenizer.token_bytes(marker) == b""


def test_newlines_join_where_the_vocabulary_has_it_so() -> None:
    newline = {"\n": -9.0, "\n\n": -1.0}
    check("a\n\nb", tiny({**LETTERS, **newline}), ["a", "\n\n", "b"])
    check("a\nb", tiny({**LETTERS, "\n": -9.0, "\nb": -1.0}), ["a", "\nb"])


def test_a_stream_drops_the_added_space_when_asked() -> None:
    tokenizer = tiny({**LETTERS, "▁a": -1.0})
    ids = tokenizer.encode("ab")
    for drop, expected in ((True, "ab"), (False, " ab")):
        decoder = StreamDecoder(tokenizer, drop_first_space=drop)
        assert "".join(map(decoder.push, [1, *ids])) + decoder.flush() == expected


def test_scores_are_needed() -> None:
    with pytest.raises(ModelFormatError, match="score"):
        build_tokenizer({"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": ["a"]})


def check_against_sentencepiece(text: str) -> None:
    reference, tokenizer = sentencepiece_model(), codellama()
    assert tokenizer.encode(text) == reference.encode(text)
    assert tokenizer.encode_fragment(text) == reference.encode("☺" + text)[2:]
    assert tokenizer.decode(tokenizer.encode_fragment(text)) == text


def test_the_corpus_is_encoded_as_by_sentencepiece() -> None:
    for text in corpus().values():
        check_against_sentencepiece(text)


@given(
    st.text(
        st.one_of(
            st.sampled_from(list(" \n\r\t(){}_=-/*#abcdefgt01é漢🙂\0")),
            st.characters(codec="utf-8", exclude_characters="▁"),
        ),
        max_size=60,
    )
)
@settings(deadline=None, max_examples=200)
def test_any_text_is_encoded_as_by_sentencepiece(text: str) -> None:
    check_against_sentencepiece(text)


def test_runs_of_every_length_are_encoded_as_by_sentencepiece() -> None:
    for length in range(1, 130):
        for letter in " \t\n=-#":
            check_against_sentencepiece("x" + letter * length + "y")


def test_code_llamas_markers_are_never_made_from_text() -> None:
    tokenizer = codellama()
    for text in ("<PRE>", " <PRE> x", "</s><s>", "a <SUF>b <MID> <EOT>", "<EOT><EOT>"):
        assert not {1, 2, *range(32007, 32016)}.intersection(tokenizer.encode(text))
        assert tokenizer.decode(tokenizer.encode_fragment(text)) == text
    assert tokenizer.special_id("▁<EOT>") == 32010


def test_a_saved_one_is_the_same(tmp_path: Path) -> None:
    built = build_tokenizer(metadata())
    built.save(tmp_path / "t.json")
    loaded = load_tokenizer(tmp_path / "t.json")
    for text in corpus().values():
        assert loaded.encode(text) == built.encode(text)
    assert (loaded.bos_id, loaded.eos_id, loaded.vocab_size) == (1, 2, 32016)
