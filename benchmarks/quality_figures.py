"""From marks to figures: shares and ratios with their standard errors, goals, tables."""

from __future__ import annotations

import math
import random
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from benchmarks.quality_marks import Marks
from benchmarks.report import Spread, spread

__all__ = [
    "Estimate",
    "Goals",
    "added_figures",
    "as_json",
    "cross_file_figures",
    "goals_for",
    "groups",
    "judgement_figures",
    "lines_of",
    "right_figures",
    "verdict",
]

T = TypeVar("T")

_RESAMPLED = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A share in per cent, or a ratio, with its standard error; of ``count`` cases."""

    value: float
    error: float
    count: int
    ratio: bool = False

    def __str__(self) -> str:
        """Return it as tables show it."""
        if self.ratio:
            return f"{self.value:.2f} ± {self.error:.2f}"
        return f"{self.value:.1f} ± {self.error:.1f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goals:
    """What a model's figures should reach on the whole path; per cent by set, and ratios."""

    right: Mapping[str, float] = field(default_factory=dict[str, float])
    best_share: float = 98.0
    precision: float = 1.1
    shown: float = 80.0
    breaks: float = 1.0
    context: float = 1.5
    added_p95_ms: float = 15.0


_GOALS = {
    "0.5b": Goals(
        right={"santacoder": 72.0, "single-line": 70.0, "multi-line": 40.0, "mid-line": 60.0},
        best_share=92.0,
        precision=1.3,
        shown=65.0,
    ),
    "1.5b": Goals(
        right={"santacoder": 85.0, "single-line": 85.0, "multi-line": 60.0, "mid-line": 85.0},
    ),
}


def goals_for(model_id: str) -> Goals:
    """Return the goals for a model; those of the larger one where there are none for it."""
    size = re.search(r"(?<![\d.])\d+(?:\.\d+)?b(?![a-z0-9])", model_id.lower())
    return _GOALS.get(size.group() if size else "", _GOALS["1.5b"])


def groups(name: str, found: Sequence[Marks]) -> dict[str, list[Marks]]:
    """Return the marks of a set, then those of each part of it where it has parts."""
    parts = sorted({marks.group for marks in found})
    named = {name: list(found)}
    if any(marks.punctuation for marks in found):
        named[f"{name}, words only"] = [marks for marks in found if not marks.punctuation]
    if len(parts) > 1:
        named |= {part: [marks for marks in found if marks.group == part] for part in parts}
    return {name: marks for name, marks in named.items() if marks}


def share(hits: Sequence[bool]) -> Estimate | None:
    """Return how many of ``hits`` are true; ``None`` for none at all."""
    if not hits:
        return None
    part = sum(hits) / len(hits)
    error = math.sqrt(part * (1 - part) / len(hits))
    return Estimate(value=100 * part, error=100 * error, count=len(hits))


def ratio(found: Sequence[T], statistic: Callable[[Sequence[T]], float | None]) -> Estimate | None:
    """Return a ratio of ``found``; its error is how it varies where cases are drawn anew."""
    value = statistic(found)
    if value is None:
        return None
    # Always the same draws: a table must not change by itself.
    generator = random.Random(1)
    again = (statistic(generator.choices(found, k=len(found))) for _ in range(_RESAMPLED))
    drawn = [each for each in again if each is not None]
    error = statistics.pstdev(drawn) if drawn else 0.0
    return Estimate(value=value, error=error, count=len(found), ratio=True)


def right_figures(found: Sequence[Marks]) -> dict[str, Estimate | None]:
    """Return how much is right: raw, shown without judgement, by the best cut, and by default."""
    cut = [marks.all.right for marks in found if marks.best]
    return {
        "raw": share([marks.raw for marks in found if marks.raw is not None]),
        "path": share([marks.all.right for marks in found]),
        "best_cut": share([marks.best for marks in found]),
        "share_of_best_cut": share(cut),
        "path_default_eagerness": share([marks.judged.right for marks in found]),
    }


