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

    __slots__ = ("_clock", "_deadline_s", "_event")

    def __init__(
        self,
        *,
        deadline_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._event = threading.Event()
        self._deadline_s = deadline_s
        self._clock = clock

    def cancel(self) -> None:
        """Ask the worker to stop at its next step. Idempotent, callable from any thread."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether work under this token should stop."""
        if self._event.is_set():
            return True
        return self._deadline_s is not None and self._clock() >= self._deadline_s
