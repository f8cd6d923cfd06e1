"""How the background works without being noticed: for a moment at a time, and not while busy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Pace", "StoppedError"]

# Python runs one thread at a time. What waits for this one waits at most about so long, and then
# finds it asleep; at half of the time, it leaves a core half free as well.
_WORK_S = 0.001
_LEAST_REST_S = 0.001
_REST_SHARE = 1.0


class StoppedError(Exception):
    """The background is to end: raised out of whatever it was doing."""


class Pace:
    """Makes work that calls ``rest`` often take turns with everything else.

    The work is one thread's; ``pause``, ``resume`` and ``stop`` come from any other.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._free = threading.Event()
        self._free.set()
        self._stopped = threading.Event()
        self._began_s = clock()

    def rest(self) -> None:
        """Sleep if there was work for long enough, or others are busy. Raises ``StoppedError``."""
        worked_s = self._clock() - self._began_s
        if worked_s < _WORK_S and self._free.is_set() and not self._stopped.is_set():
            return
        self._stopped.wait(max(worked_s * _REST_SHARE, _LEAST_REST_S))
        if not self._stopped.is_set():
            self._free.wait()
        if self._stopped.is_set():
            raise StoppedError
        self._began_s = self._clock()

    def pause(self) -> None:
        """Begin to be busy: the work stands still until ``resume``."""
        self._free.clear()

    def resume(self) -> None:
        """End to be busy."""
        self._free.set()

    def stop(self) -> None:
        """End the work for good, wherever it is."""
        self._stopped.set()
        self._free.set()
