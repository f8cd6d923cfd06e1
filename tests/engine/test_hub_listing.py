"""What a repository's listing is made of, by a fake hub with the real one's API."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator

import pytest
from fake_sources import FakeHub, FakeRepo, git_id, use_fake_hub

from midfill_engine.cancel import CancelToken
from midfill_engine.errors import WorkCancelledError
from midfill_engine.registry import HubRepo, HubSource
from midfill_engine.sources.base import SourceError
from midfill_engine.sources.hub_listing import RepoContent, list_repository

REPO = HubRepo(repo="midfill-tests/tiny", wanted=("config.json", "model*.safetensors"))
FILES = {
    "README.md": b"not wanted",
    "config.json": b"{}",
    "model-00001-of-00002.safetensors": b"first",
    "model-00002-of-00002.safetensors": b"second",
    "old/config.json": b"in a folder",
    "pytorch_model.bin": b"a program",
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with use_fake_hub(monkeypatch) as hub:
        hub.repo = FakeRepo(REPO.repo, dict(FILES), by_git_id=("README.md", "config.json"))
        yield hub


def ask(repo: HubRepo = REPO) -> RepoContent:
    return list_repository(repo, CancelToken())


def refusal(repo: HubRepo = REPO) -> str:
    with pytest.raises(SourceError) as caught:
        ask(repo)
    return str(caught.value)


def test_the_wanted_files_are_listed_with_their_hashes_at_one_commit(hub: FakeHub) -> None:
    assert hub.repo is not None
    content = ask()
    assert content.commit == hub.repo.commit
    config, first, second = content.files
    assert [file.name for file in content.files] == [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    assert (config.sha256, config.git_id, config.size_bytes) == (None, git_id(b"{}"), 2)
    assert (first.sha256, first.git_id) == (hashlib.sha256(b"first").hexdigest(), None)
    assert second.sources == (
        HubSource(repo=REPO.repo, revision=hub.repo.commit, filename=second.name),
    )


def test_a_listing_of_several_pages_is_read_to_its_end(hub: FakeHub) -> None:
    assert hub.repo is not None
    whole = ask()
    hub.repo.page_files = 2
    assert ask() == whole
    assert sum("/tree/" in path for path in hub.asked) == 1 + 3


def test_a_next_page_elsewhere_is_not_asked(hub: FakeHub) -> None:
    assert hub.repo is not None
    hub.repo.page_files = 2
    # The same server by another name: the user's token must not go there.
    hub.url = hub.url.replace("127.0.0.1", "localhost")
    assert "makes no sense" in refusal()


def test_a_branch_is_quoted_and_an_unknown_one_is_said(hub: FakeHub) -> None:
    other = HubRepo(repo=REPO.repo, wanted=REPO.wanted, revision="refs/pr/3")
    assert "no repository midfill-tests/tiny with refs/pr/3" in refusal(other)
    assert hub.asked == ["/api/models/midfill-tests/tiny/revision/refs%2Fpr%2F3"]


def test_a_refused_access_says_where_to_agree(hub: FakeHub) -> None:
    hub.status = 403
    assert f"{hub.url}/midfill-tests/tiny asks to agree to its terms" in refusal()


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>please sign in</html>",
        b"[]",
        b'{"sha": "main"}',
        b'{"sha": 7}',
        b"\xff",
        b" " * 9_000_000,
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(hub: FakeHub, answer: bytes) -> None:
    hub.api_answer = answer
    assert "makes no sense" in refusal()


@pytest.mark.parametrize(
    "entry",
    [
        "config.json",
        {"type": "file", "path": "config.json", "size": 2},
        {"type": "file", "path": "config.json", "size": "2", "oid": "0" * 40},
        {"type": "file", "path": "config.json", "size": 2, "oid": "../" * 13 + "x"},
        {"type": "file", "path": "config.json", "size": 2, "lfs": {"oid": "0" * 40, "size": 2}},
    ],
)
def test_a_file_without_a_size_and_a_hash_is_refused(
    hub: FakeHub, entry: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hub.repo is not None
    monkeypatch.setattr(FakeRepo, "tree", lambda repo, start: json.dumps([entry]).encode())
    assert "makes no sense" in refusal()


def test_offline_mode_asks_nobody(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE" in refusal()
    assert hub.asked == []


def test_the_users_token_goes_along(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    ask()
    assert hub.tokens == ["Bearer hf_secret"] * 2


def test_a_hub_that_does_not_answer_costs_less_than_three_seconds(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(repo: FakeRepo) -> bytes:
        hub.go_on.wait(30)
        return b"{}"

    monkeypatch.setattr(FakeRepo, "head", wait)
    start_s = time.monotonic()
    assert refusal() == "it does not answer"
    assert time.monotonic() - start_s < 3


def test_cancelling_ends_the_question(hub: FakeHub) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(WorkCancelledError):
        list_repository(REPO, cancel)
