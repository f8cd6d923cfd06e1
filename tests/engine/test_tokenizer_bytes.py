"""Byte-level BPE: equal to an independent encoder and to recorded ids, and exactly reversible."""

from __future__ import annotations

import hashlib
import json
import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_vocabulary import LETTERS, MARKERS, join, tiny_metadata, words
from token_corpus import DATA, corpus

from midfill_engine.errors import ModelFormatError
from midfill_engine.gguf.reader import MetaValue, open_gguf
from midfill_engine.tokenizer import StreamDecoder, Tokenizer, build_tokenizer, load_tokenizer
from midfill_engine.tokenizer.pretokenize import PRE_TOKENIZERS

PRES = sorted(PRE_TOKENIZERS)
TEXTS = st.text(
    st.one_of(
        st.sampled_from(list(" \n\r\t(){}<|>=_'.,:;/0123456789abcdefgst\u0301é漢🙂\0\x85\u3000")),
        st.characters(codec="utf-8"),
    ),
    max_size=60,
)


class Reference:
    """BPE as in the paper: of all neighbours, join those that were learned first."""

    def __init__(self, metadata: dict[str, MetaValue], pre: str) -> None:
        tokens = metadata["tokenizer.ggml.tokens"]
        merges = metadata["tokenizer.ggml.merges"]
        assert isinstance(tokens, list)
        assert isinstance(merges, list)
        self.pre = pre
        self.ids = {token: at for at, token in enumerate(tokens)}
        self.ranks = {tuple(str(merge).split(" ")): at for at, merge in enumerate(merges)}

    def encode(self, text: str) -> list[int]:
        ids: list[int] = []
        for word in words(text, self.pre):
            whole = "".join(word)
            if PRE_TOKENIZERS[self.pre].ignore_merges and whole in self.ids:
                word = [whole]
            while True:
                known = [pair for pair in pairwise(word) if pair in self.ranks]
                if not known:
                    break
                word = join(word, min(known, key=self.ranks.__getitem__))
            ids += [self.ids[part] for part in word]
        return ids


METADATA = {pre: tiny_metadata(pre) for pre in ("qwen2", "gpt-2", "deepseek-coder", "llama-bpe")}
for _pre in PRES:
    # One vocabulary serves all: what differs between them is where words are cut.
    METADATA.setdefault(_pre, METADATA["qwen2"] | {"tokenizer.ggml.pre": _pre})
TOKENIZERS = {pre: build_tokenizer(metadata) for pre, metadata in METADATA.items()}
QWEN = TOKENIZERS["qwen2"]


def check(text: str, tokenizer: Tokenizer, expected: list[int]) -> None:
    """``text`` has the ``expected`` ids, none of them special, and they give it back."""
    ids = tokenizer.encode(text)
    assert ids == expected
    assert all(id_ < tokenizer.vocab_size - len(MARKERS) for id_ in ids)
    assert tokenizer.decode(ids) == text
    assert tokenizer.encode_fragment(text) == ids


@pytest.mark.parametrize("pre", PRES)
def test_the_corpus_is_encoded_as_by_the_reference(pre: str) -> None:
    reference = Reference(METADATA[pre], pre)
    for name, text in corpus().items():
        if name != "long word":  # The reference takes time squared for it.
            check(text, TOKENIZERS[pre], reference.encode(text))


@pytest.mark.parametrize("pre", PRES)
@given(text=TEXTS)
@settings(max_examples=60, deadline=None)
def test_any_text_is_encoded_as_by_the_reference(pre: str, text: str) -> None:
    check(text, TOKENIZERS[pre], Reference(METADATA[pre], pre).encode(text))


@pytest.mark.parametrize("marker", MARKERS)
def test_text_that_looks_like_a_marker_stays_text(marker: str) -> None:
    for text in (marker, f"x = '{marker}'\n{marker}", f" {marker} ", marker * 3):
        check(text, QWEN, Reference(METADATA["qwen2"], "qwen2").encode(text))


def test_specials_are_known_by_name() -> None:
    assert QWEN.special_id("<|fim_middle|>") == QWEN.vocab_size - 5
    assert QWEN.special_id("a") is None
    assert QWEN.special_id("[PAD1]") is None
    assert QWEN.eos_id == QWEN.special_id("<|endoftext|>")
    assert QWEN.bos_id is None
    added = METADATA["qwen2"] | {"tokenizer.ggml.add_bos_token": True}
    assert build_tokenizer(added).bos_id == QWEN.eos_id


def test_control_tokens_have_no_text_and_added_ones_do() -> None:
    shown = [QWEN.token_bytes(QWEN.vocab_size - n) for n in (8, 5, 3, 2, 1)]
    assert shown == [b"", b"", b"", b"<tool_call>", b""]
    assert QWEN.token_bytes(QWEN.vocab_size + 100) == b""


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\ud83db", "a\ufffdb"),
        ("\udc00", "\ufffd"),
        ("\ud83d\ude00", "\U0001f600"),
        ("x\ud800\ny\n", "x\ufffd\ny\n"),
    ],
)
def test_lone_surrogates_become_replacement_characters(text: str, seen: str) -> None:
    assert QWEN.decode(QWEN.encode(text)) == seen


