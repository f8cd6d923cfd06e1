"""Reusing what is computed: a warm store answers exactly like a cold one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from tiny_files import converted_gguf
from tiny_models import ToyBackend, prompt_ids, tiny_model

from midfill_engine.backends.base import Backend
from midfill_engine.backends.onnx_backend import OnnxBackend
from midfill_engine.cache.sequence import CachedSequence, common_prefix_length
from midfill_engine.cache.store import PrefixStore
from midfill_engine.cancel import CancelToken
from midfill_engine.decode.drafters import NoDraft
from midfill_engine.decode.loop import Limits, decode
from midfill_engine.decode.sampling import Sampler
from midfill_engine.types import Sampling


def edits(seed: int, vocab: int, count: int) -> Iterator[list[int]]:
    """Prompts as someone types them: appended, taken back, changed in the middle, begun anew."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, vocab, 30).tolist()
    for _ in range(count):
        at = int(rng.integers(0, len(tokens) + 1))
        new = rng.integers(0, vocab, rng.integers(0, 6)).tolist()
        match rng.integers(0, 5):
            case 0 | 1:
                tokens = [*tokens, *new]
            case 2:
                tokens = tokens[: max(1, len(tokens) - len(new))]
            case 3:
                tokens = [*tokens[:at], *new, *tokens[at + 2 :]]
            case _:
                tokens = tokens if rng.random() < 0.5 else new + tokens
        tokens = tokens[:90] or [0]
        yield tokens


def answer(sequence: CachedSequence, prompt: Sequence[int]) -> list[int]:
    return list(
        decode(
            sequence,
            prompt,
            limits=Limits(stop_ids=frozenset({3}), max_tokens=8),
            sampler=Sampler(Sampling()),
            drafter=NoDraft(),
            cancel=CancelToken(),
        )
    )


def check_edits(backend: Backend, seed: int, count: int) -> None:
    store, reused = PrefixStore(backend, 128), 0
    for prompt in edits(seed, backend.vocab_size, count):
        sequence = store.take(prompt)
        assert sequence.length < len(prompt) or sequence.ending is not None
        assert list(sequence.tokens) == prompt[: sequence.length]
        reused += sequence.length
        assert answer(sequence, prompt) == answer(CachedSequence(backend, 128), prompt)
    assert reused > 0


@pytest.mark.parametrize("seed", range(12))
def test_edits_on_the_toy(seed: int) -> None:
    check_edits(ToyBackend(), seed, 40)


def test_edits_on_a_model(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = converted_gguf(tiny_model("llama-gqa"), tmp_path_factory.mktemp("store"))
    check_edits(OnnxBackend(folder, threads=1), 1, 25)


def test_the_longest_common_beginning_is_kept() -> None:
    backend = ToyBackend()
    store = PrefixStore(backend, 32)
    store.take([1, 2, 3, 4]).forward([1, 2, 3, 4], 1)
    assert list(store.take([1, 2, 9]).tokens) == [1, 2]
    # What was rolled back is gone.
    assert list(store.take([1, 2, 3, 4]).tokens) == [1, 2]


def test_the_last_id_is_left_to_compute_where_no_logits_were_kept() -> None:
    backend = ToyBackend()
    store = PrefixStore(backend, 32)
    store.take([1, 2, 3]).forward([1, 2, 3], 1)
    assert list(store.take([1, 2, 3]).tokens) == [1, 2]
    assert list(store.take([1]).tokens) == []


def test_words_taken_back_find_the_logits_where_they_began() -> None:
    backend = ToyBackend()
    store, typed = PrefixStore(backend, 64), [1, 2, 3, 4, 5, 6, 7]
    for size in (2, 4, 6, 7):
        answer(store.take(typed[:size]), typed[:size])
    for size in (6, 4, 2):
        sequence = store.take(typed[:size])
        assert list(sequence.tokens) == typed[:size]
        assert sequence.ending is not None
        np.testing.assert_array_equal(sequence.ending[0], backend.row(typed[:size]))
    # Here no prompt has ended yet.
    assert store.take(typed[:1]).length == 0


def test_logits_that_were_kept_belong_to_the_tokens_before_them() -> None:
    backend = ToyBackend()
    sequence = CachedSequence(backend, 64)
    sequence.keep_ending(sequence.forward([1, 2, 3], 1))
    sequence.truncate(2)
    sequence.forward([9], 1)
    assert sequence.ending is None


def test_only_a_few_logits_are_kept_and_they_count() -> None:
    backend = ToyBackend()
    sequence = CachedSequence(backend, 64)
    for token in range(30):
        sequence.keep_ending(sequence.forward([token], 1))
        sequence.keep_ending(backend.row(sequence.tokens)[None])
    per_row = 4 * backend.vocab_size
    kept = (sequence.nbytes - 8 * 30) // per_row
    assert 2 <= kept <= 10
    # The last ones are those that are needed.
    for length in range(30, 30 - kept, -1):
        sequence.truncate(length)
        assert sequence.ending is not None
    sequence.truncate(30 - kept)
    assert sequence.ending is None


def test_a_copy_answers_like_the_original_and_is_its_own() -> None:
    backend = ToyBackend()
    one, two = CachedSequence(backend, 64), CachedSequence(backend, 64)
    for tokens in ([1, 2, 3], [4, 5]):
        one.keep_ending(one.forward(tokens, 1))
    two.forward([7, 7, 7, 7, 7, 7], 0)
    two.copy_beginning(one, 4)
    assert list(two.tokens) == [1, 2, 3, 4]
    assert two.ending is None
    np.testing.assert_array_equal(two.forward([6], 1)[0], backend.row([1, 2, 3, 4, 6]))
    assert two.ending is None
    assert list(one.tokens) == [1, 2, 3, 4, 5]
    two.truncate(3)
    assert two.ending is not None
    np.testing.assert_array_equal(two.ending[0], backend.row([1, 2, 3]))


def test_an_answer_that_the_next_prompt_contains_is_reused() -> None:
    backend = ToyBackend()
    store, prompt = PrefixStore(backend, 64), prompt_ids(tiny_model("qwen2"), 12)
    prompt = [token % 40 for token in prompt]
    said = answer(store.take(prompt), prompt)
    accepted = [*prompt, *said, 1]
    # All of it but the last token of the answer, whose step was never needed.
    assert store.take(accepted).length >= len(prompt) + len(said) - 1


def test_memory_is_that_of_the_held_tokens() -> None:
    store = PrefixStore(ToyBackend(), 32)
    assert store.nbytes == 0
    store.take([1, 2, 3]).forward([1, 2, 3], 1)
    assert store.nbytes == 24


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ([], [], 0),
        ([1], [], 0),
        ([1, 2], [1, 2], 2),
        ([1, 2, 3], [1, 2], 2),
        ([2], [1], 0),
        ([1, 2], [1, 3], 1),
    ],
)
def test_common_prefix_length(left: list[int], right: list[int], expected: int) -> None:
    assert common_prefix_length(left, right) == common_prefix_length(right, left) == expected
