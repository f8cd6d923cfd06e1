"""Fixes that are looked for and those that were found: between the editor and ``fixing``.

One fix is looked for at a time, in a thread of its own that waits for the engine and for checkers
in turn: the engine is free while a checker works, and completions go first.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError as FutureCancelledError
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import TypeVar

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.types import ContextChunk
from midfill_server.checking.base import CheckCancelledError, Checker
from midfill_server.checking.resident import Residents
from midfill_server.checking.table import checkers_for
from midfill_server.document import Snapshot
from midfill_server.fixing import Ask, Case, Definitions, Diagnostic, Fix, Limits, fix
from midfill_server.scheduler import CallLater, Priority, Scheduler, Timer, call_later_on_loop

__all__ = ["Desk", "Finder", "Fixes", "Wish", "find_fix"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

_KEY = "fix"
_MAX_KNOWN = 128
_MAX_OFFERED = 48
# What a search does after its own limit: it stops what it waits for, and tells what it has.
_GRACE_S = 5.0
# Who opens a list anew cancels its request for the old one first.
_LINGER_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A diagnostic of a text that somebody may want to be fixed, and all that there is to it.

    ``path`` is the file's, ``""`` if it has none; ``others`` are further diagnostics of the text.
    """

    diagnostic: Diagnostic
    snapshot: Snapshot
    path: str
    limits: Limits
    trusted: bool = False
    roots: tuple[str, ...] = ()
    others: tuple[Diagnostic, ...] = ()
    definitions: Definitions | None = None
    context: tuple[ContextChunk, ...] = ()

    @property
    def key(self) -> tuple[str, str, Diagnostic, bool, bool]:
        """The same for wishes that have the same answer."""
        text = hashlib.sha256(self.snapshot.text.encode("utf-8", "replace")).hexdigest()
        limits = self.limits
        return self.snapshot.uri, text, self.diagnostic, limits.only_verified, self.trusted

    @property
    def case(self) -> Case:
        """The wish as ``fixing`` takes it; parses the text."""
        return Case.of(
            self.diagnostic,
            self.snapshot,
            path=self.path,
            others=self.others,
            definitions=self.definitions,
            context=self.context,
        )

    def checkers(self, residents: Residents) -> tuple[Checker, ...]:
        """Return who may say whether the diagnostic is gone; looks at the disk."""
        return checkers_for(
            self.diagnostic.source or None,
            self.snapshot.language_id,
            self.path,
            trusted=self.trusted,
            roots=self.roots,
            code=self.diagnostic.code or None,
            residents=residents,
        )


class Desk:
    """What a search in the thread has: the engine, checkers, and a token that ends it."""

    def __init__(
        self, ask: Callable[[Ask], str], residents: Residents, cancel: CancelToken
    ) -> None:
        self.ask = ask
        self.residents = residents
        self.cancel = cancel


Finder = Callable[[Desk], T]
"""What is done in the thread. It ends soon once the token is cancelled."""


def find_fix(wish: Wish, desk: Desk) -> Fix | None:
    """Look for a fix. Blocking; raises what the engine raises, and when it is cancelled."""
    began_s = time.monotonic()
    checkers, case = wish.checkers(desk.residents), wish.case
    left_s = wish.limits.timeout_s - (time.monotonic() - began_s)
    return fix(case, checkers, desk.ask, desk.cancel, replace(wish.limits, timeout_s=left_s))


@dataclass(slots=True, kw_only=True, eq=False)
class _Search:
    """A fix that is looked for, how many wait for it, and when it ends because nobody does."""

    key: object
    task: asyncio.Task[Fix | None]
    waiting: int = 0
    ending: Timer | None = None


