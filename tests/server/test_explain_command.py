"""``midfill.explain`` and ``midfill.explainDiagnostic``, over the protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.server.client import INVALID_PARAMS, REQUEST_CANCELLED, LspClient, LspError, Reply
from tests.server.conftest import StartServer
from tests.server.scripted_server import CHATTED

URI = "file:///project/a.py"
TEXT = '''def add(a, b):
    """Add two numbers."""
    return a + b


print(ad(1, 2))
'''
SLOW = TEXT.replace("Add two", "#slow Add two")
REQUEST_FAILED = -32803
TOLD = "midfill/explanation"
AT_ADD = {"position": {"line": 0, "character": 5}}
LINES = {"start": {"line": 2, "character": 0}, "end": {"line": 2, "character": 9}}
DIAGNOSTIC = {
    "range": {"start": {"line": 5, "character": 6}, "end": {"line": 5, "character": 8}},
    "message": "Undefined name `ad`",
    "code": "F821",
    "source": "Ruff",
}


def begin(start: StartServer, text: str = TEXT, *arguments: str, **options: Any) -> LspClient:
    client = start("stdio", *arguments)
    client.initialize(options, capabilities={"window": {"workDoneProgress": True}})
    client.open(URI, text, language="python")
    return client


def run(
    client: LspClient, given: Any, command: str = "midfill.explain", token: Any = None
) -> Reply:
    words: dict[str, Any] = {"command": command, "arguments": [{"uri": URI, **given}]}
    if token is not None:
        words["workDoneToken"] = token
    return client.request("workspace/executeCommand", words)


def running(client: LspClient) -> int:
    return int(client.request("midfill/test/running", {}).result())


def refusal(reply: Reply) -> tuple[int, str]:
    with pytest.raises(LspError) as caught:
        reply.result()
    return caught.value.code, str(caught.value)


def asked(folder: Path) -> str:
    return (folder / "log").read_text(encoding="utf-8")


def test_a_name_is_explained_while_somebody_watches(start: StartServer) -> None:
    client = begin(start)
    answer = run(client, {**AT_ADD, "token": "one"}).result()
    assert answer["model"] == "scripted"
    assert CHATTED in answer["markdown"]
    assert answer["markdown"].startswith("### What it does")
    told = client.params_of(TOLD)
    assert {each["token"] for each in told} == {"one"}
    assert [each["done"] for each in told] == [False] * (len(told) - 1) + [True]
    assert len(told) > 2
    assert told[-1]["text"] == answer["markdown"]
    lengths = [len(each["text"]) for each in told]
    assert lengths == sorted(lengths)


def test_without_a_token_only_the_answer_is_sent(start: StartServer) -> None:
    client = begin(start)
    assert CHATTED in run(client, AT_ADD).result()["markdown"]
    assert client.params_of(TOLD) == []


@pytest.mark.parametrize(
    ("given", "command"),
    [
        ({"range": LINES}, "midfill.explain"),
        ({"diagnostic": DIAGNOSTIC}, "midfill.explainDiagnostic"),
        ({"position": {"line": 2, "character": 4}}, "midfill.explain"),
    ],
    ids=["lines", "diagnostic", "no name"],
)
def test_lines_and_diagnostics_are_explained(start: StartServer, given: Any, command: str) -> None:
    client = begin(start)
    assert CHATTED in run(client, {**given, "length": "short"}, command).result()["markdown"]


def test_the_length_is_a_setting(start: StartServer, tmp_path: Path) -> None:
    text = TEXT.replace("Add two", "#tell Add two")
    client = begin(start, text, explain={"length": "short"})
    assert "###" not in run(client, AT_ADD).result()["markdown"]
    assert "###" in run(client, {**AT_ADD, "length": "long"}).result()["markdown"]
    client = begin(start, text, explain={"maxTokens": 17})
    run(client, AT_ADD).result()
    assert "asked for 17 tokens" in asked(tmp_path)


def test_it_is_cancelled_as_a_request(start: StartServer) -> None:
    client = begin(start, SLOW)
    reply = run(client, {**AT_ADD, "token": 1})
    client.wait_for(TOLD)
    client.cancel(reply)
    assert reply.error_code() == REQUEST_CANCELLED
    while running(client):
        pass
    ended = [each["value"]["kind"] for each in client.params_of("$/progress")]
    assert ended.count("begin") == ended.count("end")


def test_it_is_cancelled_before_it_begins(start: StartServer) -> None:
    client = begin(start, SLOW)
    reply = run(client, AT_ADD)
    client.cancel(reply)
    assert reply.error_code() == REQUEST_CANCELLED
    assert running(client) == 0


def test_it_is_cancelled_by_its_progress(start: StartServer) -> None:
    client = begin(start, SLOW)
    reply = run(client, {**AT_ADD, "token": 1}, token="mine")
    client.wait_for("$/progress", lambda params: params["token"] == "mine")
    client.wait_for(TOLD)
    client.notify("window/workDoneProgress/cancel", {"token": "mine"})
    assert reply.error_code() == REQUEST_CANCELLED
    while running(client):
        pass


def test_a_completion_goes_first_and_the_explanation_goes_on(start: StartServer) -> None:
    client = begin(start, SLOW, explain={"maxTokens": 4096})
    client.open("b", "x = ")
    reply = run(client, {**AT_ADD, "token": 1})
    client.wait_for(TOLD)
    for _ in range(3):
        items = client.complete("b", 0, 4, automatic=False).result()["items"]
        assert items[0]["insertText"] == "[4|x = |]"
    so_far = len(client.params_of(TOLD))
    client.wait_for(TOLD, lambda params: len(client.params_of(TOLD)) > so_far)
    assert not reply.done
    client.cancel(reply)
    assert reply.error_code() == REQUEST_CANCELLED


def test_a_newer_one_takes_its_place(start: StartServer) -> None:
    client = begin(start, SLOW)
    first = run(client, {**AT_ADD, "token": 1})
    client.wait_for(TOLD)
    second = run(client, {**AT_ADD, "length": "short", "token": 2})
    assert refusal(first)[0] == REQUEST_FAILED
    client.wait_for(TOLD, lambda params: params["token"] == 2)
    client.cancel(second)


def test_a_base_model_says_what_to_pull(start: StartServer) -> None:
    client = begin(start, TEXT, "--base")
    code, message = refusal(run(client, AT_ADD))
    assert code == REQUEST_FAILED
    assert "midfill models pull" in message


@pytest.mark.parametrize(
    ("given", "command", "code"),
    [
        ({}, "midfill.explain", INVALID_PARAMS),
        ({"position": {"line": "x"}}, "midfill.explain", INVALID_PARAMS),
        ({"range": 3}, "midfill.explain", INVALID_PARAMS),
        ({**AT_ADD, "length": "endless"}, "midfill.explain", INVALID_PARAMS),
        ({"diagnostic": {"message": 3}}, "midfill.explainDiagnostic", INVALID_PARAMS),
        ({}, "midfill.explainDiagnostic", INVALID_PARAMS),
        ({**AT_ADD, "uri": "file:///other.py"}, "midfill.explain", REQUEST_FAILED),
    ],
)
def test_what_cannot_be_read_is_refused(
    start: StartServer, given: Any, command: str, code: int
) -> None:
    assert refusal(run(begin(start), given, command))[0] == code


def test_what_is_forbidden_is_refused(start: StartServer, tmp_path: Path) -> None:
    code, message = refusal(run(begin(start, explain={"enabled": False}), AT_ADD))
    assert (code, "explain.enabled" in message) == (REQUEST_FAILED, True)
    client = begin(start, TEXT.replace("Add two", "#tell Add two"))
    secret = {"uri": "file:///project/.env", **AT_ADD}
    client.open("file:///project/.env", "#tell KEY=1", language="dotenv")
    code, message = refusal(run(client, secret))
    assert (code, "secrets" in message) == (REQUEST_FAILED, True)
    assert "asked for" not in asked(tmp_path)
