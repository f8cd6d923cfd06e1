"""What a client says of the items that it was given, over the protocol, and what is kept of it."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from midfill_engine.fake import ScriptedEngine
from midfill_server import server as server_module
from midfill_server.offers import Offers, Place
from midfill_server.server import build_server
from midfill_server.settings import Settings, statistics_path
from midfill_server.source import Source
from midfill_server.statistics import Feedback, Record, Recorder, read_feedback, read_records
from tests.server.client import LspClient
from tests.server.conftest import StartServer

URI = "file:///project/a.txt"
ACCEPT = "midfill.didAccept"
SHOWN = "textDocument/didShowCompletion"
PARTLY = "textDocument/didPartiallyAcceptCompletion"
PROGRESS = "midfill/inlineCompletionProgress"


class Editor:
    """A client that types at the end of one line, with a server that keeps figures."""

    def __init__(self, start: StartServer, folder: Path, **options: object) -> None:
        self.folder = folder
        self.client = start(MIDFILL_STATE=str(folder))
        self.client.initialize(options)
        self.head, self.line, self.version = "", "", 1

    def open(self, answer: str, head: str = "#text") -> Editor:
        """Open a file in which the model says ``answer``."""
        self.head = f"{head}{json.dumps(answer)}\n"
        self.client.open(URI, self.head, language="python")
        return self

    def type(self, text: str) -> Editor:
        self.line += text
        self.version += 1
        self.client.change(URI, self.version, {"text": self.head + self.line})
        return self

    def items(self, *, automatic: bool = True) -> list[dict[str, Any]]:
        units = len(self.line.encode("utf-16-le")) // 2
        answer = self.client.complete(URI, 1, units, automatic=automatic).result()
        return list(answer["items"])

    def item(self) -> dict[str, Any]:
        (item,) = self.items()
        return item

    def accept(self, item: dict[str, Any]) -> None:
        """Insert an item and run its command, as the protocol wants it."""
        self.type(item["insertText"])
        run(self.client, item["command"])

    def end(self) -> list[Feedback]:
        """Leave; returns what was kept."""
        assert self.client.params_of("window/showMessage") == []
        assert self.client.shutdown() == 0
        return read_feedback(kept_in(self.folder))


def kept_in(folder: Path) -> Path:
    path = statistics_path({"MIDFILL_STATE": str(folder)})
    assert path is not None
    return path


def run(client: LspClient, command: dict[str, Any]) -> None:
    words = {"command": command["command"], "arguments": command["arguments"]}
    assert client.request("workspace/executeCommand", words).result() is None


def test_a_suggestion_typed_along_and_accepted_is_one(start: StartServer, tmp_path: Path) -> None:
    editor = Editor(start, tmp_path).open("foo(bar)")
    first = editor.item()
    editor.client.notify(SHOWN, {"item": first})
    for key in "fo":
        item = editor.type(key).item()
        assert item["command"] == first["command"]
        editor.client.notify(SHOWN, {"item": item})
    editor.accept(editor.type("o").item())
    (kept,) = editor.end()
    assert (kept.language_id, kept.model_id, kept.invoked) == ("python", "scripted", False)
    assert (kept.characters, kept.lines) == (8, 1)
    assert (kept.confirmed, kept.accepted, kept.accepted_characters) == (True, True, 5)
    # What the model thinks of its first line was judged.
    assert kept.sureness is not None
    assert 0.7 < kept.sureness <= 1
    assert kept.shown_ms is not None
    assert len(read_records(kept_in(tmp_path))) == 4


def test_a_line_that_is_accepted_before_the_rest_is_there_counts(
    start: StartServer, tmp_path: Path
) -> None:
    editor = Editor(start, tmp_path, streaming=True).open("", head="#slow")
    reply = editor.client.complete(URI, 1, 0)
    line = editor.client.wait_for(PROGRESS)
    item = {"insertText": line["text"], "command": line["command"]}
    editor.client.notify(SHOWN, {"item": item})
    editor.accept(item)
    editor.client.cancel(reply)
    (kept,) = editor.end()
    assert (kept.model_id, kept.confirmed, kept.accepted) == ("scripted", True, True)
    assert kept.accepted_characters == len("word one")


def test_the_whole_goes_by_the_name_of_its_first_line(start: StartServer, tmp_path: Path) -> None:
    editor = Editor(start, tmp_path, streaming=True).open("def f():\n    pass", head="#text")
    whole = editor.item()
    (line,) = editor.client.params_of(PROGRESS)
    assert line["text"] == "def f():"
    assert line["command"] == whole["command"]
    editor.accept(whole)
    (kept,) = editor.end()
    assert (kept.accepted, kept.lines) == (True, 2)


def test_words_are_counted_in_utf_16(start: StartServer, tmp_path: Path) -> None:
    editor = Editor(start, tmp_path).open('s = "😀漢字" + rest')
    item = editor.item()
    for length in (5, 8):
        editor.client.notify(PARTLY, {"item": item, "acceptedLength": length})
    (kept,) = editor.end()
    assert (kept.accepted, kept.accepted_characters) == (False, 7)


def test_of_several_items_the_one_that_was_taken_is_known(
    start: StartServer, tmp_path: Path
) -> None:
    editor = Editor(start, tmp_path).open("", head="#choose")
    items = editor.type("x = ").items(automatic=False)
    assert len({item["command"]["arguments"][0] for item in items}) == 3
    for item in items[:2]:
        editor.client.notify(SHOWN, {"item": item})
    editor.accept(items[1])
    kept = editor.end()
    assert [each.accepted for each in kept] == [False, True]
    assert all(each.invoked for each in kept)


def test_a_client_that_says_nothing_is_counted_by_its_answers(
    start: StartServer, tmp_path: Path
) -> None:
    editor = Editor(start, tmp_path).open("foo")
    editor.item()
    # It inserts the text and runs no command.
    editor.type("foo").items()
    kept = editor.end()
    assert not any(each.confirmed or each.accepted for each in kept)
    assert kept[0].characters == 3


def test_what_was_too_doubtful_is_not_called_sure(start: StartServer, tmp_path: Path) -> None:
    editor = Editor(start, tmp_path).open("", head="#doubt")
    assert editor.type("x = ").items() == []
    item = editor.items(automatic=False)[0]
    editor.accept(item)
    kept = {each.accepted: each for each in editor.end()}[True]
    assert kept.sureness is not None
    assert kept.sureness < 0.5


def test_what_cannot_be_read_is_ignored(start: StartServer, tmp_path: Path) -> None:
    editor = Editor(start, tmp_path).open("foo")
    item, client = editor.item(), editor.client
    commands: list[Any] = [None, [], [7], [None], ["nobody"], [{"id": "x"}], ["a", "b", 3]]
    for arguments in commands:
        run(client, {"command": ACCEPT, "arguments": arguments})
    items: list[Any] = [None, 3, {}, {"command": None}, {"command": {"arguments": "text"}}]
    items += [{"command": {"arguments": one}} for one in ([], [1], ["nobody"])]
    for one in items:
        client.notify(SHOWN, {"item": one})
        client.notify(PARTLY, {"item": one, "acceptedLength": 1})
    for length in (None, "3", -1, 0, 2.5):
        client.notify(PARTLY, {"item": item, "acceptedLength": length})
    client.notify(PARTLY, {"item": {**item, "insertText": {"kind": "snippet"}}})
    client.notify(SHOWN, {})
    client.notify(SHOWN, [1])
    # The client has said now that it says what it shows, but it never showed this one.
    assert editor.end() == []


@pytest.mark.parametrize("where", ["settings", "environment"])
def test_nothing_is_kept_where_nobody_wants_it(
    start: StartServer, tmp_path: Path, where: str
) -> None:
    if where == "settings":
        editor = Editor(start, tmp_path, statistics=False).open("foo")
        editor.accept(editor.item())
        assert editor.end() == []
        assert not kept_in(tmp_path).exists()
        return
    client = start()
    client.initialize()
    client.open(URI, "x")
    (item,) = client.complete(URI, 0, 1).result()["items"]
    run(client, item["command"])
    assert client.shutdown() == 0


def test_it_is_written_while_the_session_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_FLUSH_INTERVAL_S", 0.001)
    path, now_s, flushes = tmp_path / "figures", [0.0], threading.Semaphore(0)

    class Heard(Recorder):
        def flush(self) -> None:
            super().flush()
            flushes.release()

    async def until_written() -> None:
        server = build_server(
            lambda options, progress: ScriptedEngine(""), Settings(), recorder=Heard(path)
        )
        server.offers = Offers(clock=lambda: now_s[0])
        place = Place(uri="a", text="", start=0, language_id="c", invoked=False, at_s=0.0)
        server.offers.make(place, ["text"], model_id="m", sureness=None)
        server.offers.leave("a")
        record = Record(
            when_s=1,
            language_id="c",
            model_id="m",
            source=Source.MODEL,
            first_ms=1.0,
            total_ms=1.0,
            shown=True,
        )
        server.record(record)
        assert await asyncio.to_thread(flushes.acquire, timeout=10)
        # It may still come back.
        assert read_feedback(path) == []
        now_s[0] = 30.0
        while not read_feedback(path):
            assert await asyncio.to_thread(flushes.acquire, timeout=10)

    asyncio.run(until_written())
