"""How long work tells how far it is: a callback, which a terminal and an editor can both show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Progress", "ProgressSink", "silent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One report of a running job.

    ``task`` names the step for a person ("Downloading qwen2.5-coder-0.5b"); ``done`` and ``total``
    count ``unit`` ("B" for bytes, "tensors", …). ``total`` is ``None`` while it is unknown.
    """

    task: str
    done: int
    total: int | None
    unit: str = "B"


class ProgressSink(Protocol):
    """Receives reports; may be called from a worker thread and must not block."""

    def __call__(self, progress: Progress) -> None:
        """Take one report."""
        ...


def silent(progress: Progress) -> None:
    """Ignore the report."""
