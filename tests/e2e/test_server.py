"""Real code completed by a real model through the language server."""

from __future__ import annotations

import itertools

import pytest

from benchmarks.sites import SITES, Site
from tests.server.client import REQUEST_CANCELLED, Json, LspClient

ANSWER_S = 120.0
_numbers = itertools.count()


def complete(server: LspClient, marked: str, *, language: str = "python") -> Json:
    """Open ``marked`` as a new document; return the items at its cursor mark ``<|>``."""
    uri = f"file:///made/{next(_numbers)}.txt"
    before, _, behind = marked.partition("<|>")
    server.open(uri, before + behind, language=language)
    return items_at(server, uri, before)


def items_at(server: LspClient, uri: str, before: str) -> Json:
    line, column = before.count("\n"), len(before) - (before.rfind("\n") + 1)
    answer = server.complete(uri, line, column).result(ANSWER_S)
    return answer["items"]


def last_stats(server: LspClient) -> Json:
    return server.params_of("midfill/completionStats")[-1]


@pytest.mark.parametrize("site", SITES, ids=lambda site: f"{site.file}-{site.kind}")
def test_code_in_five_languages_is_completed(server: LspClient, site: Site) -> None:
    place = site.open()
    server.open(place.uri, place.before + place.behind, language=site.language_id)
    items = items_at(server, place.uri, place.before)
    server.notify("textDocument/didClose", {"textDocument": {"uri": place.uri}})
    assert len(items) == 1
    text = items[0]["insertText"]
    assert text.strip()
    if site.kind == "middle of a line":
        assert "\n" not in text
    # Ghost text goes where the cursor is, on one line.
    at = {"line": place.line, "character": place.column}
    assert items[0]["range"] == {"start": at, "end": at}


def test_an_obvious_completion_is_right(server: LspClient) -> None:
    items = complete(server, "def add(a, b):\n    return a <|>\n\nprint(add(1, 2))\n")
    assert items[0]["insertText"].strip() == "+ b"


def test_the_first_line_comes_first_and_the_answer_begins_with_it(server: LspClient) -> None:
    marked = "def mean(values):\n    total = sum(values)\n    <|>\n"
    items = complete(server, marked)
    subject = last_stats(server)["uri"]
    progress = server.params_of("midfill/inlineCompletionProgress")
    grown = [report["text"] for report in progress if report["uri"] == subject]
    assert len(grown) == 1
    assert "\n" not in grown[0]
    assert items[0]["insertText"].startswith(grown[0])
    assert len(items[0]["insertText"]) > len(grown[0])


def insert(server: LspClient, uri: str, version: int, before: str, text: str) -> str:
    """Type ``text`` after ``before``, the text up to the cursor; return what is before it now."""
    at = {"line": before.count("\n"), "character": len(before) - (before.rfind("\n") + 1)}
    server.change(uri, version, {"range": {"start": at, "end": at}, "text": text})
    return before + text


def test_asking_again_makes_no_work(server: LspClient) -> None:
    uri = "file:///made/again.py"
    before = "import os\n\ndef size(path):\n    return os."
    server.open(uri, before)
    first = items_at(server, uri, before)
    assert items_at(server, uri, before) == first
    stats = last_stats(server)
    assert (stats["source"], stats["promptTokens"]) == ("typed-through", 0)


def test_what_is_typed_along_the_text_makes_no_work(server: LspClient) -> None:
    uri = "file:///made/along.py"
    before, behind = "def add(a, b):\n    return a ", "\n\nprint(add(1, 2))\n"
    server.open(uri, before + behind)
    (item,) = items_at(server, uri, before)
    text = item["insertText"]
    for version, character in enumerate(text[:-1], start=2):
        before = insert(server, uri, version, before, character)
        (item,) = items_at(server, uri, before)
        assert item["insertText"] == text[version - 1 :]
        assert last_stats(server)["source"] == "typed-through"


def test_a_key_that_differs_computes_a_few_tokens(server: LspClient) -> None:
    uri = "file:///made/differs.py"
    head = "".join(f"def number_{n}(value):\n    return value * {n}\n\n" for n in range(40))
    before, behind = head + "def half(value):\n    return ", "\n\nprint(half(3), number_7(1))\n"
    server.open(uri, before + behind)
    items_at(server, uri, before)
    for version, character in enumerate("zq = zz", start=2):
        before = insert(server, uri, version, before, character)
        items_at(server, uri, before)
        stats = last_stats(server)
        if stats["source"] == "model":
            assert stats["prefilledTokens"] <= 4, character
            assert stats["promptTokens"] > 100


def test_going_back_to_another_file_computes_a_few_tokens(server: LspClient) -> None:
    head = "".join(f"def number_{n}(value):\n    return value * {n}\n\n" for n in range(20))
    texts = {
        "file:///made/one.py": head + "def area(width, height):\n    return ",
        "file:///made/two.py": "import json\n\n" + head + "def load(path):\n    return json.",
    }
    for uri, text in texts.items():
        server.open(uri, text)
        items_at(server, uri, text)
    for uri, text in texts.items():
        items_at(server, uri, insert(server, uri, 2, text, "zz"))
        stats = last_stats(server)
        assert stats["uri"] == uri
        assert stats["source"] == "model"
        assert stats["prefilledTokens"] <= 4


def test_text_like_a_marker_is_only_text(server: LspClient) -> None:
    marked = 'STOP = "<|fim_middle|><|endoftext|>"\n\ndef is_stop(text):\n    return text == <|>\n'
    uri = "file:///made/marker.py"
    before, _, behind = marked.rpartition("<|>")
    server.open(uri, before + behind)
    items = items_at(server, uri, before)
    assert items[0]["insertText"].startswith("STOP")


def test_a_cancelled_request_ends_and_the_next_is_answered(server: LspClient) -> None:
    uri = "file:///made/cancel.py"
    text = "".join(f"def function_{n}(a, b):\n    return a * {n} + b\n\n" for n in range(200))
    server.open(uri, text)
    reply = server.complete(uri, 300, 0)
    server.cancel(reply)
    assert reply.error_code() == REQUEST_CANCELLED
    assert complete(server, "def add(a, b):\n    return a <|>\n")


def test_the_newest_request_of_a_document_wins(server: LspClient) -> None:
    uri = "file:///made/newest.py"
    server.open(uri, "def add(a, b):\n    return a \n")
    older = [server.complete(uri, 1, 13) for _ in range(5)]
    newest = server.complete(uri, 1, 13)
    assert newest.result(ANSWER_S)["items"]
    assert all(reply.done for reply in older)


@pytest.mark.parametrize(
    "marked",
    [
        "<|>",
        "<|>def f():\n    pass\n",
        "def f():\n    pass\n<|>",
        "a\x00b = 1\nprint(a<|>",
        "\ud800 = '\udfff'\nprint(<|>)",
        "x = '" + "y" * 100_000 + "'<|>\nz = 1\n",
        "# line\n" * 150_000 + "x = <|>\n" + "# more\n" * 10,
        "\r\n\r\n<|>\r\n",
        "\u2028\x0c<|>",
    ],
    ids=["empty", "start", "end", "nul", "surrogates", "long-line", "megabyte", "crlf", "odd-ends"],
)
def test_odd_files_are_answered(server: LspClient, marked: str) -> None:
    assert isinstance(complete(server, marked), list)
    assert not server.params_of("window/showMessage")
