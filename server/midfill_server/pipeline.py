"""One completion by the model, from a text and a cursor to what an editor shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.types import CompletionRequest, FinishReason, Timings
from midfill_server.anchors import Split
from midfill_server.postprocess import Site, truncate, visible, whole_lines
from midfill_server.source import Source

__all__ = ["Completion", "Query", "complete", "prefetch"]

# As much of the text around the cursor as the cuts look at.
_SITE_CHARACTERS = 16 * 1024

# A prompt that takes longer than this is not begun at once: a cursor that runs through a file
# asks at many places, and stays at one.
_COSTLY_MS = 400.0
_PAUSE_S = 0.075


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked for: text for the offset ``cursor`` of ``text``, the document ``uri``.

    ``patient`` requests came by themselves while somebody typed: a costly one waits a little for
    the next key. ``pause_s`` is waited for in any case. ``awaited``: somebody waits for the answer,
    so a faster model may give it.
    """

    uri: str
    text: str
    cursor: int
    max_tokens: int = 64
    patient: bool = False
    pause_s: float = 0.0
    awaited: bool = True
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """An answer; ``text`` is ``""`` if there is nothing to suggest.

    ``finish`` is ``STOP`` too where the text was cut because it began to repeat what follows.
    ``timings`` is what the model spent on it: ``None`` where it did not have to work.
    ``stood_in``: a faster model answered, and the better one does not have the prompt yet.
    """

    text: str
    finish: FinishReason
    timings: Timings | None
    model_id: str
    source: Source = Source.MODEL
    stood_in: bool = False


def complete(
    query: Query,
    split: Split,
    engine: Engine,
    cancel: CancelToken,
    on_text: Callable[[str], None],
    hints: tuple[str, ...] = (),
) -> Completion:
    """Compute a completion; ``on_text`` gets the text so far, which only ever grows.

    Raises what the engine raises.
    """
    request = _request(query, split, hints)
    if _gave_up(query, request, engine, cancel):
        return _nothing(engine)
    site = Site.around(
        query.text[max(query.cursor - _SITE_CHARACTERS, 0) : query.cursor],
        query.text[query.cursor : query.cursor + _SITE_CHARACTERS],
    )
    enough = cancel.child()
    raw, shown, settled = "", "", False
    finish, timings, stood_in = FinishReason.CANCELLED, None, False
    for chunk in engine.stream(request, enough):
        if chunk.finish is not None:
            finish, timings, stood_in = chunk.finish, chunk.timings, chunk.stood_in
        if settled:
            continue
        raw += chunk.text
        cut = truncate(raw, site)
        if cut.settled:
            # The engine stops at its next step; its last chunk still brings the timings.
            settled = True
            enough.cancel()
        text = visible(cut, site, final=False)
        if text != shown:
            shown = text
            on_text(shown)
    if finish is FinishReason.LENGTH and not settled:
        raw = whole_lines(raw)
    return Completion(
        text=visible(truncate(raw, site), site, final=True),
        finish=FinishReason.STOP if settled else finish,
        timings=timings,
        model_id=engine.info.model_id,
        stood_in=stood_in,
    )


def prefetch(query: Query, split: Split, engine: Engine, cancel: CancelToken) -> bool:
    """Compute the prompt, and nothing else; returns whether all of it is computed."""
    request = replace(_request(query, split, ()), max_tokens=0, awaited=False)
    *_, last = engine.stream(request, cancel)
    return last.finish is FinishReason.LENGTH


def _gave_up(query: Query, request: CompletionRequest, engine: Engine, cancel: CancelToken) -> bool:
    """Wait before work that may be in vain; returns whether it is."""
    pause_s = query.pause_s
    if query.patient and engine.estimate(request).prefill_ms > _COSTLY_MS:
        pause_s = max(pause_s, _PAUSE_S)
    return pause_s > 0 and cancel.wait(pause_s)


def _nothing(engine: Engine) -> Completion:
    return Completion(
        text="", finish=FinishReason.CANCELLED, timings=None, model_id=engine.info.model_id
    )


def _request(query: Query, split: Split, hints: tuple[str, ...]) -> CompletionRequest:
    return CompletionRequest(
        prefix=_encodable(split.prefix),
        typed=_encodable(split.typed),
        suffix=_encodable(split.suffix),
        hints=hints,
        max_tokens=query.max_tokens,
        awaited=query.awaited,
        request_id=query.request_id,
    )


def _encodable(text: str) -> str:
    """Replace lone surrogates: JSON and broken files can carry them, UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
