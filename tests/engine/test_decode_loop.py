"""The decode loop: drafts change how fast an answer comes, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import numpy as np
import pytest
from tiny_files import converted_gguf
from tiny_models import ToyBackend, prompt_ids, tiny_model

from midfill_engine.backends.base import Backend
from midfill_engine.backends.onnx_backend import OnnxBackend
from midfill_engine.cache.sequence import CachedSequence
from midfill_engine.cancel import CancelToken
from midfill_engine.decode.drafters import Drafter, NoDraft
from midfill_engine.decode.loop import Limits, Outcome, decode, prefill
from midfill_engine.decode.sampling import Sampler
from midfill_engine.types import FinishReason, Sampling

PROMPT = prompt_ids(tiny_model("qwen2"))
TOY_PROMPT = [3, 1, 4, 1, 5, 9, 2, 6]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> OnnxBackend:
    return OnnxBackend(
        converted_gguf(tiny_model("qwen2"), tmp_path_factory.mktemp("loop")), threads=1
    )


def reference(backend: Backend, prompt: Sequence[int], stop_ids: set[int], most: int) -> list[int]:
    """Greedy decoding in ten lines: everything anew for each token."""
    answer: list[int] = []
    while len(answer) < most:
        tokens = [*prompt, *answer]
        row = backend.forward(tokens, backend.new_cache(len(tokens)), 1)[0]
        if int(row.argmax()) in stop_ids:
            break
        answer.append(int(row.argmax()))
    return answer


class ScriptedDrafter(NoDraft):
    """Knows what comes; remembers what it heard of its drafts."""

    def __init__(self, truth: Sequence[int], wrong_at: int | None = None) -> None:
        self._truth, self._wrong_at = truth, wrong_at
        self.heard: list[tuple[int, int]] = []

    def propose(self, tokens: Sequence[int], limit: int, cancel: CancelToken) -> Sequence[int]:
        at = range(len(tokens), min(len(tokens) + limit, len(self._truth)))
        return [self._truth[index] ^ (index == self._wrong_at) for index in at]

    def observe(self, drafted: int, accepted: int, step_ms: float) -> None:
        self.heard.append((drafted, accepted))


class RandomDrafter(NoDraft):
    """Right with the given odds for each token, of any length, and deaf to the limit."""

    def __init__(self, truth: Sequence[int], seed: int, odds: float, vocab: int) -> None:
        self._truth, self._odds, self._vocab = truth, odds, vocab
        self._random = np.random.default_rng(seed)

    def propose(self, tokens: Sequence[int], limit: int, cancel: CancelToken) -> Sequence[int]:
        rest = self._truth[len(tokens) :][: self._random.integers(0, 2 * limit + 1)]
        return [
            token if self._random.random() < self._odds else int(self._random.integers(self._vocab))
            for token in rest
        ]


def run(
    sequence: CachedSequence, prompt: Sequence[int], **more: object
) -> tuple[list[int], FinishReason]:
    """Decode greedily; what came, and why it ended."""
    tokens, outcome = run_to_outcome(sequence, prompt, **more)
    return tokens, outcome.finish


def run_to_outcome(
    sequence: CachedSequence,
    prompt: Sequence[int],
    *,
    max_tokens: int = 32,
    stop_ids: set[int] = frozenset(),
    drafter: Drafter | None = None,
    cancel: CancelToken | None = None,
) -> tuple[list[int], Outcome]:
    answer = decode(
        sequence,
        prompt,
        limits=Limits(stop_ids=frozenset(stop_ids), max_tokens=max_tokens, max_draft=8),
        sampler=Sampler(Sampling()),
        drafter=drafter or NoDraft(),
        cancel=cancel or CancelToken(),
    )
    tokens: list[int] = []
    while True:
        try:
            tokens.append(next(answer))
        except StopIteration as end:
            return tokens, end.value


def looks(allowed: int) -> CancelToken:
    """A token that is set after it was looked at ``allowed`` times."""
    ticks = count()
    return CancelToken(deadline_s=allowed, clock=lambda: next(ticks))


def test_plain_decoding_is_the_reference(real: OnnxBackend) -> None:
    tokens, finish = run(CachedSequence(real, 128), PROMPT)
    assert tokens == reference(real, PROMPT, set(), 32)
    assert finish is FinishReason.LENGTH


@pytest.mark.parametrize("odds", [0.0, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_drafts_change_no_token(real: OnnxBackend, seed: int, odds: float) -> None:
    expected = reference(real, PROMPT, set(), 40)
    drafter = RandomDrafter([*PROMPT, *expected], seed, odds, real.vocab_size)
    sequence = CachedSequence(real, 128)
    tokens, finish = run(sequence, PROMPT, drafter=drafter, max_tokens=36)
    assert tokens == expected[:36]
    assert finish is FinishReason.LENGTH
    # The keys and values that are left are those of the tokens that are left.
    held = list(sequence.tokens)
    assert held == [*PROMPT, *tokens][: len(held)]
    again = sequence.forward([7], 1)[0].copy()
    fresh = real.forward([*held, 7], real.new_cache(200), 1)[0]
    assert np.abs(again - fresh).max() <= 1e-4 * np.abs(fresh).max()


@pytest.mark.parametrize("seed", range(40))
def test_any_draft_any_stop_any_limit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    backend, prompt = ToyBackend(), rng.integers(0, 40, 1 + rng.integers(0, 150)).tolist()
    stop_ids = set(rng.integers(0, 40, rng.integers(0, 4)).tolist())
    most = int(rng.integers(0, 30))
    # The drafter runs on beyond the stop, as one that copies text would.
    truth = [*prompt, *reference(backend, prompt, set(), 60)]
    expected = reference(backend, prompt, stop_ids, most)
    sequence = CachedSequence(backend, len(prompt) + 64)
    drafter = RandomDrafter(truth, seed, float(rng.random()), 40)
    tokens, finish = run(sequence, prompt, drafter=drafter, stop_ids=stop_ids, max_tokens=most)
    assert tokens == expected
    assert not stop_ids & set(tokens)
    assert finish is (FinishReason.LENGTH if len(tokens) == most else FinishReason.STOP)
    # An accepted draft may reach beyond the stop: what is held is what the model would write.
    held = list(sequence.tokens)
    assert len(prompt) <= len(held)
    assert held == truth[: len(held)]
    np.testing.assert_array_equal(sequence.forward([7], 1), [backend.row([*held, 7])])


def test_a_stop_inside_an_accepted_draft_ends_the_answer() -> None:
    backend = ToyBackend()
    truth = reference(backend, TOY_PROMPT, set(), 9)
    stop = next(token for at, token in enumerate(truth) if at >= 4 and token not in truth[:at])
    drafter = RandomDrafter([*TOY_PROMPT, *truth], 1, 1.0, 40)
    drafter.propose = lambda tokens, limit, cancel: truth[len(tokens) - len(TOY_PROMPT) :]
    sequence = CachedSequence(backend, 64)
    backend.steps.clear()
    tokens, finish = run(sequence, TOY_PROMPT, drafter=drafter, stop_ids={stop})
    assert (tokens, finish) == (truth[: truth.index(stop)], FinishReason.STOP)
    assert backend.steps == [len(TOY_PROMPT), len(truth)], "one step verified the whole draft"


def test_right_drafts_save_steps() -> None:
    backend = ToyBackend()
    truth = reference(backend, TOY_PROMPT, set(), 40)
    backend.steps.clear()
    drafter = RandomDrafter([*TOY_PROMPT, *truth], 1, 1.0, 40)
    drafter.propose = lambda tokens, limit, cancel: truth[len(tokens) - len(TOY_PROMPT) :][:limit]
    assert run(CachedSequence(backend, 64), TOY_PROMPT, drafter=drafter)[0] == truth[:32]
    assert len(backend.steps) <= 1 + 5
    # Nothing is computed that could not be used: the last token needs no step.
    assert sum(backend.steps) == len(TOY_PROMPT) + 31


def test_a_drafter_and_the_outcome_hear_what_stood() -> None:
    backend = ToyBackend()
    truth = [*TOY_PROMPT, *reference(backend, TOY_PROMPT, set(), 40)]
    # The first token comes from the prompt, so the first draft is of the 8 after it.
    drafter = ScriptedDrafter(truth, wrong_at=len(TOY_PROMPT) + 4)
    sequence = CachedSequence(backend, 64)
    tokens, outcome = run_to_outcome(sequence, TOY_PROMPT, drafter=drafter, max_tokens=14)
    assert tokens == truth[len(TOY_PROMPT) :][:14]
    assert drafter.heard == [(8, 3), (8, 8)]
    assert outcome == Outcome(finish=FinishReason.LENGTH, drafted=16, accepted=11)


@pytest.mark.parametrize("drafts", [False, True])
@pytest.mark.parametrize("room", [0, 1, 2, 5])
def test_a_full_cache_ends_the_answer(room: int, drafts: bool) -> None:
    backend = ToyBackend()
    truth = reference(backend, TOY_PROMPT, set(), 12)
    drafter = RandomDrafter([*TOY_PROMPT, *truth], 1, 1.0, 40) if drafts else None
    sequence = CachedSequence(backend, len(TOY_PROMPT) + room)
    # The last token needs no room: nothing follows it.
    assert run(sequence, TOY_PROMPT, drafter=drafter) == (truth[: room + 1], FinishReason.LENGTH)


def test_prefill_goes_in_chunks_and_computes_logits_once() -> None:
    backend = ToyBackend()
    sequence = CachedSequence(backend, 64)
    logits = prefill(sequence, list(range(10)), CancelToken(), chunk=4)
    assert backend.steps == [4, 4, 2]
    assert logits is not None
    np.testing.assert_array_equal(logits, [backend.row(range(10))])


def test_a_cancelled_prefill_keeps_its_finished_chunks() -> None:
    backend = ToyBackend()
    sequence = CachedSequence(backend, 64)
    assert prefill(sequence, list(range(10)), looks(2), chunk=4) is None
    assert list(sequence.tokens) == list(range(8))
    # And the next request goes on from there.
    backend.steps.clear()
    assert prefill(sequence, list(range(10)), CancelToken(), chunk=4) is not None
    assert backend.steps == [2]


def test_nothing_is_computed_for_a_request_cancelled_before_it_began() -> None:
    backend = ToyBackend()
    assert run(CachedSequence(backend, 64), TOY_PROMPT, cancel=looks(0)) == (
        [],
        FinishReason.CANCELLED,
    )
    assert backend.steps == []


@pytest.mark.parametrize("drafts", [False, True])
def test_a_cancel_ends_the_answer_within_a_step_and_keeps_the_cache(drafts: bool) -> None:
    backend = ToyBackend()
    truth = reference(backend, TOY_PROMPT, set(), 40)
    drafter = RandomDrafter([*TOY_PROMPT, *truth], 3, 0.5, 40) if drafts else None
    sequence = CachedSequence(backend, 64)
    backend.steps.clear()
    # One look before the prompt, one before each step.
    tokens, finish = run(sequence, TOY_PROMPT, drafter=drafter, cancel=looks(4))
    assert finish is FinishReason.CANCELLED
    assert len(backend.steps) == 1 + 3
    assert tokens == truth[: len(tokens)]
    assert list(sequence.tokens) == [*TOY_PROMPT, *tokens][:-1]


def test_an_answer_that_is_dropped_half_way_leaves_a_true_cache() -> None:
    backend = ToyBackend()
    sequence = CachedSequence(backend, 64)
    answer = decode(
        sequence,
        TOY_PROMPT,
        limits=Limits(stop_ids=frozenset(), max_tokens=20),
        sampler=Sampler(Sampling()),
        drafter=NoDraft(),
        cancel=CancelToken(),
    )
    first = [next(answer) for _ in range(3)]
    answer.close()
    assert list(sequence.tokens) == [*TOY_PROMPT, *first][: sequence.length]


def test_a_step_that_fails_is_not_counted() -> None:
    backend = ToyBackend()
    sequence = CachedSequence(backend, 4)
    with pytest.raises(ValueError, match="full"):
        sequence.forward([1, 2, 3, 4, 5], 1)
    assert sequence.length == 0
    assert sequence.room == 4


def test_what_a_step_took_is_told_whether_something_could_be_drafted_or_not() -> None:
    now_s = 0.0

    class Slow(ToyBackend):
        def forward(self, tokens, cache, logits_for):
            nonlocal now_s
            now_s += 0.010 * len(tokens)
            return super().forward(tokens, cache, logits_for)

    class Timed(NoDraft):
        def __init__(self) -> None:
            self.heard: list[float] = []

        def propose(self, tokens: Sequence[int], limit: int, cancel: CancelToken) -> Sequence[int]:
            nonlocal now_s
            # Guessing takes time too, which is not the step's.
            now_s += 1.0
            return [0] if len(tokens) % 2 else []

        def observe(self, drafted: int, accepted: int, step_ms: float) -> None:
            self.heard.append(step_ms / (drafted + 1))

    def clock() -> float:
        return now_s

    drafter = Timed()
    for _ in decode(
        CachedSequence(Slow(), 64),
        TOY_PROMPT,
        limits=Limits(stop_ids=frozenset(), max_tokens=8),
        sampler=Sampler(Sampling()),
        drafter=drafter,
        cancel=CancelToken(),
        clock=clock,
    ):
        # Nor is what is done with a token.
        now_s += 5.0
    # The last step, before which nothing may be guessed, is told as well.
    assert len(drafter.heard) >= 4
    assert drafter.heard == pytest.approx([10.0] * len(drafter.heard))
