"""The values that cross the door between the server and an engine.

Text in, text out: nothing here knows a token id, a tensor or an editor.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

__all__ = [
    "ChatRequest",
    "Chunk",
    "CompletionRequest",
    "ContextChunk",
    "Cost",
    "EngineInfo",
    "FinishReason",
    "Fit",
    "Landmark",
    "Message",
    "Request",
    "Role",
    "Sampling",
    "Timings",
    "TokenScore",
]


class FinishReason(StrEnum):
    """Why a generation ended."""

    STOP = "stop"
    """The model produced one of its own stop tokens."""
    LENGTH = "length"
    """``max_tokens`` was reached, or the context was full."""
    CANCELLED = "cancelled"
    """The cancel token was set or its deadline passed; what was generated so far is valid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextChunk:
    """A piece of another place (file, definition) that may help; ranked by the server.

    ``volatile``: it changes often, as recent edits do, so it is shown after what seldom does: what
    is computed for the text before a change stays.
    """

    path: str
    text: str
    volatile: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Landmark:
    """Lines of the prefix that say where the cursor is: those of its characters ``[start, end)``.

    Such as the header of the class around it: shown even where the rest is too long to be. A
    syntactic unit starts with these lines.
    """

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is chosen. ``temperature == 0`` is greedy and ignores the rest."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """One completion to compute.

    ``prefix`` is the text before the split, ``suffix`` the text after the cursor. ``typed`` is the
    text between the split and the cursor: the model sees it as the already written start of its
    own answer, and it is not repeated in the output. While somebody types, ``typed`` grows and the
    rest stays, so that a keystroke only adds to what is computed already. ``heal``: the cursor may
    stand inside a token, so the last typed ones are generated again, bound to spell the same.

    The engine packs ``prefix`` and ``suffix`` into ``max_prompt_tokens`` (``None``: the engine's
    own default for its model); ``typed`` and ``context``, most useful first, come on top. Where the
    file is longer, ``landmarks``, most important first, are kept of what lies farther before the
    cursor, and the suffix preferably ends at one of ``breaks``: offsets in it at which a syntactic
    unit ends. ``path`` (within the repository) and ``repo``, its name, are shown along with
    context; ``comment`` is what begins a line comment in the file's language.

    ``max_tokens=0`` computes the prompt and answers nothing: what a prefetch is. ``hints`` are
    texts that the answer may have much in common with, such as an answer that was just typed past:
    they make it faster, never different. ``awaited``: somebody waits for the answer; where the
    model's prompt would take long to compute, a faster model may answer. ``scored``: the answer
    comes with what the model thought of each token.
    """

    prefix: str
    suffix: str = ""
    typed: str = ""
    context: tuple[ContextChunk, ...] = ()
    landmarks: tuple[Landmark, ...] = ()
    breaks: tuple[int, ...] = ()
    path: str = ""
    repo: str = ""
    comment: str = ""
    hints: tuple[str, ...] = ()
    heal: bool = True
    max_tokens: int = 64
    max_prompt_tokens: int | None = None
    awaited: bool = True
    scored: bool = False
    sampling: Sampling = field(default_factory=Sampling)
    request_id: str = ""


class Role(StrEnum):
    """Who says a message of a chat."""

    SYSTEM = "system"
    """What the assistant is told about itself and its task; only ever the first message."""
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a chat."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """An answer to compute in a chat: to explain code, or to fix it.

    ``messages`` are a system message or none, then the user's and the assistant's in turn; the last
    one is the user's. ``answer_start`` is text that the answer must begin with; the model sees it
    as already written, and it is not repeated in the output. ``max_prompt_tokens`` bounds all of
    this (``None``: the engine's own default for its model). The other fields are those of
    ``CompletionRequest``.
    """

    messages: tuple[Message, ...]
    answer_start: str = ""
    hints: tuple[str, ...] = ()
    max_tokens: int = 512
    max_prompt_tokens: int | None = None
    awaited: bool = True
    sampling: Sampling = field(default_factory=Sampling)
    request_id: str = ""


Request: TypeAlias = CompletionRequest | ChatRequest
"""What an engine answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """What one answer cost.

    ``prompt_tokens == reused_tokens + prefilled_tokens``. ``ttft_ms`` runs from the call of
    ``stream`` to the first generated token; ``decode_ms`` covers the tokens after it. Of the
    ``drafted_tokens`` that were guessed and checked, ``accepted_tokens`` stood.
    """

    prompt_tokens: int = 0
    reused_tokens: int = 0
    prefilled_tokens: int = 0
    generated_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    render_ms: float = 0.0
    ttft_ms: float | None = None
    decode_ms: float = 0.0

    @property
    def tokens_per_s(self) -> float | None:
        """Decode speed over the tokens after the first; ``None`` for fewer than two tokens."""
        if self.generated_tokens < 2 or self.decode_ms <= 0:
            return None
        return (self.generated_tokens - 1) / self.decode_ms * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a request would cost now: tokens that are not computed yet, and the time for them."""

    prefill_tokens: int = 0
    prefill_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenScore:
    """What the model thought where it wrote a token. All are natural logarithms of probabilities.

    ``at`` is how many characters of the answer were there before. ``stop_logprob`` is for the
    answer to end there, ``runner_up`` the text of the next best token, ``""`` where that is none.
    Where the typed text binds the first tokens, the probabilities are among those that it allows.
    """

    at: int
    logprob: float
    stop_logprob: float
    runner_up: str
    runner_up_logprob: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How probable a text is after an answer: the natural logarithm for all of its ``tokens``."""

    logprob: float
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A step of a stream: text to append. Exactly the last chunk has ``finish`` and ``timings``.

    ``stood_in``, on the last chunk: a faster model answered, and the better one does not have the
    prompt yet; a request that nobody waits for gives it that. ``scores`` are of all tokens chosen
    since the last chunk, the one that ended the answer included, where the request asked for them.
    """

    text: str
    finish: FinishReason | None = None
    timings: Timings | None = None
    stood_in: bool = False
    scores: tuple[TokenScore, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """Which model serves, on what, and why it was chosen: for people, in logs and ``doctor``."""

    model_id: str
    backend: str
    device: str
    reason: str = ""
