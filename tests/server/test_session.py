"""Settings, the engine's start and its failures, and the end, as a client sees them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server.client import LspClient
from tests.server.conftest import StartServer

URI = "file:///project/a.txt"
PROGRESS = "midfill/inlineCompletionProgress"
PULLS = {"workspace": {"configuration": True}}


def begin_slow_completion(client: LspClient) -> None:
    client.initialize({"streaming": True})
    client.open(URI, "#slow\n")
    client.complete(URI, 1, 0)
    client.wait_for(PROGRESS)


def inserted(client: LspClient) -> list[str]:
    answer = client.complete(URI, 0, 1).result()
    # A model that is opened anew leaves what was asked before it without an answer.
    return [item["insertText"] for item in (answer or {"items": []})["items"]]


def test_unknown_settings_are_named_once_with_the_nearest_known(start: StartServer) -> None:
    client = start(answers={"workspace/configuration": [{"modle": "x", "trace": {"server": 1}}]})
    client.initialize({"completion": {"maxTokns": 3}, "streaming": 1}, capabilities=PULLS)
    client.open(URI, "x")
    assert inserted(client) == ["[1|x|]"]
    client.notify("workspace/didChangeConfiguration", {"settings": None})
    client.wait_for("workspace/configuration")
    assert inserted(client) == ["[1|x|]"]
    first, second = client.params_of("window/showMessage")
    assert "completion.maxTokns" in first["message"]
    assert "completion.max_tokens" in first["message"]
    assert "streaming: expected true or false" in first["message"]
    assert "modle" in second["message"]
    assert "did you mean model" in second["message"]


def test_later_sources_of_settings_win(start: StartServer, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        'model = "file"\n[engine]\nthreads = 1\ncontext_tokens = 512\n', encoding="utf-8"
    )
    client = start(
        "stdio",
        "--load-settings",
        answers={"workspace/configuration": [{"model": "pulled"}]},
        MIDFILL_CONFIG=str(config),
    )
    client.initialize({"engine": {"threads": 2}, "model": "options"}, capabilities=PULLS)
    client.open(URI, "x")
    assert inserted(client) == ["[1|x|]"]
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert log.count("opening") == 1
    assert "model='pulled'" in log
    assert "threads=2" in log
    assert "context_tokens=512" in log


def test_another_model_is_opened_when_the_settings_say_so(
    start: StartServer, tmp_path: Path
) -> None:
    client = start()
    client.initialize()
    client.open(URI, "x")
    assert inserted(client) == ["[1|x|]"]
    for settings in ({"midfill": {"model": "second"}}, {"midfill": {"model": "second"}}, {}):
        client.notify("workspace/didChangeConfiguration", {"settings": settings})
        assert inserted(client) == ["[1|x|]"]
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert [line.split("'")[1] for line in log.splitlines() if "opening" in line] == [
        "auto",
        "second",
        "auto",
    ]


def test_what_was_withheld_is_said_once_the_settings_allow_it(start: StartServer) -> None:
    client = start()
    client.initialize()
    client.open(URI, "#doubt x")

    def said() -> list[str]:
        answer = client.complete(URI, 0, 8, automatic=True).result()
        return [item["insertText"] for item in answer["items"]]

    assert said() == []
    settings = {"midfill": {"completion": {"eagerness": "always"}}}
    client.notify("workspace/didChangeConfiguration", {"settings": settings})
    assert said() == ["perhaps(1)"]


def test_changes_of_settings_are_subscribed_to_where_the_client_wants_that(
    start: StartServer,
) -> None:
    client = start()
    client.initialize(
        capabilities={"workspace": {"didChangeConfiguration": {"dynamicRegistration": True}}}
    )
    (registration,) = client.wait_for("client/registerCapability")["registrations"]
    assert registration["method"] == "workspace/didChangeConfiguration"
    assert registration["registerOptions"] == {"section": "midfill"}


def test_loading_is_shown_as_progress(start: StartServer) -> None:
    client = start()
    client.initialize(capabilities={"window": {"workDoneProgress": True}})
    token = client.wait_for("window/workDoneProgress/create")["token"]
    end = client.wait_for("$/progress", lambda params: params["value"]["kind"] == "end")
    kinds = [params["value"]["kind"] for params in client.params_of("$/progress")]
    assert end["token"] == token
    assert kinds[0] == "begin"
    assert kinds[-1] == "end"
    assert "Loading auto (100 %)" in str(client.params_of("$/progress"))


def test_a_missing_model_is_fetched_after_asking(start: StartServer) -> None:
    client = start(
        "stdio", "--open", "missing", answers={"window/showMessageRequest": {"title": "Download"}}
    )
    client.initialize()
    client.open(URI, "x")
    request = client.wait_for("window/showMessageRequest")
    assert "midfill models pull" in request["message"]
    # The answer is on its way back when the completion is: it waits for the model or is empty.
    while not (texts := inserted(client)):
        pass
    assert texts == ["[1|x|]"]
    assert len(client.params_of("window/showMessageRequest")) == 1


@pytest.mark.parametrize("answer", [None, {"title": "Not now"}])
def test_a_model_that_nobody_wants_to_fetch_means_empty_answers(
    start: StartServer, answer: object
) -> None:
    client = start("stdio", "--open", "missing", answers={"window/showMessageRequest": answer})
    client.initialize()
    client.open(URI, "x")
    assert inserted(client) == []
    client.wait_for("window/showMessageRequest")
    assert inserted(client) == []
    assert client.params_of("window/showMessage") == []
    assert client.shutdown() == 0


def test_with_leave_given_beforehand_nobody_is_asked(start: StartServer) -> None:
    client = start("stdio", "--open", "missing")
    client.initialize({"download": True})
    client.open(URI, "x")
    assert inserted(client) == ["[1|x|]"]
    assert client.received == []


def test_an_engine_that_cannot_be_opened_is_explained_once(start: StartServer) -> None:
    client = start("stdio", "--open", "fails")
    client.initialize()
    client.open(URI, "x")
    assert [inserted(client) for _ in range(3)] == [[], [], []]
    (message,) = client.params_of("window/showMessage")
    assert "no source could deliver" in message["message"]


def test_an_error_of_the_engine_is_told_once_and_the_answer_is_empty(start: StartServer) -> None:
    client = start()
    client.initialize()
    for uri, text in (("r", "#refuse"), ("b", "#bug")):
        client.open(uri, text)
        for _ in range(3):
            assert client.complete(uri, 0, 7).result() == {"items": []}
    messages = [params["message"] for params in client.params_of("window/showMessage")]
    assert messages == ["midfill: this cannot be completed", "midfill: a bug"]


def test_a_request_waits_for_the_model_only_so_long(start: StartServer) -> None:
    client = start("stdio", "--open", "blocks")
    client.initialize({"completion": {"timeoutS": 0.1}})
    client.open(URI, "x")
    assert inserted(client) == []
    assert client.received == []


@pytest.mark.parametrize("transport", ["stdio", pytest.param("tcp", marks=pytest.mark.slow)])
def test_goodbye_during_a_generation(start: StartServer, transport: str) -> None:
    client = start(transport)
    begin_slow_completion(client)
    assert client.shutdown(timeout_s=5) == 0


@pytest.mark.parametrize("transport", ["stdio", pytest.param("tcp", marks=pytest.mark.slow)])
def test_a_client_that_dies_during_a_generation(start: StartServer, transport: str) -> None:
    client = start(transport)
    begin_slow_completion(client)
    client.connection.close()
    assert client.process is not None
    assert client.process.wait(5) == 1


def test_goodbye_while_the_model_loads(start: StartServer) -> None:
    client = start("stdio", "--open", "blocks")
    client.initialize()
    assert client.shutdown(timeout_s=10) == 0


def test_exit_without_shutdown_is_an_error(start: StartServer) -> None:
    client = start()
    client.initialize()
    client.notify("exit")
    assert client.wait() == 1


def test_the_server_leaves_when_the_process_of_its_client_is_gone(start: StartServer) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as editor:
        client = start()
        client.initialize(process_id=editor.pid)
        client.open(URI, "x")
        assert inserted(client) == ["[1|x|]"]
        editor.kill()
    # Its input is still open: only the watch can tell.
    assert client.wait(15) == 1


def test_a_client_in_another_process_namespace_is_not_missed(start: StartServer) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    client = start()
    client.initialize(process_id=gone.pid)
    client.open(URI, "x")
    assert inserted(client) == ["[1|x|]"]
    assert client.shutdown() == 0


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT to another process")
def test_ctrl_c_ends_the_server_quietly(start: StartServer, tmp_path: Path) -> None:
    client = start()
    begin_slow_completion(client)
    assert client.process is not None
    client.process.send_signal(signal.SIGINT)
    client.process.wait(5)
    assert "Exception ignored" not in (tmp_path / "log").read_text(encoding="utf-8")
