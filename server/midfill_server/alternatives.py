"""Other texts for a place, for somebody who asks in order to choose.

An answer is greedy. What else the model had in mind shows where it hesitated: at such a token of
the first line the second best is taken instead, and the text goes on greedily from there. What
comes before it is computed already, so another text costs its own tokens and nothing else.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.types import (
    Chunk,
    CompletionRequest,
    Cost,
    EngineInfo,
    FinishReason,
    Fit,
    Request,
    TokenScore,
)
from midfill_server.anchors import Split
from midfill_server.pipeline import Query, complete
from midfill_server.reconsider import is_whole, moved
from midfill_server.scheduler import Job

__all__ = [
    "BUDGET_S",
    "MOST_ITEMS",
    "Branch",
    "Write",
    "Written",
    "branches",
    "job_for",
    "other_texts",
]

MOST_ITEMS = 3
"""So many texts are offered for a place, the greedy one included."""

# The protocol has one answer, so the first text waits for the others; who asks for texts to choose
# from waits this long, and sees the greedy one meanwhile where the client shows what grows.
BUDGET_S = 2.0
"""Seconds for all other texts together."""

# Some lead to the text that is there already.
_MOST_TRIES = 5

# A second best token that is less than a fiftieth as probable as the best one is mostly wrong.
_MOST_MARGIN = 4.0

# A difference near the start is seen at once and leaves more to differ: each token further on
# counts as much as being a tenth less probable.
_PER_TOKEN = 0.1

_BLANKS = re.compile(r"\s+")
_QUOTES = str.maketrans("'`", '""')


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What came of writing on: all of it, and ``text``, which is what is shown of it.

    ``raw`` and ``text`` begin with what was given; the places of ``scores`` count from there.
    """

    raw: str
    text: str
    scores: tuple[TokenScore, ...]


Write: TypeAlias = Callable[[str, float], Written]
"""Completes a text that begins as given, within so many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A beginning that the model nearly wrote. ``logprobs`` are those of its tokens, natural."""

    start: str
    logprobs: tuple[float, ...]


def job_for(
    query: Query, split: Split, first: str, *, clock: Callable[[], float] = time.monotonic
) -> Job[str, tuple[str, ...]]:
    """Return work that finds other texts than ``first`` for a place that was just completed.

    The budget runs from now: waiting for the engine is part of it.
    """
    deadline_s = clock() + BUDGET_S
    query = replace(query, patient=False, pause_s=0.0)
    # Where two texts meet again they mostly agree.
    hints = (split.typed + first,)

    def job(engine: Engine, cancel: CancelToken, emit: Callable[[str], None]) -> tuple[str, ...]:
        def write(start: str, seconds: float) -> Written:
            pen = _Pen(engine, start, hints, clock() + seconds)
            shown = complete(query, split, pen, cancel, _unheard, reconsiders=False).text
            if pen.out_of_time and not is_whole(pen.raw):
                # Half a line is no text to choose.
                shown = ""
            return Written(raw=pen.raw, text=shown, scores=tuple(pen.scores))

        return other_texts(first, write, lambda: 0.0 if cancel.cancelled else deadline_s - clock())

    return job


def other_texts(first: str, write: Write, left_s: Callable[[], float]) -> tuple[str, ...]:
    """Return texts that differ from ``first`` and from each other, the best one first.

    ``write("", ...)`` need not go beyond the first line. ``left_s`` tells how many seconds there
    are. The best one is the one whose tokens are the most probable on average.
    """
    if left_s() <= 0:
        return ()
    greedy = write("", left_s())
    found: list[tuple[float, str]] = []
    taken = [_bare(first)] if first else []
    tries = branches(greedy.raw, greedy.scores, first)[:_MOST_TRIES]
    while tries and len(found) < MOST_ITEMS - 1 and (seconds := left_s()) > 0:
        # Each of those that may still come has its share of the time.
        branch, shares = tries[0], min(len(tries), MOST_ITEMS - 1 - len(found))
        tries = tries[1:]
        written = write(branch.start, seconds / shares)
        bare = _bare(written.text)
        # The beginning of a text that is offered can be had by accepting a part of that.
        if not bare or any(text.startswith(bare) for text in taken):
            continue
        taken.append(bare)
        found.append((_mean(branch, written), written.text))
    found.sort(key=lambda each: each[0], reverse=True)
    return tuple(text for _, text in found)


