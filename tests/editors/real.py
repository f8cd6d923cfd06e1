"""The real server of this checkout, with the real small model."""

from __future__ import annotations

import sys

from tests.editors.vscode import Json

__all__ = ["MODEL", "real_settings"]

MODEL = "qwen2.5-coder-0.5b"


def real_settings() -> dict[str, Json]:
    """Return settings with which the server of this checkout runs."""
    return {
        "midfill.server.path": sys.executable,
        "midfill.server.args": ["-m", "midfill_server"],
        "midfill.model": MODEL,
        # What is tested is that it is shown, and not whether it may.
        "midfill.completion.eagerness": "always",
        "midfill.completion.timeoutS": 120,
    }
