"""Marks tests by the folder they lie in, so that no test can forget to say what it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

_ROOT = Path(__file__).parent
_MARKED_FOLDERS = ("e2e", "slow", "gpu", "bench")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not item.path.is_relative_to(_ROOT):
            continue
        for part in item.path.relative_to(_ROOT).parts[:-1]:
            if part in _MARKED_FOLDERS:
                item.add_marker(part)
