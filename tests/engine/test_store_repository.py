"""Pulling models of several files, whose hashes only the hub's listing tells."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_sources import TINY_SHAPE, FakeHub, FakeRepo, use_fake_hub

from midfill_engine.cancel import CancelToken
from midfill_engine.errors import DiskFullError, FetchError, IntegrityError, LicenceError
from midfill_engine.progress import Progress, silent
from midfill_engine.registry import HubRepo, Licence, ModelSpec
from midfill_engine.store import ModelState, ModelStore

FILES = {
    "README.md": b"about it",
    "config.json": b'{"model_type": "llama"}',
    "model-00001-of-00002.safetensors": random.Random(1).randbytes(300_000),
    "model-00002-of-00002.safetensors": random.Random(2).randbytes(200_000),
    "model.safetensors.index.json": b'{"weight_map": {}}',
    "pytorch_model.bin": b"a program",
    "tokenizer.json": b'{"model": {}}',
}
SMALL = ("config.json", "model.safetensors.index.json", "tokenizer.json", "README.md")
WANTED = sorted(set(FILES) - {"README.md", "pytorch_model.bin"})
FREE = Licence(name="free", url="")
STRICT = Licence(name="Strict Licence 2", url="https://licence.invalid", must_accept=True)
CHECKPOINT = ModelSpec(
    id="tiny-checkpoint",
    family="Tiny",
    config=TINY_SHAPE,
    format="safetensors",
    repo=HubRepo(repo="midfill-tests/tiny"),
    licence=FREE,
)
FILE = dataclasses.replace(
    CHECKPOINT,
    id="tiny-file",
    format="gguf",
    repo=HubRepo(repo="midfill-tests/tiny", wanted=("tiny.Q4_K_M.gguf",)),
)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with use_fake_hub(monkeypatch) as hub:
        hub.repo = FakeRepo("midfill-tests/tiny", dict(FILES), by_git_id=SMALL)
        yield hub


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository as somebody else has fetched it."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def pull(
    store: ModelStore, spec: ModelSpec = CHECKPOINT, from_path: Path | None = None
) -> dict[str, bytes]:
    """Pull; return what the model's files hold."""
    folder = store.pull(spec, progress=silent, cancel=CancelToken(), from_path=from_path)
    assert store.model_path(spec) == folder
    return {file.name: (folder / file.name).read_bytes() for file in store.files(spec)}


def wanted() -> dict[str, bytes]:
    return {name: FILES[name] for name in WANTED}


def fetched(hub: FakeHub) -> list[str]:
    return [path.rpartition("/")[2] for path in hub.asked if "/resolve/" in path]


def test_a_checkpoint_is_pulled_whole_and_found_again(store: ModelStore, hub: FakeHub) -> None:
    assert store.model_path(CHECKPOINT) is None
    assert store.describe(CHECKPOINT).size_bytes is None
    assert pull(store) == wanted()
    assert fetched(hub) == WANTED
    stored = store.describe(CHECKPOINT)
    total = sum(map(len, wanted().values()))
    assert (stored.state, stored.verified) == (ModelState.READY, True)
    assert stored.size_bytes == stored.fetched_bytes == total


def test_a_later_start_asks_nobody(store: ModelStore, hub: FakeHub) -> None:
    pull(store)
    hub.asked.clear()
    later = ModelStore(store.home)
    assert pull(later) == wanted()
    assert later.identity(CHECKPOINT) == store.identity(CHECKPOINT)
    assert hub.asked == []


def test_a_pull_that_was_cut_short_goes_on_at_the_same_commit(
    store: ModelStore, hub: FakeHub
) -> None:
    hub.cut_after = [100_000]
    hub.status_after_cut = 503
    with pytest.raises(FetchError, match="503"):
        pull(store)
    stored = store.describe(CHECKPOINT)
    assert stored.state is ModelState.PARTIAL
    kept_bytes = stored.fetched_bytes - len(FILES["config.json"])
    assert 0 < kept_bytes <= 100_000
    assert store.model_path(CHECKPOINT) is None

    # The branch goes on meanwhile; what was begun stays what it is.
    assert hub.repo is not None
    hub.repo.commit, first_commit = "beef" * 10, hub.repo.commit
    hub.repo = FakeRepo(hub.repo.name, dict(FILES), commit=first_commit)
    hub.status = None
    hub.asked.clear()
    hub.ranges.clear()
    assert pull(store) == wanted()
    assert not any(path.startswith("/api/") for path in hub.asked)
    assert all(first_commit in path for path in hub.asked)
    assert fetched(hub)[0] == "model-00001-of-00002.safetensors"
    assert hub.ranges[0] == f"bytes={kept_bytes}-"


