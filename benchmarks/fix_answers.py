"""Asks a model for fixes, and remembers: what it was asked once is never asked again.

A clock goes with that which runs on by the time that the model took when it was asked: how long a
fix takes is the same, whether its answers are new or kept.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TypeAlias, cast

from benchmarks.kept import KeptRows, key_of
from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.types import Request
from midfill_server.fixing import Ask

__all__ = ["Answers", "Enough"]

Enough: TypeAlias = Callable[[str], bool]
"""Whether the rest of an answer, of which there is so much, would not be looked at."""

# What decides only how fast an answer is, not what it says.
_NOT_ASKED = frozenset({"hints", "awaited", "request_id"})


class Answers:
    """Answers of one model. ``settings`` name it, as far as its answers depend on them.

    ``asked`` counts those that were not kept.
    """

    def __init__(self, engine: Engine, kept: KeptRows, settings: Sequence[object]) -> None:
        self.asked = 0
        self._engine = engine
        self._kept = kept
        self._settings = list(settings)
        self._ahead_s = 0.0

    def clock(self) -> float:
        """Return the time, in seconds, as it would be if the model had been asked each time."""
        return time.monotonic() + self._ahead_s

    def ask(self, step: Ask) -> str:
        """Return the answer, up to where it is enough; ``TimeoutError`` where that takes long."""
        return self.answer(step.request, step.enough, step.limit_s)

    def answer(
        self, request: Request, enough: Enough = lambda _: False, limit_s: float = math.inf
    ) -> str:
        """Return what the model says to a request, up to where it is enough.

        Raises ``TimeoutError`` if it would have said that after ``limit_s`` seconds only.
        """
        began_s = time.monotonic()
        key = key_of(
            self._settings,
            type(request).__name__,
            {name: value for name, value in asdict(request).items() if name not in _NOT_ASKED},
        )
        row = self._kept.get(key)
        kept = _read(row, enough, limit_s) if row is not None else None
        if kept is None:
            return self._asked(request, enough, key, limit_s)
        text, took_s = kept
        self._ahead_s += min(took_s, limit_s) - (time.monotonic() - began_s)
        if took_s > limit_s:
            raise TimeoutError
        return text

    def _asked(self, request: Request, enough: Enough, key: str, limit_s: float) -> str:
        self.asked += 1
        cancel = CancelToken()
        is_late = False
        pieces: list[tuple[str, float]] = []
        text = ""
        began_s = time.monotonic()
        for chunk in self._engine.stream(request, cancel):
            if cancel.cancelled:
                continue
            text += chunk.text
            pieces.append((chunk.text, round(time.monotonic() - began_s, 4)))
            is_late = time.monotonic() - began_s > limit_s
            if enough(text) or is_late:
                cancel.cancel()
        self._kept.add(
            {
                "key": key,
                "pieces": pieces,
                "seconds": round(time.monotonic() - began_s, 4),
                "whole": not cancel.cancelled,
            }
        )
        if is_late:
            raise TimeoutError
        return text


def _read(row: Mapping[str, object], enough: Enough, limit_s: float) -> tuple[str, float] | None:
    """Return a kept answer as far as wanted, and how long that took; ``None`` if too short."""
    text = ""
    for piece, at_s in cast("list[tuple[str, float]]", row["pieces"]):
        text += piece
        if enough(text) or at_s > limit_s:
            return text, at_s
    return (text, float(str(row["seconds"]))) if row["whole"] else None
