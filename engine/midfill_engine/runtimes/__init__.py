"""The ways to run a model: what each can serve, what it takes, and how it gets ready.

Owns: the steps from a model's files to an open backend, one small object per runtime.
Must never know: which model or runtime is chosen (``select``), or what is asked of it (``local``).
"""

from midfill_engine.runtimes.base import (
    ChosenModel,
    Device,
    Layout,
    Opened,
    Opening,
    Runtime,
    conversion_folder,
)
from midfill_engine.runtimes.table import RUNTIME_NAMES, find_runtime, runtimes_for

__all__ = [
    "RUNTIME_NAMES",
    "ChosenModel",
    "Device",
    "Layout",
    "Opened",
    "Opening",
    "Runtime",
    "conversion_folder",
    "find_runtime",
    "runtimes_for",
]
