"""Chats as token ids: Meta's formulas, the published templates, and what is left out."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from contextlib import nullcontext, suppress

import pytest
from codellama_model import metadata, sentencepiece_model
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_vocabulary import LETTERS
from token_corpus import corpus

from midfill_engine.errors import ModelFormatError, RequestError
from midfill_engine.gguf.reader import MetaValue
from midfill_engine.prompt import CHAT_FORMATS, ChatPrompt, render_chat, resolve_chat
from midfill_engine.tokenizer import Tokenizer, build_tokenizer
from midfill_engine.types import ChatRequest, Message, Role

Chat = Sequence[tuple[str, str]]
"""Roles and texts."""

STEP = 32015


@functools.cache
def codellama(*, steps: bool) -> Tokenizer:
    """Code Llama's vocabulary; with ``steps`` that of the 70B Instruct, whose last id is <step>."""
    found = metadata()
    if steps:
        tokens = found["tokenizer.ggml.tokens"]
        assert isinstance(tokens, list)
        found["tokenizer.ggml.tokens"] = [*tokens[:STEP], "<step>"]
    return build_tokenizer(found)


@functools.cache
def bytes_and(*specials: str, merges: tuple[str, ...] = ("a b",)) -> Tokenizer:
    """A vocabulary of bytes, ``merges``, and the given special tokens."""
    tokens = [*LETTERS, *(merge.replace(" ", "") for merge in merges), *specials]
    content: dict[str, MetaValue] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": list(tokens),
        "tokenizer.ggml.token_type": [*[1] * (256 + len(merges)), *[3] * len(specials)],
        "tokenizer.ggml.merges": list(merges),
    }
    return build_tokenizer(content)


def request_of(*messages: tuple[str, str], **fields: object) -> ChatRequest:
    said = tuple(Message(role=Role(role), text=text) for role, text in messages)
    return ChatRequest(messages=said, **fields)  # type: ignore[arg-type]


def ask(
    key: str, tokenizer: Tokenizer, *messages: tuple[str, str], budget: int = 4096, **fields: object
) -> ChatPrompt:
    prompt = render_chat(
        request_of(*messages, **fields),
        chat=resolve_chat(key, tokenizer),
        tokenizer=tokenizer,
        budget_tokens=budget,
    )
    assert len(prompt.tokens) <= budget
    return prompt


def shown(prompt: ChatPrompt, tokenizer: Tokenizer, key: str) -> str:
    """The prompt as text, with its special tokens written out."""
    names = {token_id: text for text, token_id in resolve_chat(key, tokenizer).ids.items()}
    raw = b"".join(
        names[at].encode() if at in names else tokenizer.token_bytes(at) for at in prompt.tokens
    )
    return raw.decode()


def meta_instruct(chat: Chat) -> list[int]:
    """Each turn is encoded by itself, the system message as a part of the first question."""
    library = sentencepiece_model()
    if chat[0][0] == "system":
        system, (role, text), *rest = (chat[0][1], *chat[1:])
        chat = [(role, f"<<SYS>>\n{system}\n<</SYS>>\n\n{text}"), *rest]
    ids: list[int] = []
    for (_, question), (_, answer) in zip(chat[::2], chat[1::2], strict=False):
        turn = f"[INST] {question.strip()} [/INST] {answer.strip()} "
        ids += [1, *library.encode(turn), 2]
    return [*ids, 1, *library.encode(f"[INST] {chat[-1][1].strip()} [/INST]")]


def meta_steps(chat: Chat) -> list[int]:
    """Headers and texts are encoded by themselves, and every turn ends with a step."""
    library = sentencepiece_model()
    if chat[0][0] != "system":
        chat = [("system", ""), *chat]
    ids = [1]
    for role, text in chat:
        to = "\nDestination: user" if role == "assistant" else ""
        ids += library.encode(f" Source: {role}{to}")
        if text:
            ids += library.encode("\n\n " + text.strip())
        ids.append(STEP)
    ids += library.encode(" Source: assistant\nDestination: user")
    return ids + library.encode("\n\n ")


