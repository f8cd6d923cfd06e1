"""Servers without a model, as processes of their own, over each transport; checkers that stay."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from midfill_server.checking.resident import Residents
from tests.server.client import LspClient

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "tests.server.scripted_server")

StartServer = Callable[..., LspClient]


def environment(**extra: str) -> dict[str, str]:
    """Return an environment in which a new process finds the packages and no user's settings."""
    roots = [str(ROOT), str(ROOT / "engine"), str(ROOT / "server")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(roots),
        "PYTHONUTF8": "1",
        "MIDFILL_CONFIG": "",
        "MIDFILL_STATE": "",
        **extra,
    }


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartServer]:
    """Start a scripted server and connect to it; what it logs lies in ``tmp_path / "log"``."""
    with ExitStack() as stack:

        def start_server(
            transport: str = "stdio",
            *arguments: str,
            answers: dict[str, object] | None = None,
            **env: str,
        ) -> LspClient:
            command = [*COMMAND, "--transport", transport, *arguments]
            if transport == "stdio":
                log = stack.enter_context((tmp_path / "log").open("ab"))
                client = LspClient.start(
                    command, answers=answers, env=environment(**env), stderr=log
                )
                return stack.enter_context(client)
            process = subprocess.Popen(
                command, env=environment(**env), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
            )
            stack.callback(_end, process)
            assert process.stderr is not None
            line = process.stderr.readline().decode()
            found = re.search(r"listening on (\w+://127\.0\.0\.1:(\d+))", line)
            assert found is not None, line
            if transport == "tcp":
                client = LspClient.connect_tcp("127.0.0.1", int(found[2]), answers)
            else:
                client = LspClient.connect_ws(found[1], answers)
            client.process = process
            return stack.enter_context(client)

        yield start_server


@pytest.fixture(scope="module")
def residents() -> Iterator[Residents]:
    owned = Residents()
    yield owned
    owned.close()


@pytest.fixture(params=["resident", pytest.param("each time", marks=pytest.mark.slow)])
def either(request: pytest.FixtureRequest, residents: Residents) -> Residents | None:
    """Checkers that stay, and then none that do."""
    return residents if request.param == "resident" else None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stderr, process.stdout):
        if stream is not None:
            stream.close()
