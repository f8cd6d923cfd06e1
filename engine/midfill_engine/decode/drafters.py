"""Where drafts come from: guesses of the next tokens that one step of the model then checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from midfill_engine.cancel import CancelToken

__all__ = ["Drafter", "NoDraft"]


class Drafter(Protocol):
    """Guesses what comes next; a wrong guess costs time, never correctness."""

    def begin(self, prompt: Sequence[int], hints: Sequence[Sequence[int]]) -> None:
        """Start a generation after ``prompt``; ``hints`` are other texts that it may resemble."""
        ...

    def propose(self, tokens: Sequence[int], limit: int, cancel: CancelToken) -> Sequence[int]:
        """Return up to ``limit`` ids that may follow ``tokens`` (prompt and answer so far).

        What takes longer than looking something up looks at ``cancel`` in between.
        """
        ...

    def observe(self, drafted: int, accepted: int, step_ms: float) -> None:
        """Hear what became of the ids proposed last: ``accepted`` of ``drafted`` stood.

        ``step_ms`` is what the step took that checked them.
        """
        ...


class NoDraft:
    """Guesses nothing, which makes the loop plain decoding."""

    def begin(self, prompt: Sequence[int], hints: Sequence[Sequence[int]]) -> None:
        """Do nothing."""

    def propose(self, tokens: Sequence[int], limit: int, cancel: CancelToken) -> Sequence[int]:
        """Return no ids."""
        return ()

    def observe(self, drafted: int, accepted: int, step_ms: float) -> None:
        """Do nothing."""