@pytest.mark.parametrize("name", ["tokenizer.json", "model-00002-of-00002.safetensors"])
def test_wrong_bytes_never_become_a_model(store: ModelStore, hub: FakeHub, name: str) -> None:
    assert hub.repo is not None
    listing = hub.repo.tree(0)
    hub.repo.tree = lambda start: listing  # type: ignore[method-assign]
    hub.repo.files[name] = bytes(len(FILES[name]))
    with pytest.raises(IntegrityError, match=r"(sha256|git id) differs"):
        pull(store)
    assert store.model_path(CHECKPOINT) is None
    hub.repo.files[name] = FILES[name]
    assert pull(store) == wanted()


def test_a_changed_file_is_fetched_again_alone(store: ModelStore, hub: FakeHub) -> None:
    pull(store)
    folder = store.model_path(CHECKPOINT)
    assert folder is not None
    (folder / "config.json").write_bytes(b"{}")
    assert store.model_path(CHECKPOINT) is None
    hub.asked.clear()
    assert pull(store) == wanted()
    assert fetched(hub) == ["config.json"]


def test_a_row_that_names_other_files_is_listed_anew(store: ModelStore, hub: FakeHub) -> None:
    pull(store)
    assert CHECKPOINT.repo is not None
    more = dataclasses.replace(CHECKPOINT.repo, wanted=(*CHECKPOINT.repo.wanted, "README.md"))
    other = dataclasses.replace(CHECKPOINT, repo=more)
    assert store.files(other) == ()
    assert pull(store, other) == wanted() | {"README.md": FILES["README.md"]}


def test_a_single_file_of_a_repository_is_handed_out_as_a_file(
    store: ModelStore, hub: FakeHub
) -> None:
    assert hub.repo is not None
    hub.repo.files["tiny.Q4_K_M.gguf"] = b"GGUF"
    path = store.pull(FILE, progress=silent, cancel=CancelToken())
    assert path == store.model_path(FILE)
    assert (path.name, path.read_bytes()) == ("tiny.Q4_K_M.gguf", b"GGUF")
    assert store.identity(FILE) == hashlib.sha256(b"GGUF").hexdigest()


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json"])
def test_a_repository_that_lacks_something_is_refused_before_anything_is_fetched(
    store: ModelStore, hub: FakeHub, missing: str
) -> None:
    assert hub.repo is not None
    del hub.repo.files[missing]
    with pytest.raises(FetchError, match=f"has no {missing}"):
        pull(store)
    assert fetched(hub) == []


def test_a_disk_that_cannot_hold_all_files_is_noticed_at_the_first(
    store: ModelStore, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=400_000))
    with pytest.raises(DiskFullError, match="500 kB needed"):
        pull(store)
    assert fetched(hub) == []


def test_a_copy_on_this_machine_is_checked_against_the_hub(
    store: ModelStore, hub: FakeHub, copy: Path
) -> None:
    (copy / "tokenizer.json").write_bytes(b"another")
    assert pull(store, from_path=copy) == wanted()
    assert fetched(hub) == ["tokenizer.json"]
    assert store.describe(CHECKPOINT).verified


