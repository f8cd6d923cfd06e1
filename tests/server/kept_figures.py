"""Records and feedback as a store of statistics keeps them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from midfill_server.source import Source
from midfill_server.statistics import Feedback, Record, Recorder

NOW_S = datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp()
DAY_S = 86_400


def record(
    source: Source = Source.MODEL,
    *,
    first_ms: float | None = 50.0,
    total_ms: float = 200.0,
    ago_s: float = 0,
    **changes: object,
) -> Record:
    """A completion of the model in 200 ms, ``ago_s`` before ``NOW_S``, but for ``changes``."""
    made = Record(
        when_s=round(NOW_S - ago_s),
        language_id="python",
        model_id="tiny",
        source=source,
        first_ms=first_ms,
        total_ms=total_ms,
        shown=first_ms is not None,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def feedback(**changes: object) -> Feedback:
    """A suggestion that was on the screen for a while and not taken, but for ``changes``."""
    made = Feedback(
        when_s=round(NOW_S),
        language_id="python",
        model_id="tiny",
        sureness=0.85,
        invoked=False,
        characters=10,
        lines=1,
        confirmed=True,
        shown_ms=800.0,
        accepted=False,
        accepted_characters=0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


TAKEN = {"accepted": True, "accepted_characters": 10}


def recorder(path: Path, now_s: float = NOW_S) -> Recorder:
    return Recorder(path, clock=lambda: now_s)


def keep(path: Path, *records: Record | Feedback) -> None:
    """Write with one flush."""
    kept = recorder(path)
    for one in records:
        kept.add(one)
    kept.close()
