"""The whole engine on a tiny model: what a stream promises, whatever happens in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from tiny_files import model_spec, vocabulary, write_gguf
from tiny_models import Floats, ToyBackend, tiny_model

from midfill_engine.cancel import CancelToken
from midfill_engine.errors import RequestError
from midfill_engine.loading import open_chosen
from midfill_engine.local import LoadedModel, LocalEngine
from midfill_engine.options import EngineOptions
from midfill_engine.progress import silent
from midfill_engine.prompt import resolve
from midfill_engine.runtimes import ChosenModel
from midfill_engine.store import ModelStore
from midfill_engine.tokenizer import Tokenizer, build_tokenizer
from midfill_engine.types import (
    Chunk,
    CompletionRequest,
    ContextChunk,
    EngineInfo,
    FinishReason,
    Sampling,
    Timings,
)

REQUEST = CompletionRequest(
    prefix="def add(a, b):\n    return ", suffix="\n\nprint(add(1, 2))\n", max_tokens=12
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    return ModelStore(tmp_path_factory.mktemp("engine") / "home")


@pytest.fixture
def engine(store: ModelStore, tmp_path: Path) -> Iterator[LocalEngine]:
    path = write_gguf(tiny_model("qwen2"), tmp_path / "tiny.gguf")
    spec = model_spec(path, layout="float32")
    store.pull(spec, progress=silent, cancel=CancelToken(), from_path=path)
    chosen = ChosenModel(spec=spec, layout="float32", reason="for a test")
    engine = open_chosen(chosen, store, EngineOptions(threads=1), silent, CancelToken())
    yield engine
    engine.close()


def collect(
    engine: LocalEngine, request: CompletionRequest = REQUEST, cancel: CancelToken | None = None
) -> tuple[str, FinishReason, Timings, list[Chunk]]:
    """Read a stream to its end and check what holds for every one."""
    chunks = list(engine.stream(request, cancel or CancelToken()))
    *earlier, last = chunks
    assert all(chunk.finish is None and chunk.timings is None for chunk in earlier)
    assert all(chunk.text for chunk in earlier)
    assert last.finish is not None
    timings = last.timings
    assert timings is not None
    assert timings.prompt_tokens == timings.reused_tokens + timings.prefilled_tokens
    assert 0 <= timings.generated_tokens <= request.max_tokens
    assert (timings.ttft_ms is None) == (timings.generated_tokens == 0)
    assert timings.decode_ms >= 0
    text = "".join(chunk.text for chunk in chunks)
    assert "<|" not in text
    text.encode("utf-8")
    return text, last.finish, timings, chunks


def test_a_second_request_reuses_the_first_and_answers_the_same(engine: LocalEngine) -> None:
    text, finish, cold, _ = collect(engine)
    again, _, warm, _ = collect(engine)
    assert text == again
    assert finish in (FinishReason.STOP, FinishReason.LENGTH)
    assert cold.reused_tokens == 0
    assert (warm.prefilled_tokens, warm.prompt_tokens) == (0, cold.prompt_tokens)


@pytest.mark.parametrize("seed", range(8))
def test_no_marker_ever_becomes_text(engine: LocalEngine, seed: int) -> None:
    # At this temperature all 384 tokens come, markers too.
    hot = Sampling(temperature=50.0, seed=seed)
    request = CompletionRequest(prefix="a = ", suffix="\n", max_tokens=60, sampling=hot)
    text, finish, timings, _ = collect(engine, request)
    assert "[PAD1]" not in text
    assert (finish is FinishReason.LENGTH) == (timings.generated_tokens == 60)


def test_a_seed_repeats_an_answer(engine: LocalEngine) -> None:
    sampling = Sampling(temperature=1.0, top_p=0.9, seed=5)
    request = CompletionRequest(prefix="x", max_tokens=20, sampling=sampling)
    assert collect(engine, request)[0] == collect(engine, request)[0]


def test_a_request_cancelled_before_it_began(engine: LocalEngine) -> None:
    cancel = CancelToken()
    cancel.cancel()
    text, finish, timings, chunks = collect(engine, REQUEST, cancel)
    assert (text, finish, len(chunks)) == ("", FinishReason.CANCELLED, 1)
    assert (timings.prompt_tokens, timings.generated_tokens) == (0, 0)


def test_a_prompt_cancelled_half_way_is_gone_on_with(engine: LocalEngine) -> None:
    ticks = count()
    long = CompletionRequest(prefix="".join(f"line_{n} = {n}\n" for n in range(60)), max_tokens=4)
    once = CancelToken(deadline_s=1, clock=lambda: next(ticks))
    _, finish, timings, _ = collect(engine, long, once)
    assert finish is FinishReason.CANCELLED
    # One chunk; how long it is depends on how fast the model was found to be.
    assert timings.prompt_tokens in (64, 128, 256)
    assert timings.generated_tokens == 0
    _, _, rest, _ = collect(engine, long)
    assert rest.reused_tokens == timings.prompt_tokens
    assert rest.prefilled_tokens > 0


def test_a_cancel_while_it_streams(engine: LocalEngine) -> None:
    expected = collect(engine)[0]
    cancel, text, last = CancelToken(), "", None
    for chunk in engine.stream(REQUEST, cancel):
        text += chunk.text
        last = chunk
        cancel.cancel()
    assert last is not None
    assert last.finish is FinishReason.CANCELLED
    assert expected.startswith(text)
    assert len(text) < len(expected)
    assert collect(engine)[0] == expected


def test_a_stream_that_is_dropped_does_no_harm(engine: LocalEngine) -> None:
    expected = collect(engine)[0]
    for read in range(4):
        stream = engine.stream(REQUEST, CancelToken())
        for _ in range(read):
            next(stream)
        stream.close()
        assert collect(engine)[0] == expected


def test_edits_change_nothing_but_the_cost(engine: LocalEngine) -> None:
    other = CompletionRequest(prefix=REQUEST.prefix + "a", suffix=REQUEST.suffix, max_tokens=12)
    cold = {request: collect_fresh(engine, request) for request in (REQUEST, other)}
    for request in (REQUEST, other, REQUEST, other):
        assert collect(engine, request)[0] == cold[request]


def collect_fresh(engine: LocalEngine, request: CompletionRequest) -> str:
    """The answer after something with no token in common but the first marker."""
    collect(engine, CompletionRequest(prefix="~~~", suffix="@@@", max_tokens=1))
    return collect(engine, request)[0]


def test_nothing_to_generate(engine: LocalEngine) -> None:
    request = CompletionRequest(prefix="x = ", max_tokens=0)
    text, finish, timings, _ = collect(engine, request)
    assert (text, finish, timings.ttft_ms) == ("", FinishReason.LENGTH, None)


@pytest.mark.parametrize(
    "request_", [CompletionRequest(prefix=""), CompletionRequest(prefix="", suffix="x", typed="y")]
)
def test_an_empty_file_gets_an_answer(engine: LocalEngine, request_: CompletionRequest) -> None:
    assert collect(engine, request_)[2].prompt_tokens >= 3


def test_a_prompt_never_outgrows_the_context(engine: LocalEngine) -> None:
    huge = "".join(f"value_{n} = compute({n})\n" for n in range(3000))
    request = CompletionRequest(
        prefix=huge,
        suffix=huge,
        typed="x" * 5000,
        context=(ContextChunk(path="a.py", text=huge),),
        max_tokens=100,
        max_prompt_tokens=10_000,
    )
    _, _, timings, _ = collect(engine, request)
    assert timings.prompt_tokens + 100 <= 512


@pytest.mark.parametrize("max_tokens", [1, 20, 150, 230])
@pytest.mark.parametrize("budget", [None, 40, 130, 256, 10_000])
@pytest.mark.parametrize("typed", ["", "x = 1", "value = compute(1) + " * 60, "x\n" * 300])
def test_prompt_typed_text_and_answer_fit_the_context(
    max_tokens: int, budget: int | None, typed: str
) -> None:
    long = "".join(f"value_{n} = {n}\n" for n in range(90))
    request = CompletionRequest(
        prefix=long,
        suffix=long,
        typed=typed,
        max_tokens=max_tokens,
        max_prompt_tokens=budget,
        heal=False,
    )
    engine = scripted([])
    assert engine.estimate(request).prefill_tokens + max_tokens <= 256
    assert collect(engine, request)[1] is not FinishReason.CANCELLED


def test_a_budget_with_no_room_is_an_error(engine: LocalEngine) -> None:
    for request in (
        CompletionRequest(prefix="x", max_prompt_tokens=3),
        CompletionRequest(prefix="x", max_tokens=600),
    ):
        with pytest.raises(RequestError, match="no room"):
            list(engine.stream(request, CancelToken()))


def test_closing_twice_is_fine(engine: LocalEngine) -> None:
    engine.close()
    engine.close()


class Scripted(ToyBackend):
    """Answers with the given tokens, whatever the prompt, then with ``after``."""

    def __init__(self, tokenizer: Tokenizer, script: Sequence[int], after: int) -> None:
        super().__init__(tokenizer.vocab_size)
        middle = tokenizer.special_id("<|fim_middle|>")
        assert middle is not None
        self._middle, self._script, self._after = middle, script, after

    def row(self, tokens: Sequence[int]) -> Floats:
        at = len(tokens) - 1 - list(tokens).index(self._middle)
        row = np.zeros(self.vocab_size, np.float32)
        row[self._script[at] if at < len(self._script) else self._after] = 1
        return row


TOKENIZER = build_tokenizer(vocabulary())
STOP = TOKENIZER.special_id("<|endoftext|>")


def single_bytes(text: str) -> list[int]:
    """A token for each byte of the text."""
    by_bytes = {TOKENIZER.token_bytes(token): token for token in range(256)}
    return [by_bytes[bytes((byte,))] for byte in text.encode()]


def scripted(script: Sequence[int], clock: Callable[[], float] | None = None) -> LocalEngine:
    assert STOP is not None
    fim = resolve("qwen2.5-coder", TOKENIZER)
    model = LoadedModel(
        backend=Scripted(TOKENIZER, script, STOP),
        tokenizer=TOKENIZER,
        fim=fim,
        stop_ids=fim.stop_ids,
        context_tokens=256,
        prompt_tokens=128,
    )
    info = EngineInfo(model_id="scripted", backend="toy", device="none")
    return LocalEngine(model, info, clock=clock) if clock else LocalEngine(model, info)


@pytest.mark.parametrize("text", ["plain", "é", "日本語", "a😀b", "e\u0301", "\r\n\t", "👩‍👩‍👧"])
def test_letters_come_whole(text: str) -> None:
    said, finish, timings, chunks = collect(scripted(single_bytes(text)))
    assert said == text[: len(said)]
    assert "\ufffd" not in "".join(chunk.text for chunk in chunks)
    if len(text.encode()) <= REQUEST.max_tokens:
        assert (said, finish) == (text, FinishReason.STOP)
        assert timings.generated_tokens == len(text.encode())


@pytest.mark.parametrize("most", range(1, 9))
def test_an_answer_cut_inside_a_letter_drops_it(most: int) -> None:
    request = CompletionRequest(prefix="x", max_tokens=most)
    said, finish, _, _ = collect(scripted(single_bytes("é😀é")), request)
    assert finish is FinishReason.LENGTH
    assert said == "é😀é".encode()[:most].decode("utf-8", "ignore")


@pytest.mark.parametrize(
    "marker",
    ["<|endoftext|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|file_sep|>"],
)
def test_every_marker_ends_the_answer(marker: str) -> None:
    token = TOKENIZER.special_id(marker)
    assert token is not None
    said, finish, timings, _ = collect(scripted([*single_bytes("ab"), token, *single_bytes("cd")]))
    assert (said, finish, timings.generated_tokens) == ("ab", FinishReason.STOP, 2)


def test_tokens_that_stand_for_nothing_are_silent() -> None:
    unused = list(vocabulary()["tokenizer.ggml.tokens"]).index("[PAD1]")
    said, _, timings, chunks = collect(scripted([unused, *single_bytes("a"), unused]))
    assert (said, timings.generated_tokens) == ("a", 3)
    assert len(chunks) == 2


def test_times_are_told_from_the_call_on() -> None:
    ticks = count()
    engine = scripted(single_bytes("abc"), clock=lambda: float(next(ticks)))
    timings = collect(engine)[2]
    # Looks at the clock: call 0, rendered 1, first token 2, end 3.
    assert (timings.render_ms, timings.ttft_ms, timings.decode_ms) == (1000, 2000, 1000)
    assert timings.tokens_per_s == pytest.approx(2.0)


def test_a_request_is_rendered_once_for_its_cost_and_its_answer() -> None:
    ticks = count()
    engine = scripted(single_bytes("abc"), clock=lambda: float(next(ticks)))
    engine.estimate(REQUEST)
    timings = collect(engine, REQUEST)[2]
    # The estimate: call 0, rendered 1. Then: call 2, first token 3, end 4.
    assert (timings.render_ms, timings.ttft_ms, timings.decode_ms) == (1000, 1000, 1000)


def test_what_was_typed_is_not_repeated() -> None:
    request = CompletionRequest(prefix="x = ", typed="ab", max_tokens=8)
    # After the middle marker the prompt goes on with what was typed.
    typed = TOKENIZER.encode_fragment("ab")
    said = collect(scripted([*typed, *single_bytes("c")]), request)[0]
    assert said == "c"
