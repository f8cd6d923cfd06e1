"""What any client sees, over each transport and in each encoding, of a server without a model."""

from __future__ import annotations

import json

import pytest

from tests.server.client import INVALID_PARAMS, REQUEST_CANCELLED, LspClient, StreamConnection
from tests.server.conftest import StartServer

URI = "file:///project/a.txt"
PROGRESS = "midfill/inlineCompletionProgress"
STATS = "midfill/completionStats"

# To be asked also where text follows on the line, so that the answers show both sides.
MID_LINE = {"completion": {"midLine": True}}

# A server of its own for each: over stdio always, over the others where there is time.
transports = pytest.mark.parametrize(
    "transport",
    [
        "stdio",
        pytest.param("tcp", marks=pytest.mark.slow),
        pytest.param("ws", marks=pytest.mark.slow),
    ],
)


@pytest.fixture(autouse=True)
def needs_websockets(request: pytest.FixtureRequest) -> None:
    if "ws" in getattr(request.node, "callspec", request.node).__dict__.get("params", {}).values():
        pytest.importorskip("websockets", reason="the WebSocket extra is not installed")


def text_of(answer: object) -> str:
    assert isinstance(answer, dict)
    (item,) = answer["items"]
    return str(item["insertText"])


def at(line: int, character: int) -> dict[str, int]:
    return {"line": line, "character": character}


def slow_completion(client: LspClient) -> object:
    """Ask for a completion that never ends by itself, and wait until its first line is there."""
    client.open(URI, "#slow\n")
    reply = client.complete(URI, 1, 0)
    client.wait_for(PROGRESS, lambda params: params["token"] == reply.id)
    return reply


@transports
def test_a_session_from_hello_to_goodbye(start: StartServer, transport: str) -> None:
    client = start(transport)
    capabilities = client.initialize(MID_LINE)
    assert capabilities["inlineCompletionProvider"] == {}
    assert capabilities["positionEncoding"] == "utf-16"
    assert capabilities["textDocumentSync"]["change"] == 2
    client.open(URI, "one\ntwo three\n")
    answer = client.complete(URI, 1, 3).result()
    assert answer == {
        "items": [
            {"insertText": "[7|two| three]", "range": {"start": at(1, 3), "end": at(1, 3)}},
        ]
    }
    assert client.received == []
    assert client.shutdown() == 0


@transports
@pytest.mark.parametrize(
    ("encoding", "before", "after"), [("utf-8", 6, 10), ("utf-16", 3, 5), ("utf-32", 3, 4)]
)
def test_positions_count_in_the_negotiated_encoding(
    start: StartServer, transport: str, encoding: str, before: int, after: int
) -> None:
    client = start(transport)
    capabilities = client.initialize(MID_LINE, encodings=[encoding, "utf-16"])
    assert capabilities["positionEncoding"] == encoding
    client.open(URI, "\x0cé\u2028\nx漢é😀-y\r\n")
    answer = client.complete(URI, 1, before).result()
    assert text_of(answer) == "[7|x漢é|😀-y]"
    client.change(URI, 2, {"range": {"start": at(1, before), "end": at(1, after)}, "text": "🦀🦀"})
    width = after - before
    answer = client.complete(URI, 1, before + 2 * width).result()
    assert text_of(answer) == "[9|x漢é🦀🦀|-y]"
    assert answer["items"][0]["range"]["start"] == at(1, before + 2 * width)


@transports
def test_a_cancel_is_answered_and_frees_the_engine(start: StartServer, transport: str) -> None:
    client = start(transport)
    client.initialize({"streaming": True})
    reply = slow_completion(client)
    client.cancel(reply)  # type: ignore[arg-type]
    assert reply.error_code() == REQUEST_CANCELLED  # type: ignore[attr-defined]
    client.change(URI, 2, {"text": "fast"})
    assert text_of(client.complete(URI, 0, 4).result()) == "[4|fast|]"
    assert client.params_of("window/showMessage") == []


@transports
def test_a_burst_of_requests_and_cancels_is_answered_in_full(
    start: StartServer, transport: str
) -> None:
    client = start(transport)
    client.initialize()
    client.open(URI, "#slow\n")
    replies = [client.complete(URI, 1, 0) for _ in range(30)]
    for reply in replies:
        client.cancel(reply)
    codes = [reply.error_code() for reply in replies]
    # A request that a newer one had replaced by then was answered with null.
    assert set(codes) <= {REQUEST_CANCELLED, None}
    assert codes[-1] == REQUEST_CANCELLED
    client.change(URI, 2, {"text": "x"})
    assert text_of(client.complete(URI, 0, 1).result()) == "[1|x|]"


@transports
def test_position_and_text_agree_while_edits_race(start: StartServer, transport: str) -> None:
    client = start(transport)
    client.initialize({"streaming": True})
    client.open(URI, "")
    replies = []
    for version in range(2, 22):
        # Each edit writes a line of its own length, so that a stale text would show.
        client.change(URI, version, {"text": "v" * version})
        replies.append(client.complete(URI, 0, version))
    client.change(URI, 99, {"text": ""})
    for version, reply in zip(range(2, 22), replies, strict=True):
        answer = reply.result()
        if answer is not None:
            assert text_of(answer) == f"[{version}|{'v' * version}|]"
    assert replies[-1].result() is not None
    for params in client.params_of(STATS):
        assert params["position"]["character"] == params["version"]


