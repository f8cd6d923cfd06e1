"""Has a model explain: what was explained before at once, else in the background or as a stream."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.errors import MidfillError, RequestError
from midfill_engine.registry import MODELS
from midfill_engine.types import ChatRequest, Message, Role
from midfill_server.explaining.cache import ExplanationCache
from midfill_server.explaining.markdown import safe_markdown
from midfill_server.explaining.prompts import Question
from midfill_server.explaining.writing import Answer, go_on
from midfill_server.scheduler import (
    EngineUnavailableError,
    Job,
    Priority,
    Scheduler,
    SupersededError,
)

__all__ = ["Explainer", "Explanation", "Outcome", "Pending", "Unavailable"]

_log = logging.getLogger(__name__)

_MAX_SUGGESTED = 4
_NOBODY_CAN = "No model is there to explain it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Safe markdown, and which model wrote it."""

    text: str
    model_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """It is being written; ``text`` is safe markdown of what there is, or ``""``."""

    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """There is no explanation; ``message``, plain text for people, says why and what to do.

    ``models`` are ids of models that could, the smallest first, where that is the reason.
    """

    message: str
    models: tuple[str, ...] = ()


Outcome = Explanation | Pending | Unavailable


class _CannotChatError(Exception):
    """The model that serves was not made to chat."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Running:
    """An explanation that is written in the background."""

    digest: str
    task: asyncio.Task[None] | None = None
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    text: str
    model_id: str
    stood_in: bool


class Explainer:
    """Explanations of one session; every method belongs to the event loop's thread.

    ``model_id`` is set by who opens the engine; explanations of another model are not shown. It is
    learned from the first answer where nobody sets it.
    """

    def __init__(self, scheduler: Scheduler, cache: ExplanationCache) -> None:
        self._scheduler = scheduler
        self._cache = cache
        self._model_id = ""
        self._running: dict[str, _Running] = {}
        self._refusal: Unavailable | None = None
        # What failed is not tried again and again while the pointer rests.
        self._failed: tuple[str, Unavailable] | None = None

    @property
    def cache(self) -> ExplanationCache:
        """What was explained."""
        return self._cache

    @property
    def model_id(self) -> str:
        """The model that serves, ``""`` while that is not known."""
        return self._model_id

    @model_id.setter
    def model_id(self, model_id: str) -> None:
        if model_id != self._model_id:
            self.start_over()
        self._model_id = model_id

    def start_over(self) -> None:
        """Forget what is under way, and what the model could not do: it is another one now."""
        self._drop_all()
        self._refusal = self._failed = None
        self._model_id = ""

    def look(self, question: Question) -> Explanation | None:
        """Return the explanation if there is one already; takes microseconds."""
        text = self._cache.get(_key(question, self._model_id)) if self._model_id else None
        if text is None:
            return None
        return Explanation(text=text, model_id=self._model_id)

    def begin(self, uri: str, question: Question) -> Outcome:
        """Return what there is now, and have the rest written in the background.

        What was begun before is dropped, unless it is the same: nobody looks at two hovers at once.
        """
        known = self.look(question) or self._refusal
        if known is not None:
            return known
        if self._failed is not None and self._failed[0] == question.digest:
            return self._failed[1]
        running = self._running.get(uri)
        if running is not None and running.digest == question.digest:
            return Pending(text=running.text)
        self._drop_all()
        running = self._running[uri] = _Running(digest=question.digest)
        running.task = asyncio.get_running_loop().create_task(self._follow(uri, question, running))
        return Pending()

    def drop(self, uri: str) -> None:
        """End what is written in the background for a document."""
        running = self._running.pop(uri, None)
        if running is not None and running.task is not None:
            running.task.cancel()

    def _drop_all(self) -> None:
        for uri in list(self._running):
            self.drop(uri)

    async def stream(
        self, uri: str, question: Question, on_text: Callable[[str], None]
    ) -> Explanation | Unavailable:
        """Have it written while somebody watches: ``on_text`` gets all there is, again and again.

        The texts are safe markdown. To cancel the caller ends the work. A newer stream for the
        same document ends this one, which then returns ``Unavailable``.
        """
        known = self.look(question) or self._refusal
        if known is not None:
            if isinstance(known, Explanation):
                on_text(known.text)
            return known
        # The reader waits for this one, and for no other.
        self._drop_all()
        try:
            return await self._write(f"explanation:{uri}", question, on_text)
        except SupersededError:
            return Unavailable(message="Something else was asked for meanwhile.")

    async def _follow(self, uri: str, question: Question, running: _Running) -> None:
        def keep(text: str) -> None:
            running.text = text

        try:
            outcome = await self._write(f"explain:{uri}", question, keep)
            if isinstance(outcome, Unavailable):
                self._failed = question.digest, outcome
        except SupersededError:
            pass
        except Exception:
            # Nobody waits for it who could be told.
            _log.exception("an explanation failed")
            message = "It could not be explained; the log of the server says why."
            self._failed = question.digest, Unavailable(message=message)
        finally:
            if self._running.get(uri) is running:
                del self._running[uri]

    async def _write(
        self, key: str, question: Question, on_text: Callable[[str], None]
    ) -> Explanation | Unavailable:
        def show(text: str) -> None:
            on_text(_shown(text, question))

        try:
            written = await self._scheduler.run(key, _job(question), show, priority=Priority.HOVER)
        except _CannotChatError as error:
            self._refusal = _refusal(str(error))
            return self._refusal
        except EngineUnavailableError:
            return Unavailable(message=f"{_NOBODY_CAN} `midfill doctor` says more.")
        except MidfillError as error:
            return Unavailable(message=str(error))
        text = _shown(written.text, question)
        if not text:
            return Unavailable(message=f"{written.model_id} had nothing to say about it.")
        # What a smaller model said in its place is not to be shown tomorrow.
        self._cache.put(_key(question, written.model_id), text, lasting=not written.stood_in)
        self._model_id = self._model_id or written.model_id
        if self._model_id != written.model_id:
            # A better one took over and nobody said so yet: that is no reason to ask again.
            self._cache.put(_key(question, self._model_id), text, lasting=False)
        on_text(text)
        return Explanation(text=text, model_id=written.model_id)


def _job(question: Question) -> Job[str, _Written]:
    """Return the work; where it had to make way, it goes on behind what it has written."""
    answer = Answer()

    def work(engine: Engine, cancel: CancelToken, emit: Callable[[str], None]) -> _Written:
        try:
            go_on(engine, cancel, question, answer, emit)
        except RequestError as error:
            _look_whether_it_can(engine, error)
            raise
        return _Written(
            text=answer.text if answer.said.strip() else "",
            model_id=engine.info.model_id,
            stood_in=answer.is_stood_in,
        )

    return work


def _look_whether_it_can(engine: Engine, error: RequestError) -> None:
    """Raise ``_CannotChatError`` if the model can answer no question at all."""
    least = ChatRequest(messages=(Message(role=Role.USER, text="?"),), max_tokens=1)
    try:
        engine.estimate(least)
    except RequestError:
        raise _CannotChatError(engine.info.model_id) from error


def _refusal(model_id: str) -> Unavailable:
    """Say which models could explain, those that ``midfill`` fetches by itself first."""
    able = [spec for spec in MODELS if spec.chat and not spec.variant_of]
    able.sort(key=lambda spec: (not spec.embedded, spec.rank))
    models = tuple(spec.id for spec in able[:_MAX_SUGGESTED])
    return Unavailable(
        message=(
            f"{model_id} completes code and was not made to explain it. These models can: "
            f"{', '.join(models)}. Fetch one with: midfill models pull {models[0]}; "
            f'then set "model" to its name.'
        ),
        models=models,
    )


def _key(question: Question, model_id: str) -> str:
    return hashlib.sha256(f"{model_id}\0{question.digest}".encode("utf-8", "replace")).hexdigest()


def _shown(answer: str, question: Question) -> str:
    """Return an answer, or what there is of it, as safe markdown."""
    return safe_markdown(answer.rstrip(), max_chars=question.max_chars)
