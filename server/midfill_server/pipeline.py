"""One completion, from a snapshot and a cursor to the text that an editor shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.types import CompletionRequest, FinishReason, Timings
from midfill_server.document import Snapshot
from midfill_server.postprocess import Site, truncate, visible, whole_lines

__all__ = ["Completion", "Query", "complete"]

# Far more than any prompt holds, and little enough to copy at every keystroke.
_WINDOW_CHARACTERS = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked for: a completion of ``snapshot`` that replaces ``[start, end)`` (offsets).

    ``selected`` is text that the completion must begin with, as the entry that is selected in an
    editor's popup; without one, ``start == end`` is the cursor.
    """

    snapshot: Snapshot
    start: int
    end: int
    selected: str = ""
    max_tokens: int = 64
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """An answer; ``text`` is ``""`` if there is nothing to suggest.

    ``finish`` is ``STOP`` too where the text was cut because it began to repeat what follows.
    """

    text: str
    finish: FinishReason
    timings: Timings | None
    model_id: str


def complete(
    query: Query, engine: Engine, cancel: CancelToken, on_text: Callable[[str], None]
) -> Completion:
    """Compute a completion; ``on_text`` gets the text so far, which only ever grows.

    ``cancel`` belongs to this call alone: it is set when the rest of the text cannot matter.
    Raises what the engine raises.
    """
    request = _request(query)
    site = Site.around(request.prefix, request.suffix)
    raw, shown, settled = "", "", False
    finish, timings = FinishReason.CANCELLED, None
    for chunk in engine.stream(request, cancel):
        if chunk.finish is not None:
            finish, timings = chunk.finish, chunk.timings
        if settled:
            continue
        raw += chunk.text
        cut = truncate(raw, site)
        if cut.settled:
            # The engine stops at its next step; its last chunk still brings the timings.
            settled = True
            cancel.cancel()
        text = visible(cut, site, final=False)
        if text != shown:
            shown = text
            on_text(query.selected + shown)
    if finish is FinishReason.LENGTH and not settled:
        raw = whole_lines(raw)
    text = visible(truncate(raw, site), site, final=True)
    return Completion(
        text=query.selected + text if text else "",
        finish=FinishReason.STOP if settled else finish,
        timings=timings,
        model_id=engine.info.model_id,
    )


def _request(query: Query) -> CompletionRequest:
    text = query.snapshot.text
    prefix = _last_lines(text, query.start) + query.selected
    suffix = _first_lines(text, query.end)
    return CompletionRequest(
        prefix=_encodable(prefix),
        suffix=_encodable(suffix),
        max_tokens=query.max_tokens,
        request_id=query.request_id,
    )


def _last_lines(text: str, end: int) -> str:
    """Return the whole lines of the window before ``end``, or the window if it has no line end."""
    start = max(end - _WINDOW_CHARACTERS, 0)
    if start == 0:
        return text[:end]
    line_end = text.find("\n", start, end)
    return text[start if line_end < 0 else line_end + 1 : end]


def _first_lines(text: str, start: int) -> str:
    """Return the whole lines of the window after ``start``, or the window without a line end."""
    end = start + _WINDOW_CHARACTERS
    if end >= len(text):
        return text[start:]
    line_end = text.rfind("\n", start, end)
    return text[start : end if line_end < 0 else line_end + 1]


def _encodable(text: str) -> str:
    """Replace lone surrogates: JSON and broken files can carry them, UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
