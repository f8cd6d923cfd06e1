"""From a question to its answer with as little work as possible, and the work that is done ahead.

A **generation** is what the model is doing; requests only follow it. So a request that comes while
a fitting generation runs waits for that one, and a request that is given up leaves it running for
a moment: in an editor the next key has come by then, and mostly it agrees.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.types import FinishReason
from midfill_server.alternatives import job_for
from midfill_server.anchors import Anchors, Split, fresh
from midfill_server.generation import Generation, Ticket, accepted, known_answer, line_answer
from midfill_server.pipeline import Completion, Query, complete, prefetch
from midfill_server.scenes import Scenes
from midfill_server.scheduler import (
    CallLater,
    Job,
    Priority,
    Scheduler,
    SupersededError,
    Timer,
    call_later_on_loop,
)
from midfill_server.source import Source
from midfill_server.suggestions import Suggestion, Suggestions

__all__ = ["Completer", "Foresight"]

T = TypeVar("T")
E = TypeVar("E")

# How long a generation that nobody waits for goes on: until the key that follows a cancel.
_LINGER_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Foresight:
    """What is computed before anybody asks, and how long after the last key (seconds).

    ``None`` means never. ``after_answer_s``: what follows the text that is shown, should it be
    accepted. ``at_rest_s``: the prompt where the cursor rests.
    """

    after_answer_s: float | None = 0.1
    at_rest_s: float | None = 0.08


class Completer:
    """Answers the requests of one session; every method belongs to the event loop's thread.

    ``on_busy`` hears on the engine's thread when that begins to work, and when it has ended.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        call_later: CallLater | None = None,
        on_busy: Callable[[bool], None] = lambda is_busy: None,
    ) -> None:
        self._on_busy = on_busy
        self.foresight = Foresight()
        self._scheduler = scheduler
        self._call_later = call_later or call_later_on_loop
        self._anchors = Anchors()
        self.scenes = Scenes()
        self._suggestions = Suggestions()
        self._running: list[Generation] = []
        self._tickets: dict[tuple[str, str], Ticket] = {}
        self._timer: Timer | None = None
        self._timer_uri = ""
        self._prefetches: set[asyncio.Task[None]] = set()

    async def complete(
        self,
        query: Query,
        on_line: Callable[[Completion], None],
        *,
        line_first: bool = False,
        asker: str = "",
    ) -> Completion:
        """Answer ``query``; ``on_line`` gets the first line, while the rest is being generated.

        ``line_first``: that line is an answer, and the rest goes on being generated. Raises
        ``SupersededError`` as soon as a newer request of the same ``asker`` comes for the
        document, and what the scheduler raises.
        """
        self._stop_timer()
        ticket = self._take_over(query.uri, asker)
        known = self._suggestions.find(query.uri, query.text, query.cursor)
        if known is not None and known.done:
            answer = known_answer(known, query)
            # Who asks by hand is told what was too doubtful to be shown.
            if answer.text or not query.invoked:
                return self._answer(query, answer)
        generation = next((each for each in self._running if each.suggestion is known), None)
        source = Source.JOINED
        while True:
            if generation is None:
                generation, source = self._begin(query), Source.MODEL
            answer = await self._follow(generation, query, ticket, on_line, line_first)
            # A text that nobody asked for by hand may be kept back; who does so is shown one.
            kept_back = answer is not None and answer.withheld and query.invoked
            if answer is not None and not kept_back:
                return self._answer(query, replace(answer, source=source))
            generation = None

    async def alternatives(self, query: Query, answer: Completion) -> tuple[str, ...]:
        """Return other texts for the place that was just answered, the best one first.

        They are known when one of them is typed along. Raises as ``complete`` does.
        """
        ticket = self._tickets.get((query.uri, ""))
        query = self.scenes.seen(query)
        split = self._anchors.look(query.uri, query.text, query.cursor, self.scenes.of(query))
        others = await self._scheduler.run(
            query.uri, self._heard(job_for(query, split, answer.text))
        )
        if ticket is None or ticket.over:
            raise SupersededError
        said = (answer.text, *others) if others else ()
        self._suggestions.learn(query.uri, query.text, query.cursor, said, answer.model_id)
        return others

    def rest(self, query: Query) -> None:
        """Hear that the cursor has come to ``query.cursor``: the next key may be typed there."""
        self._set_timer(self.foresight.at_rest_s, partial(self._spawn_prefetch, query), query.uri)

    def forget(self, uri: str) -> None:
        """Forget a document that was closed; who waits for an answer about it is superseded."""
        if self._timer_uri == uri:
            self._stop_timer()
        for key in [key for key in self._tickets if key[0] == uri]:
            self._take_over(*key)
            del self._tickets[key]
        self._anchors.forget(uri)
        self._suggestions.forget(uri)
        self.scenes.forget(uri)
        for generation in self._running:
            if generation.suggestion.uri == uri and generation.task is not None:
                generation.task.cancel()

    def start_over(self) -> None:
        """Forget all texts, prompts and plans: another model answers, or other settings count."""
        self._stop_timer()
        for task in self._prefetches:
            task.cancel()
        self._suggestions.forget()
        self._anchors.forget_all()

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
        query = self.scenes.seen(accepted(query, shown))
        split = self._anchors.look(query.uri, query.text, query.cursor, self.scenes.of(query))
        if self._suggestions.find(query.uri, query.text, query.cursor) is None:
            self._generate(query, split, (), ahead=True)
        if split.is_long:
            self._spawn_prefetch(query)

    def _take_over(self, uri: str, asker: str) -> Ticket:
        """Let this be the asker's latest request; an earlier one need not wait any more."""
        earlier = self._tickets.get((uri, asker))
        if earlier is not None:
            earlier.over = True
            for generation in self._running:
                generation.tell()
        ticket = self._tickets[uri, asker] = Ticket()
        return ticket

    def _begin(self, query: Query) -> Generation:
        # What nobody waits for must not make this one wait.
        for generation in self._running:
            generation.abandon(even_kept=True)
        query = self.scenes.seen(query)
        split = self._anchors.split(query.uri, query.text, query.cursor, self.scenes.of(query))
        latest = self._suggestions.latest(query.uri, query.cursor)
        hints: tuple[str, ...] = ()
        if latest is not None and latest.text:
            # What was typed past still says much about what comes after the difference. It begins
            # where the typed text does, so that the two can be laid side by side.
            hints = (query.text[split.start : latest.start] + latest.text,)
        return self._generate(query, split, hints, ahead=False)

    def _generate(
        self, query: Query, split: Split, hints: tuple[str, ...], *, ahead: bool
    ) -> Generation:
        suggestion = Suggestion.at(query.uri, query.text, query.cursor, ahead=ahead)
        generation = Generation(suggestion=suggestion, kept=ahead)
        self._suggestions.add(suggestion)
        self._running.append(generation)
        generation.task = asyncio.get_running_loop().create_task(
            self._run(generation, query, split, hints)
        )
        generation.task.add_done_callback(partial(self._ended, generation))
        return generation

    async def _run(
        self, generation: Generation, query: Query, split: Split, hints: tuple[str, ...]
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
        completion = await self._scheduler.run(key, self._heard(job), grow, priority=priority)
        if completion.finish is FinishReason.CANCELLED:
            raise SupersededError
        if completion.stood_in:
            # At once, not after a pause: who types along the answer may make none for long.
            self._spawn_prefetch(query)
        return completion

    def _ended(self, generation: Generation, task: asyncio.Task[Completion]) -> None:
        # Called also for a task that was cancelled before its first step.
        self._running.remove(generation)
        if generation.lingering is not None:
            generation.lingering.cancel()
        suggestion = generation.suggestion
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            completion = task.result()
            # What was too doubtful may turn out to be what somebody types.
            suggestion.text = completion.text or completion.withheld
            suggestion.hidden, suggestion.finish = completion.hidden, completion.finish
            suggestion.model_id, suggestion.sureness = completion.model_id, completion.sureness
            suggestion.done = True
            generation.outcome, generation.cost = completion, completion.timings
        else:
            # Its followers are told; of an error that nobody waited for there is nobody to tell.
            self._suggestions.drop(suggestion)
            generation.outcome = error
        generation.tell()

    async def _follow(
        self,
        generation: Generation,
        query: Query,
        ticket: Ticket,
        on_line: Callable[[Completion], None],
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
                silent = query.cursor == suggestion.start or suggestion.hides(query.cursor)
                if rest is None or (outcome and not rest and not silent):
                    return None
                if outcome is not None:
                    cost, generation.cost = generation.cost, None
                    return replace(outcome, text=rest, timings=cost)
                if line_first and rest.strip():
                    generation.kept = True
                    return line_answer(suggestion, rest)
                if rest != said and rest.startswith(said):
                    said = rest
                    on_line(line_answer(suggestion, rest))
                await generation.changed.wait()
        finally:
            generation.followers -= 1
            if generation.outcome is None and not generation.followers and not generation.kept:
                generation.lingering = self._call_later(_LINGER_S, generation.abandon)

    def _spawn_prefetch(self, query: Query) -> None:
        task = asyncio.get_running_loop().create_task(self._prefetch(query))
        # The loop alone would not keep it alive.
        self._prefetches.add(task)
        task.add_done_callback(self._prefetches.discard)

    async def _prefetch(self, query: Query) -> None:
        query = self.scenes.seen(query)
        scene_of = self.scenes.of(query)
        split = self._anchors.look(query.uri, query.text, query.cursor, scene_of)
        if split.is_long:
            # While nobody types, the prompt can be split nearer without making anybody wait.
            split = fresh(query.text, query.cursor)
            split = replace(split, scene=scene_of(split))

        def job(engine: Engine, cancel: CancelToken, emit: Callable[[str], None]) -> bool:
            return prefetch(query, split, engine, cancel)

        try:
            key = f"prompt of {query.uri}"
            whole = await self._scheduler.run(key, self._heard(job), priority=Priority.PREFETCH)
        except Exception:
            # Whoever asks for a completion here is told what is wrong.
            return
        if whole:
            self._anchors.move(query.uri, split)

    def _heard(self, job: Job[E, T]) -> Job[E, T]:
        """Return ``job``, of which ``on_busy`` hears."""

        def work(engine: Engine, cancel: CancelToken, emit: Callable[[E], None]) -> T:
            self._on_busy(True)
            try:
                return job(engine, cancel, emit)
            finally:
                self._on_busy(False)

        return work

    def _set_timer(self, delay_s: float | None, callback: Callable[[], None], uri: str) -> None:
        """Plan what is done if nothing else happens; ``None``: nothing is."""
        self._stop_timer()
        if delay_s is not None:
            self._timer, self._timer_uri = self._call_later(delay_s, callback), uri

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
