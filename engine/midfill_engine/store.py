"""The models on this machine: fetched, verified, converted, deleted.

Layout of the home folder:

    models/<id>/<file>           a complete file, and <file>.json beside it: its size, hash, mtime
    partial/<id>/<file>.partial  the start of a file, from which the next pull goes on
    listings/<id>/files.json     which files a model has, where the registry does not say so
    onnx/<id>/<key>/             what the converter made of a model
    locks/<id>.lock              held by whichever process pulls, converts or removes that model
    licences/<name>.json         one that the user agreed to
    trash/<id>/                  what is being deleted

Everything is prepared elsewhere and renamed into place, so a kill at any moment leaves either the
old state or the new one.
"""

from __future__ import annotations

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
from midfill_engine.errors import FetchError, LicenceError, MidfillError
from midfill_engine.licences import accept_licence, has_accepted
from midfill_engine.listing import Listing, keep_listing, kept_listing, make_listing
from midfill_engine.progress import Progress, ProgressSink, silent
from midfill_engine.registry import MODELS, Licence, ModelFile, ModelSpec
from midfill_engine.seals import identity_of_files, identity_of_path, is_sealed, seal

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

    ``path`` is the model's file, or the folder of its files, once it is ready. ``fetched_bytes``
    counts what was fetched so far, of ``size_bytes`` where that is known; ``conversion_bytes`` is
    what the converter made of it. ``verified`` is false for files that no registry or hub vouches
    for.
    """

    model_id: str
    state: ModelState
    path: Path | None
    fetched_bytes: int
    conversion_bytes: int
    size_bytes: int | None = None
    verified: bool = True


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
        """Return the model's file, or the folder of a checkpoint, if it is complete and verified.

        Cheap: it compares what was noted when the files were verified, and hashes nothing.
        """
        if spec.path is not None:
            return spec.path if spec.path.exists() else None
        files = self.files(spec)
        if not files or not all(is_sealed(self._final(spec.id, file), file) for file in files):
            return None
        return self._whole(spec, files)

    def files(self, spec: ModelSpec) -> tuple[ModelFile, ...]:
        """Return the model's files as far as they are known here: none before the first pull."""
        if spec.files:
            return spec.files
        listing = kept_listing(self._listing_path(spec.id), spec)
        return () if listing is None else listing.files

    def identity(self, spec: ModelSpec) -> str:
        """Return what the model's bytes are known by: another model, another identity.

        The sha256 of its file; of several files, a digest of their names and hashes; of a model
        that lies elsewhere, a digest of paths, sizes and mtimes. Empty where nothing of it is
        known yet.
        """
        if spec.path is not None:
            return identity_of_path(spec.path)
        return identity_of_files(self.files(spec))

    def has_accepted(self, licence: Licence) -> bool:
        """Tell whether ``licence`` needs no asking, or the user agreed to it before."""
        return has_accepted(self._home, licence)

    def accept_licence(self, licence: Licence) -> None:
        """Remember that the user agreed to ``licence``."""
        try:
            accept_licence(self._home, licence)
        except OSError as error:
            raise _cannot_use(self._home, error) from error

    def pull(
        self,
        spec: ModelSpec,
        *,
        progress: ProgressSink,
        cancel: CancelToken,
        from_path: Path | None = None,
    ) -> Path:
        """Fetch and verify what is missing of a model; return what ``model_path`` does.

        ``from_path`` (a file, or a folder that holds it) is tried before the registry's sources.
        Raises ``FetchError`` or ``IntegrityError`` when no source delivers, ``DiskFullError``,
        ``LicenceError`` and ``WorkCancelledError`` when the token is set; what was fetched so
        far stays, and the next pull goes on from there.
        """
        if path := self.model_path(spec):
            return path
        if from_path is not None and not from_path.exists():
            raise FetchError(f"{from_path} does not exist")
        if spec.path is not None:
            raise FetchError(f"{spec.path} does not exist any more")
        if not self.has_accepted(spec.licence):
            raise LicenceError(
                f"{spec.id} is under the {spec.licence.name} ({spec.licence.url}). Read it, and "
                f"if you agree run: midfill models pull {spec.id} --accept-licence"
            )
        with self.lock(spec.id, progress, cancel=cancel):
            self._sweep(spec.id)
            try:
                files = spec.files or self._list(spec, progress, cancel, from_path).files
                self._pull_files(spec, files, progress, cancel, from_path)
            except OSError as error:
                raise _cannot_use(self._home, error) from error
        return self._whole(spec, files)

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
        path, files = self.model_path(spec), self.files(spec)
        listing = kept_listing(self._listing_path(spec.id), spec)
        fetched_bytes = sum(self._fetched_bytes(spec.id, file) for file in files)
        missing = ModelState.PARTIAL if fetched_bytes else ModelState.MISSING
        return StoredModel(
            model_id=spec.id,
            state=ModelState.READY if path else missing,
            path=path,
            fetched_bytes=fetched_bytes,
            conversion_bytes=_tree_bytes(self._home / "onnx" / _safe_name(spec.id)),
            size_bytes=sum(file.size_bytes for file in files) if files else None,
            verified=spec.path is None and (listing is None or listing.commit is not None),
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

    def _list(
        self,
        spec: ModelSpec,
        progress: ProgressSink,
        cancel: CancelToken,
        from_path: Path | None,
    ) -> Listing:
        """Return which files to pull: what was kept, if a hub vouches for it, else ask anew."""
        path = self._listing_path(spec.id)
        listing = kept_listing(path, spec)
        if listing is None or listing.commit is None:
            listing = make_listing(spec, progress, cancel, from_path)
            keep_listing(path, spec, listing)
        return listing

    def _pull_files(
        self,
        spec: ModelSpec,
        files: tuple[ModelFile, ...],
        progress: ProgressSink,
        cancel: CancelToken,
        from_path: Path | None,
    ) -> None:
        from midfill_engine.sources.transfer import Transfer, fetch_verified, readers_for

        # Another process may have finished some while this one waited for the lock.
        missing = [file for file in files if not is_sealed(self._final(spec.id, file), file)]
        later_bytes = sum(
            file.size_bytes - _file_bytes(self._partial(spec.id, file)) for file in missing
        )
        for number, file in enumerate(missing, start=1):
            final, partial = self._final(spec.id, file), self._partial(spec.id, file)
            later_bytes -= file.size_bytes - _file_bytes(partial)
            self._make_folder(final.parent)
            self._make_folder(partial.parent)
            if self._adopt(final, file, progress, cancel):
                continue
            title = spec.id if len(files) == 1 else f"{spec.id} {number} of {len(missing)}"
            transfer = Transfer(
                title=title,
                file=file,
                partial=partial,
                progress=progress,
                cancel=cancel,
                later_bytes=later_bytes,
            )
            fetch_verified(transfer, readers_for(file, from_path))
            # The seal first: without its file it means nothing, and with it all is done.
            seal(final, file, partial)
            os.replace(partial, final)
            _sync_folder(final.parent)

    def _adopt(
        self, final: Path, file: ModelFile, progress: ProgressSink, cancel: CancelToken
    ) -> bool:
        """Seal a file that is in place without one, copied there perhaps, if its hash is right."""
        from midfill_engine.sources.transfer import has_right_bytes

        if not final.is_file() or final.stat().st_size != file.size_bytes:
            return False

        def report(done_bytes: int) -> None:
            progress(
                Progress(task=f"Checking {final.name}", done=done_bytes, total=file.size_bytes)
            )

        if not has_right_bytes(final, file, cancel, report):
            return False
        seal(final, file, final)
        return True

    def _fetched_bytes(self, spec_id: str, file: ModelFile) -> int:
        if is_sealed(self._final(spec_id, file), file):
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
        return [self._home / kind / name for kind in ("models", "partial", "onnx", "listings")]

    def _whole(self, spec: ModelSpec, files: tuple[ModelFile, ...]) -> Path:
        """Return what is handed out: the file, or the folder of a checkpoint."""
        first = self._final(spec.id, files[0])
        return first if spec.format == "gguf" else first.parent

    def _listing_path(self, spec_id: str) -> Path:
        return self._home / "listings" / _safe_name(spec_id) / "files.json"

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
