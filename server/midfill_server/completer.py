"""From a question to its answer with as little work as possible, and the work that is done ahead.

A **generation** is what the model is doing; requests only follow it. So a request that comes while
a fitting generation runs waits for that one, and a request that is given up leaves it running for
a moment: in an editor the next key has come by then, and mostly it agrees.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.types import FinishReason, Timings
from midfill_server.anchors import Anchors, Split, fresh
from midfill_server.pipeline import Completion, Query, complete, prefetch
from midfill_server.scheduler import (
    CallLater,
    Priority,
    Scheduler,
    SupersededError,
    Timer,
    call_later_on_loop,
)
from midfill_server.source import Source
from midfill_server.suggestions import Suggestion, Suggestions

__all__ = ["Completer", "Foresight"]

# How long a generation that nobody waits for goes on: until the key that follows a cancel.
_LINGER_S = 0.3

_FIRST_LINE = re.compile(r"\s*\S[^\r\n]*(?=[\r\n])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Foresight:
    """What is computed before anybody asks, and how long after the last key (seconds).

    ``None`` means never. ``after_answer_s``: what follows the text that is shown, should it be
    accepted. ``at_rest_s``: the prompt where the cursor rests.
    """

    after_answer_s: float | None = 0.1
    at_rest_s: float | None = 0.08


@dataclass(slots=True, kw_only=True, eq=False)
class _Generation:
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


@dataclass(slots=True, kw_only=True, eq=False)
class _Ticket:
    """A request that waits; ``over`` once a newer one has come for its document."""

    over: bool = False


class Completer:
    """Answers the requests of one session; every method belongs to the event loop's thread."""

    def __init__(self, scheduler: Scheduler, *, call_later: CallLater | None = None) -> None:
        self.foresight = Foresight()
        self._scheduler = scheduler
        self._call_later = call_later or call_later_on_loop
        self._anchors = Anchors()
        self._suggestions = Suggestions()
        self._running: list[_Generation] = []
        self._tickets: dict[str, _Ticket] = {}
        self._timer: Timer | None = None
        self._timer_uri = ""
        self._prefetches: set[asyncio.Task[None]] = set()

    async def complete(
        self, query: Query, on_text: Callable[[str], None], *, line_first: bool = False
    ) -> Completion:
        """Answer ``query``; ``on_text`` gets the text so far, which only ever grows.

        ``line_first``: the first line is an answer as soon as it is whole, and the rest goes on
        being generated. Raises ``SupersededError`` as soon as a newer request comes for the
        document, and what the scheduler raises.
        """
        self._stop_timer()
        ticket = self._take_over(query.uri)
        known = self._suggestions.find(query.uri, query.text, query.cursor)
        if known is not None and known.done:
            return self._answer(query, _known(known, query))
        generation = next((each for each in self._running if each.suggestion is known), None)
        source = Source.JOINED
        while True:
            if generation is None:
                generation, source = self._begin(query), Source.MODEL
            answer = await self._follow(generation, query, ticket, on_text, line_first)
            if answer is not None:
                return self._answer(query, replace(answer, source=source))
            generation = None

    def rest(self, query: Query) -> None:
        """Hear that the cursor has come to ``query.cursor``: the next key may be typed there."""
        self._set_timer(self.foresight.at_rest_s, partial(self._spawn_prefetch, query), query.uri)

    def forget(self, uri: str) -> None:
        """Forget a document that was closed; who waits for an answer about it is superseded."""
        if self._timer_uri == uri:
            self._stop_timer()
        self._take_over(uri)
        del self._tickets[uri]
        self._anchors.forget(uri)
        self._suggestions.forget(uri)
        for generation in self._running:
            if generation.suggestion.uri == uri and generation.task is not None:
                generation.task.cancel()

    def start_over(self) -> None:
        """Forget all texts and plans: another model answers from now on, or none."""
        self._stop_timer()
        self._suggestions.forget()

    def _answer(self, query: Query, completion: Completion) -> Completion:
        if completion.text:
            self._plan_ahead(query, completion.text)
        return completion

    def _plan_ahead(self, query: Query, shown: str) -> None:
        look_ahead = partial(self._look_ahead, query, shown)
        self._set_timer(self.foresight.after_answer_s, look_ahead, query.uri)

    def _look_ahead(self, query: Query, shown: str) -> None:
        """Compute what follows the text on the screen, as if it were accepted."""
        if self._prefetches:
            # Behind a long prompt it would not begin yet, and who accepts the text meanwhile would
            # wait for it, although a faster model can answer.
            self._plan_ahead(query, shown)
            return
        query = _accepted(query, shown)
        split = self._anchors.look(query.uri, query.text, query.cursor)
        if self._suggestions.find(query.uri, query.text, query.cursor) is None:
            self._generate(query, split, (), ahead=True)
        if split.is_long:
            self._spawn_prefetch(query)

    def _take_over(self, uri: str) -> _Ticket:
        """Let this request be the document's latest; an earlier one need not wait any more."""
        earlier = self._tickets.get(uri)
        if earlier is not None:
            earlier.over = True
            for generation in self._running:
                generation.tell()
        ticket = self._tickets[uri] = _Ticket()
        return ticket

    def _begin(self, query: Query) -> _Generation:
        # What nobody waits for must not make this one wait.
        for generation in self._running:
            self._abandon(generation, even_kept=True)
        split = self._anchors.split(query.uri, query.text, query.cursor)
        latest = self._suggestions.latest(query.uri, query.cursor)
        hints: tuple[str, ...] = ()
        if latest is not None and latest.text:
            # What was typed past still says much about what comes after the difference. It begins
            # where the typed text does, so that the two can be laid side by side.
            hints = (query.text[split.start : latest.start] + latest.text,)
        return self._generate(query, split, hints, ahead=False)

    def _generate(
        self, query: Query, split: Split, hints: tuple[str, ...], *, ahead: bool
    ) -> _Generation:
        suggestion = Suggestion.at(query.uri, query.text, query.cursor, ahead=ahead)
        generation = _Generation(suggestion=suggestion, kept=ahead)
        self._suggestions.add(suggestion)
        self._running.append(generation)
        generation.task = asyncio.get_running_loop().create_task(
            self._run(generation, query, split, hints)
        )
        generation.task.add_done_callback(partial(self._ended, generation))
        return generation

    async def _run(
        self, generation: _Generation, query: Query, split: Split, hints: tuple[str, ...]
    ) -> Completion:
        suggestion = generation.suggestion

        def job(
            engine: Engine, cancel: CancelToken, emit: Callable[[tuple[str, str]], None]
        ) -> Completion:
            def on_text(text: str) -> None:
                emit((text, engine.info.model_id))

            return complete(query, split, engine, cancel, on_text, hints)

        def grow(event: tuple[str, str]) -> None:
            suggestion.text, suggestion.model_id = event
            generation.tell()

        key, priority = query.uri, Priority.COMPLETION
        if suggestion.ahead:
            key, priority = f"ahead of {query.uri}", Priority.PREFETCH
        completion = await self._scheduler.run(key, job, grow, priority=priority)
        if completion.finish is FinishReason.CANCELLED:
            raise SupersededError
        if completion.stood_in:
            # At once, not after a pause: who types along the answer may make none for long.
            self._spawn_prefetch(query)
        return completion

    def _ended(self, generation: _Generation, task: asyncio.Task[Completion]) -> None:
        # Called also for a task that was cancelled before its first step.
        self._running.remove(generation)
        if generation.lingering is not None:
            generation.lingering.cancel()
        suggestion = generation.suggestion
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            completion = task.result()
            suggestion.text, suggestion.finish = completion.text, completion.finish
            suggestion.model_id = completion.model_id
            suggestion.done = True
            generation.outcome, generation.cost = completion, completion.timings
        else:
            # Its followers are told; of an error that nobody waited for there is nobody to tell.
            self._suggestions.drop(suggestion)
            generation.outcome = error
        generation.tell()

    async def _follow(
        self,
        generation: _Generation,
        query: Query,
        ticket: _Ticket,
        on_text: Callable[[str], None],
        line_first: bool,
    ) -> Completion | None:
        """Wait for what the generation says at the cursor; ``None``: it disagrees, or is lost."""
        suggestion = generation.suggestion
        generation.followers += 1
        if generation.lingering is not None:
            generation.lingering.cancel()
        said = ""
        try:
            while True:
                if ticket.over:
                    raise SupersededError
                outcome = generation.outcome
                # What was computed ahead makes way for any request, and one may have joined it.
                lost = SupersededError if suggestion.ahead else asyncio.CancelledError
                if isinstance(outcome, asyncio.CancelledError | lost):
                    return None
                if isinstance(outcome, BaseException):
                    raise outcome
                rest = suggestion.rest(query.text, query.cursor)
                # At its end it may turn out to say nothing here; it then said all before.
                if rest is None or (outcome and not rest and query.cursor != suggestion.start):
                    return None
                if outcome is not None:
                    cost, generation.cost = generation.cost, None
                    return replace(outcome, text=rest, timings=cost)
                line = _first_line(rest) if line_first else None
                if line is not None:
                    generation.kept = True
                    return Completion(
                        text=line,
                        finish=FinishReason.STOP,
                        timings=None,
                        model_id=suggestion.model_id,
                    )
                if rest != said and rest.startswith(said):
                    said = rest
                    on_text(rest)
                await generation.changed.wait()
        finally:
            generation.followers -= 1
            if generation.outcome is None and not generation.followers and not generation.kept:
                stop = partial(self._abandon, generation)
                generation.lingering = self._call_later(_LINGER_S, stop)

    def _abandon(self, generation: _Generation, *, even_kept: bool = False) -> None:
        """Stop a generation that nobody follows."""
        wanted = generation.followers or (generation.kept and not even_kept)
        if not wanted and generation.task is not None:
            generation.task.cancel()

    def _spawn_prefetch(self, query: Query) -> None:
        task = asyncio.get_running_loop().create_task(self._prefetch(query))
        # The loop alone would not keep it alive.
        self._prefetches.add(task)
        task.add_done_callback(self._prefetches.discard)

    async def _prefetch(self, query: Query) -> None:
        split = self._anchors.look(query.uri, query.text, query.cursor)
        if split.is_long:
            # While nobody types, the prompt can be split nearer without making anybody wait.
            split = fresh(query.text, query.cursor)

        def job(engine: Engine, cancel: CancelToken, emit: Callable[[str], None]) -> bool:
            return prefetch(query, split, engine, cancel)

        try:
            key = f"prompt of {query.uri}"
            whole = await self._scheduler.run(key, job, priority=Priority.PREFETCH)
        except Exception:
            # Whoever asks for a completion here is told what is wrong.
            return
        if whole:
            self._anchors.move(query.uri, split)

    def _set_timer(self, delay_s: float | None, callback: Callable[[], None], uri: str) -> None:
        """Plan what is done if nothing else happens; ``None``: nothing is."""
        self._stop_timer()
        if delay_s is not None:
            self._timer, self._timer_uri = self._call_later(delay_s, callback), uri

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _known(suggestion: Suggestion, query: Query) -> Completion:
    source = Source.TYPED_THROUGH
    if suggestion.ahead and query.cursor == suggestion.start:
        source = Source.PREFETCHED
    return Completion(
        text=suggestion.rest(query.text, query.cursor) or "",
        finish=suggestion.finish or FinishReason.STOP,
        timings=None,
        model_id=suggestion.model_id,
        source=source,
    )


def _first_line(text: str) -> str | None:
    """Return the first line with text in it, if it is whole."""
    found = _FIRST_LINE.match(text)
    return found and found.group()


def _accepted(query: Query, shown: str) -> Query:
    """Return what would be asked for after ``shown`` was accepted."""
    text, cursor = query.text, query.cursor
    # An editor inserts the line ends that its file has. Looking for "\r\n" alone is slow in a
    # large file without any "\r".
    crlf = "\r" in text and "\r\n" in text
    shown = re.sub(r"\r?\n", "\r\n" if crlf else "\n", shown)
    return replace(
        query,
        text=text[:cursor] + shown + text[cursor:],
        cursor=cursor + len(shown),
        patient=False,
        pause_s=0.0,
        awaited=False,
    )
