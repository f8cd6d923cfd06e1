"""The one door between the server and whatever computes text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from midfill_engine.cancel import CancelToken
from midfill_engine.types import Chunk, CompletionRequest, Cost, EngineInfo, Fit, Request

__all__ = ["Engine"]


class Engine(Protocol):
    """Computes completions, and answers in a chat.

    One at a time: callers serialise their calls (the scheduler does).
    """

    @property
    def info(self) -> EngineInfo:
        """Which model serves, where and why."""
        ...

    def stream(self, request: Request, cancel: CancelToken) -> Iterator[Chunk]:
        """Yield text as it is generated; the last chunk carries ``finish`` and ``timings``.

        A cancelled stream ends within one decode step or prefill chunk, with
        ``FinishReason.CANCELLED``; finished work stays cached. Raises ``MidfillError`` only:
        ``RequestError`` for a ``ChatRequest`` where the model cannot chat.
        """
        ...

    def fit(
        self, request: CompletionRequest, answers: Sequence[str], then: str, cancel: CancelToken
    ) -> tuple[Fit, ...]:
        """Tell for each answer to ``request`` how probable ``then`` is right after it.

        Right after ``stream`` of the same request this costs one step for each answer that begins
        as the streamed one did. Cancelled, it returns what it has. Raises as ``stream`` does.
        """
        ...

    def estimate(self, request: Request) -> Cost:
        """Predict what ``request`` would cost, from what is computed already; takes about 1 ms.

        Raises ``MidfillError`` where ``stream`` would.
        """
        ...

    def close(self) -> None:
        """Release weights, caches and threads. Idempotent."""
        ...
