"""What a status bar is told: by the server as a process, and by the announcer alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from midfill_engine.errors import FetchError
from midfill_engine.types import EngineInfo
from midfill_server.handlers.status import Announcer, State, Status
from tests.server.client import Json, LspClient
from tests.server.conftest import StartServer

URI = "file:///project/a.txt"
STATUS = "midfill/didChangeStatus"
WANTS = {"experimental": {"midfill": {"status": True}}}
SMALL = EngineInfo(model_id="small", backend="b", device="cpu", reason="it is here")
BETTER = EngineInfo(model_id="better", backend="b", device="gpu")


def states(client: LspClient) -> list[str]:
    """Return the states that were told, each once in a row."""
    told = [params["state"] for params in client.params_of(STATUS)]
    return [state for index, state in enumerate(told) if told[index - 1 : index] != [state]]


def wait_for_state(client: LspClient, state: str) -> Json:
    return client.wait_for(STATUS, lambda params: params["state"] == state)


@pytest.mark.parametrize("experimental", [None, True, {}, {"midfill": {"status": 1}}])
def test_who_does_not_ask_is_told_nothing(start: StartServer, experimental: object) -> None:
    client = start()
    client.initialize(capabilities={"experimental": experimental})
    client.open(URI, "x")
    assert client.complete(URI, 0, 1).result()["items"]
    assert client.params_of(STATUS) == []


def test_loading_is_told_until_the_model_is_ready(start: StartServer) -> None:
    client = start()
    client.initialize(capabilities=WANTS)
    ready = wait_for_state(client, "ready")
    assert (ready["model"], ready["device"], ready["percent"]) == ("scripted", "none", None)
    assert ready["log"] is None
    assert ready["working"] is False
    assert states(client) == ["loading", "ready"]
    (first, *_) = client.params_of(STATUS)
    assert (first["message"], first["model"]) == ("Loading the model", None)


def test_a_missing_model_is_named_with_its_size_and_fetched_by_leave(start: StartServer) -> None:
    answers = {"window/showMessageRequest": {"title": "Download"}}
    client = start("stdio", "--open", "missing", answers=answers)
    client.initialize(capabilities=WANTS)
    missing = wait_for_state(client, "missing")
    assert (missing["model"], missing["downloadBytes"]) == ("tiny", 1000)
    assert "no model is here" in missing["message"]
    wait_for_state(client, "ready")
    assert states(client) == ["loading", "missing", "loading", "ready"]


def test_what_is_wrong_with_the_model_is_told(start: StartServer) -> None:
    client = start("stdio", "--open", "fails")
    client.initialize(capabilities=WANTS)
    assert wait_for_state(client, "failed")["message"] == "no source could deliver"


def test_work_that_somebody_waits_for_is_told_until_it_ends(start: StartServer) -> None:
    client = start()
    client.initialize(capabilities=WANTS)
    client.open(URI, "#slow\n")
    reply = client.complete(URI, 1, 0)
    client.wait_for(STATUS, lambda params: params["working"])
    assert not reply.done
    client.cancel(reply)
    assert client.wait_for(STATUS)["working"] is False


def test_a_released_model_is_loading_again_when_it_is_asked_for(
    start: StartServer, tmp_path: Path
) -> None:
    client = start()
    client.initialize({"engine": {"idleReleaseMinutes": 1e-6}}, capabilities=WANTS)
    # It is released at once, but only once nothing is asked for.
    for number in range(100):
        uri = f"{URI}{number}"
        client.open(uri, "x")
        assert client.complete(uri, 0, 1).result()["items"]
        if states(client).count("loading") > 1:
            break
    wait_for_state(client, "ready")
    assert states(client)[:4] == ["loading", "ready", "loading", "ready"]
    assert (tmp_path / "log").read_text(encoding="utf-8").count("opening") > 1


class Desk:
    """An announcer whose time is turned by hand; ``sent`` is what a client gets."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.sent: list[Status] = []
        self._calls: list[Call] = []
        self.announcer = Announcer(
            self.sent.append, call_later=self._call_later, clock=lambda: self.now_s
        )

    def wait(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while due := [call for call in self._calls if call.at_s <= end_s]:
            call = min(due, key=lambda each: each.at_s)
            self._calls.remove(call)
            self.now_s = call.at_s
            call.make()
        self.now_s = end_s

    def _call_later(self, delay_s: float, callback: Callable[[], None]) -> Call:
        self._calls.append(Call(self.now_s + delay_s, callback))
        return self._calls[-1]


class Call:
    """A call that is due, and may be taken back."""

    def __init__(self, at_s: float, callback: Callable[[], None]) -> None:
        self.at_s = at_s
        self._callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self._callback = None

    def make(self) -> None:
        if self._callback is not None:
            self._callback()


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_progress_is_told_a_few_times_a_second_and_its_end_at_once(desk: Desk) -> None:
    desk.announcer.loading("Fetching", 0)
    for percent in range(1, 100):
        desk.wait(0.01)
        desk.announcer.loading("Fetching", percent)
    desk.announcer.opened(SMALL)
    *loading, ready = desk.sent
    assert 4 <= len(loading) <= 6
    assert ready.state is State.READY
    desk.wait(10)
    assert desk.sent[-1] is ready


def test_what_is_over_soon_is_no_work(desk: Desk) -> None:
    desk.announcer.opened(SMALL)
    for _ in range(20):
        with desk.announcer.awaited():
            desk.wait(0.04)
        desk.wait(0.3)
    assert len(desk.sent) == 1


def test_keys_that_follow_each_other_do_not_flicker(desk: Desk) -> None:
    desk.announcer.opened(SMALL)
    desk.wait(1)
    for _ in range(20):
        with desk.announcer.awaited():
            desk.wait(0.1)
    desk.wait(1)
    # Told at most four times a second, and truly at the end.
    assert len(desk.sent) <= 1 + 2 * 4 + 1
    assert desk.sent[1].working
    assert not desk.sent[-1].working


def test_work_lasts_as_long_as_anybody_waits(desk: Desk) -> None:
    desk.announcer.opened(SMALL)
    desk.wait(1)
    with desk.announcer.awaited():
        with desk.announcer.awaited():
            desk.wait(1)
        desk.wait(1)
        assert desk.announcer.latest.working
    assert [status.working for status in desk.sent] == [False, True, False]


def test_the_better_model_is_named_once_it_answers_and_from_then_on(desk: Desk) -> None:
    desk.announcer.opened(SMALL)
    assert desk.announcer.latest.message == "it is here"
    desk.announcer.ready(SMALL, "Loading better", 40)
    latest = desk.announcer.latest
    assert (latest.state, latest.model, latest.percent) == (State.READY, "small", 40)
    for info in (SMALL, BETTER, SMALL):
        desk.announcer.answered(info)
    latest = desk.announcer.latest
    assert (latest.model, latest.device, latest.percent) == ("better", "gpu", None)
    # What the settings say next begins anew.
    desk.announcer.opened(SMALL)
    assert desk.announcer.latest.model == "small"


def test_a_bug_is_told_as_one(desk: Desk) -> None:
    desk.announcer.failed(ZeroDivisionError("by zero"))
    assert desk.announcer.latest.message == (
        "the model could not be loaded (ZeroDivisionError('by zero'))"
    )
    desk.announcer.failed(FetchError("no net"))
    assert (desk.announcer.latest.state, desk.announcer.latest.message) == (State.FAILED, "no net")
