"""What all tests of the engine share."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_files import pulled
from tiny_models import tiny_model

from midfill_engine import loading
from midfill_engine.runtimes import ChosenModel
from midfill_engine.store import ModelStore


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Call the machine quiet: watching it takes half a second whenever a model is loaded first."""
    monkeypatch.setattr(loading, "watch_processor", lambda: 0.0)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """What there is on a disk of its own: nothing yet."""
    return ModelStore(tmp_path / "home")


@pytest.fixture
def chosen(store: ModelStore, tmp_path: Path) -> ChosenModel:
    """A tiny model that is pulled already."""
    return pulled(store, tmp_path, tiny_model("qwen2"))
