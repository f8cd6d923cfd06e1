"""One text by the model, as far as it can matter, with second thoughts on its first line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.types import CompletionRequest, FinishReason, Timings, TokenScore
from midfill_server.postprocess import Site, truncate
from midfill_server.reconsider import Line, hesitates, is_whole, moved, reconsidered

__all__ = ["Draft", "write"]


@dataclass(slots=True)
class Draft:
    """A raw text that grows. ``settled``: nothing that came after it could matter.

    ``decided``: its first line stays as it is. ``changed``: that line is not what the model wrote
    at first. ``timings`` leave out what was written and not taken.
    """

    raw: str = ""
    scores: list[TokenScore] = field(default_factory=list[TokenScore])
    settled: bool = False
    decided: bool = False
    changed: bool = False
    finish: FinishReason = FinishReason.CANCELLED
    timings: Timings | None = None
    stood_in: bool = False

    @property
    def line(self) -> Line:
        """The text, for second thoughts."""
        return Line(raw=self.raw, scores=tuple(self.scores))


def write(
    request: CompletionRequest,
    site: Site,
    engine: Engine,
    cancel: CancelToken,
    *,
    reconsiders: Callable[[Draft], bool] = lambda draft: True,
) -> Iterator[Draft]:
    """Yield the one draft as it grows: from when its first line is decided, to its end.

    Second thoughts are had of a first line for which ``reconsiders``. Raises what the engine
    raises.
    """
    draft = Draft()

    def is_decided() -> bool:
        return not (hesitates(draft.line, request) and reconsiders(draft))

    yield from _stream(draft, request, site, engine, cancel, is_decided)
    if not draft.decided and not cancel.cancelled:
        if is_decided():
            draft.decided = True
        goes_on = not draft.decided and _decide(draft, request, site, engine, cancel)
        yield draft
        # Who was shown that line may not want the others.
        if goes_on and not cancel.cancelled:
            spent = draft.timings.generated_tokens if draft.timings else 0
            rest = replace(
                request,
                typed=request.typed + draft.raw,
                max_tokens=max(request.max_tokens - spent, 1),
            )
            yield from _stream(draft, rest, site, engine, cancel, is_decided)
    yield draft


def _stream(
    draft: Draft,
    request: CompletionRequest,
    site: Site,
    engine: Engine,
    cancel: CancelToken,
    is_decided: Callable[[], bool],
) -> Iterator[Draft]:
    """Let the model write on until enough is there, or until the first line is to be decided."""
    enough, start = cancel.child(), len(draft.raw)
    for chunk in engine.stream(request, enough):
        if chunk.finish is not None:
            draft.finish, draft.stood_in = chunk.finish, chunk.stood_in
            draft.timings = _sum(draft.timings, chunk.timings)
        if enough.cancelled:
            # The engine stops at its next step; its last chunk still brings the timings.
            continue
        draft.raw += chunk.text
        draft.scores += moved(chunk.scores, start)
        judged = len(draft.raw) - len(chunk.text)
        draft.settled = truncate(draft.raw, site, judged=judged).settled
        whole = is_whole(draft.raw)
        draft.decided = draft.decided or (whole and is_decided())
        if draft.settled or (whole and not draft.decided):
            enough.cancel()
        if draft.decided:
            yield draft


def _decide(
    draft: Draft, request: CompletionRequest, site: Site, engine: Engine, cancel: CancelToken
) -> bool:
    """Settle the first line of ``draft``; return whether more is to be written after it."""
    before = draft.line
    ended = draft.finish is not FinishReason.CANCELLED
    taken = reconsidered(request, before, engine, cancel)
    draft.decided = True
    if taken.raw == before.raw:
        return not ended and not draft.settled
    draft.raw, draft.scores, draft.changed = taken.raw, list(taken.scores), True
    draft.settled = truncate(draft.raw, site).settled
    # A line without its end is one that the model ended by itself.
    whole = is_whole(draft.raw)
    draft.finish = FinishReason.CANCELLED if whole else FinishReason.STOP
    return whole and not draft.settled


def _sum(timings: Timings | None, more: Timings | None) -> Timings | None:
    """Return what both cost together; the prompt is that of the first."""
    if timings is None or more is None:
        return timings or more
    return replace(
        timings,
        generated_tokens=timings.generated_tokens + more.generated_tokens,
        drafted_tokens=timings.drafted_tokens + more.drafted_tokens,
        accepted_tokens=timings.accepted_tokens + more.accepted_tokens,
        decode_ms=timings.decode_ms + (more.ttft_ms or 0.0) + more.decode_ms,
    )
