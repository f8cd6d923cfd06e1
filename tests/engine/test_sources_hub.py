from __future__ import annotations

import socket
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fake_sources import FakeHub, serve_hub, tiny_payload, tiny_spec, use_fake_hub

from midfill_engine.cancel import CancelToken
from midfill_engine.errors import WorkCancelledError
from midfill_engine.registry import HubSource
from midfill_engine.sources.base import FetchContext, SourceError
from midfill_engine.sources.hub import HubReader

PAYLOAD = tiny_payload()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with use_fake_hub(monkeypatch) as hub:
        yield hub


def reader(**waits: float) -> HubReader:
    (file,) = tiny_spec().files
    (source,) = file.sources
    assert isinstance(source, HubSource)
    return HubReader(source, file.size_bytes, **({"retry_wait_s": 0.0} | waits))


def context(cancel: CancelToken | None = None) -> FetchContext:
    return FetchContext(
        work_dir=Path("unused"), cancel=cancel or CancelToken(), ahead=lambda count: None
    )


def read(offset: int = 0, **waits: float) -> bytes:
    return b"".join(reader(**waits).stream(offset, context()))


def refusal(**waits: float) -> str:
    with pytest.raises(SourceError) as caught:
        read(**waits)
    return str(caught.value)


def test_the_whole_file_arrives(hub: FakeHub) -> None:
    assert read() == PAYLOAD


def test_only_the_rest_is_asked_for(hub: FakeHub) -> None:
    assert read(999_000) == PAYLOAD[999_000:]
    assert hub.ranges == ["bytes=999000-"]


def test_a_server_without_ranges_serves_the_rest_too(hub: FakeHub) -> None:
    hub.ignores_range = True
    assert read(300_000) == PAYLOAD[300_000:]


def test_a_cut_connection_is_taken_up_where_it_broke(hub: FakeHub) -> None:
    hub.cut_after = [200_000, 300_000]
    assert read() == PAYLOAD
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in hub.ranges]
    assert len(starts) == 3
    assert starts == sorted(set(starts))


def test_a_hub_that_gives_nothing_any_more_is_given_up(hub: FakeHub) -> None:
    hub.cut_after = [200_000] + [0] * 20
    assert "in a row" in refusal()
    assert len(hub.ranges) < 10


def test_a_stalled_body_is_taken_up_on_a_new_connection(hub: FakeHub) -> None:
    hub.hold_after = 131_072
    stream = reader(stall_s=0.3).stream(0, context())
    first = next(stream)
    hub.hold_after = None
    assert first + b"".join(stream) == PAYLOAD
    assert len(hub.ranges) == 2


def test_a_wrong_answer_says_what_was_wrong(hub: FakeHub) -> None:
    hub.status = 404
    assert "404" in refusal()
    hub.status = 401
    assert "HF_TOKEN" in refusal()
    hub.status = None
    hub.payload = PAYLOAD + b"more"
    assert "bytes 0-1000002/1000003" in refusal()
    hub.payload = b"<html>please sign in</html>"
    hub.ignores_range = True
    assert "sign-in page" in refusal()


def test_the_token_goes_to_the_hub_but_not_where_it_redirects(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with serve_hub() as storage:
        hub.redirect_to = storage.url.replace("127.0.0.1", "localhost")
        assert read() == PAYLOAD
        assert hub.tokens == ["Bearer hf_secret"]
        assert storage.tokens == [None]


def test_offline_mode_asks_nobody(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE" in refusal()
    assert hub.ranges == []


@contextmanager
def silent_listener() -> Generator[str]:
    """A server that lets one in and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def full_backlog() -> Generator[str]:
    """A port whose queue is full, so that the system drops what knocks: a black hole."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(address)
        try:
            yield f"http://127.0.0.1:{address[1]}"
        finally:
            for client in waiting:
                client.close()


@pytest.mark.parametrize("place", [silent_listener, full_backlog])
def test_a_hub_that_does_not_answer_costs_less_than_three_seconds(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, place
) -> None:
    with place() as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        start_s = time.monotonic()
        # Systems other than Linux refuse at once what their queue has no room for.
        assert refusal() in ("it does not answer", "no connection")
        assert time.monotonic() - start_s < 3


def test_a_name_lookup_that_hangs_costs_no_more(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def hang(*args: object, **options: object) -> list[object]:
        released.wait(30)
        raise socket.gaierror("too late")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")
    try:
        assert refusal(first_answer_s=0.2) == "it does not answer"
    finally:
        released.set()


def test_a_name_that_does_not_exist_is_said_so_at_once(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")
    assert "cannot be looked up" in refusal()


def test_a_refused_connection_is_said_so(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{unused.getsockname()[1]}")
        assert refusal() == "no connection"


def test_cancelling_ends_a_stalled_download(hub: FakeHub) -> None:
    hub.hold_after = 131_072
    cancel = CancelToken()
    stream = reader().stream(0, context(cancel))
    next(stream)
    cancel.cancel()
    with pytest.raises(WorkCancelledError):
        list(stream)
