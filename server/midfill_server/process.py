"""Whether another process lives, on every system."""

from __future__ import annotations

import os
import sys

__all__ = ["process_exists"]


def process_exists(pid: int) -> bool:
    """Return whether a process of that id runs (or waits to be reaped)."""
    if pid <= 0:
        return False
    if sys.platform == "win32":
        return _exists_on_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _exists_on_windows(pid: int) -> bool:
    # os.kill with signal 0 would end the process here, so the kernel is asked instead.
    if sys.platform != "win32":
        return False
    import ctypes

    synchronize, still_waiting = 0x00100000, 0x102
    kernel = ctypes.windll.kernel32
    handle = kernel.OpenProcess(synchronize, False, pid)
    if not handle:
        return False
    try:
        return bool(kernel.WaitForSingleObject(handle, 0) == still_waiting)
    finally:
        kernel.CloseHandle(handle)
