"""What every checker can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from midfill_engine.cancel import CancelToken
from midfill_engine.errors import MidfillError
from midfill_server.checking.finding import Finding

__all__ = ["CheckCancelledError", "CheckFailedError", "Checker", "FakeChecker"]


class CheckFailedError(MidfillError):
    """A checker could not say anything about a text: says why. It is no finding."""


class CheckCancelledError(CheckFailedError):
    """A check was stopped by its cancel token."""


class Checker(Protocol):
    """Runs one tool on one text. Blocking, and meant for one thread at a time."""

    @property
    def name(self) -> str:
        """What the tool is called, for people: ``ruff``."""
        ...

    def check(
        self, path: str, text: str, cancel: CancelToken, timeout_s: float
    ) -> tuple[Finding, ...]:
        """Return what the tool finds in ``text``, taken for the content of the file ``path``.

        The file itself stays as it is, and need not exist. Raises ``CheckFailedError`` where the
        tool says nothing in time, or nothing that can be read.
        """
        ...


@dataclass(slots=True)
class FakeChecker:
    """A checker for tests: finds each of ``findings`` whose key stands in the text."""

    findings: dict[str, Finding]
    name: str = "fake"
    asked: list[str] = field(default_factory=list[str])

    def check(
        self, path: str, text: str, cancel: CancelToken, timeout_s: float
    ) -> tuple[Finding, ...]:
        """Find by looking for keys."""
        del path, timeout_s
        if cancel.cancelled:
            raise CheckCancelledError("The check was cancelled.")
        self.asked.append(text)
        found: Sequence[Finding] = [what for key, what in self.findings.items() if key in text]
        return tuple(found)
