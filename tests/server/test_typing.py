"""What a client sees while somebody types: over the protocol, in a process of its own."""

from __future__ import annotations

import json
import queue
import re
from contextlib import suppress
from pathlib import Path

import pytest

from tests.server.client import REQUEST_CANCELLED, Json, LspClient, Reply
from tests.server.conftest import StartServer

URI = "file:///project/a.txt"
PROGRESS = "midfill/inlineCompletionProgress"
STATS = "midfill/completionStats"
MOVED = "midfill/didMoveCursor"


def document(said: str, line: str = "", line_end: str = "\n") -> str:
    """A document whose engine says ``said``; its second line is ``line``."""
    return f"#text{json.dumps(said)}{line_end}{line}{line_end}"


class Typist:
    """Types on the second line of the document, and asks after every change."""

    def __init__(self, client: LspClient, said: str, *, line_end: str = "\n") -> None:
        self.client, self.version, self.column = client, 1, 0
        client.open(URI, document(said, line_end=line_end))

    def insert(self, text: str, *, behind: str = "", back: int = 0) -> None:
        self.version += 1
        span = {
            "start": {"line": 1, "character": self.column - back},
            "end": {"line": 1, "character": self.column},
        }
        self.client.change(URI, self.version, {"range": span, "text": text + behind})
        self.column += len(text) - back

    def ask(self) -> Reply:
        return self.client.complete(URI, 1, self.column)

    def text(self) -> str:
        (item,) = self.ask().result()["items"]
        return str(item["insertText"])

    def sources(self) -> list[str]:
        return [params["source"] for params in self.client.params_of(STATS)]


def calls(client: LspClient, folder: Path, count: int) -> list[str]:
    """Wait until the engine was called so often about ``#tell``; what it was asked for."""
    while True:
        log = (folder / "log").read_text(encoding="utf-8")
        if len(found := re.findall(r"asked for (\d+) tokens", log)) >= count:
            return found
        # Nothing tells of work ahead but the log; the look at it is repeated, not timed.
        with suppress(queue.Empty):
            client.wait_for("nothing", timeout_s=0.02)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_typing_along_backspace_and_brackets_make_no_work(
    start: StartServer, line_end: str
) -> None:
    client = start()
    client.initialize({"streaming": True, "profile": "eco"})
    typist = Typist(client, "foo(bar, 1)", line_end=line_end)
    assert typist.text() == "foo(bar, 1)"
    typist.insert("foo")
    assert typist.text() == "(bar, 1)"
    typist.insert("", back=2)
    assert typist.text() == "oo(bar, 1)"
    typist.insert("oo(", behind=")")
    assert typist.text() == "bar, 1"
    typist.insert("b")
    assert typist.text() == "ar, 1"
    assert typist.sources() == ["model"] + ["typed-through"] * 4
    stats = client.params_of(STATS)
    assert [params["generatedTokens"] for params in stats] == [1, 0, 0, 0, 0]
    assert {params["model"] for params in stats} == {"scripted"}


def test_the_entry_of_a_popup_may_be_what_was_shown(start: StartServer) -> None:
    client = start()
    client.initialize({"streaming": True})
    typist = Typist(client, "path.join(a)")
    typist.insert("os.")
    assert typist.text() == "path.join(a)"
    typist.insert("pa")
    span = {"start": {"line": 1, "character": 3}, "end": {"line": 1, "character": 5}}
    selected = {"range": span, "text": "path"}
    (item,) = client.complete(URI, 1, 5, selected=selected).result()["items"]
    assert (item["insertText"], item["range"]) == ("path.join(a)", span)
    assert typist.sources() == ["model", "typed-through"]


