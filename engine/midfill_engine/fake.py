"""An engine without a model, shipped so that servers, clients and benchmarks can be tested."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from midfill_engine.cancel import CancelToken
from midfill_engine.types import (
    Chunk,
    Cost,
    EngineInfo,
    FinishReason,
    Request,
    Timings,
)

__all__ = ["ScriptedEngine"]


class ScriptedEngine:
    """Answers each request with ``script(request)``, in pieces of ``piece`` characters.

    ``before_step`` is called before every piece: a test can block there, count steps, or cancel,
    instead of sleeping. Every request that arrives is kept in ``requests``.
    """

    def __init__(
        self,
        script: str | Callable[[Request], str],
        *,
        piece: int = 4,
        before_step: Callable[[int], None] | None = None,
        cost: Cost | None = None,
    ) -> None:
        self._script = script
        self._piece = piece
        self._before_step = before_step
        self._cost = cost or Cost()
        self.requests: list[Request] = []
        self.closed = False

    @property
    def info(self) -> EngineInfo:
        """Says that nothing real is behind it."""
        return EngineInfo(model_id="scripted", backend="fake", device="none", reason="for tests")

    def stream(self, request: Request, cancel: CancelToken) -> Iterator[Chunk]:
        """Yield the scripted text; looks at ``cancel`` before every piece, as a real engine."""
        self.requests.append(request)
        text = self._script if isinstance(self._script, str) else self._script(request)
        if request.max_tokens == 0:
            text = ""
        steps = 0
        finish = FinishReason.STOP if request.max_tokens else FinishReason.LENGTH
        if cancel.cancelled:
            finish = FinishReason.CANCELLED
        for start in range(0, len(text), self._piece):
            if self._before_step is not None:
                self._before_step(steps)
            if cancel.cancelled:
                finish = FinishReason.CANCELLED
                break
            steps += 1
            yield Chunk(text=text[start : start + self._piece])
        yield Chunk(text="", finish=finish, timings=Timings(generated_tokens=steps))

    def estimate(self, request: Request) -> Cost:
        """Return the cost that the engine was made with."""
        return self._cost

    def close(self) -> None:
        """Remember that the engine was closed."""
        self.closed = True
