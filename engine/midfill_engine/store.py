"""The models on this machine: fetched, verified, converted, deleted.

Layout of the home folder:

    models/<id>/<file>           a complete file, and <file>.json beside it: its size, sha256, mtime
    partial/<id>/<file>.partial  the start of a file, from which the next pull goes on
    onnx/<id>/<key>/             what the converter made of a model
    locks/<id>.lock              held by whichever process pulls, converts or removes that model
    trash/<id>/                  what is being deleted

Everything is prepared elsewhere and renamed into place, so a kill at any moment leaves either the
old state or the new one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from midfill_engine.cancel import CancelToken
from midfill_engine.errors import FetchError, MidfillError
from midfill_engine.progress import Progress, ProgressSink, silent
from midfill_engine.registry import MODELS, ModelFile, ModelSpec

__all__ = ["ModelState", "ModelStore", "StoredModel", "default_home"]

_LOCK_POLL_S = 0.1


class ModelState(StrEnum):
    """How far a model is on this machine."""

    READY = "ready"
    """Complete and verified."""
    PARTIAL = "partial"
    """A pull was cut short; the next one goes on from there."""
    MISSING = "missing"
    """Nothing of it is here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredModel:
    """What the store holds of one model.

    ``path`` is the model's (first) file once it is ready. ``fetched_bytes`` counts what was
    fetched so far, ``conversion_bytes`` what the converter made of it.
    """

    model_id: str
    state: ModelState
    path: Path | None
    fetched_bytes: int
    conversion_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seal:
    """What is noted beside a verified file, so that a start need not hash it again.

    The mtime is in whole seconds: archives and container images keep no more than that.
    """

    size_bytes: int
    sha256: str
    mtime_s: int

    @classmethod
    def of(cls, path: Path, sha256: str) -> _Seal:
        status = path.stat()
        return cls(size_bytes=status.st_size, sha256=sha256, mtime_s=int(status.st_mtime))

    def to_json(self) -> str:
        return json.dumps(
            {"size_bytes": self.size_bytes, "sha256": self.sha256, "mtime_s": self.mtime_s}
        )


def default_home() -> Path:
    """Return ``$MIDFILL_HOME``, else midfill's folder among the user's caches."""
    if named := os.environ.get("MIDFILL_HOME"):
        return Path(named).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("midfill", appauthor=False)


