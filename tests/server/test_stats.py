from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import pytest

from midfill_engine.errors import MidfillError
from midfill_server import database
from midfill_server.settings import Settings, parse, statistics_path
from midfill_server.source import Source
from midfill_server.statistics import (
    Feedback,
    Record,
    clear_records,
    read_feedback,
    read_records,
    store,
)
from tests.server.conftest import environment
from tests.server.kept_figures import DAY_S, NOW_S, TAKEN, feedback, keep, record, recorder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "figures.sqlite3"


def by_time(records: list[Record]) -> list[Record]:
    return sorted(records, key=lambda one: one.when_s)


# What is recorded


def test_no_text_and_no_name_of_a_file_can_be_recorded() -> None:
    # Three texts, each from a small set: whoever adds another has to think of this.
    numbers = ("int", "bool", "float", "float | None")
    texts = {field.name for field in fields(Record) if field.type not in numbers}
    assert texts == {"language_id", "model_id", "source"}
    texts = {field.name for field in fields(Feedback) if field.type not in numbers}
    assert texts == {"language_id", "model_id"}


def test_what_is_written_is_read_again(path: Path) -> None:
    every = [record(source, ago_s=index) for index, source in enumerate(Source)]
    every.append(record(first_ms=None, ago_s=100))
    every.append(
        record(
            language_id="Ünïcode",
            prefilled_tokens=1,
            reused_tokens=2,
            generated_tokens=3,
            drafted_tokens=5,
            accepted_tokens=4,
            ago_s=200,
        )
    )
    keep(path, *every)
    assert read_records(path) == by_time(every)
    assert read_records(path, since_s=NOW_S - 1) == [every[1], every[0]]


def test_feedback_is_kept_beside_the_records(path: Path) -> None:
    keep(path, record())
    assert read_feedback(path) == []
    every = [
        feedback(sureness=None, shown_ms=None, confirmed=False),
        feedback(**TAKEN, invoked=True, when_s=round(NOW_S) + 1),
    ]
    keep(path, *every, record(Source.JOINED))
    assert read_feedback(path) == every
    assert read_feedback(path, since_s=NOW_S + 1) == every[1:]
    assert len(read_records(path)) == 2


def test_a_file_of_before_there_was_feedback_is_gone_on_with(path: Path) -> None:
    keep(path, record(), feedback())
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DROP TABLE suggestions")
    assert read_feedback(path) == []
    keep(path, feedback())
    assert (len(read_records(path)), len(read_feedback(path))) == (1, 1)


def test_nothing_is_written_before_a_flush_and_everything_once(path: Path) -> None:
    kept = recorder(path)
    kept.add(record())
    assert (kept.pending, path.exists()) == (1, False)
    kept.flush()
    kept.flush()
    kept.close()
    assert (kept.pending, len(read_records(path))) == (0, 1)


def test_an_idle_recorder_leaves_the_disk_alone(path: Path) -> None:
    recorder(path).close()
    assert not path.parent.exists()


# Its bounds


def test_what_is_too_old_goes_with_the_next_flush(path: Path) -> None:
    edge_s = store.DAYS_KEPT * DAY_S
    keep(path, record(ago_s=edge_s), record(ago_s=edge_s + 1))
    assert [one.when_s for one in read_records(path)] == [NOW_S - edge_s]
    keep(path, feedback(), feedback(when_s=round(NOW_S - edge_s - 1)))
    assert read_feedback(path) == [feedback()]


def test_only_the_newest_are_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "RECORDS_KEPT", 5)
    for ago_s in (9, 6, 3):
        keep(path, *(record(ago_s=ago_s - offset) for offset in range(3)))
    assert sorted(NOW_S - one.when_s for one in read_records(path)) == [1, 2, 3, 4, 5]
    keep(path, *[feedback()] * 9)
    assert (len(read_records(path)), len(read_feedback(path))) == (5, 5)


# Disks and neighbours


