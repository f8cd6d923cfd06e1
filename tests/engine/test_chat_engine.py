"""Answers in a chat: from the door to the text, on a model that says what the test wants."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from tiny_models import Floats, ToyBackend
from tiny_vocabulary import LETTERS

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.errors import RequestError
from midfill_engine.fake import ScriptedEngine
from midfill_engine.gguf.reader import MetaValue
from midfill_engine.local import LoadedModel, LocalEngine
from midfill_engine.progress import silent
from midfill_engine.prompt import CHAT_FORMATS, FIM_FORMATS, resolve, resolve_chat
from midfill_engine.stand_in import StandInEngine
from midfill_engine.tokenizer import Tokenizer, build_tokenizer
from midfill_engine.types import (
    ChatRequest,
    CompletionRequest,
    EngineInfo,
    FinishReason,
    Message,
    Request,
    Role,
    Timings,
)

FIM_MARKERS = ["▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
PIECES = {"▁": -9.0, "▁a": -1.0, "a": -9.0, "b": -9.0, "ab": -0.5, "▁ab": -0.2, "▁▁": -3.0}
ASKED = (Message(role=Role.USER, text="why?"),)


@functools.cache
def llama() -> Tokenizer:
    """Bytes, a few pieces, and the markers of Code Llama."""
    steps = sorted(CHAT_FORMATS["codellama-70b"].specials - {"<s>"})
    tokens = ["<unk>", "<s>", "</s>", *BYTES, *PIECES, *FIM_MARKERS, *steps]
    return build_tokenizer(
        {
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": list(tokens),
            "tokenizer.ggml.scores": [*([0.0] * 259), *PIECES.values(), *([-1e9] * 5)],
            "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 256, *[1] * len(PIECES), *[3] * 5],
            "tokenizer.ggml.bos_token_id": 1,
            "tokenizer.ggml.eos_token_id": 2,
        }
    )


@functools.cache
def qwen() -> Tokenizer:
    markers = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    fim = FIM_FORMATS["qwen2.5-coder"]
    markers += [fim.prefix, fim.suffix, fim.middle or ""]
    content: dict[str, MetaValue] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": [*LETTERS, "ab", *markers],
        "tokenizer.ggml.token_type": [*[1] * 257, *[3] * len(markers)],
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.eos_token_id": 257,
    }
    return build_tokenizer(content)


class Saying(ToyBackend):
    """Writes ``script`` once, behind the first prompt that it is asked to go on with."""

    def __init__(self, tokenizer: Tokenizer, script: Sequence[int]) -> None:
        super().__init__(tokenizer.vocab_size)
        self._script = script
        self._start: int | None = None

    def row(self, tokens: Sequence[int]) -> Floats:
        if self._start is None:
            self._start = len(tokens)
        row = np.zeros(self.vocab_size, np.float32)
        at = len(tokens) - self._start
        if at < len(self._script):
            row[self._script[at]] = 1
        return row


def engine_of(
    tokenizer: Tokenizer,
    backend: ToyBackend,
    *,
    chat: str | None,
    fim: str | None = None,
    context_tokens: int = 1024,
) -> LocalEngine:
    fills_in = resolve(fim, tokenizer) if fim else None
    model = LoadedModel(
        backend=backend,
        tokenizer=tokenizer,
        fim=fills_in,
        stop_ids=fills_in.stop_ids if fills_in else frozenset({2}),
        context_tokens=context_tokens,
        prompt_tokens=256,
        chat=resolve_chat(chat, tokenizer) if chat else None,
    )
    return LocalEngine(model, EngineInfo(model_id="tiny-base", backend="toy", device="none"))


def answer(
    engine: Engine, request: Request, cancel: CancelToken | None = None
) -> tuple[str, FinishReason, Timings]:
    chunks = list(engine.stream(request, cancel or CancelToken()))
    last = chunks[-1]
    assert last.finish is not None
    assert last.timings is not None
    return "".join(chunk.text for chunk in chunks), last.finish, last.timings


def say(
    script: Sequence[int],
    request: Request,
    *,
    tokenizer: Callable[[], Tokenizer] = llama,
    chat: str | None = "codellama",
    fim: str | None = None,
) -> tuple[str, FinishReason]:
    made = tokenizer()
    text, finish, _ = answer(engine_of(made, Saying(made, script), chat=chat, fim=fim), request)
    return text, finish


def test_the_space_that_begins_an_answer_is_dropped_where_the_model_writes_one() -> None:
    request = ChatRequest(messages=ASKED)
    stop = [2]
    assert say([*llama().encode("ab é"), *stop], request) == ("ab é", FinishReason.STOP)
    assert say([*llama().encode(" ab"), *stop], request)[0] == " ab"
    assert say([*llama().encode("ab"), *stop], request, chat="codellama-70b")[0] == "ab"
    spaced = [*qwen().encode(" ab"), 257]
    assert say(spaced, request, tokenizer=qwen, chat="chatml")[0] == " ab"


@pytest.mark.parametrize("end", ["</s>", "▁<EOT>", "<s>"])
@pytest.mark.parametrize("length", range(4))
def test_no_end_ever_becomes_text(end: str, length: int) -> None:
    stop = llama().special_id(end)
    assert stop is not None
    ids = llama().encode("ab ab ab")[:length]
    script = [*ids, stop, *llama().encode("junk")]
    said = llama().decode(ids).removeprefix(" ")
    assert say(script, ChatRequest(messages=ASKED)) == (said, FinishReason.STOP)


@pytest.mark.parametrize("end", [*FIM_MARKERS, "</s>"])
@pytest.mark.parametrize("length", range(5))
@pytest.mark.parametrize("fim", ["codellama", "codellama-psm"])
def test_no_end_of_a_completion_ever_becomes_text(end: str, length: int, fim: str) -> None:
    stop = llama().special_id(end)
    assert stop is not None
    ids = llama().encode_fragment(" ab  é")[:length]
    script = [*ids, stop, *llama().encode("junk")]
    request = CompletionRequest(prefix="a =", suffix="b", heal=False)
    said, finish = say(script, request, fim=fim)
    whole = b"".join(map(llama().token_bytes, ids))
    assert finish is FinishReason.STOP
    # The space it begins with is the answer's own.
    assert said == whole.decode("utf-8", "replace")


@pytest.mark.parametrize(("fim", "said"), [("codellama-psm", " ab"), ("codellama", "ab")])
def test_the_first_text_of_a_file_has_no_space_of_its_own(fim: str, said: str) -> None:
    """In the order that ends with the prefix, prefix and answer are one text."""
    request = CompletionRequest(prefix="", suffix="b")
    assert say([*llama().encode("ab"), 2], request, fim=fim)[0] == said
    assert say([*llama().encode("ab"), 2], CompletionRequest(prefix=""))[0] == "ab"
    assert say([*llama().encode("ab"), 2], CompletionRequest(prefix="a=", heal=False))[0] == " ab"


@pytest.mark.parametrize("chat", ["codellama", "codellama-70b"])
@pytest.mark.parametrize("start", ["```\n", "a", " a", "é", "\n"])
def test_an_answer_goes_on_where_it_was_begun(chat: str, start: str) -> None:
    # The last token of the start is generated again: "a" may go on as "ab".
    request = ChatRequest(messages=ASKED, answer_start=start, max_tokens=6)
    tokenizer = llama()
    engine = engine_of(tokenizer, ToyBackend(tokenizer.vocab_size), chat=chat)
    text, _, timings = answer(engine, request)
    assert timings.generated_tokens <= 6 + 8
    untold = engine_of(tokenizer, ToyBackend(tokenizer.vocab_size), chat=chat)
    assert answer(untold, request)[0] == text
    if start == "a":
        script = [*tokenizer.encode("ab"), 2]
        made = engine_of(tokenizer, Saying(tokenizer, script), chat=chat)
        if chat == "codellama":
            assert answer(made, request)[0] == "b"


def test_a_second_question_computes_only_what_is_new() -> None:
    tokenizer = qwen()
    engine = engine_of(tokenizer, ToyBackend(tokenizer.vocab_size), chat="chatml")
    first = ChatRequest(messages=ASKED, max_tokens=8)
    text, _, cold = answer(engine, first)
    assert cold.reused_tokens == 0
    said = (Message(role=Role.ASSISTANT, text=text), Message(role=Role.USER, text="and?"))
    second = ChatRequest(messages=(*ASKED, *said), max_tokens=8)
    cost = engine.estimate(second)
    _, _, warm = answer(engine, second)
    assert warm.reused_tokens >= cold.prompt_tokens
    assert cost.prefill_tokens == warm.prefilled_tokens
    alone = engine_of(tokenizer, ToyBackend(tokenizer.vocab_size), chat="chatml")
    assert answer(alone, second)[0] == answer(engine, second)[0]


def test_completions_and_chats_take_turns() -> None:
    tokenizer = qwen()
    engine = engine_of(
        tokenizer, ToyBackend(tokenizer.vocab_size), chat="chatml", fim="qwen2.5-coder"
    )
    requests: list[Request] = [
        CompletionRequest(prefix="x = ", suffix="\n", max_tokens=6),
        ChatRequest(messages=ASKED, max_tokens=6, hints=("ab",)),
    ]
    cold = [answer(engine, request)[0] for request in requests]
    for _ in range(2):
        assert [answer(engine, request)[0] for request in requests] == cold


@pytest.mark.parametrize("max_tokens", [0, 1, 100, 200])
@pytest.mark.parametrize("budget", [None, 60, 10_000])
def test_prompt_and_answer_fit_the_context(max_tokens: int, budget: int | None) -> None:
    tokenizer = qwen()
    engine = engine_of(
        tokenizer, ToyBackend(tokenizer.vocab_size), chat="chatml", context_tokens=300
    )
    rules = Message(role=Role.SYSTEM, text="x")
    long = Message(role=Role.USER, text="value = compute(1)\n" * 200)
    request = ChatRequest(
        messages=(rules, long),
        answer_start="```\n",
        max_tokens=max_tokens,
        max_prompt_tokens=budget,
    )
    _, _, timings = answer(engine, request)
    assert timings.prompt_tokens + max_tokens <= 300
    assert budget is None or timings.prompt_tokens <= budget


def test_who_cannot_chat_says_who_can() -> None:
    tokenizer = llama()
    engine = engine_of(tokenizer, ToyBackend(tokenizer.vocab_size), chat=None)
    request = ChatRequest(messages=ASKED)
    for call in (
        lambda: list(engine.stream(request, CancelToken())),
        lambda: engine.estimate(request),
    ):
        with pytest.raises(RequestError, match=r"tiny-base .* codellama-7b-instruct"):
            call()


def test_an_answer_too_long_for_the_context_is_refused() -> None:
    tokenizer = qwen()
    engine = engine_of(tokenizer, ToyBackend(tokenizer.vocab_size), chat="chatml")
    with pytest.raises(RequestError, match="no room"):
        engine.estimate(ChatRequest(messages=ASKED, max_tokens=1024))


def test_a_chat_that_is_cancelled_ends() -> None:
    tokenizer = qwen()
    engine = engine_of(tokenizer, ToyBackend(tokenizer.vocab_size), chat="chatml")
    cancel = CancelToken()
    cancel.cancel()
    assert answer(engine, ChatRequest(messages=ASKED), cancel)[1] is FinishReason.CANCELLED


def test_the_fake_answers_a_chat_too() -> None:
    engine = ScriptedEngine(
        lambda request: request.messages[-1].text if isinstance(request, ChatRequest) else "code"
    )
    assert answer(engine, ChatRequest(messages=ASKED))[0] == "why?"
    assert answer(engine, CompletionRequest(prefix="x"))[0] == "code"


def test_the_stand_in_passes_a_chat_on() -> None:
    small, better = ScriptedEngine("small"), ScriptedEngine("better")
    engine = StandInEngine(small, lambda cancel: better, silent, first_request_s=60)
    request = ChatRequest(messages=ASKED)
    assert answer(engine, request)[0] == "small"
    engine.close()
    # What is asked next is prepared with the chat, and no answer is written for that.
    assert small.requests == [request]
    assert better.requests in ([], [replace(request, max_tokens=0)])
