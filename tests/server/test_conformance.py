"""What a server without a model does with odd messages and files, and what is streamed when.

What any client sees over each transport and in each encoding is in ``tests/lsp``.
"""

from __future__ import annotations

import json

from tests.server.client import StreamConnection
from tests.server.conftest import StartServer

URI = "file:///project/a.txt"
PROGRESS = "midfill/inlineCompletionProgress"
STATS = "midfill/completionStats"


def text_of(answer: object) -> str:
    assert isinstance(answer, dict)
    (item,) = answer["items"]
    return str(item["insertText"])


def at(line: int, character: int) -> dict[str, int]:
    return {"line": line, "character": character}


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
    assert text_of(client.complete(URI, 0, 1).result()) == "[1|x|]"
    assert client.params_of("window/showMessage") == []
