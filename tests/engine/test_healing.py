"""Healing: the last typed tokens are generated again, and spell what was typed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from codellama_model import codellama
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tokenizer_sentencepiece import tiny
from tiny_files import vocabulary
from tiny_models import Floats, ToyBackend
from token_corpus import corpus

from midfill_engine.cache.sequence import CachedSequence
from midfill_engine.cancel import CancelToken
from midfill_engine.decode.drafters import NoDraft
from midfill_engine.decode.healing import Spelling, heal
from midfill_engine.decode.loop import Limits, decode
from midfill_engine.decode.sampling import Sampler
from midfill_engine.local import LoadedModel, LocalEngine
from midfill_engine.prompt import ResolvedFim, resolve
from midfill_engine.tokenizer import Tokenizer, build_tokenizer
from midfill_engine.types import CompletionRequest, EngineInfo, FinishReason, Sampling

BYTE_LEVEL = build_tokenizer(vocabulary())
WORDS = ["▁", "ret", "u", "urn", "r", "n", "return", "▁return", "p", "pr", "in", "print", "é", "("]
PIECES = tiny({word: -float(at) for at, word in enumerate([*WORDS, "n(", "retu", "retur"])})
TOKENIZERS = {"byte-level": BYTE_LEVEL, "sentencepiece": PIECES}


def by_piece(*pieces: str) -> list[int]:
    """The ids of SentencePiece's ``pieces``."""
    found = {PIECES.token_bytes(token): token for token in range(259, PIECES.vocab_size)}
    return [found[piece.replace("▁", " ").encode()] for piece in pieces]


def healed(tokenizer: Tokenizer, tokens: Sequence[int]) -> tuple[int, bytes]:
    kept, taken = heal(tokens, tokenizer.index, tokenizer.token_bytes)
    assert b"".join(map(tokenizer.token_bytes, tokens[kept:])) == taken
    assert bool(taken) == (kept < len(tokens))
    return kept, taken


@pytest.mark.parametrize(
    ("pieces", "taken"),
    [
        (["▁", "pr"], b"pr"),
        (["▁", "ret", "u"], b" retu"),
        (["ret", "u", "r"], b"retur"),
        (["▁", "p", "r", "in"], b"prin"),
        (["ret", "u", "p"], b"p"),
        (["("], b"("),
        (["in", "("], b"("),
        (["n", "("], b"n("),
    ],
)
def test_as_many_tokens_are_taken_off_as_begin_one(pieces: list[str], taken: bytes) -> None:
    assert healed(PIECES, by_piece(*pieces))[1] == taken


def test_nothing_and_control_tokens_are_left_alone() -> None:
    assert healed(PIECES, []) == (0, b"")
    assert healed(PIECES, [1, 2]) == (2, b"")
    assert healed(PIECES, [2, *by_piece("pr")]) == (1, b"pr")


def test_a_letter_of_several_tokens_is_taken_off_where_one_token_has_it() -> None:
    assert healed(PIECES, [3 + 0xC3, 3 + 0xA9]) == (0, "é".encode())
    # No token has this one: its bytes stay, but for the last.
    kanji = PIECES.encode_fragment("漢")
    assert healed(PIECES, kanji) == (2, "漢".encode()[2:])


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("text", ["r", "retur", " ", "    ", "\n", "é", "漢"])
def test_the_next_tokens_are_all_those_that_agree(name: str, text: str) -> None:
    tokenizer, left = TOKENIZERS[name], text.encode()
    row = np.arange(tokenizer.vocab_size, dtype=np.float32)
    spelling = Spelling(left=left, index=tokenizer.index, token_bytes=tokenizer.token_bytes)
    allowed = set(np.flatnonzero(np.isfinite(spelling.restrict(row))).tolist())
    spelled = {token: tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)}
    expected = {
        token: raw
        for token, raw in spelled.items()
        if raw and (raw.startswith(left) or left.startswith(raw))
    }
    # A letter that is a piece and a byte as well goes by the piece.
    assert set(expected.values()) == {spelled[token] for token in allowed}
    assert allowed <= set(expected)
    for token in allowed:
        rest = spelling.after(token)
        assert rest.left == left[len(spelled[token]) :]
        assert rest.done == spelled[token].startswith(left)


def test_where_no_token_spells_the_text_it_goes_on() -> None:
    letters = build_tokenizer(
        {
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": ["a", "b"],
            "tokenizer.ggml.scores": [-1.0, -1.0],
        }
    )
    spelling = Spelling(left=b"c", index=letters.index, token_bytes=letters.token_bytes)
    row = np.array([1, 2], np.float32)
    np.testing.assert_array_equal(spelling.restrict(row), row)


TEXT = st.text(st.sampled_from(list("return prin(é漢🙂 \n\t=")), min_size=1, max_size=24)


@given(
    typed=TEXT,
    name=st.sampled_from(sorted(TOKENIZERS)),
    temperature=st.sampled_from([0.0, 1.0, 5.0]),
    prompt=st.sampled_from([[], [5, 6, 7]]),
)
@settings(deadline=None, max_examples=150)
def test_what_is_generated_begins_with_what_was_taken_off(
    typed: str, name: str, temperature: float, prompt: list[int]
) -> None:
    tokenizer = TOKENIZERS[name]
    tokens = tokenizer.encode_fragment(typed)
    kept, taken = healed(tokenizer, tokens)
    tokens = [*prompt, *tokens[:kept]] or [4]
    backend = ToyBackend(tokenizer.vocab_size)
    said = decode(
        CachedSequence(backend, 128),
        tokens,
        limits=Limits(stop_ids=frozenset(), max_tokens=40),
        sampler=Sampler(Sampling(temperature=temperature, top_p=0.9, seed=3)),
        drafter=NoDraft(),
        cancel=CancelToken(),
        spelling=Spelling(left=taken, index=tokenizer.index, token_bytes=tokenizer.token_bytes),
    )
    raw = b"".join(map(tokenizer.token_bytes, said))
    assert raw.startswith(taken)


