"""Hovers, over the protocol: what the files say at once, what a model says once it has."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import pytest

from tests.server.client import LspClient
from tests.server.conftest import StartServer
from tests.server.scripted_server import CHATTED

URI = "file:///project/a.py"
STATUS = {"experimental": {"midfill": {"status": True}}}
TEXT = '''def add(a, b):
    """Add two numbers."""
    return a + b


print(add(1, 2))
'''
LIMIT_S = 0.15


def begin(
    start: StartServer, options: Any = None, *arguments: str, text: str = TEXT, uri: str = URI
) -> LspClient:
    """Open a file in a server whose model is there."""
    client = start("stdio", *arguments)
    client.initialize(options, capabilities=STATUS)
    client.wait_for("midfill/didChangeStatus", lambda params: params["state"] == "ready")
    client.open(uri, text, language="python")
    return client


def hover(client: LspClient, line: int = 5, character: int = 7, uri: str = URI) -> Any:
    place = {"textDocument": {"uri": uri}, "position": {"line": line, "character": character}}
    return client.request("textDocument/hover", place).result()


def shown(client: LspClient, wanted: str, uri: str = URI) -> str:
    """Hover until it says what is wanted."""
    while wanted not in (text := str(hover(client, uri=uri)["contents"]["value"])):
        pass
    return text


def asked(folder: Path) -> int:
    return (folder / "log").read_text(encoding="utf-8").count("asked for")


def test_the_signature_is_there_at_once_and_the_explanation_later(start: StartServer) -> None:
    client = begin(start)
    first = hover(client)
    assert first["range"] == {
        "start": {"line": 5, "character": 6},
        "end": {"line": 5, "character": 9},
    }
    said = first["contents"]["value"]
    assert "def add(a, b)" in said
    assert "Add two numbers." in said
    assert "reading this" in said
    assert "Add two numbers." in shown(client, CHATTED)


def test_where_no_name_is_nothing_is_said(start: StartServer) -> None:
    client = begin(start)
    assert hover(client, 3, 0) is None
    assert hover(client, uri="file:///never/opened.py") is None


@pytest.mark.parametrize("options", [{"explain": {"hover": False}}, {"profile": "eco"}])
def test_the_model_is_not_asked_where_it_may_not(
    start: StartServer, tmp_path: Path, options: Any
) -> None:
    client = begin(start, options, text=TEXT.replace("Add two", "#tell Add two"))
    said = [hover(client)["contents"]["value"] for _ in range(3)]
    assert "def add(a, b)" in said[0]
    assert "reading this" not in "".join(said)
    assert client.shutdown() == 0
    assert asked(tmp_path) == 0


def test_eco_shows_what_was_explained_before(start: StartServer, tmp_path: Path) -> None:
    for profile in ("performance", "eco"):
        client = start(MIDFILL_STATE=str(tmp_path))
        client.initialize({"profile": profile}, capabilities=STATUS)
        client.wait_for("midfill/didChangeStatus", lambda params: params["state"] == "ready")
        client.open(URI, TEXT.replace("Add two", "#tell Add two"), language="python")
        shown(client, CHATTED)
        assert client.shutdown() == 0
    assert asked(tmp_path) == 1


def test_hovers_can_be_switched_off(start: StartServer) -> None:
    assert hover(begin(start, {"explain": {"enabled": False}})) is None


def test_what_a_model_must_not_see_is_not_explained(start: StartServer, tmp_path: Path) -> None:
    (tmp_path / ".midfillignore").write_text("own.py\n", encoding="utf-8")
    path = tmp_path / "own.py"
    path.write_text(TEXT, encoding="utf-8")
    client = start()
    client.initialize(capabilities=STATUS, folders=[tmp_path.as_uri()])
    client.wait_for("midfill/didChangeStatus", lambda params: params["state"] == "ready")
    client.open(path.as_uri(), TEXT.replace("Add two", "#tell Add two"), language="python")
    said = [hover(client, uri=path.as_uri())["contents"]["value"] for _ in range(3)]
    assert "def add(a, b)" in said[0]
    assert "reading this" not in "".join(said)
    assert client.shutdown() == 0
    assert asked(tmp_path) == 0


def test_a_base_model_s_hovers_say_once_what_to_pull(start: StartServer) -> None:
    client = begin(start, None, "--base")
    assert "midfill models pull" in shown(client, "was not made to explain")
    assert "def add(a, b)" in shown(client, "Add two numbers.")
    assert "pull" not in hover(client)["contents"]["value"]


def test_a_hover_never_waits_for_the_model(start: StartServer) -> None:
    client = begin(start, text=TEXT.replace("Add two", "#slow Add two"))
    hover(client)
    client.request("midfill/test/running", {}).result()
    took: list[float] = []
    for _ in range(40):
        began = time.perf_counter()
        said = hover(client)["contents"]["value"]
        took.append(time.perf_counter() - began)
        assert "def add(a, b)" in said
    # One may meet with something else on a busy machine; the benchmark looks at the slowest.
    assert statistics.median(took) < LIMIT_S
    assert client.request("midfill/test/running", {}).result() == 1
    assert "It is slow." in shown(client, "It is slow.")
    client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
    while client.request("midfill/test/running", {}).result():
        pass


def test_plain_text_is_said_to_be_that(start: StartServer) -> None:
    client = start()
    client.initialize(capabilities={"textDocument": {"hover": {"contentFormat": ["plaintext"]}}})
    client.open(URI, TEXT, language="python")
    assert hover(client)["contents"]["kind"] == "plaintext"
