"""Code Llama, exactly: Meta's formulas for its prompts, on its own vocabulary and on a tiny one."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence

import pytest
from codellama_model import codellama, infill_golden, metadata, sentencepiece_model
from hypothesis import given, settings
from hypothesis import strategies as st

from midfill_engine.gguf.reader import MetaValue
from midfill_engine.prompt import render, resolve
from midfill_engine.tokenizer import StreamDecoder, Tokenizer, build_tokenizer
from midfill_engine.types import CompletionRequest, ContextChunk

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
PIECES = {"▁": -9.0, "a": -9.0, "b": -9.0, "=": -9.0, "▁a": -1.0, "ab": -2.0, "▁▁": -3.0, "☺": -9.0}
MARKERS = ["▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"]
PRE, SUF, MID, EOT = range(32007, 32011)

EDGES = [
    ("", ""),
    ("", "b\n"),
    ("a = ", ""),
    ("a", "  b"),
    ("a", "\n    b"),
    ("a", "\tb"),
    (" a", "b"),
    ("    a = ", " b"),
    ("\n\na", "b"),
    ("\ta", "\tb"),
    ("π₁ ↔ 🙂 漢", "é\u0301 🙂"),
    ("\r\na\r\n", "\r\nb"),
    ("   ", "   "),
    ("\n", "\n"),
]
LOOK_ALIKES = ["<PRE>", "▁<EOT>", " <MID> ", "<EOT><EOT>", "</s>", "<s>", "a <SUF>b"]


@functools.cache
def tiny() -> Tokenizer:
    """A vocabulary of bytes, some pieces and Code Llama's markers."""
    tokens = ["<unk>", "<s>", "</s>", *BYTES, *PIECES, *MARKERS]
    return build_tokenizer(
        {
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": list(tokens),
            "tokenizer.ggml.scores": [*([0.0] * 259), *PIECES.values(), *([-1e9] * 4)],
            "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 256, *[1] * (len(PIECES) + 4)],
            "tokenizer.ggml.bos_token_id": 1,
            "tokenizer.ggml.eos_token_id": 2,
        }
    )


def infill(tokenizer: Tokenizer, text: str) -> list[int]:
    """Meta's ``encode_infilling``: behind a letter, which is taken off again."""
    smiley = tokenizer.encode("☺")
    ids = tokenizer.encode("☺" + text)
    assert ids[: len(smiley)] == smiley
    return ids[len(smiley) :]


def formula(tokenizer: Tokenizer, prefix: str, suffix: str) -> dict[str, list[int]]:
    """Meta's ``infilling_prompt_tokens`` in both orders."""
    pre, suf, mid = map(tokenizer.special_id, MARKERS[:3])
    before, after = tokenizer.encode(prefix), infill(tokenizer, suffix)
    return {
        "codellama-psm": [1, pre, *before, suf, *after, mid],
        "codellama": [1, pre, suf, *after, mid, *before],
    }  # type: ignore[dict-item]


def ids_of(key: str | None, tokenizer: Tokenizer, prefix: str, suffix: str) -> list[int]:
    prompt = render(
        CompletionRequest(prefix=prefix, suffix=suffix),
        tokenizer=tokenizer,
        fim=resolve(key, tokenizer) if key else None,
        budget_tokens=1024,
    )
    return list(prompt.tokens)


def vocabularies() -> Iterator[Tokenizer]:
    yield tiny()
    yield codellama()


@pytest.mark.parametrize("key", ["codellama", "codellama-psm"])
@pytest.mark.parametrize("vocabulary", [tiny, codellama])
@pytest.mark.parametrize(("prefix", "suffix"), EDGES)
def test_edges_follow_the_formula(key: str, vocabulary, prefix: str, suffix: str) -> None:
    tokenizer = vocabulary()
    assert ids_of(key, tokenizer, prefix, suffix) == formula(tokenizer, prefix, suffix)[key]


@pytest.mark.parametrize(("prefix", "suffix"), EDGES)
def test_the_formula_is_that_of_sentencepiece(prefix: str, suffix: str) -> None:
    library = sentencepiece_model()
    before, after = library.encode(prefix), library.encode("☺" + suffix)[2:]
    psm, spm = [1, PRE, *before, SUF, *after, MID], [1, PRE, SUF, *after, MID, *before]
    assert ids_of("codellama-psm", codellama(), prefix, suffix) == psm
    assert ids_of("codellama", codellama(), prefix, suffix) == spm


@pytest.mark.parametrize("key", ["codellama", "codellama-psm"])
def test_other_files_that_do_not_fit_leave_no_trace(key: str) -> None:
    for size in range(1, 90):
        other = ContextChunk(path="a.py", text="ab" * size)
        request = CompletionRequest(prefix="a", suffix="b" * 20, context=(other,))
        prompt = render(request, tokenizer=tiny(), fim=resolve(key, tiny()), budget_tokens=46)
        if prompt.dropped.context_chunks:
            assert list(prompt.tokens) == formula(tiny(), "a", "b" * 20)[key]
    assert prompt.dropped.context_chunks


