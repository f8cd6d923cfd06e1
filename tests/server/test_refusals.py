"""Where a client gets no text although a model would have one, and that it is not even asked."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from midfill_server.document import DocumentStore, PositionEncoding, Snapshot
from midfill_server.handlers.cursor import MovedParams, did_move
from midfill_server.server import MidfillServer
from midfill_server.settings import CompletionSettings, Settings
from tests.server.client import LspClient
from tests.server.conftest import StartServer

PLAIN = "file:///project/a.txt"
PROGRESS = "midfill/inlineCompletionProgress"


def texts(client: LspClient, uri: str, line: int, character: int, **more: bool) -> list[str]:
    answer = client.complete(uri, line, character, **more).result()
    return [item["insertText"] for item in answer["items"]]


def asked(folder: Path) -> int:
    """Return how often the engine was asked about ``#tell``."""
    return (folder / "log").read_text(encoding="utf-8").count("asked for")


@pytest.mark.parametrize("automatic", [True, False])
def test_what_is_forbidden_never_reaches_the_engine(
    start: StartServer, tmp_path: Path, automatic: bool
) -> None:
    (tmp_path / ".midfillignore").write_text("/private.txt\n", encoding="utf-8")
    client = start()
    client.initialize(
        {"completion": {"disabledLanguages": ["latex"], "disabledFiles": ["*.log"]}},
        folders=[tmp_path.as_uri()],
    )
    for name, language, text in (
        (".env", "plaintext", "#tell\nKEY="),
        ("config/secrets.yml", "yaml", "#tell\nkey:"),
        ("key.txt", "plaintext", "-----BEGIN RSA PRIVATE KEY-----\n#tell"),
        ("paper.txt", "latex", "#tell\n\\sec"),
        ("a.log", "plaintext", "#tell\nend"),
        ("private.txt", "plaintext", "#tell\nend"),
    ):
        uri = (tmp_path / name).as_uri()
        client.open(uri, text, language=language)
        line = text.count("\n")
        character = len(text) - text.rfind("\n") - 1
        assert texts(client, uri, line, character, automatic=automatic) == [], name
    client.open(PLAIN, "#tell")
    assert texts(client, PLAIN, 0, 5) == ["[5|#tell|]"]
    assert asked(tmp_path) == 1
    assert client.params_of("window/showMessage") == []


def test_amid_a_text_nothing_is_said_but_to_who_asks(start: StartServer, tmp_path: Path) -> None:
    client = start()
    client.initialize()
    client.open(PLAIN, "#tell\nwordy = one two\n")
    for character in (2, 11):
        assert texts(client, PLAIN, 1, character) == []
    assert asked(tmp_path) == 0
    assert texts(client, PLAIN, 1, 11, automatic=False) == ["[17|wordy = one| two]"]


def test_a_doubtful_text_is_shown_to_who_asks_by_hand_only(start: StartServer) -> None:
    client = start()
    client.initialize({"streaming": True})
    client.open(PLAIN, "#doubt\nx = \n")
    assert texts(client, PLAIN, 1, 4) == []
    assert client.params_of(PROGRESS) == []
    assert texts(client, PLAIN, 1, 4, automatic=False) == ["perhaps(1)"]


def test_who_wants_to_see_everything_sees_doubtful_texts(start: StartServer) -> None:
    client = start()
    client.initialize({"completion": {"eagerness": "always"}})
    client.open(PLAIN, "#doubt\nx = \n")
    assert texts(client, PLAIN, 1, 4) == ["perhaps(1)"]


@pytest.mark.parametrize(
    ("name", "language", "expected"),
    [("a.txt", "plaintext", 1), (".env", "plaintext", 0), ("a.txt", "latex", 0)],
)
def test_where_nothing_is_suggested_nothing_is_prepared(
    name: str, language: str, expected: int
) -> None:
    documents, rested = DocumentStore(), list[object]()
    uri = f"file:///project/{name}"
    documents.put(Snapshot.of("abc", uri=uri, version=1, language_id=language))
    session = SimpleNamespace(
        documents=documents,
        project=SimpleNamespace(visited=lambda uri, line: None),
        encoding=PositionEncoding.UTF16,
        settings=Settings(completion=CompletionSettings(disabled_languages=("latex",))),
        roots=(),
        startup=SimpleNamespace(done=lambda: True),
        apply_profile=lambda: None,
        completer=SimpleNamespace(rest=rested.append),
    )
    moved = SimpleNamespace(
        textDocument=SimpleNamespace(uri=uri), position=SimpleNamespace(line=0, character=3)
    )
    did_move(cast("MidfillServer", session), cast("MovedParams", moved))
    assert len(rested) == expected
