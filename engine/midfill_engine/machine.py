"""What this machine has: memory, cores, processor. Probed when asked, never at import."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "BUSY_PERCENT",
    "Machine",
    "probe_machine",
    "read_bandwidth",
    "watch_processor",
]

BUSY_PERCENT = 20.0
"""More other work than this, and a measured speed says less about the machine than about it."""

_WATCH_S = 0.5
_DRIVER_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """``memory_bytes`` is installed, ``available_bytes`` what could be used now.

    ``accelerator_bytes`` is what is free on the first accelerator; ``None`` where none tells.
    """

    processor: str
    system: str
    cores: int
    memory_bytes: int
    available_bytes: int
    accelerators: tuple[str, ...]
    accelerator_bytes: int | None = None

    @property
    def fingerprint(self) -> str:
        """Names what a measured speed depends on."""
        parts = (self.processor, f"{self.cores} cores", self.system, *self.accelerators)
        return ", ".join(parts)

    @property
    def has_gpu(self) -> bool:
        """Whether a runtime that drives GPUs is worth asking: NVIDIA's, and Apple's own."""
        return bool(self.accelerators) or self.system == "Darwin arm64"


def probe_machine() -> Machine:
    """Look at the machine; takes a few milliseconds, and longer where a driver is asked."""
    import psutil

    memory = psutil.virtual_memory()
    limit_bytes = _cgroup_limit_bytes()
    accelerators = _accelerators()
    return Machine(
        processor=_processor_name(),
        system=f"{platform.system()} {platform.machine()}",
        cores=_usable_cores(),
        memory_bytes=min(memory.total, limit_bytes or memory.total),
        available_bytes=min(memory.available, limit_bytes or memory.available),
        accelerators=accelerators,
        accelerator_bytes=_accelerator_bytes() if accelerators else None,
    )


def watch_processor() -> float:
    """Return how busy other work keeps the processor, in per cent of all cores; takes 0.5 s."""
    import psutil

    return psutil.cpu_percent(interval=_WATCH_S)


def read_bandwidth(cores: int) -> float:
    """Bytes per second that ``cores`` together read from memory, from a probe of about 0.1 s.

    One core is timed: two reach nearly twice as much, and more than four hardly more than four.
    """
    import numpy as np

    # Far larger than a core's share of any cache.
    words = np.ones(24_000_000, np.float32)
    best_s = float("inf")
    for _ in range(4):
        began_s = time.perf_counter()
        np.dot(words, words)
        best_s = min(best_s, time.perf_counter() - began_s)
    return words.nbytes / best_s * min(cores, 4)


def _usable_cores() -> int:
    """Cores this process may use; a container or ``taskset`` may allow fewer than there are."""
    import psutil

    physical = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return min(physical, len(os.sched_getaffinity(0)))
    return physical


def _cgroup_limit_bytes() -> int | None:
    """The memory limit of the container this runs in, if there is one."""
    try:
        text = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdigit() else None


def _processor_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _accelerators() -> tuple[str, ...]:
    """Names of NVIDIA devices, by the driver's own listing; none where there is no driver."""
    found: list[str] = []
    for info in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        try:
            lines = info.read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        found += [line.split(":", 1)[1].strip() for line in lines if line.startswith("Model:")]
    return tuple(found)


def _accelerator_bytes() -> int | None:
    """Return the free memory of the first NVIDIA device in bytes; ``None``: no driver tells."""
    command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(
            command, capture_output=True, text=True, timeout=_DRIVER_S, check=True
        )
        return int(said.stdout.splitlines()[0]) * 1024 * 1024
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
