"""The key-retrieval benchmark, on an engine that reads and on one that does not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from benchmarks.long_context import Case, context_tokens_for, figures_of, fitted, retrieve
from midfill_engine.cancel import CancelToken
from midfill_engine.prompt import MAX_TYPED_TOKENS
from midfill_engine.types import Chunk, CompletionRequest, FinishReason, Timings

SEED = 5


class Reader:
    """Looks the asked function up in the last ``reach`` characters; a token is three of them."""

    def __init__(self, reach: int = 10**9, told: str = "{key}", shown: int = 10**9) -> None:
        self._reach, self._told, self._shown = reach, told, shown

    def stream(self, request: CompletionRequest, cancel: CancelToken) -> Iterator[Chunk]:
        tokens = tokens_of(request.prefix) + 4
        assert request.max_prompt_tokens is not None
        assert tokens <= request.max_prompt_tokens, "the beginning would be cut off"
        asked = re.findall(r"assert (\w+)\(\) == $", request.prefix)
        pattern = rf'def {asked[0]}\(\) -> int:\n    """.*"""\n    return (\d+)\n'
        seen = re.search(pattern, request.prefix[-self._reach :])
        yield Chunk(text=self._told.format(key=seen.group(1) if seen else 7))
        tokens = min(tokens, self._shown)
        cost = Timings(prompt_tokens=tokens, prefilled_tokens=tokens, ttft_ms=500.0)
        yield Chunk(text="\n", finish=FinishReason.LENGTH, timings=cost)


def tokens_of(text: str) -> int:
    return len(text) // 3


def case(place: float, length: int = 3000, seed: int = SEED) -> Case:
    return fitted(length, place, seed, tokens_of)


def exact(engine: Reader, asked: Case) -> bool:
    return retrieve(engine, asked, lambda: 0, 0).exact


@pytest.mark.parametrize("place", [0.0, 0.4, 1.0])
def test_the_file_is_python_as_long_as_the_prompt_with_the_key_in_place(place: float) -> None:
    made = case(place)
    assert 0.9 * 3000 < len(made.prefix) / 3 <= 3000
    ast.parse(made.prefix + made.key)
    assert made.prefix.count(made.key) == 1
    assert made.prefix.index(made.key) / len(made.prefix) == pytest.approx(place, abs=0.06)
    names = re.findall(r"def (\w+)\(", made.prefix)
    assert len(set(names)) == len(names) > 20


def test_it_is_the_same_each_time_and_another_for_each_seed() -> None:
    assert case(0.4) == case(0.4)
    one, other = case(0.4), case(0.4, seed=SEED + 1)
    assert one.key != other.key
    # Nothing that was computed of the one is of use to the other.
    assert one.prefix[:40] != other.prefix[:40]


def test_a_length_that_holds_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no file fits"):
        case(0.4, length=10)


def test_keys_are_found_as_far_as_an_engine_reads() -> None:
    far, near = case(0.0), case(0.9)
    assert [exact(Reader(), one) for one in (far, near)] == [True, True]
    assert [exact(Reader(reach=4000), one) for one in (far, near)] == [False, True]


@pytest.mark.parametrize(
    ("told", "right"),
    [
        ("{key}", True),
        (" {key}\n\ndef more", True),
        ("{key}0", False),
        ("1{key}", False),
        ("int('{key}')", False),
        ("", False),
    ],
)
def test_only_the_whole_key_counts(told: str, right: bool) -> None:
    assert exact(Reader(told=told), case(0.2)) is right


def test_a_prompt_that_was_cut_is_no_answer() -> None:
    with pytest.raises(ValueError, match="only a part"):
        exact(Reader(shown=2000), case(0.9))


def test_figures_are_of_what_was_measured() -> None:
    sizes = iter([700, 900])
    found = [
        retrieve(Reader(reach), case(0.1), lambda: next(sizes), 100) for reach in (10**9, 1000)
    ]
    share, prefill, cache, memory = figures_of(3000, found, kv_bytes=1000)
    tokens = found[0].prompt_tokens
    assert share.value is not None
    assert (share.value.p50, share.note) == (50, "1 of 2")
    assert prefill.value is not None
    assert prefill.value.p50 == pytest.approx(tokens / 0.5)
    assert cache.value is not None
    assert cache.value.p50 == pytest.approx(tokens * 1000 / 1e9)
    assert memory.value is not None
    assert memory.value.p50 == pytest.approx(800e-9)


def test_the_engine_is_given_room_for_the_whole_prompt() -> None:
    for length in (600, 6144, 16384):
        room = context_tokens_for(length) - 12
        assert room - min(room // 3, MAX_TYPED_TOKENS) >= length
