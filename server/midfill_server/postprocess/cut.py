"""Where a completion ends: the filters, applied while it grows and once it is there."""

from __future__ import annotations

from dataclasses import dataclass

from midfill_engine.types import FinishReason, TokenScore
from midfill_server.postprocess.case import Case
from midfill_server.postprocess.filters import FILTERS, NEXT_LINE, Filter, Stage
from midfill_server.postprocess.lines import lines_of
from midfill_server.postprocess.site import Site
from midfill_server.postprocess.style import spelled

__all__ = ["Cut", "Outcome", "Step", "finish", "first_line", "truncate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A raw text so far. ``settled``: nothing that is generated from here on can matter.

    ``by`` is the filter that settled it.
    """

    text: str
    settled: bool
    by: Filter | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one filter did: ``after`` is what it left of ``before``."""

    name: str
    reason: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The text to show, ``""`` for none, and what the filters did to get there."""

    text: str
    steps: tuple[Step, ...]


def truncate(raw: str, site: Site, *, judged: int = 0) -> Cut:
    """End ``raw`` where no longer text could be shown any more of.

    What is cut once stays cut, however the text goes on, and in whatever pieces it came. Its first
    ``judged`` characters have been looked at before, and were not settled.
    """
    case = Case(site=site)
    for line in lines_of(raw):
        if line.ending and line.end <= judged:
            continue
        seen = raw[: line.end]
        # First what can be said before a line is whole; then what takes all of it.
        for stage in (Stage.GROWING, Stage.LINE) if line.ending else (Stage.GROWING,):
            cuts = [(each.apply(seen, case), each) for each in FILTERS if each.stage is stage]
            kept, by = min(cuts, key=lambda cut: cut[0])
            if kept < len(seen):
                return Cut(text=raw[:kept], settled=True, by=by)
    return Cut(text=raw, settled=False)


def first_line(raw: str, site: Site) -> str:
    """Return the first line of a growing text once it is whole and worth showing, else ``""``.

    A text that is ``finish``ed with ``shown`` begins with it.
    """
    kept = _first_line(raw, site)
    # With more lines behind it, blanks at its end are litter, though text follows the cursor.
    return _shown(raw[:kept], site).rstrip() if kept else ""


def finish(
    raw: str,
    site: Site,
    reason: FinishReason,
    scores: tuple[TokenScore, ...] = (),
    *,
    shown: bool = False,
) -> Outcome:
    """Return what is shown of ``raw``, the whole of what was generated.

    ``shown``: its first line is on the screen, if ``first_line`` gave one; it stays.
    """
    cut = truncate(raw, site)
    case = Case(
        site=site,
        half=not cut.settled and reason is not FinishReason.STOP,
        met=cut.by is not None and cut.by.name == NEXT_LINE,
        scores=scores,
    )
    steps: list[Step] = []
    if cut.by is not None:
        steps.append(_step(cut.by, raw, cut.text))
    least = _first_line(raw, site) if shown else 0
    text = cut.text
    for each in FILTERS:
        if each.stage is Stage.FINAL and text.strip():
            kept = max(each.apply(text, case), min(least, len(text)))
            if kept < len(text):
                steps.append(_step(each, text, text[:kept]))
                text = text[:kept]
    return Outcome(text=_shown(text, site), steps=tuple(steps))


def _first_line(raw: str, site: Site) -> int:
    """Return how much of ``raw`` is a first line worth showing, 0 while it is not whole."""
    cut = truncate(raw, site)
    first = next((line for line in lines_of(cut.text) if not line.is_blank), None)
    if first is None or not (first.ending or cut.settled):
        return 0
    case = Case(site=site)
    text = cut.text[: first.stop]
    for each in FILTERS:
        if each.first and text.strip():
            text = text[: each.apply(text, case)]
    return len(text) if text.strip() else 0


def _shown(text: str, site: Site) -> str:
    """Return a text as the document spells it, without blanks that nobody sees."""
    # Between words of one line a blank at the end matters; at the end of a line it is litter.
    text = text.rstrip("\r\n") if site.rest else text.rstrip()
    return spelled(text, site) if text.strip() else ""


def _step(by: Filter, before: str, after: str) -> Step:
    return Step(name=by.name, reason=by.reason, before=before, after=after)
