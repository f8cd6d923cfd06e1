"""The chat formats of the model families, as data, and a chat as token ids in one of them.

Special tokens are placed by id, so nothing that somebody writes can end a turn or begin one.
A new family is a new row of ``CHAT_FORMATS``.

What does not fit the budget is left out by one rule: first the oldest questions go, each with its
answer, then the middle of the newest one, by whole lines. The system message is never cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeAlias

from midfill_engine.errors import ModelFormatError, RequestError
from midfill_engine.prompt.window import head_window, tail_window
from midfill_engine.tokenizer import Tokenizer
from midfill_engine.types import ChatRequest, Message, Role

__all__ = [
    "CHAT_FORMATS",
    "ChatFormat",
    "ChatPrompt",
    "ResolvedChat",
    "Special",
    "render_chat",
    "resolve_chat",
]

_ANSWER = "{answer}"
_GAP = "...\n"
_MIN_TEXT_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Special:
    """A special token by its text."""

    text: str


Part: TypeAlias = str | Special
"""A piece of a template. Text may have the places ``{system}``, ``{user}`` and ``{answer}``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatFormat:
    """How a family writes a chat.

    ``system`` stands at the beginning; ``no_system`` there where the system message is missing or
    empty and there is no ``default_system`` for it. ``system_in_user`` is for families whose
    system message is a part of the first question. ``exchange`` is a question and its answer; the
    prompt ends where the answer of the last one begins. ``answer_lead`` is what the model itself
    writes between the two. ``strips``: questions and answers lose the space around them.

    Pieces of text that follow each other are encoded as one, unless ``joins`` is false.
    ``stops`` are tokens that end an answer, if the vocabulary has them; those in the templates do
    as well.
    """

    system: tuple[Part, ...] = ()
    no_system: tuple[Part, ...] = ()
    default_system: str | None = None
    system_in_user: str | None = None
    exchange: tuple[Part, ...]
    answer_lead: str = ""
    strips: bool = False
    joins: bool = True
    stops: tuple[str, ...] = ()

    @property
    def specials(self) -> frozenset[str]:
        """The special tokens in its templates."""
        every = (*self.system, *self.no_system, *self.exchange)
        return frozenset(part.text for part in every if isinstance(part, Special))


_IM_START, _IM_END = Special("<|im_start|>"), Special("<|im_end|>")
_BOS, _EOS = Special("<s>"), Special("</s>")
_STEP = Special("<step>")
_DEEPSEEK_BOS = Special("<\uff5cbegin▁of▁sentence\uff5c>")
_TURN, _END_OF_TURN = Special("<start_of_turn>"), Special("<end_of_turn>")

