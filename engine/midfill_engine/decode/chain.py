"""Several ways to draft, and at each step the one that promises most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from midfill_engine.cancel import CancelToken
from midfill_engine.decode.drafters import Drafter

__all__ = ["ChainDrafter", "RatedDrafter"]


class RatedDrafter(Drafter, Protocol):
    """A drafter that says what it expects before it works.

    What a step of the model costs it learns in ``observe``, which it hears only of its own drafts:
    so drafters that share ``StepCosts`` count each step once.
    """

    def rate(self, tokens: Sequence[int], limit: int) -> float:
        """Return the tokens per millisecond to expect; those of plain steps where none pays."""
        ...


class ChainDrafter:
    """Asks the drafter that promises most; of equals, and where none pays, the first.

    All of them follow what is written. They must share the ``StepCosts`` of the model that is
    drafted for, or their promises cannot be compared.
    """

    def __init__(self, first: RatedDrafter, *others: RatedDrafter) -> None:
        self._drafters = (first, *others)
        self._asked = first

    def begin(self, prompt: Sequence[int], hints: Sequence[Sequence[int]]) -> None:
        """Begin with all."""
        for drafter in self._drafters:
            drafter.begin(prompt, hints)
        self._asked = self._drafters[0]

    def propose(self, tokens: Sequence[int], limit: int, cancel: CancelToken) -> Sequence[int]:
        """Return the draft of the one that promises most."""
        rates = [drafter.rate(tokens, limit) for drafter in self._drafters]
        self._asked = self._drafters[rates.index(max(rates))]
        return self._asked.propose(tokens, limit, cancel)

    def observe(self, drafted: int, accepted: int, step_ms: float) -> None:
        """Tell the one that was asked."""
        self._asked.observe(drafted, accepted, step_ms)