def test_a_suffix_gets_no_space_before_it() -> None:
    ids = ids_of("codellama-psm", tiny(), "", "b")
    pre, suf, mid = map(tiny().special_id, MARKERS[:3])
    (letter,) = tiny().encode_fragment("b")
    assert ids == [1, pre, suf, letter, mid]


@pytest.mark.parametrize("key", ["codellama", "codellama-psm", None])
@pytest.mark.parametrize("vocabulary", [tiny, codellama])
@pytest.mark.parametrize("text", LOOK_ALIKES)
def test_text_that_looks_like_a_marker_stays_text(key: str | None, vocabulary, text: str) -> None:
    tokenizer = vocabulary()
    ids = ids_of(key, tokenizer, f"a{text}b", text)
    specials = [tokenizer.special_id(marker) for marker in ("<s>", "</s>", *MARKERS)]
    found = [token_id for token_id in ids if token_id in specials]
    assert sorted(found) == sorted(
        [1, *(tokenizer.special_id(m) for m in MARKERS[:3])] if key else [1]
    )
    shown = text.replace("▁", " ")
    assert tokenizer.decode(ids).count(shown) == (2 if key else 1)


@functools.cache
def without_markers() -> Tokenizer:
    """The vocabulary of the 34B and of the 7B and 13B Python checkpoints."""
    whole = metadata()
    cut: dict[str, MetaValue] = {
        key: value[:32000] if isinstance(value, list) else value for key, value in whole.items()
    }
    return build_tokenizer(cut)


TEXTS = st.lists(
    st.one_of(
        st.sampled_from([*" \n\t<>ab/=", "<PRE>", " <SUF>", "<EOT>", "▁<MID>", "</s>", "🙂"]),
        st.characters(codec="utf-8"),
    ),
    max_size=40,
).map("".join)


@given(prefix=TEXTS, suffix=TEXTS, typed=TEXTS, other=TEXTS, budget=st.integers(12, 80))
@settings(deadline=None, max_examples=150)
def test_who_was_not_trained_to_fill_in_sees_a_beginning_and_nothing_else(
    prefix: str, suffix: str, typed: str, other: str, budget: int
) -> None:
    tokenizer = without_markers()
    chunk = ContextChunk(path="a.py", text=other)
    for context in ((chunk,), ()):
        prompt = render(
            CompletionRequest(prefix=prefix, suffix=suffix, typed=typed, context=context),
            tokenizer=tokenizer,
            fim=None,
            budget_tokens=budget,
        )
        first, *rest = prompt.tokens
        assert first == 1
        assert all(2 < token_id < 32000 for token_id in rest)
        assert prompt.suffix_tokens == 0
    whole = [1, *tokenizer.encode(prefix + typed)]
    # As one text the two may have a token more than apart.
    if len(whole) <= budget and len(tokenizer.encode(typed)) < (budget - 1) // 2:
        assert list(prompt.tokens) == whole


def decoded(tokenizer: Tokenizer, ids: Sequence[int], *, drop: bool = False) -> str:
    decoder = StreamDecoder(tokenizer, drop_first_space=drop)
    return "".join(map(decoder.push, ids)) + decoder.flush()


@given(text=TEXTS)
@settings(deadline=None, max_examples=100)
def test_an_answer_reads_as_meta_reads_it(text: str) -> None:
    library = sentencepiece_model()
    text = text.replace("▁", "_")
    for ids in (codellama().encode_fragment(text), codellama().encode(text)):
        smiley = library.piece_to_id("☺")
        assert decoded(codellama(), ids) == library.decode([smiley, *ids])[1:]
    assert decoded(codellama(), codellama().encode_fragment(text)) == text


def test_a_space_that_an_answer_begins_with_is_kept() -> None:
    for case in infill_golden():
        text = " " + str(case["suffix"])
        assert decoded(codellama(), codellama().encode_fragment(text)) == text


def test_every_marker_is_silent_and_stops() -> None:
    for tokenizer in vocabularies():
        for key in ("codellama", "codellama-psm"):
            stops = resolve(key, tokenizer).stop_ids
            for marker in (*MARKERS, "</s>"):
                token_id = tokenizer.special_id(marker)
                assert token_id in stops
                assert tokenizer.token_bytes(token_id) == b""
    # Runs of the end are tokens as well.
    for token_id in range(32007, 32016):
        assert codellama().token_bytes(token_id) == b""


def test_the_answer_to_nothing_opens_a_text() -> None:
    """Where nothing stands before the answer it begins with the space of every text."""
    for key, prefix, suffix, expected in [
        ("codellama", "", "b", True),
        ("codellama", "a", "b", False),
        ("codellama-psm", "", "b", False),
        (None, "", "", True),
        (None, "a", "", False),
    ]:
        prompt = render(
            CompletionRequest(prefix=prefix, suffix=suffix),
            tokenizer=tiny(),
            fim=resolve(key, tiny()) if key else None,
            budget_tokens=64,
        )
        assert prompt.opens_text is expected


def test_the_golden_file_is_what_it_was() -> None:
    cases = infill_golden()
    assert len(cases) == 7
    assert json.dumps(cases).count("32007") == 14
