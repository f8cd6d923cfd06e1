"""The real server with the real small model, started once for all tests of this folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from midfill_engine.registry import find_model
from midfill_engine.store import ModelStore
from tests.server.client import LspClient

MODEL = "qwen2.5-coder-0.5b"


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Return an environment with the user's models and none of the user's settings."""
    if ModelStore().model_path(find_model(MODEL)) is None:
        pytest.skip(f"{MODEL} is not here: run `make test`, or `midfill models pull {MODEL}`")
    root = Path(__file__).parents[2]
    paths = [str(root), str(root / "engine"), str(root / "server")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUTF8": "1",
        "MIDFILL_CONFIG": "",
        "MIDFILL_STATE": "",
    }


@pytest.fixture(scope="session")
def server(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LspClient]:
    """A server that has initialized, with streaming on."""
    log = tmp_path_factory.mktemp("log") / "stderr"
    with log.open("wb") as stderr:
        command = [sys.executable, "-m", "midfill_server", "serve", "--stdio"]
        client = LspClient.start(command, env=environment, stderr=stderr)
        with client:
            # Utf-32 columns are Python's, so the tests can count characters.
            client.initialize(
                {
                    "streaming": True,
                    "model": MODEL,
                    # What is tested is what the model says, and not whether it may.
                    "completion": {"timeoutS": 120, "eagerness": "always"},
                },
                encodings=["utf-32"],
            )
            yield client
            assert client.shutdown() == 0
