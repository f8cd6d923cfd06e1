"""Choosing a model from an editor: which there are, and fetching one."""

from __future__ import annotations

from pathlib import Path

import pytest

from midfill_engine.options import EngineOptions
from midfill_engine.registry import MODELS
from midfill_server import model_choice
from tests.server.client import INVALID_PARAMS, Json, LspClient, LspError
from tests.server.conftest import StartServer

URI = "file:///project/a.txt"
STATUS = "midfill/didChangeStatus"
WANTS = {"experimental": {"midfill": {"status": True}}}


def run_command(client: LspClient, *arguments: object) -> Json:
    params = {"command": "midfill.download", "arguments": list(arguments)}
    return client.request("workspace/executeCommand", params).result()


def opened(log: Path) -> list[str]:
    """Return the model of each opening, with a sign where it might be fetched."""
    lines = [line for line in log.read_text(encoding="utf-8").splitlines() if "opening" in line]
    return [line.split("'")[1] + ("!" if "download=True" in line else "") for line in lines]


def wait_until_ready(client: LspClient) -> None:
    client.wait_for(STATUS, lambda params: params["state"] == "loading")
    client.wait_for(STATUS, lambda params: params["state"] == "ready")


def test_the_models_and_what_serves_are_told(start: StartServer, tmp_path: Path) -> None:
    client = start(MIDFILL_HOME=str(tmp_path / "home"))
    client.initialize(capabilities=WANTS)
    client.wait_for(STATUS, lambda params: params["state"] == "ready")
    answer = client.request("midfill/models", {}).result()
    assert answer["current"] == "scripted"
    rows = {row["id"]: row for row in answer["models"]}
    assert {spec.id for spec in MODELS if spec.variant_of is None} == set(rows)
    assert not any(row["installed"] for row in rows.values())
    small = rows["qwen2.5-coder-0.5b"]
    assert small["downloadBytes"] == 491_400_064
    assert small["memoryBytes"] > small["downloadBytes"]
    assert small["note"] == ""
    assert "licence" in rows["codellama-7b"]["note"]
    assert "before the cursor only" in rows["codellama-34b"]["note"]
    (best,) = (row["id"] for row in rows.values() if row["recommended"])
    assert best.startswith("qwen2.5-coder")


def test_a_model_that_is_too_large_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    from midfill_engine import machine

    tiny = machine.Machine(
        processor="p",
        system="Linux x86_64",
        cores=2,
        memory_bytes=1_000_000,
        available_bytes=1_000_000,
        accelerators=(),
    )
    monkeypatch.setattr(machine, "probe_machine", lambda: tiny)
    rows = model_choice.model_rows(EngineOptions(), bandwidth_of=lambda cores: 10e9)
    assert all(row.memory_bytes is None for row in rows)
    assert all("needs" in row.note for row in rows)


def test_a_model_of_ones_own_is_among_them(tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    options = EngineOptions(model=str(path), home=tmp_path)
    own = {"bandwidth_of": lambda cores: 10e9}
    assert str(path) not in [row.model_id for row in model_choice.model_rows(options, **own)]
    path.write_bytes(b"")
    first = model_choice.model_rows(options, **own)[0]
    assert (first.model_id, first.installed, first.download_bytes) == (str(path), True, 0)


def test_a_command_is_leave_to_fetch_the_model_that_is_meant(
    start: StartServer, tmp_path: Path
) -> None:
    client = start("stdio", "--open", "missing")
    capabilities = client.initialize(capabilities=WANTS)
    assert "midfill.download" in capabilities["executeCommandProvider"]["commands"]
    client.wait_for(STATUS, lambda params: params["state"] == "missing")
    assert run_command(client) is None
    client.wait_for(STATUS, lambda params: params["state"] == "ready")
    assert opened(tmp_path / "log") == ["auto", "auto!"]


def test_a_model_that_is_named_stays_until_the_settings_name_another(
    start: StartServer, tmp_path: Path
) -> None:
    client = start()
    client.initialize(capabilities=WANTS)
    client.open(URI, "x")
    assert run_command(client, "Qwen2.5-Coder-0.5B") is None
    wait_until_ready(client)
    for settings in (
        {"completion": {"eagerness": "always"}},
        # What an editor writes after its menu was used.
        {"model": "qwen2.5-coder-0.5b"},
        {"model": "another"},
        {},
    ):
        client.notify("workspace/didChangeConfiguration", {"settings": {"midfill": settings}})
        client.complete(URI, 0, 1).result()
    assert opened(tmp_path / "log") == [
        "auto",
        "qwen2.5-coder-0.5b!",
        "another",
        "auto",
    ]


@pytest.mark.parametrize(
    ("argument", "hint"), [("qwen2.5-coder-0.6b", "did you mean 'qwen2.5"), (7, "a model's id")]
)
def test_a_model_that_is_not_known_is_refused(
    start: StartServer, tmp_path: Path, argument: object, hint: str
) -> None:
    client = start()
    client.initialize(capabilities=WANTS)
    with pytest.raises(LspError, match=hint) as raised:
        run_command(client, argument)
    assert raised.value.code == INVALID_PARAMS
    client.open(URI, "x")
    client.complete(URI, 0, 1).result()
    assert opened(tmp_path / "log") == ["auto"]


def test_what_cannot_be_had_is_told_and_the_model_of_the_settings_comes_back(
    start: StartServer, tmp_path: Path
) -> None:
    client = start("stdio", "--open", "fails")
    client.initialize()
    client.wait_for("window/showMessage")
    for _ in range(2):
        run_command(client, "qwen2.5-coder-0.5b")
        client.wait_for("window/showMessage")
    client.open(URI, "x")
    assert client.complete(URI, 0, 1).result() == {"items": []}
    assert opened(tmp_path / "log") == [
        "auto",
        *("qwen2.5-coder-0.5b!", "auto"),
        *("qwen2.5-coder-0.5b!", "auto"),
    ]
