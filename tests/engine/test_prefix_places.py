"""Several places at once: each finds what was computed for it, within a budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from test_prefix_store import answer, edits
from tiny_models import ToyBackend

from midfill_engine.cache.sequence import CachedSequence
from midfill_engine.cache.store import PrefixStore

PLENTY = 1_000_000


def fill(store: PrefixStore, tokens: Sequence[int]) -> int:
    """Compute ``tokens``; returns how many of them were there already."""
    sequence = store.take(tokens)
    reused = sequence.length
    sequence.forward(tokens[reused:], 1)
    return reused


def test_two_documents_do_not_disturb_each_other() -> None:
    store = PrefixStore(ToyBackend(), 64, PLENTY)
    one, two = list(range(1, 21)), list(range(21, 40))
    assert fill(store, one) == fill(store, two) == 0
    assert fill(store, one) == 19
    assert fill(store, two) == 18


def test_a_prompt_that_shares_little_leaves_the_other_place_alone() -> None:
    store = PrefixStore(ToyBackend(), 64, PLENTY)
    place = [1, 2, 3, *range(10, 30)]
    fill(store, place)
    assert fill(store, [1, 2, 3, *range(26, 39)]) == 0
    assert fill(store, place) == len(place) - 1


def test_a_prompt_that_shares_much_takes_the_place_over() -> None:
    store = PrefixStore(ToyBackend(), 64, PLENTY)
    fill(store, list(range(1, 21)))
    held = store.nbytes
    assert fill(store, [*range(1, 7), *range(25, 37)]) == 6
    assert store.nbytes <= held


def test_what_was_not_used_for_longest_goes_first() -> None:
    backend = ToyBackend()
    places = [list(range(start, start + 8)) for start in (1, 9, 17)]
    probe = PrefixStore(backend, 16)
    fill(probe, places[0])
    store = PrefixStore(backend, 16, 2 * probe.nbytes)
    fill(store, places[0])
    fill(store, places[1])
    fill(store, places[0])
    fill(store, places[2])
    assert store.nbytes <= 2 * probe.nbytes
    assert fill(store, places[0]) == 7
    assert fill(store, places[2]) == 7
    assert fill(store, places[1]) == 0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("budget_bytes", [0, 1_000, PLENTY])
def test_answers_are_those_of_a_cold_cache(seed: int, budget_bytes: int) -> None:
    backend = ToyBackend()
    store = PrefixStore(backend, 128, budget_bytes)
    documents = [list(edits(seed * 10 + n, backend.vocab_size, 15)) for n in range(3)]
    order = np.random.default_rng(seed).integers(0, 3, 45)
    for document in order.tolist():
        if not documents[document]:
            continue
        prompt = documents[document].pop(0)
        sequence = store.take(prompt)
        assert list(sequence.tokens) == prompt[: sequence.length]
        assert answer(sequence, prompt) == answer(CachedSequence(backend, 128), prompt)
