"""What the feedback says: pure functions from what became of suggestions to figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

from midfill_server.statistics.feedback import Feedback
from midfill_server.statistics.summary import grouped

__all__ = ["Acceptance", "Calibration", "Reception", "summarise_feedback"]

# Few are shown unasked below the first of these; each of the others is a step of eagerness.
_EDGES = (0.0, 0.5, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """How many suggestions were shown, and what was taken of them.

    ``confirmed`` are those of the ``shown`` ones of which the editor said so. ``accepted`` were
    taken to their end, ``partly`` in part. ``shown_median_ms`` is over those where it is known.
    """

    shown: int = 0
    confirmed: int = 0
    accepted: int = 0
    partly: int = 0
    characters: int = 0
    accepted_characters: int = 0
    shown_median_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The suggestions that were right with a probability in ``[low, high)``, or so it seemed.

    ``promised`` is that probability, on average; ``accepted`` counts what was taken whole or in
    part. The last range includes its ``high``.
    """

    low: float
    high: float
    shown: int
    promised: float
    accepted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reception:
    """All figures. ``models`` and ``languages`` have the most shown first.

    ``calibration`` is over suggestions that came by themselves: who asks by hand is shown what is
    doubtful too. Ranges in which there is none are left out.
    """

    all: Acceptance
    invoked: Acceptance
    models: Mapping[str, Acceptance]
    languages: Mapping[str, Acceptance]
    calibration: tuple[Calibration, ...]


def summarise_feedback(feedback: Sequence[Feedback]) -> Reception:
    """Summarise what became of suggestions."""
    return Reception(
        all=_acceptance(feedback),
        invoked=_acceptance([each for each in feedback if each.invoked]),
        models=grouped(feedback, lambda each: each.model_id, _acceptance),
        languages=grouped(feedback, lambda each: each.language_id, _acceptance),
        calibration=_calibration([each for each in feedback if not each.invoked]),
    )


def _acceptance(feedback: Sequence[Feedback]) -> Acceptance:
    times_ms = [each.shown_ms for each in feedback if each.shown_ms is not None]
    return Acceptance(
        shown=len(feedback),
        confirmed=sum(each.confirmed for each in feedback),
        accepted=sum(each.accepted for each in feedback),
        partly=sum(_is_taken(each) and not each.accepted for each in feedback),
        characters=sum(each.characters for each in feedback),
        accepted_characters=sum(each.accepted_characters for each in feedback),
        shown_median_ms=median(times_ms) if times_ms else None,
    )


def _calibration(feedback: Sequence[Feedback]) -> tuple[Calibration, ...]:
    found: list[Calibration] = []
    for low, high in pairwise(_EDGES):
        inside = [
            (each.sureness, _is_taken(each))
            for each in feedback
            if each.sureness is not None and low <= min(each.sureness, 0.999999) < high
        ]
        if inside:
            found.append(
                Calibration(
                    low=low,
                    high=high,
                    shown=len(inside),
                    promised=fmean(sureness for sureness, _ in inside),
                    accepted=sum(taken for _, taken in inside),
                )
            )
    return tuple(found)


def _is_taken(feedback: Feedback) -> bool:
    return feedback.accepted or feedback.accepted_characters > 0
