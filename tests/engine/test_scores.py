"""What the model thinks of an answer, and how well a text follows it: equal to a plain way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tiny_files import vocabulary
from tiny_models import Floats, ToyBackend

from midfill_engine.cancel import CancelToken
from midfill_engine.decode.lookup import LookupDrafter
from midfill_engine.decode.pace import StepCosts
from midfill_engine.decode.scores import Scorer
from midfill_engine.local import LoadedModel, LocalEngine
from midfill_engine.prompt import render, resolve
from midfill_engine.tokenizer import build_tokenizer
from midfill_engine.types import CompletionRequest, EngineInfo, FinishReason, TokenScore

TOKENIZER = build_tokenizer(vocabulary())
FIM = resolve("qwen2.5-coder", TOKENIZER)
REQUEST = CompletionRequest(
    prefix="total = 1\ntotal = ", suffix="\nprint(total)\n", max_tokens=24, scored=True, heal=False
)


def toy_engine(*, drafts: bool = False) -> LocalEngine:
    model = LoadedModel(
        backend=ToyBackend(TOKENIZER.vocab_size),
        tokenizer=TOKENIZER,
        fim=FIM,
        stop_ids=FIM.stop_ids,
        context_tokens=256,
        prompt_tokens=128,
    )
    info = EngineInfo(model_id="toy", backend="toy", device="none")
    # A step of any width costs the same: so there is always a draft where one can be found.
    costs = StepCosts([(1, 1.0), (16, 1.0)]) if drafts else None
    return LocalEngine(model, info, drafter=LookupDrafter(costs, FIM) if costs else None)


def prompt(request: CompletionRequest) -> list[int]:
    return [*render(request, tokenizer=TOKENIZER, fim=FIM, budget_tokens=128).tokens]


def logprobs(tokens: list[int]) -> Floats:
    """The log-probabilities of the token that follows, in float64."""
    row = ToyBackend(TOKENIZER.vocab_size).row(tokens).astype(np.float64)
    return row - math.log(np.exp(row).sum())


def scored(
    engine: LocalEngine, request: CompletionRequest
) -> tuple[str, FinishReason, list[TokenScore]]:
    chunks = list(engine.stream(request, CancelToken()))
    scores = [score for chunk in chunks for score in chunk.scores]
    assert chunks[-1].finish is not None
    return "".join(chunk.text for chunk in chunks), chunks[-1].finish, scores


@pytest.mark.parametrize("drafts", [False, True])
def test_scores_are_those_of_a_plain_greedy_loop(drafts: bool) -> None:
    _, finish, scores = scored(toy_engine(drafts=drafts), REQUEST)
    tokens = prompt(REQUEST)
    expected: list[tuple[float, float, float]] = []
    for _ in range(REQUEST.max_tokens):
        row = logprobs(tokens)
        first, second = (int(token) for token in np.argsort(-row)[:2])
        stop = math.log(np.exp(row[list(FIM.stop_ids)]).sum())
        expected.append((float(row[first]), stop, float(row[second])))
        if first in FIM.stop_ids:
            assert finish is FinishReason.STOP
            break
        tokens.append(first)
    found = [(score.logprob, score.stop_logprob, score.runner_up_logprob) for score in scores]
    assert len(found) == len(expected)
    assert np.allclose(found, expected, atol=1e-4)


def test_scores_say_where_their_token_stands() -> None:
    text, _, scores = scored(toy_engine(), REQUEST)
    places = [score.at for score in scores]
    assert places == sorted(places)
    assert places[0] == 0
    assert places[-1] <= len(text)


def test_a_runner_up_does_not_say_again_what_was_typed() -> None:
    pieces = [b"", b"pr", b"print", b"private", b"int", b"ivate"]
    scorer = Scorer({0}, pieces.__getitem__, lambda: 0, typed_bytes=3)
    for token, row in ((1, (0, 9, 1, 8, 1, 1)), (4, (0, 1, 1, 1, 9, 8)), (2, (0, 1, 9, 8, 1, 1))):
        scorer.observe(token, np.array(row, dtype=np.float32))
    assert [score.runner_up for score in scorer.take()] == ["vate", "vate", "private"]


def test_nobody_pays_for_scores_that_were_not_asked_for() -> None:
    request = CompletionRequest(prefix="x", max_tokens=4)
    assert scored(toy_engine(), request)[2] == []


@pytest.mark.parametrize("answer", ["", "1", "1 + total", "print(total)"])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_fit_is_the_probability_of_what_follows(answer: str, streamed: bool) -> None:
    engine, then = toy_engine(), "\nprint"
    if streamed:
        list(engine.stream(REQUEST, CancelToken()))
    (fit,) = engine.fit(REQUEST, [answer], then, CancelToken())
    tokens = [*prompt(REQUEST), *TOKENIZER.encode_fragment(answer + then)]
    lengths = [len(TOKENIZER.token_bytes(token)) for token in tokens]
    # All tokens that hold a byte of what follows; they are the last ones.
    count, left = 0, len(then)
    while left > 0:
        count += 1
        left -= lengths[-count]
    expected = sum(
        float(logprobs(tokens[:at])[tokens[at]]) for at in range(len(tokens) - count, len(tokens))
    )
    assert fit.tokens == count
    assert fit.logprob == pytest.approx(expected, abs=1e-4)


def test_fits_leave_the_answer_as_it_is() -> None:
    engine = toy_engine()
    expected = scored(engine, REQUEST)
    engine.fit(REQUEST, ["1", "1 + 2", "x" * 30], "\nprint(total)", CancelToken())
    assert scored(engine, REQUEST) == expected


def test_typed_text_that_is_healed_is_part_of_what_came_before() -> None:
    typed = CompletionRequest(prefix="total = 1\n", typed="tot", suffix="\n", max_tokens=8)
    plain = CompletionRequest(prefix="total = 1\n", suffix="\n", max_tokens=8)
    healed = toy_engine().fit(typed, ["al"], "\nx", CancelToken())
    assert healed == toy_engine().fit(plain, ["total"], "\nx", CancelToken())


def test_a_cancelled_fit_returns_what_it_has() -> None:
    cancel = CancelToken()
    cancel.cancel()
    assert toy_engine().fit(REQUEST, ["1", "2"], "\n", cancel) == ()
