"""Where drafts come from: guesses of the next tokens that one step of the model then checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

__all__ = ["Drafter", "NoDraft"]


class Drafter(Protocol):
    """Guesses what comes next; a wrong guess costs time, never correctness."""

    def propose(self, tokens: Sequence[int], limit: int) -> Sequence[int]:
        """Return up to ``limit`` ids that may follow ``tokens`` (prompt and answer so far)."""
        ...


class NoDraft:
    """Guesses nothing, which makes the loop plain decoding."""

    def propose(self, tokens: Sequence[int], limit: int) -> Sequence[int]:
        """Return no ids."""
        return ()
