"""What all tests of the engine share."""

from __future__ import annotations

import pytest

from midfill_engine import loading


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Call the machine quiet: watching it takes half a second whenever a model is loaded first."""
    monkeypatch.setattr(loading, "watch_processor", lambda: 0.0)
