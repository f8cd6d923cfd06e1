"""Which files a model has, where the registry leaves that to a repository's own listing.

The listing is asked for once and kept, so that a pull that was cut short goes on with the same
commit, and a later start needs no network.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import cast

from midfill_engine.cancel import CancelToken
from midfill_engine.errors import FetchError
from midfill_engine.progress import Progress, ProgressSink
from midfill_engine.registry import HubRepo, HubSource, ModelFile, ModelSpec

__all__ = ["Listing", "keep_listing", "kept_listing", "make_listing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The files of a model. ``commit`` is ``None`` when no hub vouches for them.

    Then they are what lay in a folder of the user's, with the hashes found there.
    """

    commit: str | None
    files: tuple[ModelFile, ...]


def kept_listing(path: Path, spec: ModelSpec) -> Listing | None:
    """Read the listing at ``path``, if there is one and it is of the repository that is meant."""
    if spec.repo is None:
        return None
    try:
        content: object = json.loads(path.read_text(encoding="utf-8"))
        fields = cast("dict[str, object]", content)
        if fields["repo"] != _identity(spec.repo):
            return None
        commit = cast("str | None", fields["commit"])
        files = tuple(
            _file_of(entry, spec.repo, commit)
            for entry in cast("list[dict[str, object]]", fields["files"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Listing(commit=commit, files=files)


def keep_listing(path: Path, spec: ModelSpec, listing: Listing) -> None:
    """Write it to ``path``, in one step; the model's lock must be held."""
    assert spec.repo is not None
    content = {
        "repo": _identity(spec.repo),
        "commit": listing.commit,
        "files": [
            {
                "name": file.name,
                "size_bytes": file.size_bytes,
                "sha256": file.sha256,
                "git_id": file.git_id,
            }
            for file in listing.files
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(content, indent=1), encoding="utf-8")
    scratch.replace(path)


def make_listing(
    spec: ModelSpec, progress: ProgressSink, cancel: CancelToken, from_path: Path | None
) -> Listing:
    """Ask the hub what it has of ``spec``; where it cannot be asked, look at what the user has.

    Raises ``FetchError``, which names each place that was asked, and ``WorkCancelledError``.
    """
    from midfill_engine.sources.base import SourceError
    from midfill_engine.sources.hub import hub_name
    from midfill_engine.sources.hub_listing import list_repository

    repo = spec.repo
    if repo is None:
        raise FetchError(f"there is no source for {spec.id}")
    progress(Progress(task=f"Asking {hub_name()} for {repo.repo}", done=0, total=None))
    try:
        content = list_repository(repo, cancel)
        _check_complete(spec, content.files, f"{repo.repo} at {content.commit[:12]}")
        return Listing(commit=content.commit, files=content.files)
    except SourceError as error:
        asked = f"{hub_name()}: {error}"
    progress(Progress(task=asked, done=0, total=None))
    if from_path is None:
        raise FetchError(
            f"could not ask which files {spec.id} has:\n  {asked}\n"
            "Try again when it can be reached, or get the files in another way and name their "
            "folder with --from PATH."
        )
    try:
        files = _files_below(from_path, repo, progress, cancel)
    except OSError as error:
        raise FetchError(f"{from_path} cannot be read: {error.strerror or error}") from error
    _check_complete(spec, files, str(from_path))
    return Listing(commit=None, files=files)


def _files_below(
    path: Path, repo: HubRepo, progress: ProgressSink, cancel: CancelToken
) -> tuple[ModelFile, ...]:
    """Hash what is wanted of a folder; a single file stands for the only one that is wanted."""
    from midfill_engine.sources.transfer import sha256_of

    if path.is_dir():
        found = sorted(
            file
            for file in path.iterdir()
            if file.is_file() and any(fnmatchcase(file.name, wanted) for wanted in repo.wanted)
        )
        named = [(file, file.name) for file in found]
    else:
        named = [(path, repo.wanted[0])] if len(repo.wanted) == 1 else []
    files: list[ModelFile] = []
    for file, name in named:
        size_bytes, task = file.stat().st_size, f"Hashing {file.name}"

        def report(done: int, task: str = task, total: int = size_bytes) -> None:
            progress(Progress(task=task, done=done, total=total))

        sha256 = sha256_of(file, cancel, report)
        files.append(ModelFile(name=name, size_bytes=size_bytes, sha256=sha256))
    return tuple(files)


def _check_complete(spec: ModelSpec, files: tuple[ModelFile, ...], place: str) -> None:
    """Raise ``FetchError`` where something is missing without which no model can be loaded."""
    names = {file.name for file in files}
    if spec.format == "gguf":
        assert spec.repo is not None
        missing = [name for name in spec.repo.wanted if name not in names]
    else:
        needed = {
            "config.json": {"config.json"},
            "model.safetensors": {"model.safetensors", "model.safetensors.index.json"},
            "tokenizer.json": {"tokenizer.json"},
        }
        missing = [name for name, any_of in needed.items() if not any_of & names]
    if missing:
        raise FetchError(f"{place} has no {' and no '.join(missing)}, so {spec.id} is not there.")


def _identity(repo: HubRepo) -> dict[str, object]:
    return {"repo": repo.repo, "revision": repo.revision, "wanted": list(repo.wanted)}


def _file_of(entry: dict[str, object], repo: HubRepo, commit: str | None) -> ModelFile:
    name, size_bytes = entry["name"], entry["size_bytes"]
    if not isinstance(name, str) or not isinstance(size_bytes, int):
        raise ValueError("not a listing")
    source = HubSource(repo=repo.repo, revision=commit, filename=name) if commit else None
    return ModelFile(
        name=name,
        size_bytes=size_bytes,
        sha256=cast("str | None", entry["sha256"]),
        git_id=cast("str | None", entry["git_id"]),
        sources=(source,) if source else (),
    )