def test_without_a_hub_a_copy_serves_and_is_said_to_be_unverified(
    store: ModelStore, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert pull(store, from_path=copy) == wanted()
    assert not store.describe(CHECKPOINT).verified
    assert all(file.sha256 and not file.sources for file in store.files(CHECKPOINT))


def test_without_a_hub_a_single_file_may_have_any_name(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(b"GGUF")
    path = store.pull(FILE, progress=silent, cancel=CancelToken(), from_path=mine)
    assert (path.name, path.read_bytes()) == ("tiny.Q4_K_M.gguf", b"GGUF")


def test_without_a_hub_and_a_copy_it_is_said_what_was_asked(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch, copy: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(FetchError, match=r"(?s)HF_HUB_OFFLINE is set.*--from PATH"):
        pull(store)
    (copy / "config.json").unlink()
    with pytest.raises(FetchError, match=r"copy has no config\.json"):
        pull(store, from_path=copy)


def test_what_nobody_vouched_for_is_asked_for_again(
    store: ModelStore, hub: FakeHub, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy was taken without a hub, damaged later, and then the hub is there."""
    (copy / "tokenizer.json").write_bytes(b"another")
    with monkeypatch.context() as offline:
        offline.setenv("HF_HUB_OFFLINE", "1")
        folder = store.pull(CHECKPOINT, progress=silent, cancel=CancelToken(), from_path=copy)
    (folder / "config.json").unlink()
    assert pull(store) == wanted()
    assert store.describe(CHECKPOINT).verified


def test_progress_names_each_file_of_several(store: ModelStore, hub: FakeHub) -> None:
    reports: list[Progress] = []
    store.pull(CHECKPOINT, progress=reports.append, cancel=CancelToken())
    tasks = list(dict.fromkeys(report.task.partition(" from ")[0] for report in reports))
    assert tasks[0].startswith("Asking 127.0.0.1")
    assert tasks[1:] == [f"Downloading tiny-checkpoint {number} of 5" for number in range(1, 6)]


def test_removing_takes_the_listing_along(store: ModelStore, hub: FakeHub) -> None:
    pull(store)
    store.remove(CHECKPOINT)
    assert store.files(CHECKPOINT) == ()
    assert store.describe(CHECKPOINT).state is ModelState.MISSING
    assert pull(store) == wanted()


def test_a_damaged_listing_is_asked_for_again(store: ModelStore, hub: FakeHub) -> None:
    pull(store)
    (listing,) = (store.home / "listings" / CHECKPOINT.id).iterdir()
    for damaged in ("", "[]", "{}", listing.read_text(encoding="utf-8").replace("name", "nom")):
        listing.write_text(damaged, encoding="utf-8")
        assert store.model_path(CHECKPOINT) is None
        assert pull(store) == wanted()


def test_a_licence_is_asked_for_once_and_before_anything_is_fetched(
    store: ModelStore, hub: FakeHub
) -> None:
    strict = dataclasses.replace(CHECKPOINT, licence=STRICT)
    assert not store.has_accepted(STRICT)
    with pytest.raises(LicenceError) as caught:
        pull(store, strict)
    assert "Strict Licence 2 (https://licence.invalid)" in str(caught.value)
    assert "midfill models pull tiny-checkpoint --accept-licence" in str(caught.value)
    assert hub.asked == []
    store.accept_licence(STRICT)
    assert pull(store, strict) == wanted()
    assert ModelStore(store.home).has_accepted(STRICT)
    assert not store.has_accepted(dataclasses.replace(STRICT, name="Strict Licence 3"))


def test_a_model_of_the_users_own_stays_where_it_is(store: ModelStore, copy: Path) -> None:
    own = dataclasses.replace(CHECKPOINT, id="own", repo=None, path=copy)
    assert pull_path(store, own) == store.model_path(own) == copy
    assert not store.describe(own).verified
    before = store.identity(own)
    assert before == store.identity(own)
    os.utime(copy / "config.json", (1, 1))
    assert store.identity(own) != before
    store.remove(own)
    assert (copy / "config.json").is_file()
    shutil.rmtree(copy)
    assert store.model_path(own) is None
    with pytest.raises(FetchError, match="does not exist any more"):
        pull_path(store, own)


def pull_path(store: ModelStore, spec: ModelSpec) -> Path:
    return store.pull(spec, progress=silent, cancel=CancelToken())


def test_what_was_never_listed_has_no_identity(store: ModelStore) -> None:
    assert store.identity(CHECKPOINT) == ""
