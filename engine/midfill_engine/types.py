"""The values that cross the door between the server and an engine.

Text in, text out: nothing here knows a token id, a tensor or an editor.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

__all__ = [
    "Chunk",
    "CompletionRequest",
    "ContextChunk",
    "EngineInfo",
    "FinishReason",
    "Sampling",
    "Timings",
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
    """A piece of another place (file, definition) that may help; ranked by the server."""

    path: str
    text: str


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
    own answer, and it is not repeated in the output.

    The engine packs ``prefix``, ``suffix`` and ``context`` into ``max_prompt_tokens`` (``None``:
    the engine's own default for its model); the server need not count tokens.
    """

    prefix: str
    suffix: str = ""
    typed: str = ""
    context: tuple[ContextChunk, ...] = ()
    max_tokens: int = 64
    max_prompt_tokens: int | None = None
    sampling: Sampling = field(default_factory=Sampling)
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """What one completion cost.

    ``prompt_tokens == reused_tokens + prefilled_tokens``. ``ttft_ms`` runs from the call of
    ``stream`` to the first generated token; ``decode_ms`` covers the tokens after it.
    """

    prompt_tokens: int = 0
    reused_tokens: int = 0
    prefilled_tokens: int = 0
    generated_tokens: int = 0
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
class Chunk:
    """A step of a stream: text to append. Exactly the last chunk has ``finish`` and ``timings``."""

    text: str
    finish: FinishReason | None = None
    timings: Timings | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """Which model serves, on what, and why it was chosen: for people, in logs and ``doctor``."""

    model_id: str
    backend: str
    device: str
    reason: str = ""