class ModelStore:
    """The models below one home folder; several processes may use it at once.

    Creating a store touches nothing: the home folder appears with the first pull.
    """

    def __init__(self, home: Path | None = None) -> None:
        self._home = default_home() if home is None else home

    @property
    def home(self) -> Path:
        """The folder below which everything lies."""
        return self._home

    def model_path(self, spec: ModelSpec) -> Path | None:
        """Return the model's first file if all its files are complete and verified, else ``None``.

        Cheap: it compares what was noted when the file was verified, and hashes nothing.
        """
        if all(self._is_sealed(spec.id, file) for file in spec.files):
            return self._final(spec.id, spec.files[0])
        return None

    def pull(
        self,
        spec: ModelSpec,
        *,
        progress: ProgressSink,
        cancel: CancelToken,
        from_path: Path | None = None,
    ) -> Path:
        """Fetch and verify what is missing of a model; return its first file.

        ``from_path`` (a file, or a folder that holds it) is tried before the registry's sources.
        Raises ``FetchError`` or ``IntegrityError`` when no source delivers, ``DiskFullError``,
        and ``WorkCancelledError`` when the token is set; what was fetched so
        far stays, and the next pull goes on from there.
        """
        if path := self.model_path(spec):
            return path
        if from_path is not None and not from_path.exists():
            raise FetchError(f"{from_path} does not exist")
        with self.lock(spec.id, progress, cancel=cancel):
            self._sweep(spec.id)
            for file in spec.files:
                # Another process may have finished it while this one waited for the lock.
                if not self._is_sealed(spec.id, file):
                    try:
                        self._pull_file(spec, file, progress, cancel, from_path)
                    except OSError as error:
                        raise _cannot_use(self._home, error) from error
        return self._final(spec.id, spec.files[0])

    def remove(self, spec: ModelSpec) -> int:
        """Delete a model with its conversions and partial downloads; return the bytes freed."""
        freed_bytes = 0
        trash = self._home / "trash" / _safe_name(spec.id)
        with self.lock(spec.id, silent):
            for folder in self._folders(spec.id):
                freed_bytes += _tree_bytes(folder)
                self._discard(folder, trash)
            shutil.rmtree(trash, ignore_errors=True)
        return freed_bytes

    def describe(self, spec: ModelSpec) -> StoredModel:
        """Return what is here of one model, by looking at sizes only."""
        path = self.model_path(spec)
        fetched_bytes = sum(self._fetched_bytes(spec.id, file) for file in spec.files)
        missing = ModelState.PARTIAL if fetched_bytes else ModelState.MISSING
        return StoredModel(
            model_id=spec.id,
            state=ModelState.READY if path else missing,
            path=path,
            fetched_bytes=fetched_bytes,
            conversion_bytes=_tree_bytes(self._home / "onnx" / _safe_name(spec.id)),
        )

    def installed(self) -> list[StoredModel]:
        """Return the models of the registry that are ready."""
        found = (self.describe(spec) for spec in MODELS)
        return [model for model in found if model.state is ModelState.READY]

    def conversion_dir(self, spec_id: str, key: str) -> Path:
        """Return the folder for one conversion of a model; it is the caller's to create."""
        return self._home / "onnx" / _safe_name(spec_id) / _safe_name(key)

    @contextmanager
    def lock(
        self, spec_id: str, progress: ProgressSink, *, cancel: CancelToken | None = None
    ) -> Generator[None]:
        """Hold the lock of one model against every other process and thread. Not re-entrant.

        While another one holds it, says so through ``progress`` once and waits; a set ``cancel``
        ends the wait with ``WorkCancelledError``. The lock goes with its process, however it ends.
        """
        from filelock import FileLock, Timeout

        path = self._home / "locks" / f"{_safe_name(spec_id)}.lock"
        self._make_folder(path.parent)
        lock = FileLock(path)
        waits = False
        while True:
            if cancel is not None:
                from midfill_engine.sources.base import check_cancelled

                check_cancelled(cancel)
            try:
                lock.acquire(timeout=_LOCK_POLL_S if waits else 0)
                break
            except Timeout:
                if not waits:
                    task = f"Waiting for another midfill process that works on {spec_id}"
                    progress(Progress(task=task, done=0, total=None))
                waits = True
            except OSError as error:
                raise _cannot_use(self._home, error) from error
        try:
            yield
        finally:
            lock.release()

    def _pull_file(
        self,
        spec: ModelSpec,
        file: ModelFile,
        progress: ProgressSink,
        cancel: CancelToken,
        from_path: Path | None,
    ) -> None:
        from midfill_engine.sources.transfer import Transfer, fetch_verified, readers_for

        final = self._final(spec.id, file)
        partial = self._partial(spec.id, file)
        self._make_folder(final.parent)
        self._make_folder(partial.parent)
        if self._adopt(spec, file, progress, cancel):
            return
        transfer = Transfer(
            title=spec.id, file=file, partial=partial, progress=progress, cancel=cancel
        )
        fetch_verified(transfer, readers_for(file, from_path))
        # The seal first: without its file it means nothing, and with it all is done.
        self._write_seal(final, _Seal.of(partial, file.sha256))
        os.replace(partial, final)
        _sync_folder(final.parent)

    def _adopt(
        self, spec: ModelSpec, file: ModelFile, progress: ProgressSink, cancel: CancelToken
    ) -> bool:
        """Seal a file that is in place without one, copied there perhaps, if its hash is right."""
        from midfill_engine.sources.transfer import file_sha256

        final = self._final(spec.id, file)
        if not final.is_file() or final.stat().st_size != file.size_bytes:
            return False

        def report(done_bytes: int) -> None:
            progress(
                Progress(task=f"Checking {final.name}", done=done_bytes, total=file.size_bytes)
            )

        if file_sha256(final, cancel, report) != file.sha256:
            return False
        self._write_seal(final, _Seal.of(final, file.sha256))
        return True

    def _is_sealed(self, spec_id: str, file: ModelFile) -> bool:
        final = self._final(spec_id, file)
        try:
            noted: object = json.loads(_seal_path(final).read_text(encoding="utf-8"))
            actual: object = json.loads(_Seal.of(final, file.sha256).to_json())
        except (OSError, ValueError):
            return False
        return noted == actual and final.stat().st_size == file.size_bytes

    def _write_seal(self, final: Path, seal: _Seal) -> None:
        scratch = _seal_path(final).with_suffix(".json.new")
        with scratch.open("w", encoding="utf-8") as handle:
            handle.write(seal.to_json())
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(scratch, _seal_path(final))

    def _fetched_bytes(self, spec_id: str, file: ModelFile) -> int:
        if self._is_sealed(spec_id, file):
            return file.size_bytes
        return _file_bytes(self._partial(spec_id, file))

    def _sweep(self, spec_id: str) -> None:
        """Delete the scratch folders of pulls that were killed. The lock must be held."""
        for folder in (self._home / "partial" / _safe_name(spec_id)).glob("work-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _discard(self, folder: Path, trash: Path) -> None:
        """Take a folder away in one step, so that no half of it is ever seen."""
        if not folder.exists():
            return
        self._make_folder(trash)
        try:
            os.replace(folder, Path(tempfile.mkdtemp(dir=trash)) / folder.name)
        except OSError as error:
            raise MidfillError(
                f"cannot delete {folder}: {error.strerror or error}.\n"
                "If a language server uses this model, close its editor first."
            ) from error

    def _folders(self, spec_id: str) -> list[Path]:
        name = _safe_name(spec_id)
        return [self._home / kind / name for kind in ("models", "partial", "onnx")]

    def _final(self, spec_id: str, file: ModelFile) -> Path:
        return self._home / "models" / _safe_name(spec_id) / _safe_name(file.name)

    def _partial(self, spec_id: str, file: ModelFile) -> Path:
        return self._home / "partial" / _safe_name(spec_id) / f"{_safe_name(file.name)}.partial"

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_use(folder, error) from error


def _safe_name(name: str) -> str:
    """Return ``name`` if it is a plain file name everywhere; an id never leads out of the home."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", name) or name.endswith("."):
        raise ValueError(f"not a plain name: {name!r}")
    return name


def _seal_path(final: Path) -> Path:
    return final.with_name(f"{final.name}.json")


def _file_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _tree_bytes(folder: Path) -> int:
    return sum(_file_bytes(path) for path in folder.rglob("*") if path.is_file())


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where folders can be synced at all (not Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_use(folder: Path, error: OSError) -> FetchError:
    return FetchError(
        f"cannot write in {folder}: {error.strerror or error}.\n"
        "Check the folder's permissions, or set MIDFILL_HOME to another one."
    )