class Fixes:
    """The fixes of one session. Every method belongs to the event loop's thread.

    ``on_busy`` hears on the engine's thread when that begins to work, and when it has ended.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        on_busy: Callable[[bool], None] = lambda is_busy: None,
        residents: Residents | None = None,
        call_later: CallLater | None = None,
    ) -> None:
        self._scheduler = scheduler
        self._call_later = call_later or call_later_on_loop
        self._on_busy = on_busy
        self._residents = residents or Residents()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="midfill-fix")
        self._turn = asyncio.Lock()
        self._known: OrderedDict[object, Fix | None] = OrderedDict()
        self._searches: dict[object, _Search] = {}
        self._patience: set[asyncio.Timeout] = set()
        self._running: set[_Run] = set()
        self._offered: OrderedDict[str, Wish] = OrderedDict()

    def offer(self, wish: Wish) -> str:
        """Remember a wish until it may be granted; returns what it is called."""
        name = str(uuid.uuid4())
        self._offered[name] = wish
        if len(self._offered) > _MAX_OFFERED:
            self._offered.popitem(last=False)
        return name

    def offered(self, name: str) -> Wish | None:
        """Return the wish of that name, if it was not too long ago."""
        return self._offered.get(name)

    def known(self, wish: Wish) -> tuple[Fix | None] | None:
        """Return what is known to be the fix, in a tuple; ``None`` if nobody has looked yet."""
        key = wish.key
        if key not in self._known:
            return None
        self._known.move_to_end(key)
        return (self._known[key],)

    def begin(self, wish: Wish) -> None:
        """Look for a fix although nobody waits; what else nobody waits for is dropped."""
        if self.known(wish) is None:
            self._search(wish)

    async def find(self, wish: Wish, patience_s: float | None = None) -> tuple[Fix | None] | None:
        """Return the fix, in a tuple, once it is found; ``None`` if that takes too long.

        It is looked for even when patience has ended, until it is dropped for another one. If the
        caller is cancelled, nobody waits for it: it ends at once, or a moment later if patience
        was limited, so that who asks again finds it. Raises what the engine raises.
        """
        known = self.known(wish)
        if known is not None:
            return known
        search = self._search(wish)
        search.waiting += 1
        try:
            await self._wait(search, patience_s)
        except asyncio.CancelledError:
            if search.waiting == 1:
                delay_s = 0.0 if patience_s is None else _LINGER_S
                search.ending = self._call_later(delay_s, partial(self._drop, search))
            raise
        finally:
            search.waiting -= 1
        if not search.task.done() or search.task.cancelled():
            return None
        return (search.task.result(),)

    def hurry(self, within_s: float) -> None:
        """Let the patience end so soon of all who wait with limited patience now."""
        until_s = asyncio.get_running_loop().time() + within_s
        for patience in self._patience:
            if (patience.when() or 0.0) > until_s:
                patience.reschedule(until_s)

    async def run(self, work: Finder[T], limit_s: float) -> T:
        """Do ``work`` in the thread, after all that is done there. Cancelling the caller ends it.

        Raises ``TimeoutError`` when it takes longer, and what it raises.
        """
        async with self._turn:
            run = _Run(self._scheduler, self._on_busy)
            self._running.add(run)
            desk = Desk(run.ask, self._residents, run.cancel)
            done = asyncio.get_running_loop().run_in_executor(self._thread, work, desk)
            # It ends a moment after it was stopped, and nobody wants to hear of that any more.
            done.add_done_callback(lambda over: over.cancelled() or over.exception())
            try:
                async with asyncio.timeout(limit_s):
                    return await asyncio.shield(done)
            finally:
                run.stop()
                self._running.discard(run)

    def forget(self) -> None:
        """Forget what was found: something else counts now."""
        self._known.clear()
        self.stop()

    def stop(self) -> None:
        """End all that is looked for."""
        for search in list(self._searches.values()):
            self._drop(search)

    def close(self) -> None:
        """End all of it, and the checkers that stay. Needs no event loop."""
        for run in list(self._running):
            run.stop()
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._residents.close()

    async def _wait(self, search: _Search, patience_s: float | None) -> None:
        # The search may raise the same error for itself, but not here.
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s) as patience:
                self._patience.add(patience)
                try:
                    await asyncio.wait([search.task])
                finally:
                    self._patience.remove(patience)

    def _search(self, wish: Wish) -> _Search:
        """Return the search for a fix, which begins here if it has not."""
        key = wish.key
        for other in list(self._searches.values()):
            if other.key != key and not other.waiting:
                self._drop(other)
        search = self._searches.get(key)
        if search is not None and search.ending is not None:
            # Whoever asks anew wants it to go on.
            search.ending.cancel()
        if search is None:
            task = asyncio.get_running_loop().create_task(self._look(wish))
            search = self._searches[key] = _Search(key=key, task=task)
            task.add_done_callback(partial(self._ended, search))
        return search

    def _drop(self, search: _Search) -> None:
        search.task.cancel()
        if self._searches.get(search.key) is search:
            del self._searches[search.key]

    async def _look(self, wish: Wish) -> Fix | None:
        found = await self.run(lambda desk: find_fix(wish, desk), wish.limits.timeout_s + _GRACE_S)
        self._known[wish.key] = found
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)
        return found

    def _ended(self, search: _Search, task: asyncio.Task[Fix | None]) -> None:
        if self._searches.get(search.key) is search:
            del self._searches[search.key]
        if not task.cancelled() and (error := task.exception()) is not None:
            # Whoever waits for it is told; this is for the others.
            _log.info("no fix was found: %s", error)


class _Run:
    """One piece of work in the thread, and what it waits for of the engine."""

    def __init__(self, scheduler: Scheduler, on_busy: Callable[[bool], None]) -> None:
        self.cancel = CancelToken()
        self._scheduler = scheduler
        self._on_busy = on_busy
        self._loop = asyncio.get_running_loop()
        self._lock = Lock()  # of the next one
        self._answer: Future[str] | None = None

    def ask(self, step: Ask) -> str:
        """Have the engine answer; from the thread.

        Raises ``CheckCancelledError`` when stopped, ``TimeoutError`` after the step's limit: by
        then the engine has stopped, or does so at its next step.
        """
        with self._lock:
            if self.cancel.cancelled:
                raise CheckCancelledError("Nobody waits for this fix any more.")
            answer = asyncio.run_coroutine_threadsafe(self._asked(step), self._loop)
            self._answer = answer
        try:
            return answer.result()
        except FutureCancelledError as error:
            raise CheckCancelledError("Nobody waits for this fix any more.") from error

    def stop(self) -> None:
        """Let the work end soon; from any thread."""
        with self._lock:
            self.cancel.cancel()
            if self._answer is not None:
                self._answer.cancel()

    async def _asked(self, step: Ask) -> str:
        def job(engine: Engine, cancel: CancelToken, emit: Callable[[object], None]) -> str:
            self._on_busy(True)
            try:
                return _answered(step, engine, cancel)
            finally:
                self._on_busy(False)

        async with asyncio.timeout(step.limit_s):
            return await self._scheduler.run(_KEY, job, priority=Priority.FIX)


def _answered(step: Ask, engine: Engine, cancel: CancelToken) -> str:
    text, over = "", cancel.child()
    for chunk in engine.stream(step.request, over):
        text += chunk.text
        if chunk.text and step.enough(text):
            over.cancel()
    return text
