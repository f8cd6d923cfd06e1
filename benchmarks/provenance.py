"""Where and on what a benchmark ran: commit, machine, versions."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from midfill_engine.machine import probe_machine, watch_processor

__all__ = ["ROOT", "about", "warn_if_busy"]

ROOT = Path(__file__).resolve().parents[1]
"""The checkout."""

_PACKAGES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "torch",
    "llama-cpp-python",
    "optimum-onnx",
    "numpy",
    "tokenizers",
    "pygls",
    "onnx",
    "gguf",
)
_QUIET_PERCENT = 10


def about(*, peer_version: str | None) -> dict[str, object]:
    """Return all that says where the figures come from, ready for JSON; takes half a second.

    ``busy_percent`` is how much other work the processor does, of all its cores.
    """
    machine = probe_machine()
    versions: dict[str, str | None] = {"python": platform.python_version()}
    versions |= {name: _version(name) for name in _PACKAGES}
    versions["llama.cpp"] = peer_version
    return {
        "commit": _git("rev-parse", "HEAD"),
        # Figures of a changed tree belong to no commit: whoever reads them must know.
        "changed": bool(_git("status", "--porcelain")),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": machine.processor,
            "cores": machine.cores,
            "memory_gb": round(machine.memory_bytes / 1e9, 1),
            "system": machine.system,
            "accelerators": list(machine.accelerators),
        },
        "busy_percent": watch_processor(),
        "versions": {name: version for name, version in versions.items() if version},
    }


def warn_if_busy(machine: Mapping[str, object]) -> None:
    """Tell on standard error if other programs were at work; ``machine`` is from ``about``."""
    busy_percent = float(str(machine["busy_percent"]))
    if busy_percent > _QUIET_PERCENT:
        print(
            f"The processor is {busy_percent:.0f} % busy with other work: this machine "
            "can do better than the figures say.",
            file=sys.stderr,
        )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """Return what git says; ``None`` without git, outside of a checkout or before a commit."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
