"""What a repository of the hub holds: names, sizes and hashes, as the hub's own API tells them.

https://huggingface.co/docs/hub/api: a large file's entry carries its sha256 (``lfs.oid``), a small
one's only the id of its git blob.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import cast
from urllib.parse import quote

from midfill_engine.cancel import CancelToken
from midfill_engine.registry import HubRepo, HubSource, ModelFile
from midfill_engine.sources.base import SourceError
from midfill_engine.sources.http import Answer, InterruptedAnswerError, get
from midfill_engine.sources.hub import check_online, hub_endpoint, hub_headers, refusal

__all__ = ["RepoContent", "list_repository"]

_MAX_ANSWER_BYTES = 8_000_000
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RepoContent:
    """The wanted files of a repository at ``commit``, sorted by name."""

    commit: str
    files: tuple[ModelFile, ...]


def list_repository(repo: HubRepo, cancel: CancelToken) -> RepoContent:
    """Ask the hub for ``repo``'s newest commit and the wanted files of it.

    Raises ``SourceError`` when it cannot be asked or its answer makes no sense, and
    ``WorkCancelledError``. A hub that cannot be reached costs less than three seconds.
    """
    check_online()
    base = f"{hub_endpoint()}/api/models/{repo.repo}"
    head, _ = _ask(f"{base}/revision/{quote(repo.revision, safe='')}", repo, cancel)
    commit = cast("Mapping[str, object]", head).get("sha") if isinstance(head, Mapping) else None
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise _nonsense(repo)
    files: dict[str, ModelFile] = {}
    url: str | None = f"{base}/tree/{commit}?recursive=true"
    while url is not None:
        entries, url = _ask(url, repo, cancel)
        if url is not None and not url.startswith(base):
            # The user's token goes to the hub that was set, and nowhere else.
            raise _nonsense(repo)
        if not isinstance(entries, Sequence):
            raise _nonsense(repo)
        for entry in cast("Sequence[object]", entries):
            file = _read_entry(entry, repo, commit)
            if file is not None:
                files[file.name] = file
    return RepoContent(commit=commit, files=tuple(files[name] for name in sorted(files)))


def _read_entry(entry: object, repo: HubRepo, commit: str) -> ModelFile | None:
    """Read one entry of the list; ``None`` when it is not wanted."""
    if not isinstance(entry, dict):
        raise _nonsense(repo)
    fields = cast("dict[str, object]", entry)
    name = fields.get("path")
    if not isinstance(name, str) or fields.get("type") != "file":
        return None
    if not any(fnmatchcase(name, wanted) for wanted in repo.wanted) or "/" in name:
        return None
    lfs = fields.get("lfs")
    described = cast("dict[str, object]", lfs) if isinstance(lfs, dict) else fields
    size, oid = described.get("size"), described.get("oid")
    pattern = _SHA256 if described is not fields else _COMMIT
    if not isinstance(size, int) or not isinstance(oid, str) or not pattern.fullmatch(oid):
        raise _nonsense(repo)
    return ModelFile(
        name=name,
        size_bytes=size,
        sha256=oid if described is not fields else None,
        git_id=oid if described is fields else None,
        sources=(HubSource(repo=repo.repo, revision=commit, filename=name),),
    )


def _ask(url: str, repo: HubRepo, cancel: CancelToken) -> tuple[object, str | None]:
    """Return the decoded answer, and where the next page of it is."""
    body = bytearray()
    next_url: str | None = None
    try:
        for item in get(url, hub_headers(), cancel):
            if not isinstance(item, Answer):
                body += item
                if len(body) > _MAX_ANSWER_BYTES:
                    raise _nonsense(repo)
            elif item.status == 404:
                raise SourceError(f"it knows no repository {repo.repo} with {repo.revision}")
            elif item.status != 200:
                raise refusal(item, repo.repo)
            else:
                next_url = item.next_url
        return json.loads(body), next_url
    except InterruptedAnswerError as error:
        raise SourceError(str(error)) from error
    except ValueError as error:
        raise _nonsense(repo) from error


def _nonsense(repo: HubRepo) -> SourceError:
    return SourceError(
        f"what it tells about {repo.repo} makes no sense; "
        "a proxy or a sign-in page may have answered"
    )
