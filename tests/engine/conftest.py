"""What all tests of the engine share."""

from __future__ import annotations

import pytest

from midfill_engine import loading


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine be quiet: watching it takes half a second at each first loading of a model."""
    monkeypatch.setattr(loading, "watch_processor", lambda: 0.0)