def branches(raw: str, scores: Sequence[TokenScore], shown: str) -> list[Branch]:
    """Return where ``raw`` could have become another text, the most promising place first.

    Only places on the first line, within what is ``shown`` of it or at its end; and only tokens
    that make a difference which can be seen. Where another text than ``raw`` is shown, ``raw``
    itself comes before all.
    """
    found: list[tuple[float, Branch]] = []
    logprobs: tuple[float, ...] = ()
    bare_raw, bare_shown = _bare(raw), _bare(shown)
    for count, score in enumerate(scores):
        before = raw[: score.at]
        if not bare_shown.startswith(_bare(before)):
            if not bare_raw.startswith(bare_shown):
                found.append((-math.inf, Branch(start=before, logprobs=logprobs)))
            break
        if is_whole(before):
            break
        start = before + score.runner_up
        margin = score.logprob - score.runner_up_logprob
        known = bare_raw.startswith(_bare(start)) or bare_shown.startswith(_bare(start))
        if score.runner_up.strip() and not known and margin <= _MOST_MARGIN:
            branch = Branch(start=start, logprobs=(*logprobs, score.runner_up_logprob))
            found.append((margin + _PER_TOKEN * count, branch))
        logprobs = (*logprobs, score.logprob)
    found.sort(key=lambda each: each[0])
    return [branch for _, branch in found]


class _Pen:
    """The engine, its answer begun: with ``start``, and keeping what it writes.

    Without a start it stops after the first line. What it has at ``deadline_s`` is for its reader
    as if it had come to its most tokens.
    """

    def __init__(
        self, engine: Engine, start: str, hints: tuple[str, ...], deadline_s: float
    ) -> None:
        self._engine = engine
        self._start = start
        self._hints = hints
        self._deadline_s = deadline_s
        self.raw = start
        self.scores: list[TokenScore] = []
        self.out_of_time = False

    @property
    def info(self) -> EngineInfo:
        return self._engine.info

    def stream(self, request: Request, cancel: CancelToken) -> Iterator[Chunk]:
        if isinstance(request, CompletionRequest):
            request = replace(
                request,
                typed=request.typed + self._start,
                # The token that the text branches off with is whole.
                heal=request.heal and not self._start,
                hints=self._hints,
                scored=True,
            )
        if self._start:
            yield Chunk(text=self._start)
        in_time = cancel.child(deadline_s=self._deadline_s)
        enough = in_time.child()
        for chunk in self._engine.stream(request, enough):
            self.raw += chunk.text
            scores = moved(chunk.scores, len(self._start))
            self.scores += scores
            if not self._start and is_whole(self.raw):
                enough.cancel()
            finish = chunk.finish
            if finish is FinishReason.CANCELLED and not cancel.cancelled:
                finish, self.out_of_time = FinishReason.LENGTH, in_time.cancelled
            yield replace(chunk, scores=scores, finish=finish)

    def fit(
        self, request: CompletionRequest, answers: Sequence[str], then: str, cancel: CancelToken
    ) -> tuple[Fit, ...]:
        return self._engine.fit(request, answers, then, cancel)

    def estimate(self, request: Request) -> Cost:
        return self._engine.estimate(request)

    def close(self) -> None:
        """Leave the engine as it is: it is somebody else's."""


def _unheard(text: str) -> None:
    """Take no notice of a text that grows."""


def _mean(branch: Branch, written: Written) -> float:
    """Return how probable the tokens of what is shown are on average, as a logarithm."""
    logprobs = [*branch.logprobs]
    logprobs += [each.logprob for each in written.scores if each.at < len(written.text)]
    return sum(logprobs) / len(logprobs)


def _bare(text: str) -> str:
    """Return ``text`` without what makes no difference worth a choice: blanks, kinds of quotes."""
    return _BLANKS.sub("", text).translate(_QUOTES)