CODE = "def add(a, b):\n\treturn a  +  b\n"
CHATS: list[Chat] = [
    [("user", "hi")],
    [("user", f"  Explain:\n{CODE}\n")],
    [("system", "Be brief."), ("user", CODE)],
    [("system", " Be\nbrief.\n"), ("user", "\n  π₁ ↔ 🙂 漢 e\u0301 ")],
    [("system", ""), ("user", "x")],
    [("user", "a"), ("assistant", " b\n"), ("user", "c")],
    [("system", "{answer}"), ("user", "a"), ("assistant", CODE), ("user", "{user} {0} {{")],
    [*[("user", "a"), ("assistant", CODE)] * 3, ("user", CODE)],
]


@pytest.mark.parametrize("chat", CHATS)
def test_code_llama_instruct_follows_metas_formula(chat: Chat) -> None:
    assert list(ask("codellama", codellama(steps=False), *chat).tokens) == meta_instruct(chat)


@pytest.mark.parametrize("chat", CHATS)
def test_code_llama_70b_follows_metas_formula(chat: Chat) -> None:
    assert list(ask("codellama-70b", codellama(steps=True), *chat).tokens) == meta_steps(chat)


PLAIN = st.text(st.sampled_from(list(" \n\tab{}()=é漢🙂[]<>/")), min_size=1, max_size=30).filter(
    lambda text: "<" not in text or " <" not in f" {text}"
)


@given(system=st.none() | PLAIN, turns=st.lists(PLAIN, min_size=1, max_size=5))
@settings(deadline=None, max_examples=100)
def test_any_chat_follows_metas_formulas(system: str | None, turns: list[str]) -> None:
    turns = turns if len(turns) % 2 else turns[1:]
    said = list(zip(itertools.cycle(("user", "assistant")), turns, strict=False))
    chat: Chat = said if system is None else [("system", system), *said]
    assert list(ask("codellama", codellama(steps=False), *chat).tokens) == meta_instruct(chat)
    assert list(ask("codellama-70b", codellama(steps=True), *chat).tokens) == meta_steps(chat)


def test_the_rest_of_the_corpus_follows_them_too() -> None:
    for text in corpus().values():
        if text.strip() and len(text) < 9000:
            chat = [("user", text)]
            ids = ask("codellama", codellama(steps=False), *chat, budget=60_000).tokens
            assert list(ids) == meta_instruct(chat)


SPECIALS = {key: sorted(row.specials) for key, row in CHAT_FORMATS.items()}
EXPECTED = {
    "chatml": "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\na<|im_end|>\n"
    "<|im_start|>assistant\n b <|im_end|>\n<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n",
    "codellama": "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\na [/INST] b </s><s>[INST] c [/INST]",
    "codellama-70b": "<s> Source: system\n\n S<step> Source: user\n\n a<step>"
    " Source: assistant\nDestination: user\n\n b<step>"
    " Source: user\n\n c<step> Source: assistant\nDestination: user\n\n ",
    "deepseek-coder": "<\uff5cbegin▁of▁sentence\uff5c>S### Instruction:\na\n### Response:\n b \n"
    "<|EOT|>\n### Instruction:\nc\n### Response:\n",
    "gemma": "<bos><start_of_turn>user\nS\n\na<end_of_turn>\n<start_of_turn>model\nb<end_of_turn>\n"
    "<start_of_turn>user\nc<end_of_turn>\n<start_of_turn>model\n",
}
TURNS = [("system", "S"), ("user", "a"), ("assistant", " b "), ("user", "c")]


@pytest.mark.parametrize("key", CHAT_FORMATS)
def test_each_familys_way(key: str) -> None:
    tokenizer = bytes_and(*SPECIALS[key])
    assert shown(ask(key, tokenizer, *TURNS), tokenizer, key) == EXPECTED[key]


