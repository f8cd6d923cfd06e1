"""An engine without a model, shipped so that servers, clients and benchmarks can be tested."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from midfill_engine.cancel import CancelToken
from midfill_engine.types import (
    ChatRequest,
    Chunk,
    CompletionRequest,
    Cost,
    EngineInfo,
    FinishReason,
    Fit,
    Request,
    Timings,
    TokenScore,
)

__all__ = ["ScriptedEngine"]


class ScriptedEngine:
    """Answers each request with ``script(request)``, in pieces of ``piece`` characters.

    ``before_step`` is called before every piece: a test can block there, count steps, or cancel,
    instead of sleeping. Every request that arrives is kept in ``requests``. ``scores`` says what is
    thought of a whole answer's tokens, ``fits`` how well the text after the cursor follows one.
    """

    def __init__(
        self,
        script: str | Callable[[Request], str],
        *,
        piece: int = 4,
        before_step: Callable[[int], None] | None = None,
        cost: Cost | None = None,
        scores: Callable[[str], Sequence[TokenScore]] | None = None,
        fits: Callable[[str], float] = lambda answer: 0.0,
    ) -> None:
        self._script = script
        self._piece = piece
        self._before_step = before_step
        self._cost = cost or Cost()
        self._scores = scores
        self._fits = fits
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
            end = start + self._piece
            yield Chunk(text=text[start:end], scores=self._scored(request, text, start, end))
        yield Chunk(
            text="",
            finish=finish,
            timings=Timings(generated_tokens=steps),
            # What ended the answer was chosen as well.
            scores=self._scored(request, text, len(text), len(text) + 1) if steps else (),
        )

    def fit(
        self, request: CompletionRequest, answers: Sequence[str], then: str, cancel: CancelToken
    ) -> tuple[Fit, ...]:
        """Return what ``fits`` says of each answer; all the same if nothing was given."""
        return tuple(Fit(logprob=self._fits(answer), tokens=1) for answer in answers)

    def estimate(self, request: Request) -> Cost:
        """Return the cost that the engine was made with."""
        return self._cost

    def close(self) -> None:
        """Remember that the engine was closed."""
        self.closed = True

    def _scored(self, request: Request, text: str, start: int, end: int) -> tuple[TokenScore, ...]:
        if self._scores is None or isinstance(request, ChatRequest) or not request.scored:
            return ()
        return tuple(score for score in self._scores(text) if start <= score.at < end)