@transports
def test_the_latest_request_of_a_document_wins(start: StartServer, transport: str) -> None:
    client = start(transport)
    client.initialize({"streaming": True})
    old = slow_completion(client)
    client.change(URI, 2, {"text": "new"})
    new = client.complete(URI, 0, 3)
    assert old.result() is None  # type: ignore[attr-defined]
    assert text_of(new.result()) == "[3|new|]"


def test_another_document_does_not_disturb(start: StartServer) -> None:
    client = start()
    client.initialize()
    for name in "ab":
        client.open(name, name)
    replies = [client.complete(name, 0, 1) for name in "ab"]
    assert [text_of(reply.result()) for reply in replies] == ["[1|a|]", "[1|b|]"]


def test_streaming_is_asked_for_and_the_answer_is_still_whole(start: StartServer) -> None:
    client = start()
    client.initialize({"streaming": True})
    long_text = "\n".join(f"name_{number} = {number}" for number in range(12))
    client.open(URI, f"#text{json.dumps(long_text)}\n", version=7)
    reply = client.complete(URI, 1, 0)
    assert text_of(reply.result()) == long_text
    # Once, as soon as a line is whole and judged; what was shown is never taken back.
    (part,) = client.params_of(PROGRESS)
    assert (part["token"], part["uri"], part["version"]) == (reply.id, URI, 7)
    assert part["position"] == at(1, 0)
    assert part["text"] == "name_0 = 0"
    (stats,) = client.params_of(STATS)
    assert stats["model"] == "scripted"
    assert stats["finish"] == "stop"
    assert stats["source"] == "model"
    assert stats["generatedTokens"] == -(-len(long_text) // 16)
    assert client.received[-1].method == STATS


def test_without_asking_nothing_is_streamed(start: StartServer) -> None:
    client = start()
    client.initialize()
    client.open(URI, "x")
    client.complete(URI, 0, 1).result()
    assert client.received == []


def test_the_entry_selected_in_a_popup_is_extended(start: StartServer) -> None:
    client = start()
    client.initialize()
    client.open(URI, "import os\nos.pa")
    span = {"start": at(1, 3), "end": at(1, 5)}
    answer = client.complete(URI, 1, 5, selected={"range": span, "text": "path"}).result()
    (item,) = answer["items"]
    assert item["range"] == span
    assert item["insertText"] == "path[17|os.path|]"


ODD_PLACES = [
    ("", 0, 0),
    ("", 5, 5),
    ("abc", 0, 0),
    ("abc", 0, 3),
    ("abc\n", 1, 0),
    ("abc", 2**31 - 1, 2**31 - 1),
    ("\0\0\n\0", 1, 1),
    ("x" * 100_000, 0, 50_000),
    ("漢😀" * 50_000, 0, 70_001),
    ("line of text\n" * 80_000, 40_000, 4),
    ("\ud800\udfff\ud800", 0, 1),
]


def test_odd_files_and_places_get_an_answer(start: StartServer) -> None:
    client = start()
    client.initialize()
    for number, (text, line, character) in enumerate(ODD_PLACES):
        client.open(str(number), text)
        # Many are places where nothing is suggested unasked.
        unasked = client.complete(str(number), line, character).result()
        assert len(unasked["items"]) <= 1
        answer = client.complete(str(number), line, character, automatic=False).result()
        assert text_of(answer).startswith("["), f"{text[:20]!r} at {line}:{character}"
    assert client.received == []
    assert client.shutdown() == 0


def test_a_large_document_can_be_typed_in(start: StartServer) -> None:
    client = start()
    client.initialize()
    client.open(URI, "some text\n" * 100_000)
    for version in range(2, 30):
        place = at(50_000, 9 + version - 2)
        client.change(URI, version, {"range": {"start": place, "end": place}, "text": "é"})
    assert "é" * 28 in text_of(client.complete(URI, 50_000, 9 + 28).result())


def test_a_document_that_is_not_open_has_no_completions(start: StartServer) -> None:
    client = start()
    client.initialize()
    client.change("nowhere", 2, {"text": "x"})
    assert client.complete("nowhere", 0, 0).result() is None
    client.open(URI, "x")
    client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
    assert client.complete(URI, 0, 0).result() is None
    assert client.received == []


def test_messages_that_make_no_sense_do_no_harm(start: StartServer) -> None:
    client = start()
    client.initialize()
    client.open(URI, "x")
    assert isinstance(client.connection, StreamConnection)
    client.connection.send(b"[]")
    client.connection.send(b"{nonsense")
    client.connection.send(b'"\xff"')
    client.connection.send_raw(b"\r\nX-Odd: 1\r\n\r\n")
    client.connection.send_raw(b"content-length: 2\r\nContent-Type: a\r\n\r\n{}")
    client.notify("midfill/nothing", {"x": 1})
    assert client.request("textDocument/inlineCompletion", {"a": 1}).error_code() == INVALID_PARAMS
    assert client.request("midfill/nothing", {}).error_code() == -32601
    assert text_of(client.complete(URI, 0, 1).result()) == "[1|x|]"
    assert client.params_of("window/showMessage") == []