def judgement_figures(found: Sequence[Marks]) -> dict[str, Estimate | None]:
    """Return how much of what is shown is right, and how much is shown at all."""
    judged = [marks.judged for marks in found if marks.judged.shown]
    everything = [marks.all for marks in found if marks.all.shown]
    whole = [marks for marks in found if marks.whole]
    return {
        "precision_of_everything": share([sight.fine for sight in everything]),
        "precision": share([sight.fine for sight in judged]),
        "times": ratio(found, _times),
        "shown": share([marks.judged.shown for marks in found if marks.all.shown]),
        "breaks": share([marks.judged.breaks for marks in whole if marks.judged.shown]),
        "breaks_of_everything": share([marks.all.breaks for marks in whole if marks.all.shown]),
    }


def cross_file_figures(pairs: Sequence[tuple[Marks, Marks]]) -> dict[str, Estimate | None]:
    """Return how much is right without and with context; ``pairs`` are of the same cases."""
    return {
        "without": share([off.all.right for off, _ in pairs]),
        "with": share([on.all.right for _, on in pairs]),
        "times": ratio(pairs, _gain),
        "needed_in_context": share([bool(on.needed) for _, on in pairs]),
        "without_default_eagerness": share([off.judged.right for off, _ in pairs]),
        "with_default_eagerness": share([on.judged.right for _, on in pairs]),
    }


def added_figures(found: Sequence[Marks]) -> dict[str, Spread]:
    """Return the time that the server adds to the model's first answer, in ms; none without cases.

    ``own_work`` is without any model, ``total`` with the model's second thoughts. Of the cases for
    which the model was asked just now, where there are any: then the processor does other work in
    between, as it really does.
    """
    timed = [marks for marks in found if marks.asked_anew] or list(found)
    if not timed:
        return {}
    return {
        "own_work": spread([marks.own_ms for marks in timed]),
        "total": spread([marks.own_ms + marks.second_ms for marks in timed]),
    }


def as_json(figures: Mapping[str, Estimate | None]) -> dict[str, object]:
    """Return figures with their errors and counts; those that could not be measured as ``None``."""
    return {
        name: None
        if estimate is None
        else {
            "value": round(estimate.value, 3),
            "standard_error": round(estimate.error, 3),
            "count": estimate.count,
        }
        for name, estimate in figures.items()
    }


def lines_of(
    headings: Sequence[str],
    rows: Sequence[tuple[str, int, Sequence[Estimate | None], str]],
) -> list[str]:
    """Return aligned lines: a name, how many cases, estimates, and what they should be."""
    cells = [tuple(headings)]
    for name, count, estimates, goal in rows:
        shown = ["-" if each is None else str(each) for each in estimates]
        cells.append((name, str(count), *shown, goal))
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    lines: list[str] = []
    for row in cells:
        middle = [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *middle, row[-1]]).rstrip())
    return lines


def verdict(estimate: Estimate | None, goal: float | None, *, at_least: bool = True) -> str:
    """Return a goal and whether it is met; ``""`` where there is none."""
    if goal is None or estimate is None:
        return ""
    met = estimate.value >= goal if at_least else estimate.value <= goal
    return f"{'≥' if at_least else '≤'} {goal:g} {'met' if met else 'MISSED'}"


def _times(found: Sequence[Marks]) -> float | None:
    shown_all = sum(marks.all.shown for marks in found)
    fine_all = sum(marks.all.fine for marks in found)
    shown = sum(marks.judged.shown for marks in found)
    fine = sum(marks.judged.fine for marks in found)
    return (fine / shown) / (fine_all / shown_all) if shown and fine_all else None


def _gain(pairs: Sequence[tuple[Marks, Marks]]) -> float | None:
    without = sum(off.all.right for off, _ in pairs)
    return sum(on.all.right for _, on in pairs) / without if without else None
