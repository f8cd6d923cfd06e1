"""Several places at once: each finds what was computed for it, within a budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from test_prefix_store import answer, edits
from tiny_models import ToyBackend, ToyCache

from midfill_engine.cache.sequence import CachedSequence
from midfill_engine.cache.store import PrefixStore

PLENTY = 1_000_000


def fill(store: PrefixStore, tokens: Sequence[int], typed_tokens: int = 0) -> int:
    """Compute ``tokens``; returns how many of them were there already."""
    expected = store.shared_with(tokens)
    sequence = store.take(tokens, typed_tokens)
    reused = sequence.length
    assert reused == expected
    if reused < len(tokens):
        sequence.keep_ending(sequence.forward(tokens[reused:], 1))
    return reused


BEGINNING = list(range(40))
"""What stands before all places of a file."""


def place(number: int, length: int = 20) -> list[int]:
    """The tokens of a place in that file: those before it, and those after, which differ."""
    return [*BEGINNING, *(100 * number + at for at in range(length))]


def document(number: int, length: int = 60) -> list[int]:
    return [-1, *(10_000 * number + at for at in range(length))]


def test_two_documents_do_not_disturb_each_other() -> None:
    store = PrefixStore(ToyBackend(), 64, PLENTY)
    one, two = document(1), document(2)
    assert (fill(store, one), fill(store, two)) == (0, 1)
    assert fill(store, one) == len(one)
    assert fill(store, two) == len(two)


def test_two_places_of_a_file_do_not_disturb_each_other() -> None:
    store = PrefixStore(ToyBackend(), 64, PLENTY)
    one, two = place(1), place(2)
    assert (fill(store, one), fill(store, two)) == (0, len(BEGINNING))
    for _ in range(2):
        assert fill(store, one) == len(one)
        assert fill(store, two) == len(two)


def test_an_edit_that_is_undone_finds_what_was_before_it() -> None:
    store = PrefixStore(ToyBackend(), 64, PLENTY)
    before = place(1)
    fill(store, before)
    assert fill(store, [*before[:12], 7, *before[14:]]) == 12
    assert fill(store, before) == len(before)


class CountsCaches(ToyBackend):
    caches = 0

    def new_cache(self, capacity: int) -> ToyCache:
        self.caches += 1
        return super().new_cache(capacity)


def test_what_is_typed_takes_its_own_place_over() -> None:
    backend = CountsCaches()
    store = PrefixStore(backend, 128, PLENTY)
    fill(store, place(1))
    for typed in ([1], [1, 2], [1, 2, 3, 4], [1, 2, 9], [1], [5, *range(20)], [6]):
        tokens = [*place(1), *typed]
        assert fill(store, tokens, len(typed)) >= len(place(1))
        # What was generated after it is of no use to anybody else.
        store.take(tokens, len(typed)).forward([11] * 30, 0)
    assert backend.caches == 1


def test_a_few_tokens_are_not_worth_a_copy() -> None:
    store = PrefixStore(ToyBackend(), 64, PLENTY)
    fill(store, place(1))
    held = store.nbytes
    assert fill(store, [*place(1)[:-3], 7, 7, 7]) == len(place(1)) - 3
    assert store.nbytes <= held


def test_of_two_that_share_as_much_that_is_taken_which_has_less_to_lose() -> None:
    backend = CountsCaches()
    store = PrefixStore(backend, 64, PLENTY)
    fill(store, place(1))
    # Cancelled before anything of its own was computed.
    assert store.take([*BEGINNING, 3]).length == len(BEGINNING)
    fill(store, place(1))
    assert fill(store, place(2)) == len(BEGINNING)
    assert backend.caches == 2
    assert fill(store, place(1)) == len(place(1))


def test_what_was_not_used_for_longest_goes_first() -> None:
    one, two, three = document(1), document(2), document(3)
    probe = PrefixStore(ToyBackend(), 64)
    fill(probe, one)
    store = PrefixStore(ToyBackend(), 64, 2 * probe.nbytes)
    fill(store, one)
    fill(store, two)
    fill(store, one)
    fill(store, three)
    assert store.nbytes <= 2 * probe.nbytes
    assert fill(store, one) == len(one)
    assert fill(store, three) == len(three)
    assert fill(store, two) == 1


def test_places_of_one_file_make_room_before_another_file_does() -> None:
    one = document(1)
    probe = PrefixStore(ToyBackend(), 64)
    fill(probe, one)
    store = PrefixStore(ToyBackend(), 64, 3 * probe.nbytes)
    fill(store, one)
    # A line is typed at the end of the part that all of these share, again and again.
    for number in range(1, 9):
        fill(store, place(number))
        assert store.nbytes <= 4 * probe.nbytes
    fill(store, [7, *document(2)])
    assert fill(store, one) == len(one)
    assert fill(store, place(8)) == len(place(8))


def test_with_room_for_two_the_other_file_is_kept() -> None:
    one = document(1)
    probe = PrefixStore(ToyBackend(), 64)
    fill(probe, one)
    store = PrefixStore(ToyBackend(), 64, 2 * probe.nbytes - 400)
    fill(store, one)
    fill(store, place(1))
    assert fill(store, place(2)) == len(BEGINNING)
    assert fill(store, one) == len(one)


def test_no_budget_keeps_one_sequence() -> None:
    store = PrefixStore(ToyBackend(), 64)
    fill(store, document(1))
    held = store.nbytes
    assert fill(store, document(2)) == 1
    assert store.nbytes == held


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("budget_bytes", [0, 2_000, PLENTY])
def test_answers_are_those_of_a_cold_cache(seed: int, budget_bytes: int) -> None:
    backend = ToyBackend()
    store = PrefixStore(backend, 128, budget_bytes)
    prompts = [list(edits(seed * 10 + n, backend.vocab_size, 15)) for n in range(3)]
    order = np.random.default_rng(seed).integers(0, 3, 45)
    for at, which in enumerate(order.tolist()):
        if not prompts[which]:
            continue
        prompt = prompts[which].pop(0)
        sequence = store.take(prompt, min(len(prompt), at % 7))
        assert list(sequence.tokens) == prompt[: sequence.length]
        assert answer(sequence, prompt) == answer(CachedSequence(backend, 128), prompt)
