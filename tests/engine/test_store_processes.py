"""Kills and races: other processes pull into the same home."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_sources import FILE_NAME, FakeHub, tiny_payload, tiny_spec, use_fake_hub

from midfill_engine.cancel import CancelToken
from midfill_engine.errors import WorkCancelledError
from midfill_engine.progress import Progress, silent
from midfill_engine.sources import transfer
from midfill_engine.store import ModelStore

PAYLOAD = tiny_payload()
SPEC = tiny_spec()
PULL = (
    "from fake_sources import tiny_spec\n"
    "from midfill_engine.cancel import CancelToken\n"
    "from midfill_engine.store import ModelStore\n"
    "def show(progress): print(progress.task, flush=True)\n"
    "print(ModelStore().pull(tiny_spec(), progress=show, cancel=CancelToken()))\n"
)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with use_fake_hub(monkeypatch) as hub:
        yield hub


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    monkeypatch.setenv("MIDFILL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    return ModelStore()


def start_pull() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PULL],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=Path(__file__).parent,
    )


def wait_until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_a_killed_pull_is_taken_up_by_the_next(store: ModelStore, hub: FakeHub) -> None:
    hub.hold_after = 700_000
    partial = store.home / "partial" / "tiny" / f"{FILE_NAME}.partial"
    with start_pull() as process:
        wait_until(lambda: partial.exists() and partial.stat().st_size >= 500_000)
        process.kill()
        process.wait()
    kept_bytes = partial.stat().st_size
    assert store.model_path(SPEC) is None
    hub.hold_after = None
    path = store.pull(SPEC, progress=silent, cancel=CancelToken())
    assert path.read_bytes() == PAYLOAD
    assert hub.ranges == ["bytes=0-", f"bytes={kept_bytes}-"]
    assert list(partial.parent.iterdir()) == [], "the killed pull's scratch folder is swept"


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot send a child Ctrl-C alone")
def test_ctrl_c_leaves_what_the_next_pull_takes_up(store: ModelStore, hub: FakeHub) -> None:
    hub.hold_after = 700_000
    partial = store.home / "partial" / "tiny" / f"{FILE_NAME}.partial"
    with start_pull() as process:
        wait_until(lambda: partial.exists() and partial.stat().st_size >= 500_000)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) != 0
    assert [path.name for path in partial.parent.iterdir()] == [partial.name]
    assert partial.read_bytes() == PAYLOAD[: partial.stat().st_size]


def test_two_processes_pull_once(store: ModelStore, hub: FakeHub) -> None:
    hub.hold_after = 1000
    with start_pull() as first:
        wait_until(lambda: len(hub.ranges) == 1)
        with start_pull() as second:
            assert second.stdout is not None
            assert "Waiting for another" in second.stdout.readline()
            hub.go_on.set()
            path = str(store.home / "models" / "tiny" / FILE_NAME)
            assert second.communicate()[0].splitlines() == [path]
        assert first.communicate()[0].splitlines()[-1] == path
    assert len(hub.ranges) == 1
    assert Path(path).read_bytes() == PAYLOAD


def test_waiting_for_the_lock_can_be_cancelled_and_is_told_once(store: ModelStore) -> None:
    reports: list[Progress] = []
    cancel = CancelToken()
    outcome: list[str] = []

    def wait() -> None:
        try:
            with store.lock("tiny", reports.append, cancel=cancel):
                outcome.append("held")
        except WorkCancelledError:
            outcome.append("cancelled")

    with store.lock("tiny", silent):
        waiter = threading.Thread(target=wait)
        waiter.start()
        wait_until(lambda: bool(reports))
        cancel.cancel()
        waiter.join(10)
    assert outcome == ["cancelled"]
    assert len(reports) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a kill at every step needs fork")
def test_a_kill_at_any_step_leaves_the_old_state_or_the_new_one(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / FILE_NAME
    source.write_bytes(PAYLOAD)
    spec = tiny_spec(hub=False)
    monkeypatch.setattr("midfill_engine.sources.local.BYTES_PER_CHUNK", 250_000)

    def pull() -> Path:
        return store.pull(spec, progress=silent, cancel=CancelToken(), from_path=source)

    kills = 0
    while not dies_at_step(kills, pull):
        kills += 1
        path = store.model_path(spec)
        assert path is None or path.read_bytes() == PAYLOAD
        assert pull().read_bytes() == PAYLOAD
        store.remove(spec)
    assert kills >= 8


def dies_at_step(step: int, work: Callable[[], object]) -> bool:
    """Run ``work`` in a child that ends, as by a kill, before its ``step``-th change of the disk.

    Returns whether there were fewer steps than that, so that the child came to its end.
    """
    with warnings.catch_warnings():
        # Newer Pythons warn of threads, which an earlier test's abandoned request may have left;
        # the child takes no lock of theirs.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        left = step

        def counted(real: Callable[..., object]) -> Callable[..., object]:
            def call(*args: object, **options: object) -> object:
                nonlocal left
                if left == 0:
                    os._exit(9)
                left -= 1
                return real(*args, **options)

            return call

        try:
            for place, name in (
                (os, "replace"),
                (os, "fsync"),
                (Path, "mkdir"),
                (transfer, "_write_all"),
            ):
                setattr(place, name, counted(getattr(place, name)))
            work()
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 0
