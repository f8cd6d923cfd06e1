"""What the records say: pure functions from records to figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from statistics import median
from typing import TypeVar

from midfill_server.source import Source
from midfill_server.statistics.record import Record

__all__ = ["Figures", "Percentiles", "Summary", "Tokens", "grouped", "summarise"]

_DAYS_SHOWN = 7

T = TypeVar("T")
F = TypeVar("F")


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """So many percent of ``count`` times were no longer than this; each is a time that occurred."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How many completions, where they came from, and how long they took.

    ``first`` is over those that had text, ``complete`` over those that were shown: one that the
    next keystroke cut short was never complete. ``None``: there were none.
    """

    completions: int = 0
    shown: int = 0
    by_source: Mapping[Source, int] = field(default_factory=dict[Source, int])
    first: Percentiles | None = None
    complete: Percentiles | None = None

    @property
    def without_model(self) -> int:
        """How many were answered at once, with no work of the model."""
        return sum(n for source, n in self.by_source.items() if not source.waited_for_model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What the model did, over the ``requests`` that it worked for from their start."""

    requests: int = 0
    prefilled_median: float | None = None
    generated_median: float | None = None
    prefilled: int = 0
    reused: int = 0
    generated: int = 0
    drafted: int = 0
    accepted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All figures. ``waited`` is over the completions for which the user waited for the model.

    ``models`` and ``languages`` have the most used first; ``days`` are those of the last seven on
    which something was completed, by local date, in order.
    """

    first_s: int | None
    last_s: int | None
    all: Figures
    waited: Figures
    tokens: Tokens
    models: Mapping[str, Figures]
    languages: Mapping[str, Figures]
    days: Mapping[str, Figures]


def summarise(records: Sequence[Record], now_s: float, *, zone: tzinfo | None = None) -> Summary:
    """Summarise ``records``; ``zone`` says where a day begins (``None``: as on this machine)."""
    today = datetime.fromtimestamp(now_s, zone).date()
    last_days = {(today - timedelta(days=ago)).isoformat() for ago in range(_DAYS_SHOWN)}

    def day(record: Record) -> str:
        return datetime.fromtimestamp(record.when_s, zone).date().isoformat()

    days = grouped(records, day, _figures)
    return Summary(
        first_s=min((r.when_s for r in records), default=None),
        last_s=max((r.when_s for r in records), default=None),
        all=_figures(records),
        waited=_figures([r for r in records if r.source.waited_for_model]),
        tokens=_tokens([r for r in records if r.source is Source.MODEL]),
        models=grouped(records, lambda record: record.model_id, _figures),
        languages=grouped(records, lambda record: record.language_id, _figures),
        days={name: days[name] for name in sorted(days.keys() & last_days)},
    )


def grouped(
    items: Iterable[T], name: Callable[[T], str], figures: Callable[[Sequence[T]], F]
) -> dict[str, F]:
    """Return the figures of the items of each name; the name that most items have is first."""
    members: dict[str, list[T]] = {}
    for item in items:
        members.setdefault(name(item), []).append(item)
    most_first = sorted(members, key=lambda key: (-len(members[key]), key))
    return {key: figures(members[key]) for key in most_first}


def _figures(records: Sequence[Record]) -> Figures:
    return Figures(
        completions=len(records),
        shown=sum(r.shown for r in records),
        by_source={source: sum(r.source is source for r in records) for source in Source},
        first=_percentiles([r.first_ms for r in records if r.first_ms is not None]),
        complete=_percentiles([r.total_ms for r in records if r.shown]),
    )


def _percentiles(times_ms: list[float]) -> Percentiles | None:
    if not times_ms:
        return None
    times_ms.sort()

    def nearest_rank(percent: int) -> float:
        return times_ms[math.ceil(percent * len(times_ms) / 100) - 1]

    return Percentiles(
        count=len(times_ms),
        p50_ms=nearest_rank(50),
        p95_ms=nearest_rank(95),
        p99_ms=nearest_rank(99),
    )


def _tokens(records: Sequence[Record]) -> Tokens:
    if not records:
        return Tokens()
    return Tokens(
        requests=len(records),
        prefilled_median=median(r.prefilled_tokens for r in records),
        generated_median=median(r.generated_tokens for r in records),
        prefilled=sum(r.prefilled_tokens for r in records),
        reused=sum(r.reused_tokens for r in records),
        generated=sum(r.generated_tokens for r in records),
        drafted=sum(r.drafted_tokens for r in records),
        accepted=sum(r.accepted_tokens for r in records),
    )
