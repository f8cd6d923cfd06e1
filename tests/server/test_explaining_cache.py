"""What was explained is kept, within bounds, and nothing of the code but what it quotes."""

from __future__ import annotations

import logging
import multiprocessing
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from midfill_server.explaining import cache as module
from midfill_server.explaining.cache import (
    BYTES_KEPT,
    DAYS_KEPT,
    ExplanationCache,
    clear_explanations,
    explanations_beside,
)

DAY_S = 86_400


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


def again(path: Path | None, clock: Clock) -> ExplanationCache:
    cache = ExplanationCache(path, clock=clock)
    cache.load()
    return cache


def test_what_is_put_is_there_and_after_a_restart_too(tmp_path: Path) -> None:
    path, clock = tmp_path / "state" / "e.sqlite3", Clock()
    cache = again(path, clock)
    assert cache.get("a") is None
    cache.put("a", "one")
    cache.put("b", "twö")
    cache.put("a", "three")
    assert (cache.get("a"), cache.get("b"), cache.pending) == ("three", "twö", 2)
    assert again(path, clock).get("a") is None
    cache.flush()
    assert cache.pending == 0
    later = again(path, clock)
    assert (later.get("a"), later.get("b")) == ("three", "twö")


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cache = again(None, Clock())
    cache.put("a", "one")
    cache.flush()
    assert cache.get("a") == "one"
    assert list(tmp_path.iterdir()) == []


def test_two_servers_write_to_one_file(tmp_path: Path) -> None:
    path, clock = tmp_path / "e.sqlite3", Clock()
    first, second = again(path, clock), again(path, clock)
    first.put("a", "one")
    second.put("b", "two")
    first.flush()
    second.flush()
    both = again(path, clock)
    assert (both.get("a"), both.get("b")) == ("one", "two")


def test_what_nobody_looks_at_goes(tmp_path: Path) -> None:
    path, clock = tmp_path / "e.sqlite3", Clock()
    cache = again(path, clock)
    cache.put("seen", "one")
    cache.put("unseen", "two")
    cache.flush()
    clock.now_s += (DAYS_KEPT - 1) * DAY_S
    cache = again(path, clock)
    assert cache.get("seen") == "one"
    cache.flush()
    clock.now_s += 2 * DAY_S
    cache = again(path, clock)
    assert (cache.get("seen"), cache.get("unseen")) == ("one", None)
    cache.put("new", "three")
    cache.flush()
    with closing(sqlite3.connect(path)) as database:
        keys = {key for (key,) in database.execute("SELECT key FROM explanations")}
    assert keys == {"seen", "new"}


def test_memory_and_disk_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BYTES_KEPT", 20_000)
    path, clock = tmp_path / "e.sqlite3", Clock()
    for server in range(3):
        cache = ExplanationCache(path, clock=clock)
        for n in range(40):
            clock.now_s += 1
            cache.put(f"{server}-{n}", "x" * 900)
        cache.flush()
    assert cache.get("2-39") is not None
    assert cache.get("2-0") is None
    with closing(sqlite3.connect(path)) as database:
        keys = [key for (key,) in database.execute("SELECT key FROM explanations")]
    assert 10 <= len(keys) <= 18
    assert "2-39" in keys
    assert BYTES_KEPT == 5_000_000
    cache.put("endless", "x" * 1_000_000)
    assert cache.get("endless") is None


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100, b"SQLite format 3\0junk"])
def test_a_damaged_file_costs_nothing_but_what_it_had(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path, clock = tmp_path / "e.sqlite3", Clock()
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        cache = again(path, clock)
        for n in range(3):
            cache.put(f"a{n}", "one")
            cache.flush()
    assert cache.get("a0") == "one"
    assert len(caplog.records) == (1 if content else 0)
    clear_explanations(path)
    assert not path.exists()
    cache.put("b", "two")
    cache.flush()
    assert again(path, clock).get("b") == "two"


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = again(tmp_path / "file" / "e.sqlite3", Clock())
    cache.put("a", "one")
    cache.flush()
    assert (cache.get("a"), cache.pending) == ("one", 1)


def _write_for_ever(path: Path, ready: object) -> None:
    cache = ExplanationCache(path)
    n = 0
    while True:
        cache.put(str(n), "x" * 200)
        cache.flush()
        n += 1
        if n == 3:
            ready.set()  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_kill_harms_nothing(tmp_path: Path) -> None:
    path = tmp_path / "e.sqlite3"
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_write_for_ever, args=(path, ready))
    process.start()
    try:
        assert ready.wait(60)
    finally:
        process.kill()
        process.join()
        process.close()
    cache = ExplanationCache(path)
    cache.load()
    assert [cache.get(str(n)) for n in range(3)] == ["x" * 200] * 3
    cache.put("after", "y")
    cache.flush()
    assert cache.pending == 0


def test_all_of_it_can_be_deleted(tmp_path: Path) -> None:
    path, clock = tmp_path / "e.sqlite3", Clock()
    assert clear_explanations(path) == 0
    cache = again(path, clock)
    cache.put("a", "one")
    cache.put("b", "two")
    cache.flush()
    assert clear_explanations(path) == 2
    assert not path.exists()
    cache.clear()
    assert cache.get("a") is None
    path.write_bytes(b"no database at all" * 100)
    assert clear_explanations(path) is None
    assert not path.exists()


def test_it_lies_beside_the_statistics(tmp_path: Path) -> None:
    assert explanations_beside(None) is None
    beside = explanations_beside(tmp_path / "statistics-1.sqlite3")
    assert beside is not None
    assert beside.parent == tmp_path
    assert beside.name.startswith("explanations")