def test_a_key_while_the_model_works_waits_for_that_work(start: StartServer) -> None:
    client = start()
    client.initialize({"streaming": True})
    client.open(URI, "#slow\n")
    first = client.complete(URI, 1, 0)
    client.wait_for(PROGRESS)
    span = {"start": {"line": 1, "character": 0}, "end": {"line": 1, "character": 0}}
    client.change(URI, 2, {"range": span, "text": "word"})
    second = client.complete(URI, 1, 4)
    # The older one is over at once, and what the newer one is shown is the rest of its text.
    assert first.result() is None
    shown = client.wait_for(PROGRESS, lambda params: params["version"] == 2)
    assert shown["token"] == second.id
    assert shown["text"] == " one"
    client.cancel(second)
    assert second.error_code() == REQUEST_CANCELLED
    # Nobody comes: the engine is free again soon.
    client.open("b", "x")
    assert client.complete("b", 0, 1).result()["items"][0]["insertText"] == "[1|x|]"


def test_what_follows_an_accepted_text_is_there_already(start: StartServer, tmp_path: Path) -> None:
    client = start()
    client.initialize({"streaming": True, "profile": "performance"})
    client.open(URI, "#tell")
    assert client.complete(URI, 0, 5).result()["items"][0]["insertText"] == "[5|#tell|]"
    calls(client, tmp_path, 2)
    client.change(URI, 2, {"text": "#tell[5|#tell|]"})
    reply = client.complete(URI, 0, 15).result()
    assert reply["items"][0]["insertText"] == "[15|#tell[5|#tell|]|]"
    assert client.params_of(STATS)[-1]["source"] in ("prefetched", "joined")
    assert calls(client, tmp_path, 2)[:2] == ["64", "64"]


def test_where_the_cursor_rests_the_engine_is_asked_for_nothing_but_the_prompt(
    start: StartServer, tmp_path: Path
) -> None:
    client = start()
    client.initialize({"profile": "performance"})
    client.open(URI, "#tell\nabc\n")
    client.notify(MOVED, {"textDocument": {"uri": URI}, "position": {"line": 1, "character": 3}})
    assert calls(client, tmp_path, 1) == ["0"]


@pytest.mark.parametrize(
    "params",
    [
        None,
        [],
        {},
        7,
        {"textDocument": None, "position": None},
        {"textDocument": {"uri": URI}},
        {"textDocument": {"uri": URI}, "position": {"line": "x", "character": 1}},
        {"textDocument": {"uri": URI}, "position": {"line": -1, "character": 1}},
        {"textDocument": {"uri": URI}, "position": {"line": 0.5, "character": 1}},
        {"textDocument": {"uri": URI}, "position": {"line": 2**40, "character": 1}},
        {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 2**31 - 1}},
        {"textDocument": {"uri": [URI]}, "position": {"line": 0, "character": 0}},
        {"textDocument": {"uri": "nowhere"}, "position": {"line": 0, "character": 0}},
        {"textDocument": {"uri": URI, "class": 1}, "position": {"line": 0, "character": 0}},
    ],
)
def test_a_cursor_that_makes_no_sense_does_no_harm(start: StartServer, params: Json) -> None:
    client = start()
    client.initialize()
    client.open(URI, "x")
    client.notify(MOVED, params)
    assert client.complete(URI, 0, 1).result()["items"][0]["insertText"] == "[1|x|]"
    assert client.received == []
    assert client.shutdown() == 0


def test_the_first_line_comes_first_and_the_rest_is_there_then(start: StartServer) -> None:
    client = start()
    client.initialize(
        {"streaming": True, "completion": {"lineFirst": True}, "profile": "performance"}
    )
    said = "\n".join(f"name_{number} = {number}" for number in range(12))
    typist = Typist(client, said)
    assert typist.text() == "name_0 = 0"
    typist.insert("name_0 = 0")
    assert typist.text() == said.removeprefix("name_0 = 0")
    assert typist.sources() == ["model", "joined"]


def test_another_model_forgets_what_the_first_one_said(start: StartServer) -> None:
    client = start()
    client.initialize({"streaming": True})
    typist = Typist(client, "foo(bar)")
    assert typist.text() == "foo(bar)"
    client.notify("workspace/didChangeConfiguration", {"settings": {"midfill": {"model": "b"}}})
    typist.insert("f")
    assert typist.text() == "foo(bar)"
    assert typist.sources()[-1] == "model"