class Quitter(ToyBackend):
    """Would rather say the last token of the vocabulary than anything else."""

    def row(self, tokens: Sequence[int]) -> Floats:
        row = super().row(tokens)
        row[-1] = 99.0
        return row


def test_an_answer_cannot_end_before_what_was_taken_off_is_spelled() -> None:
    backend = Quitter(PIECES.vocab_size + 1)
    said = decode(
        CachedSequence(backend, 64),
        [4],
        limits=Limits(stop_ids=frozenset({PIECES.vocab_size}), max_tokens=40),
        sampler=Sampler(Sampling()),
        drafter=NoDraft(),
        cancel=CancelToken(),
        spelling=Spelling(left=b"retu", index=PIECES.index, token_bytes=PIECES.token_bytes),
    )
    assert b"".join(map(PIECES.token_bytes, said)).startswith(b"retu")


class Reciter(ToyBackend):
    """Knows one text by its own tokens only: anywhere else it goes astray, as models do."""

    def __init__(self, tokenizer: Tokenizer, fim: ResolvedFim, text: str) -> None:
        super().__init__(tokenizer.vocab_size, spread=0.5)
        assert fim.middle is not None
        self._middle, self._stop = fim.middle, min(fim.stop_ids)
        self._ids = tokenizer.encode_fragment(text)

    def row(self, tokens: Sequence[int]) -> Floats:
        row = super().row(tokens)
        said = list(tokens)[list(tokens).index(self._middle) + 1 :]
        if said == self._ids[: len(said)]:
            rest = [*self._ids[len(said) :], self._stop]
            row[rest[0]] = 9.0
        return row


def reciting(tokenizer: Tokenizer, fim: ResolvedFim, text: str) -> LocalEngine:
    model = LoadedModel(
        backend=Reciter(tokenizer, fim, text),
        tokenizer=tokenizer,
        fim=fim,
        stop_ids=fim.stop_ids,
        context_tokens=512,
        prompt_tokens=256,
    )
    return LocalEngine(model, EngineInfo(model_id="reciter", backend="toy", device="none"))


def rest_of(engine: LocalEngine, prefix: str, typed: str, heal_: bool = True) -> str:
    request = CompletionRequest(prefix=prefix, typed=typed, suffix="", heal=heal_, max_tokens=200)
    chunks = list(engine.stream(request, CancelToken()))
    assert chunks[-1].finish is FinishReason.STOP
    return "".join(chunk.text for chunk in chunks)


LINE = "    return self.items[name] + print(é, '漢字') if value is None else -1  # 🙂\n"


def test_a_cursor_anywhere_in_a_line_gets_the_rest_of_it() -> None:
    engine = reciting(BYTE_LEVEL, resolve("qwen2.5-coder", BYTE_LEVEL), LINE)
    inside = 0
    for at in range(len(LINE) + 1):
        assert rest_of(engine, "x = 1\n", LINE[:at]) == LINE[at:]
        tokens = BYTE_LEVEL.encode_fragment(LINE[:at])
        inside += tokens != BYTE_LEVEL.encode_fragment(LINE)[: len(tokens)]
    # In many places what was typed is not made of the tokens of the line.
    assert inside > 5


def test_without_healing_the_model_goes_astray() -> None:
    engine = reciting(BYTE_LEVEL, resolve("qwen2.5-coder", BYTE_LEVEL), "return value")
    assert rest_of(engine, "", "retu") == "rn value"
    request = CompletionRequest(prefix="", typed="retu", heal=False, max_tokens=9)
    text = "".join(chunk.text for chunk in engine.stream(request, CancelToken()))
    assert not text.startswith("rn value")


@pytest.mark.parametrize("blanks", [" ", "  ", "    ", "\t", " " * 11, "\n    "])
def test_only_blanks_were_typed(blanks: str) -> None:
    engine = reciting(BYTE_LEVEL, resolve("qwen2.5-coder", BYTE_LEVEL), blanks + "  x = 1")
    assert rest_of(engine, "y = 2\n", blanks) == "  x = 1"


def test_all_of_a_prompt_is_healed_where_something_stands_before_it() -> None:
    fim = resolve("codellama", codellama())
    text = "def main():\n    return parse_args()\n"
    # The whole text is generated after the marker, its added space with it.
    engine = reciting(codellama(), fim, " " + text)
    for at in range(1, len(text)):
        prefix, typed = text[: at // 2], text[at // 2 : at]
        assert rest_of(engine, prefix, typed) == text[at:]


def test_a_prompt_that_would_be_healed_away_is_not() -> None:
    model = LoadedModel(
        backend=ToyBackend(BYTE_LEVEL.vocab_size),
        tokenizer=BYTE_LEVEL,
        fim=None,
        stop_ids=frozenset(),
        context_tokens=64,
        prompt_tokens=32,
    )
    engine = LocalEngine(model, EngineInfo(model_id="toy", backend="toy", device="none"))
    chunks = list(engine.stream(CompletionRequest(prefix="r", max_tokens=3), CancelToken()))
    timings = chunks[-1].timings
    assert timings is not None
    assert (timings.prompt_tokens, timings.generated_tokens) == (1, 3)


def test_every_text_of_the_corpus_is_healed_at_its_end() -> None:
    for text in corpus().values():
        tokens = BYTE_LEVEL.encode_fragment(text[-200:])
        kept, taken = healed(BYTE_LEVEL, tokens)
        assert text.encode().endswith(taken)
        assert len(tokens) - kept <= 8
