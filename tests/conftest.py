"""Marks tests by the folder they lie in, so that no test can forget to say what it needs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Tiny matrices: threads of numpy's own would only fight over the cores with the tests beside them.
# Set before numpy is imported, which is why it stands here.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_ROOT = Path(__file__).parent
_MARKED_FOLDERS = ("e2e", "slow", "gpu", "editors", "bench")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not item.path.is_relative_to(_ROOT):
            continue
        for part in item.path.relative_to(_ROOT).parts[:-1]:
            if part in _MARKED_FOLDERS:
                item.add_marker(part)
