"""What the model is doing for a place, and the answers and questions that come of its text."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field, replace

from midfill_engine.types import FinishReason, Timings
from midfill_server.pipeline import Completion, Query
from midfill_server.scheduler import Timer
from midfill_server.source import Source
from midfill_server.suggestions import Suggestion

__all__ = ["Generation", "Ticket", "accepted", "known_answer", "line_answer"]


@dataclass(slots=True, kw_only=True, eq=False)
class Generation:
    """The model at work. ``outcome`` is there once it has ended; ``changed`` wakes its followers.

    It goes on without followers until ``lingering`` is due, or to its end if it is ``kept``.
    ``cost`` is told to one request only: to the first that gets an answer out of it.
    """

    suggestion: Suggestion
    outcome: Completion | BaseException | None = None
    followers: int = 0
    kept: bool = False
    lingering: Timer | None = None
    cost: Timings | None = None
    task: asyncio.Task[Completion] | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self) -> None:
        """Wake all followers."""
        event, self.changed = self.changed, asyncio.Event()
        event.set()

    def abandon(self, *, even_kept: bool = False) -> None:
        """Stop it, if nobody follows it."""
        wanted = self.followers or (self.kept and not even_kept)
        if not wanted and self.task is not None:
            self.task.cancel()


@dataclass(slots=True, kw_only=True, eq=False)
class Ticket:
    """A request that waits; ``over`` once a newer one has come for its document."""

    over: bool = False


def known_answer(suggestion: Suggestion, query: Query) -> Completion:
    """Return what is left of a suggestion that is done, as the answer to ``query``."""
    source = Source.TYPED_THROUGH
    if suggestion.ahead and query.cursor == suggestion.start:
        source = Source.PREFETCHED
    return Completion(
        text=suggestion.rest(query.text, query.cursor) or "",
        finish=suggestion.finish or FinishReason.STOP,
        timings=None,
        model_id=suggestion.model_id,
        source=source,
        sureness=suggestion.sureness,
    )


def line_answer(suggestion: Suggestion, line: str) -> Completion:
    """Return what there is of a suggestion that still grows as an answer: its first line."""
    return Completion(
        text=line, finish=FinishReason.STOP, timings=None, model_id=suggestion.model_id
    )


def accepted(query: Query, shown: str) -> Query:
    """Return what would be asked for after ``shown`` was accepted, before anybody asks it."""
    text, cursor = query.text, query.cursor
    # An editor inserts the line ends that its file has. Looking for "\r\n" alone is slow in a
    # large file without any "\r".
    crlf = "\r" in text and "\r\n" in text
    shown = re.sub(r"\r?\n", "\r\n" if crlf else "\n", shown)
    return replace(
        query,
        text=text[:cursor] + shown + text[cursor:],
        cursor=cursor + len(shown),
        # Who asked by hand sees whatever there is, but asks for this place by hand once.
        invoked=False,
        patient=False,
        pause_s=0.0,
        awaited=False,
    )
