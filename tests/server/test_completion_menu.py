"""The suggestion as an entry of a completion menu, as a client without ghost text sees it."""

from __future__ import annotations

import json

import pytest

from tests.server.client import REQUEST_CANCELLED, Json, LspClient, Reply
from tests.server.conftest import StartServer

URI = "file:///project/a.txt"
MENU_ONLY = {"textDocument": {"completion": {}}}
BOTH = {"textDocument": {"completion": {"dynamicRegistration": True}, "inlineCompletion": {}}}
PULLS = {"workspace": {"configuration": True}}


def ask(client: LspClient, line: int, character: int, uri: str = URI) -> Reply:
    return client.request(
        "textDocument/completion",
        {
            "textDocument": {"uri": uri},
            "position": {"line": line, "character": character},
            "context": {"triggerKind": 1},
        },
    )


def entry_for(client: LspClient, text: str, *, before: str = "") -> Json:
    """Return the entry that is offered behind ``before`` where the engine says ``text``."""
    client.open(URI, f"#text{json.dumps(text)}\n{before}", language="x")
    answer = ask(client, 1, len(before)).result()
    assert answer["isIncomplete"] is True
    (item,) = answer["items"]
    return item


@pytest.mark.parametrize(
    ("capabilities", "menu", "is_offered"),
    [
        (MENU_ONLY, "auto", True),
        (MENU_ONLY, "never", False),
        ({"textDocument": None}, "auto", True),
        (BOTH, "auto", False),
        (BOTH, "always", True),
    ],
)
def test_it_is_offered_to_those_who_cannot_show_it_otherwise(
    start: StartServer, capabilities: Json, menu: str, is_offered: bool
) -> None:
    client = start()
    answer = client.initialize({"completion": {"menu": menu}}, capabilities=capabilities)
    assert ("completionProvider" in answer) == is_offered
    assert "inlineCompletionProvider" in answer


def test_the_entry_replaces_the_word_before_the_cursor(start: StartServer) -> None:
    client = start()
    client.initialize(capabilities=MENU_ONLY)
    item = entry_for(client, "t(value)", before="    prin")
    assert item.pop("command")["command"] == "midfill.didAccept"
    assert item == {
        "label": "print(value)",
        "kind": 1,
        "detail": "midfill",
        "documentation": "print(value)",
        "sortText": "~midfill",
        "filterText": "print(value)",
        "textEdit": {
            "range": {"start": {"line": 1, "character": 4}, "end": {"line": 1, "character": 8}},
            "newText": "print(value)",
        },
    }


def test_without_a_word_it_is_inserted_and_filtered_by_what_will_be_typed(
    start: StartServer,
) -> None:
    client = start()
    client.initialize(capabilities=MENU_ONLY)
    item = entry_for(client, " value", before="name =")
    here = {"line": 1, "character": 6}
    assert item["textEdit"] == {"range": {"start": here, "end": here}, "newText": " value"}
    assert (item["label"], item["filterText"]) == ("value", "value")


def test_of_many_lines_the_first_is_the_label_and_all_are_shown(start: StartServer) -> None:
    client = start()
    shows = {"documentationFormat": ["markdown"], "insertTextModeSupport": {"valueSet": [1, 2]}}
    client.initialize(capabilities={"textDocument": {"completion": {"completionItem": shows}}})
    text = "one = ```1\ntwo = 2\nthree = 3"
    item = entry_for(client, text)
    assert item["label"] == "one = ```1 …"
    assert item["textEdit"]["newText"] == text
    assert item["documentation"]["kind"] == "markdown"
    fenced = item["documentation"]["value"]
    assert fenced == f"````x\n{text}\n````"
    # The lines are indented already.
    assert item["insertTextMode"] == 1


def test_a_long_label_is_cut(start: StartServer) -> None:
    client = start()
    client.initialize(capabilities=MENU_ONLY)
    text = "call(" + ", ".join(f"name_{number}" for number in range(20)) + ")"
    item = entry_for(client, text)
    assert item["label"] == text[:59] + "…"
    assert item["filterText"] == text


@pytest.mark.parametrize(("encoding", "units"), [("utf-8", 7), ("utf-16", 4), ("utf-32", 3)])
def test_ranges_count_in_the_negotiated_encoding(
    start: StartServer, encoding: str, units: int
) -> None:
    client = start()
    client.initialize(capabilities=MENU_ONLY, encodings=[encoding])
    client.open(URI, "🦀éx")
    (item,) = ask(client, 0, units).result()["items"]
    start_at = {"utf-8": 4, "utf-16": 2, "utf-32": 1}[encoding]
    assert item["textEdit"]["range"] == {
        "start": {"line": 0, "character": start_at},
        "end": {"line": 0, "character": units},
    }
    assert item["filterText"] == "éx[3|🦀éx|]"


def test_where_nothing_is_suggested_the_menu_is_asked_again(start: StartServer) -> None:
    client = start()
    client.initialize(capabilities=MENU_ONLY)
    for uri, text in (("file:///project/.env", "A="), ("b", "#bug"), ("d", "#doubt")):
        client.open(uri, text)
        assert ask(client, 0, len(text), uri).result() == {"isIncomplete": True, "items": []}
    assert ask(client, 0, 0, "file:///never-opened").result() is None


def test_the_latest_request_wins_and_a_cancel_is_answered(start: StartServer) -> None:
    client = start()
    client.initialize({"streaming": True}, capabilities=MENU_ONLY)
    client.open(URI, "#slow\n")
    old = ask(client, 1, 0)
    client.wait_for("midfill/inlineCompletionProgress")
    newer = ask(client, 1, 0)
    assert old.result() is None
    client.cancel(newer)
    assert newer.error_code() == REQUEST_CANCELLED
    client.change(URI, 2, {"text": "x"})
    assert ask(client, 0, 1).result()["items"][0]["label"] == "x[1|x|]"


def test_menu_and_ghost_text_do_not_take_each_others_answer(start: StartServer) -> None:
    client = start()
    client.initialize({"completion": {"menu": "always"}}, capabilities=BOTH)
    client.open(URI, f"#text{json.dumps('some(text)')}\n")
    ghost, menu = client.complete(URI, 1, 0), ask(client, 1, 0)
    assert ghost.result()["items"][0]["insertText"] == "some(text)"
    assert menu.result()["items"][0]["textEdit"]["newText"] == "some(text)"


def test_the_setting_is_followed_where_the_client_can_be_told(start: StartServer) -> None:
    client = start(answers={"workspace/configuration": [{"completion": {"menu": "always"}}]})
    answer = client.initialize(capabilities={**BOTH, **PULLS})
    assert "completionProvider" not in answer
    (registration,) = client.wait_for("client/registerCapability")["registrations"]
    assert registration["method"] == "textDocument/completion"
    assert "." in registration["registerOptions"]["triggerCharacters"]
    assert entry_for(client, "here")["label"] == "here"
    client.answers["workspace/configuration"] = [{}]
    client.notify("workspace/didChangeConfiguration", {"settings": None})
    (gone,) = client.wait_for("client/unregisterCapability")["unregisterations"]
    assert gone == {"id": registration["id"], "method": "textDocument/completion"}
    assert ask(client, 1, 0).result() is None


def test_what_was_advertised_is_answered_with_nothing_when_it_is_turned_off(
    start: StartServer,
) -> None:
    client = start()
    client.initialize(capabilities=MENU_ONLY)
    assert entry_for(client, "here")["label"] == "here"
    settings = {"midfill": {"completion": {"menu": "never"}}}
    client.notify("workspace/didChangeConfiguration", {"settings": settings})
    assert ask(client, 1, 0).result() is None