def stream(ids: list[int], tokenizer: Tokenizer = QWEN) -> list[str]:
    decoder = StreamDecoder(tokenizer)
    return [*map(decoder.push, ids), decoder.flush()]


@given(text=TEXTS)
@settings(deadline=None)
def test_a_stream_is_the_whole_in_pieces(text: str) -> None:
    assert "".join(stream(QWEN.encode(text))) == text
    # One byte at a time is the finest split there is.
    assert "".join(stream(list(text.encode()))) == text


@given(raw=st.binary(max_size=40))
def test_bytes_that_are_not_text_never_stall(raw: bytes) -> None:
    decoder = StreamDecoder(QWEN)
    out = ""
    for at, byte in enumerate(raw, start=1):
        out += decoder.push(byte)
        # What is out is all but the last few bytes.
        assert out in {raw[: at - held].decode("utf-8", "replace") for held in range(4)}
    assert out + decoder.flush() == raw.decode("utf-8", "replace")


def test_a_saved_tokenizer_is_the_same(tmp_path: Path) -> None:
    for pre in ("qwen2", "llama-bpe"):
        path = tmp_path / f"{pre}.json"
        TOKENIZERS[pre].save(path)
        loaded = load_tokenizer(path)
        for text in corpus().values():
            assert loaded.encode(text) == TOKENIZERS[pre].encode(text)
        for token_id in range(loaded.vocab_size):
            assert loaded.token_bytes(token_id) == TOKENIZERS[pre].token_bytes(token_id)
        assert loaded.vocab_size == TOKENIZERS[pre].vocab_size
        assert loaded.special_id("<|fim_middle|>") == TOKENIZERS[pre].special_id("<|fim_middle|>")
        with pytest.raises(ValueError, match="copy its file"):
            loaded.save(path)


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"format": 0}', b"{}", b"\xff", b'{"format": 1}'])
def test_a_damaged_file_says_what_to_do(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(damage)
    with pytest.raises(ModelFormatError, match="Convert the model again"):
        load_tokenizer(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tokenizer.ggml.pre": "new-thing"}, "new-thing"),
        ({"tokenizer.ggml.model": "bert"}, "bert"),
        ({"tokenizer.ggml.tokens": []}, "tokenizer.ggml.tokens"),
        ({"tokenizer.ggml.merges": [1, 2]}, "not a list of strings"),
        ({"tokenizer.ggml.merges": ["a nope"]}, "nope"),
        ({"tokenizer.ggml.token_type": [1]}, "type for each token"),
    ],
)
def test_metadata_that_makes_no_tokenizer_is_refused(
    change: dict[str, MetaValue], says: str
) -> None:
    with pytest.raises(ModelFormatError, match=says):
        build_tokenizer(METADATA["qwen2"] | change)


def test_a_merge_that_makes_a_control_token_is_not_used() -> None:
    tokens = [*LETTERS, "ab"]
    metadata: dict[str, MetaValue] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": list(tokens),
        "tokenizer.ggml.token_type": [1] * 256 + [3],
        "tokenizer.ggml.merges": ["a b"],
    }
    assert build_tokenizer(metadata).encode("ab") == [ord("a"), ord("b")]


def real_gguf() -> Path | None:
    home = os.environ.get("MIDFILL_HOME")
    files = sorted(Path(home).rglob("qwen2.5-coder-*.gguf")) if home else []
    return files[0] if files else None


@pytest.fixture(scope="module")
def real() -> Tokenizer:
    path = real_gguf()
    if path is None:
        pytest.skip("no Qwen2.5-Coder GGUF under MIDFILL_HOME")
    return build_tokenizer(open_gguf(path).metadata)


def test_the_real_vocabulary_gives_the_recorded_ids(real: Tokenizer) -> None:
    """The ids were recorded from transformers 4.57.6, ``Qwen2Tokenizer``."""
    golden = json.loads((DATA / "qwen2_golden.json").read_text(encoding="utf-8"))
    texts = corpus()
    assert golden.keys() == texts.keys()
    for name, text in texts.items():
        ids = real.encode(text)
        assert ids[:12] == golden[name]["head"], name
        assert hashlib.sha256(json.dumps(ids).encode()).hexdigest() == golden[name]["sha256"], name
        assert real.decode(ids) == text


def test_the_real_special_ids(real: Tokenizer) -> None:
    assert real.special_id("<|fim_prefix|>") == 151659
    assert real.special_id("<|fim_middle|>") == 151660
    assert real.special_id("<|fim_suffix|>") == 151661
    assert (real.vocab_size, real.bos_id, real.eos_id) == (151936, None, 151645)
    assert max(real.encode("<|fim_middle|> <|im_end|> </s> <tool_call>")) < 151643
