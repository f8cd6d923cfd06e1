"""How a model's bytes are known again without reading them.

A verified file has a note beside it, so that a start need not hash it again.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from midfill_engine.registry import ModelFile

__all__ = ["identity_of_files", "identity_of_path", "is_sealed", "seal", "seal_path"]


def seal(path: Path, file: ModelFile, verified: Path) -> None:
    """Note that ``path`` is ``file``; ``verified`` is where its bytes lie at the moment."""
    scratch = seal_path(path).with_suffix(".json.new")
    with scratch.open("w", encoding="utf-8") as handle:
        handle.write(json.dumps(_note(verified, file)))
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(scratch, seal_path(path))


def is_sealed(path: Path, file: ModelFile) -> bool:
    """Whether the file at ``path`` was verified to be ``file``, and is unchanged since."""
    try:
        noted: object = json.loads(seal_path(path).read_text(encoding="utf-8"))
        return noted == _note(path, file) and path.stat().st_size == file.size_bytes
    except (OSError, ValueError):
        return False


def seal_path(path: Path) -> Path:
    """Return where the note about ``path`` is."""
    return path.with_name(f"{path.name}.json")


def _note(path: Path, file: ModelFile) -> dict[str, object]:
    """Describe the file; mtimes in whole seconds, since archives and images keep no more."""
    status = path.stat()
    named = {"sha256": file.sha256} if file.sha256 else {"git_id": file.git_id}
    return {"size_bytes": status.st_size, **named, "mtime_s": int(status.st_mtime)}


def identity_of_files(files: tuple[ModelFile, ...]) -> str:
    """Return the sha256 of one file, or a digest of the names and hashes of several.

    Empty for no files.
    """
    if len(files) == 1 and files[0].sha256 is not None:
        return files[0].sha256
    return _digest([f"{file.name} {file.sha256 or file.git_id}" for file in files])


def identity_of_path(path: Path) -> str:
    """Return a digest of where a file, or a folder's files, lie, and of their sizes and mtimes."""
    return _digest(
        [
            f"{file.resolve()} {file.stat().st_size} {file.stat().st_mtime_ns}"
            for file in (sorted(path.iterdir()) if path.is_dir() else [path])
            if file.is_file()
        ]
    )


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest() if lines else ""