CHAT_FORMATS: Mapping[str, ChatFormat] = MappingProxyType(
    {
        "chatml": ChatFormat(
            system=(_IM_START, "system\n{system}", _IM_END, "\n"),
            default_system="You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
            exchange=(
                *(_IM_START, "user\n{user}", _IM_END, "\n"),
                *(_IM_START, "assistant\n{answer}", _IM_END, "\n"),
            ),
            stops=("<|endoftext|>",),
        ),
        # https://github.com/meta-llama/codellama, chat_completion in llama/generation.py
        "codellama": ChatFormat(
            system_in_user="<<SYS>>\n{system}\n<</SYS>>\n\n{user}",
            exchange=(_BOS, "[INST] {user} [/INST]{answer} ", _EOS),
            answer_lead=" ",
            strips=True,
            stops=("▁<EOT>",),
        ),
        # The same file, dialog_prompt_tokens. An answer is addressed to the user when it is asked
        # for, and stays so in the turns after it.
        "codellama-70b": ChatFormat(
            system=(_BOS, " Source: system", "\n\n {system}", _STEP),
            no_system=(_BOS, " Source: system", _STEP),
            exchange=(
                *(" Source: user", "\n\n {user}", _STEP),
                *(" Source: assistant\nDestination: user", "\n\n {answer}", _STEP),
            ),
            strips=True,
            joins=False,
            stops=("</s>", "▁<EOT>"),
        ),
        "deepseek-coder": ChatFormat(
            system=(_DEEPSEEK_BOS, "{system}"),
            no_system=(_DEEPSEEK_BOS,),
            default_system=(
                "You are an AI programming assistant, utilizing the Deepseek Coder model, "
                "developed by Deepseek Company, and you only answer questions related to computer "
                "science. For politically sensitive questions, security and privacy issues, and "
                "other non-computer science questions, you will refuse to answer\n"
            ),
            exchange=(
                "### Instruction:\n{user}\n### Response:\n{answer}\n",
                Special("<|EOT|>"),
                "\n",
            ),
            stops=("<\uff5cend▁of▁sentence\uff5c>",),
        ),
        "gemma": ChatFormat(
            no_system=(Special("<bos>"),),
            system_in_user="{system}\n\n{user}",
            exchange=(
                *(_TURN, "user\n{user}", _END_OF_TURN, "\n"),
                *(_TURN, "model\n{answer}", _END_OF_TURN, "\n"),
            ),
            strips=True,
            stops=("<eos>",),
        ),
    }
)
"""By family; a registry names one of these keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedChat:
    """A format with the ids its special tokens have in one vocabulary.

    ``stop_ids`` end an answer and are never part of its text.
    """

    format: ChatFormat
    ids: Mapping[str, int]
    stop_ids: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatPrompt:
    """The ids to show the model.

    The last ``healable_tokens`` are the start of the answer: a word there may go on.
    ``drops_space``: the answer begins with a space that is no part of it. ``dropped_messages`` old
    ones and ``dropped_chars`` of the newest are not shown.
    """

    tokens: tuple[int, ...]
    healable_tokens: int
    drops_space: bool
    dropped_messages: int = 0
    dropped_chars: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dialog:
    """A chat in its parts: what was asked and answered, and what is asked now."""

    system: str | None
    exchanges: tuple[tuple[str, str], ...]
    newest: str


def resolve_chat(key: str, tokenizer: Tokenizer) -> ResolvedChat:
    """Look the special tokens of the format ``key`` up in ``tokenizer``.

    Raises ``ModelFormatError`` for an unknown key or when one is not in the vocabulary.
    """
    chat = CHAT_FORMATS.get(key)
    if chat is None:
        raise ModelFormatError(
            f"No chat format is called {key!r}; known: {', '.join(CHAT_FORMATS)}."
        )
    ids: dict[str, int] = {}
    for text in chat.specials:
        token_id = tokenizer.special_id(text)
        if token_id is None:
            raise ModelFormatError(
                f"The model's vocabulary has no {text!r}, so it cannot chat as {key!r} does."
            )
        ids[text] = token_id
    ends = (*map(tokenizer.special_id, chat.stops), tokenizer.eos_id, *ids.values())
    return ResolvedChat(
        format=chat,
        ids=MappingProxyType(ids),
        stop_ids=frozenset(token_id for token_id in ends if token_id is not None),
    )


def render_chat(
    request: ChatRequest, *, chat: ResolvedChat, tokenizer: Tokenizer, budget_tokens: int
) -> ChatPrompt:
    """Pack ``request`` into at most ``budget_tokens`` (and ``request.max_prompt_tokens``) ids.

    Raises ``RequestError`` where the messages are not a chat, or nothing of the newest one fits.
    """
    if request.max_prompt_tokens is not None:
        budget_tokens = min(budget_tokens, request.max_prompt_tokens)
    dialog = _dialog(request.messages)

    def encode(shown: _Dialog, answer_start: str = request.answer_start) -> list[int]:
        return _encode(_parts(shown, chat.format, answer_start), chat, tokenizer)

    def prompt(shown: _Dialog, tokens: Sequence[int], dropped_chars: int = 0) -> ChatPrompt:
        return ChatPrompt(
            tokens=tuple(tokens),
            healable_tokens=_added(encode(shown, ""), tokens) if request.answer_start else 0,
            # SentencePiece writes a space before a text, and the answer is one.
            drops_space=tokenizer.space_prefix and not request.answer_start,
            dropped_messages=2 * (len(dialog.exchanges) - len(shown.exchanges)),
            dropped_chars=dropped_chars,
        )

    for shown in _without_oldest(dialog):
        tokens = encode(shown)
        if len(tokens) <= budget_tokens:
            return prompt(shown, tokens)
    alone = replace(dialog, exchanges=(), newest="")
    room = budget_tokens - len(encode(alone))
    while room >= _MIN_TEXT_TOKENS:
        newest, dropped_chars = _without_middle(dialog.newest, room, tokenizer)
        shown = replace(alone, newest=newest)
        tokens = encode(shown)
        if len(tokens) <= budget_tokens:
            return prompt(shown, tokens, dropped_chars)
        room -= len(tokens) - budget_tokens
    raise RequestError(f"A prompt of {budget_tokens} tokens has no room for this chat.")


def _dialog(messages: Sequence[Message]) -> _Dialog:
    system, turns = None, messages
    if messages and messages[0].role is Role.SYSTEM:
        system, turns = messages[0].text, messages[1:]
    asked, answered = turns[::2], turns[1::2]
    in_turn = all(message.role is Role.USER for message in asked) and all(
        message.role is Role.ASSISTANT for message in answered
    )
    if not in_turn or len(asked) != len(answered) + 1:
        raise RequestError(
            "A chat is a system message or none, then the user's and the assistant's in turn; the "
            "last one is the user's."
        )
    exchanges = zip(asked, answered, strict=False)
    return _Dialog(
        system=system,
        exchanges=tuple((question.text, answer.text) for question, answer in exchanges),
        newest=asked[-1].text,
    )


def _without_oldest(dialog: _Dialog) -> Iterator[_Dialog]:
    """Yield the whole, then without the oldest exchange, and so on."""
    for first in range(len(dialog.exchanges) + 1):
        yield replace(dialog, exchanges=dialog.exchanges[first:])


def _without_middle(text: str, room: int, tokenizer: Tokenizer) -> tuple[str, int]:
    """Return the beginning and the end of ``text`` in about ``room`` tokens, and how many
    characters are left out."""
    room -= len(tokenizer.encode_fragment("\n" + _GAP))
    tail = tail_window(text, room // 2, tokenizer=tokenizer, fragment=True)
    head = head_window(text, room - len(tail.tokens), tokenizer=tokenizer)
    dropped = tail.dropped_chars + head.dropped_chars - len(text)
    if dropped <= 0:
        return text, 0
    beginning, end = text[: len(text) - head.dropped_chars], text[tail.dropped_chars :]
    newline = "" if not beginning or beginning.endswith("\n") else "\n"
    return f"{beginning}{newline}{_GAP}{end}", dropped


def _parts(dialog: _Dialog, chat: ChatFormat, answer_start: str) -> Iterator[Part]:
    """Yield the pieces of the whole chat, up to where the answer goes on."""
    system = chat.default_system if dialog.system is None else dialog.system
    if chat.system and system is not None and (system or not chat.no_system):
        yield from _filled(chat.system, chat, system=system)
    else:
        yield from chat.no_system
    questions = [*(question for question, _ in dialog.exchanges), dialog.newest]
    if chat.system_in_user is not None and system is not None:
        questions[0] = chat.system_in_user.format(system=system, user=questions[0])
    for question, (_, answer) in zip(questions, dialog.exchanges, strict=False):
        yield from _filled(chat.exchange, chat, user=question, answer=answer)
    for part in chat.exchange:
        if isinstance(part, str) and _ANSWER in part:
            before = part[: part.index(_ANSWER)]
            (asked,) = _filled((before,), chat, user=questions[-1])
            yield f"{asked}{chat.answer_lead}{answer_start}" if answer_start else asked
            return
        yield from _filled((part,), chat, user=questions[-1])


def _filled(
    template: Iterable[Part],
    chat: ChatFormat,
    *,
    system: str = "",
    user: str = "",
    answer: str = "",
) -> Iterator[Part]:
    """Yield the pieces of ``template`` with texts in their places."""
    if chat.strips:
        system, user, answer = system.strip(), user.strip(), answer.strip()
    answer = chat.answer_lead + answer
    for part in template:
        if isinstance(part, Special):
            yield part
        else:
            yield part.format(system=system, user=user, answer=answer)


def _encode(parts: Iterable[Part], chat: ResolvedChat, tokenizer: Tokenizer) -> list[int]:
    ids: list[int] = []
    text = ""
    for part in parts:
        if isinstance(part, str) and chat.format.joins:
            text += part
            continue
        ids += tokenizer.encode(text)
        text = ""
        if isinstance(part, str):
            text = part
        else:
            ids.append(chat.ids[part.text])
    return ids + tokenizer.encode(text)


def _added(beginning: Sequence[int], whole: Sequence[int]) -> int:
    """Return how many ids of ``whole`` come after those it shares with ``beginning``."""
    pairs = zip(beginning, whole, strict=False)
    shared = next((at for at, (a, b) in enumerate(pairs) if a != b), len(beginning))
    return len(whole) - shared