def test_two_writers_lose_nothing(path: Path) -> None:
    def write(language_id: str) -> None:
        kept = recorder(path)
        for _ in range(10):
            kept.add(record(language_id=language_id))
            kept.flush()
        # What found the file busy waits for the next flush.
        while kept.pending:
            kept.flush()

    threads = [threading.Thread(target=write, args=(name,)) for name in ("python", "rust")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    languages = [one.language_id for one in read_records(path)]
    assert (languages.count("python"), languages.count("rust")) == (10, 10)


def test_a_batch_that_was_cut_short_never_happened(path: Path) -> None:
    keep(path, record())
    # A process that ends within a transaction whose pages are on the disk already.
    code = (
        "import os, sqlite3, sys\n"
        "database = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "database.execute('PRAGMA cache_size = 1')\n"
        "database.execute('BEGIN IMMEDIATE')\n"
        "for _ in range(12):\n"
        "    database.execute('INSERT INTO completions SELECT NULL, when_s, language_id, model_id,'"
        " 'source, first_ms, total_ms, shown, 0, 0, 0, 0, 0 FROM completions')\n"
        "os._exit(9)\n"
    )
    before_bytes = path.stat().st_size
    done = subprocess.run([sys.executable, "-c", code, str(path)], env=environment(), check=False)
    assert done.returncode == 9
    assert path.stat().st_size > before_bytes
    assert read_records(path) == [record()]
    keep(path, record(Source.JOINED))
    assert len(read_records(path)) == 2


def test_a_disk_that_refuses_is_logged_once_and_tried_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    obstacle = path.parent
    obstacle.write_text("a file where the folder should be")
    kept = recorder(path)
    for index in range(3):
        kept.add(record(ago_s=index))
        kept.flush()
    (complaint,) = caplog.records
    assert complaint.levelno == logging.WARNING
    assert str(path) in complaint.getMessage()
    obstacle.unlink()
    kept.close()
    assert len(read_records(path)) == 3


def test_what_waits_for_a_disk_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_PENDING_KEPT", 2)
    path.parent.write_text("in the way")
    kept = recorder(path)
    for ago_s in (5, 4, 3):
        kept.add(record(ago_s=ago_s))
    kept.flush()
    kept.add(record(ago_s=2))
    kept.flush()
    assert kept.pending == 2
    path.parent.unlink()
    kept.flush()
    assert [NOW_S - one.when_s for one in read_records(path)] == [3, 2]


def test_a_database_that_is_locked_for_good_disturbs_nobody(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_TIMEOUT_S", 0)
    keep(path, record())
    kept = recorder(path)
    kept.add(record(Source.JOINED))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        kept.flush()
        assert kept.pending == 1
        with pytest.raises(MidfillError, match="locked"):
            clear_records(path)
    kept.flush()
    assert len(read_records(path)) == 2


def test_a_damaged_file_is_said_to_be_and_can_be_cleared(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database at all" * 100)
    keep(path, record())
    assert "midfill stats --clear" in caplog.text
    with pytest.raises(MidfillError, match="damaged"):
        read_records(path)
    assert clear_records(path) is None
    keep(path, record())
    assert read_records(path) == [record()]


def test_a_source_that_is_not_known_is_an_error_that_says_what_to_do(path: Path) -> None:
    keep(path, record())
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE completions SET source = 'oracle'")
    with pytest.raises(MidfillError, match="oracle"):
        read_records(path)


def test_clearing_leaves_no_trace_of_what_was_there(path: Path) -> None:
    assert clear_records(path) == 0
    keep(path, *(record(language_id="secretlang") for _ in range(40)))
    keep(path, feedback(language_id="secretlang"))
    assert b"secretlang" in path.read_bytes()
    assert clear_records(path) == 40
    assert clear_records(path) == 0
    assert b"secretlang" not in path.read_bytes()
    assert read_records(path) == []
    assert read_feedback(path) == []


def test_an_empty_file_is_an_empty_store(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    assert read_records(path) == []
    assert clear_records(path) == 0


# The setting and the place


def test_the_setting_is_on_and_can_be_switched_off() -> None:
    assert Settings().statistics is True
    settings, problems = parse({"statistics": False}, Settings())
    assert (settings.statistics, problems) == (False, [])


def test_the_environment_names_the_place(tmp_path: Path) -> None:
    named = statistics_path({"MIDFILL_STATE": str(tmp_path)})
    assert named is not None
    assert named.parent == tmp_path
    assert statistics_path({"MIDFILL_STATE": ""}) is None
    usual = statistics_path({})
    assert usual is not None
    assert usual.name == named.name
    assert "midfill" in usual.parent.parts