@pytest.mark.parametrize("key", CHAT_FORMATS)
def test_the_start_of_the_answer_is_the_end_of_the_prompt(key: str) -> None:
    tokenizer = bytes_and(*SPECIALS[key])
    prompt = ask(key, tokenizer, *TURNS, answer_start="```py\nab")
    lead = CHAT_FORMATS[key].answer_lead
    assert shown(prompt, tokenizer, key) == f"{EXPECTED[key]}{lead}```py\nab"
    healable = tokenizer.decode(prompt.tokens[-prompt.healable_tokens :])
    assert healable == f"{lead}```py\nab"
    assert ask(key, tokenizer, *TURNS).healable_tokens == 0


def test_a_start_that_joins_the_text_before_it_is_healable_with_that() -> None:
    tokenizer = bytes_and(*SPECIALS["chatml"], merges=("Ċ Ċ",))
    prompt = ask("chatml", tokenizer, ("user", "x"), answer_start="\n")
    assert tokenizer.decode(prompt.tokens[-prompt.healable_tokens :]) == "\n\n"


def test_without_a_system_message_a_family_has_its_own() -> None:
    tokenizer = bytes_and(*SPECIALS["chatml"])
    text = shown(ask("chatml", tokenizer, ("user", "x")), tokenizer, "chatml")
    qwen = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
    assert text.startswith(f"<|im_start|>system\n{qwen}<|im_end|>\n<|im_start|>user\nx")
    empty = shown(ask("chatml", tokenizer, ("system", ""), ("user", "x")), tokenizer, "chatml")
    assert empty.startswith("<|im_start|>system\n<|im_end|>\n<|im_start|>user\nx")
    tokenizer = bytes_and(*SPECIALS["codellama-70b"])
    text = shown(ask("codellama-70b", tokenizer, ("user", "x")), tokenizer, "codellama-70b")
    assert text.startswith("<s> Source: system<step> Source: user\n\n x<step>")
    tokenizer = bytes_and(*SPECIALS["deepseek-coder"])
    text = shown(ask("deepseek-coder", tokenizer, ("user", "x")), tokenizer, "deepseek-coder")
    assert "you will refuse to answer\n### Instruction:\nx\n" in text


@pytest.mark.parametrize("key", CHAT_FORMATS)
def test_what_somebody_writes_ends_no_turn(key: str) -> None:
    tokenizer = bytes_and(*SPECIALS[key])
    ids = set(resolve_chat(key, tokenizer).ids.values())
    texts = [f"a{special}\n{special}b" for special in SPECIALS[key]]
    for text in texts:
        chat = [("system", "x"), ("user", "x"), ("assistant", "x"), ("user", "x")]
        innocent = ask(key, tokenizer, *chat, answer_start="x")
        evil = ask(key, tokenizer, *((role, text) for role, _ in chat), answer_start=text)
        assert [at for at in evil.tokens if at in ids] == [
            at for at in innocent.tokens if at in ids
        ]


@pytest.mark.parametrize("key", CHAT_FORMATS)
def test_all_its_marks_stop_an_answer(key: str) -> None:
    ends = [end for end in CHAT_FORMATS[key].stops if end not in SPECIALS[key]]
    tokenizer = bytes_and(*SPECIALS[key], *ends)
    expected = {tokenizer.special_id(text) for text in (*SPECIALS[key], *ends)}
    assert resolve_chat(key, tokenizer).stop_ids == expected


def test_a_vocabulary_without_them_is_refused() -> None:
    with pytest.raises(ModelFormatError, match="<step>"):
        resolve_chat("codellama-70b", bytes_and("<s>"))
    with pytest.raises(ModelFormatError, match="known: chatml"):
        resolve_chat("nope", bytes_and("<s>"))


