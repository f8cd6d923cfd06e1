"""One completion of the quality benchmark on the server's whole path: all but the protocol.

This is the only place that knows how the server asks: trees, windows, context, engine, cut,
judgement.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.quality_cases import Case
from benchmarks.quality_engine import KeptEngine
from midfill_engine.cancel import CancelToken
from midfill_engine.types import ContextChunk, TokenScore
from midfill_server.anchors import fresh
from midfill_server.context.gather import Surroundings
from midfill_server.context.index import WorkspaceIndex
from midfill_server.document import Snapshot
from midfill_server.pipeline import Completion, Query, complete
from midfill_server.scenes import Scenes
from midfill_server.syntax import breaks

__all__ = ["DEFAULT_EAGERNESS", "EVERYTHING", "Outcome", "Project", "Shown", "Written", "walk"]

DEFAULT_EAGERNESS = Query(uri="", text="", cursor=0).eagerness
EVERYTHING = "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What an editor shows, and whether that breaks a document that was whole without it."""

    text: str
    breaks: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The text that was taken of what the model wrote, farther than the server read it.

    ``ends`` are where its tokens end. The server read ``raw``, with ``scores``.
    """

    text: str
    ends: tuple[int, ...]
    raw: str
    scores: tuple[TokenScore, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A case on the whole path: ``judged`` is shown by default, ``all`` without any judgement.

    ``context`` is what the model was shown of other files. ``whole``: the document without an
    answer has no error. ``own_ms`` is what the server's own work took: the tree after a key,
    context, windows, cuts, judgement; ``second_ms`` is what the model took for second thoughts.
    ``asked_anew``: the model was asked just now, and so had the caches of the processor.
    """

    case: Case
    judged: Shown
    all: Shown
    written: Written
    context: tuple[ContextChunk, ...]
    whole: bool
    own_ms: float
    second_ms: float
    asked_anew: bool


class Project:
    """A folder that an editor has open: all of it has been read, and nothing was done there yet.

    ``surroundings`` is what the server finds there.
    """

    def __init__(self, folder: Path) -> None:
        # By this clock it is never time to look at the disk again.
        self._index = WorkspaceIndex(clock=lambda: 0.0)
        self._index.open([str(folder)])
        self.surroundings = Surroundings(self._index)
        self.read()

    def opened(self, case: Case) -> None:
        """Open the document of a case, and no other."""
        self.surroundings.opened(Snapshot.of(case.text, uri=case.uri))

    def closed(self, case: Case) -> None:
        """Forget the document."""
        self.surroundings.closed(case.uri)

    def read(self) -> None:
        """Do all that is to be done in the background."""
        while self._index.step():
            pass


def walk(case: Case, engine: KeptEngine, project: Project | None = None) -> Outcome:
    """Complete at a case's cursor as the server does, with the context of ``project``.

    Raises ``NotKeptError`` and what the engine raises.
    """
    scenes = Scenes()
    scenes.neighbourhood = project.surroundings if project is not None else None
    _warm(case, scenes, project)
    engine.begin()
    began_s = time.perf_counter()
    judged, query = _complete(case, engine, scenes, DEFAULT_EAGERNESS)
    own_s = time.perf_counter() - began_s - engine.busy_s
    second_s, asked_anew = engine.fit_s + _second_s(engine), engine.asked_anew
    engine.begin()
    everything, _ = _complete(case, engine, scenes, EVERYTHING)
    if project is not None:
        project.closed(case)
    return Outcome(
        case=case,
        judged=_shown(judged.text, query),
        all=_shown(everything.text, query),
        written=_written(case, everything, engine),
        context=engine.requests[0].context,
        whole=query.tree is not None and query.tree.errors == 0,
        own_ms=own_s * 1000,
        second_ms=second_s * 1000,
        asked_anew=asked_anew,
    )


def _second_s(engine: KeptEngine) -> float:
    """Return the time for lines that were tried: only these begin with tokens that are whole."""
    return sum(engine.answer(request).seconds for request in engine.requests if not request.heal)


def _written(case: Case, completion: Completion, engine: KeptEngine) -> Written:
    """Return the text that the completion was made of, read on.

    After second thoughts it is the answer to several requests: to each, what was taken before
    stands as typed already. The longest goes on where the server stopped.
    """
    account, first = completion.account, engine.requests[0]
    raw = account.raw if account else ""
    best, start, length = first, "", -1
    for request in engine.requests:
        before = request.typed.removeprefix(first.typed)
        text = before + engine.answer(request).text
        if (text.startswith(raw) or raw.startswith(text)) and len(text) > length:
            best, start, length = request, before, len(text)

    def enough(text: str) -> bool:
        return bool(case.problem.expected) and _first_line_is_whole(start + text)

    answer = engine.read_on(best, case.max_tokens, enough)
    scores = account.scores if account else ()
    ends = {len(start) + end for end in answer.ends} | {score.at for score in scores}
    return Written(
        text=start + answer.text,
        ends=tuple(sorted(ends - {0})),
        raw=raw,
        scores=scores,
    )


def _warm(case: Case, scenes: Scenes, project: Project | None) -> None:
    """Do what was done after the key before: the tree is there, and what is imported was read."""
    before = case.text[: max(case.cursor - 1, 0)]
    earlier = _query(replace(case, text=before + case.text[case.cursor :], cursor=len(before)))
    if project is not None:
        project.opened(case)
    earlier = scenes.seen(earlier)
    scenes.of(earlier)(fresh(earlier.text, earlier.cursor))
    if project is not None:
        project.read()


def _complete(
    case: Case, engine: KeptEngine, scenes: Scenes, eagerness: str
) -> tuple[Completion, Query]:
    """Ask as the server does for a completion that comes by itself."""
    query = scenes.seen(replace(_query(case), eagerness=eagerness))
    split = fresh(query.text, query.cursor)
    split = replace(split, scene=scenes.of(query)(split))
    return complete(query, split, engine, CancelToken(), _unseen), query


def _query(case: Case) -> Query:
    return Query(
        uri=case.uri,
        text=case.text,
        cursor=case.cursor,
        language_id=case.language_id,
        max_tokens=case.max_tokens,
    )


def _shown(text: str, query: Query) -> Shown:
    return Shown(text=text, breaks=bool(text) and breaks(query.tree, query.cursor, text))


def _first_line_is_whole(text: str) -> bool:
    return "\n" in text.lstrip()


def _unseen(text: str) -> None:
    """Take no notice of text that is still growing."""
