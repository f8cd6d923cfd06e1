"""Cancellation: an event and a deadline, looked at by every step of every loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["CancelToken"]


class CancelToken:
    """Set once from any thread; read by the worker between decode steps and prefill chunks.

    ``deadline_s`` is a time of ``clock`` (seconds, monotonic), after which the token counts as
    cancelled by itself.
    """

    __slots__ = ("_clock", "_deadline_s", "_event", "_parent")

    def __init__(
        self,
        *,
        deadline_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._event = threading.Event()
        self._deadline_s = deadline_s
        self._clock = clock
        self._parent: CancelToken | None = None

    def child(self, *, deadline_s: float | None = None) -> CancelToken:
        """Return a token that is cancelled with this one, and can be cancelled alone.

        ``deadline_s``, a time of this one's clock, is for the child alone.
        """
        token = CancelToken(deadline_s=deadline_s, clock=self._clock)
        token._parent = self
        return token

    def cancel(self) -> None:
        """Ask the worker to stop at its next step. Idempotent, callable from any thread."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether work under this token should stop."""
        if self._event.is_set() or (self._parent is not None and self._parent.cancelled):
            return True
        return self._deadline_s is not None and self._clock() >= self._deadline_s

    def wait(self, timeout_s: float) -> bool:
        """Block until the token is cancelled or ``timeout_s`` seconds are over.

        Returns whether it is cancelled. The deadline ends the wait too; a parent that is cancelled
        meanwhile does not.
        """
        if self._deadline_s is not None:
            timeout_s = min(timeout_s, self._deadline_s - self._clock())
        self._event.wait(max(0.0, timeout_s))
        return self.cancelled