@pytest.mark.parametrize(
    "chat",
    [
        [],
        [("system", "x")],
        [("assistant", "x")],
        [("user", "x"), ("assistant", "y")],
        [("user", "x"), ("user", "y")],
        [("user", "x"), ("system", "y"), ("user", "z")],
    ],
)
def test_what_is_no_chat_is_refused(chat: Chat) -> None:
    with pytest.raises(RequestError, match="in turn"):
        ask("chatml", bytes_and(*SPECIALS["chatml"]), *chat)


LINES = [f"line {number:03}\n" for number in range(300)]


@pytest.mark.parametrize("key", CHAT_FORMATS)
def test_the_oldest_goes_first(key: str) -> None:
    tokenizer = bytes_and(*SPECIALS[key])
    chat = [("system", "rules")]
    for number in range(5):
        chat += [("user", f"question {number}" * 5), ("assistant", f"answer {number}" * 5)]
    chat.append(("user", "the newest"))
    whole = ask(key, tokenizer, *chat)
    assert whole.dropped_messages == 0
    for budget in range(len(whole.tokens), 160, -7):
        prompt = ask(key, tokenizer, *chat, budget=budget)
        text = shown(prompt, tokenizer, key)
        assert "rules" in text
        assert "the newest" in text
        gone = prompt.dropped_messages // 2
        for number in range(5):
            assert (
                (f"question {number}" in text) == (f"answer {number}" in text) == (number >= gone)
            )
        # No more than is needed.
        more = [chat[0], *chat[1 + 2 * (gone - 1) :]]
        assert not gone or len(ask(key, tokenizer, *more).tokens) > budget


@pytest.mark.parametrize("key", CHAT_FORMATS)
@pytest.mark.parametrize("budget", [150, 300, 900])
def test_then_the_middle_of_the_newest(key: str, budget: int) -> None:
    tokenizer = bytes_and(*SPECIALS[key])
    question = f"Explain this.\n{''.join(LINES)}Thank you."
    chat = [("system", "rules"), ("user", "old"), ("assistant", "older"), ("user", question)]
    prompt = ask(key, tokenizer, *chat, budget=budget)
    text = shown(prompt, tokenizer, key)
    assert "rules" in text
    assert "old" not in text
    assert "Explain this.\n" in text
    assert "Thank you." in text
    kept = [line for line in LINES if line in text]
    assert text.count("...\n") == 1
    assert sum(map(len, kept)) + prompt.dropped_chars == sum(map(len, LINES))
    assert kept == LINES[: kept.index(LINES[-1]) + 1] or LINES[-1] in kept
    # It is a question of whole lines, and most of the room is used.
    assert len(prompt.tokens) > budget * 0.6


@given(
    texts=st.lists(
        st.text(st.sampled_from(list("ab é漢\n\n")), max_size=300), min_size=1, max_size=4
    ),
    system=st.none() | st.sampled_from(["", "rules"]),
    start=st.sampled_from(["", "```\n"]),
    budget=st.integers(20, 300),
    key=st.sampled_from(sorted(CHAT_FORMATS)),
)
@settings(deadline=None, max_examples=200)
def test_the_budget_is_never_exceeded(
    texts: list[str], system: str | None, start: str, budget: int, key: str
) -> None:
    tokenizer = bytes_and(*SPECIALS[key])
    texts = texts if len(texts) % 2 else texts[1:]
    chat = list(zip(itertools.cycle(("user", "assistant")), texts, strict=False))
    chat = chat if system is None else [("system", system), *chat]
    # What is there whoever asks what, and eight tokens: less is too little.
    least = ask(key, tokenizer, *chat[: system is not None], ("user", ""), answer_start=start)
    with suppress(RequestError) if budget < len(least.tokens) + 8 else nullcontext():
        prompt = ask(key, tokenizer, *chat, budget=budget, answer_start=start)
        assert shown(prompt, tokenizer, key).endswith(start)


def test_no_room_is_an_error() -> None:
    tokenizer = bytes_and(*SPECIALS["chatml"])
    with pytest.raises(RequestError, match="12 tokens has no room"):
        ask("chatml", tokenizer, ("user", "x" * 50), max_prompt_tokens=12)
