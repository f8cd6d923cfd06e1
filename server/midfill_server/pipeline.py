"""One completion by the model, from a text and a cursor to what an editor shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.types import CompletionRequest, FinishReason, Timings, TokenScore
from midfill_server.anchors import Split
from midfill_server.judgement.confidence import (
    features,
    is_shown,
    may_be_shown,
    probability,
    shown_after,
)
from midfill_server.postprocess import (
    Length,
    Rule,
    Site,
    Step,
    extent_of,
    finish,
    first_line,
)
from midfill_server.source import Source
from midfill_server.syntax import SyntaxTree, language_of
from midfill_server.writing import Draft, write

__all__ = ["Account", "Completion", "Query", "complete", "prefetch"]

# A prompt that takes longer than this is not begun at once: a cursor that runs through a file
# asks at many places, and stays at one.
_COSTLY_MS = 400.0
_PAUSE_S = 0.075


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked for: text for the offset ``cursor`` of ``text``, the document ``uri``.

    ``language_id`` is what the editor calls the language, ``tree`` the text's, where there is one.
    ``length`` and ``eagerness`` are what the user wants to be offered; ``invoked``: somebody asked
    by hand, and is shown whatever there is. ``patient`` requests came by themselves while somebody
    typed: a costly one waits a little for the next key. ``pause_s`` is waited for in any case.
    ``awaited``: somebody waits for the answer, so a faster model may give it.
    """

    uri: str
    text: str
    cursor: int
    language_id: str = ""
    tree: SyntaxTree | None = None
    length: Length = Length.AUTO
    eagerness: str = "balanced"
    invoked: bool = False
    max_tokens: int = 64
    patient: bool = False
    pause_s: float = 0.0
    awaited: bool = True
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """How an answer came about, for people: ``midfill complete --explain``.

    ``raw`` is what the model wrote, with its ``scores``; ``changed``: on second thoughts.
    ``extent`` is why so much was wanted, ``steps`` what the filters did. ``sureness`` is how
    probably the first line is right, ``None`` where nothing tells.
    """

    raw: str
    scores: tuple[TokenScore, ...]
    changed: bool
    extent: Rule
    steps: tuple[Step, ...]
    sureness: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """An answer; ``text`` is ``""`` if there is nothing to suggest.

    ``finish`` is ``STOP`` too where the text was cut because it began to repeat what follows.
    ``timings`` is what the model spent on it: ``None`` where it did not have to work.
    ``stood_in``: a faster model answered, and the better one does not have the prompt yet.
    ``withheld`` is a text that is probably wrong and was not shown for that; once somebody has
    typed its first ``hidden`` characters, the rest is sure enough. ``sureness`` is how probably the
    first line is right, where that was shown; ``None`` where nothing tells. ``account`` tells how
    it came about, where the model worked for this very answer.
    """

    text: str
    finish: FinishReason
    timings: Timings | None
    model_id: str
    source: Source = Source.MODEL
    stood_in: bool = False
    withheld: str = ""
    hidden: int = 0
    sureness: float | None = None
    account: Account | None = None


def complete(
    query: Query,
    split: Split,
    engine: Engine,
    cancel: CancelToken,
    on_text: Callable[[str], None],
    hints: tuple[str, ...] = (),
    *,
    reconsiders: bool = True,
) -> Completion:
    """Compute a completion. ``on_text`` gets its first line as soon as that is whole and judged.

    The answer begins with that line. Not ``reconsiders``: the model's first choice is taken, even
    where it hesitated. Raises what the engine raises.
    """
    request = _request(query, split, hints)
    if _gave_up(query, request, engine, cancel):
        return _nothing(engine)
    site = Site.around(
        query.text,
        query.cursor,
        tree=query.tree,
        language=language_of(query.language_id, query.uri),
        length=query.length,
        eagerness="always" if query.invoked else query.eagerness,
    )

    def is_worth_it(draft: Draft) -> bool:
        return reconsiders and may_be_shown(_sureness(draft), site.eagerness)

    draft, line, shown, enough = Draft(), "", False, cancel.child()
    for draft in write(request, site, engine, enough, reconsiders=is_worth_it):
        if line or not (line := first_line(draft.raw, site)):
            continue
        shown = is_shown(_sureness(draft), site.eagerness)
        if shown:
            on_text(line)
        else:
            # Nobody will see what comes after it.
            enough.cancel()
    if enough.cancelled and not cancel.cancelled:
        draft.settled = True
    return _judged(draft, site, engine.info.model_id, shown=shown)


def _judged(draft: Draft, site: Site, model_id: str, *, shown: bool) -> Completion:
    """Return what is shown of a draft that is written; ``shown``: its first line is already."""
    scores, sureness = tuple(draft.scores), _sureness(draft)
    outcome = finish(draft.raw, site, draft.finish, scores, shown=shown)
    shown = shown or is_shown(sureness, site.eagerness)
    return Completion(
        text=outcome.text if shown else "",
        withheld="" if shown else outcome.text,
        hidden=0 if shown else _hidden(draft, outcome.text, site.eagerness),
        finish=FinishReason.STOP if draft.settled else draft.finish,
        timings=draft.timings,
        model_id=model_id,
        stood_in=draft.stood_in,
        # What is shown of a doubtful text once its beginning is typed is surer than its line was.
        sureness=sureness if shown else None,
        account=Account(
            raw=draft.raw,
            scores=scores,
            changed=draft.changed,
            extent=extent_of(site),
            steps=outcome.steps,
            sureness=sureness,
        ),
    )


def _sureness(draft: Draft) -> float | None:
    """Return how probably the first line is right: whether anything is shown rests on it."""
    found = features(draft.scores, draft.line.first)
    return None if found is None else probability(found)


def _hidden(draft: Draft, text: str, eagerness: str) -> int:
    """Return how much of a withheld text has to be typed before the rest of it is shown."""
    line = draft.line.first
    after = shown_after(draft.scores, line, eagerness)
    # What was spelled otherwise has other characters than the scores speak of.
    return len(text) if after is None or not text.startswith(line.rstrip()) else after


def prefetch(query: Query, split: Split, engine: Engine, cancel: CancelToken) -> bool:
    """Compute the prompt, and nothing else; returns whether all of it is computed."""
    request = replace(_request(query, split, ()), max_tokens=0, awaited=False, scored=False)
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
        context=split.scene.context,
        landmarks=split.scene.landmarks,
        breaks=split.scene.breaks,
        path=split.scene.path,
        repo=split.scene.repo,
        comment=split.scene.comment,
        hints=hints,
        max_tokens=query.max_tokens,
        awaited=query.awaited,
        scored=True,
        request_id=query.request_id,
    )


def _encodable(text: str) -> str:
    """Replace lone surrogates: JSON and broken files can carry them, UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
