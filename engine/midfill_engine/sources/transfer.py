"""From sources to one verified file: resume, hash, check the room, try the next source.

The whole state of a transfer is the partial file: its length says how far it came. The bytes are
the same from every source, so no journal is needed, and a kill at any moment loses at most what
had not reached the disk. Only the final sha256 is trusted.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from midfill_engine.cancel import CancelToken
from midfill_engine.errors import DiskFullError, FetchError, IntegrityError
from midfill_engine.progress import Progress, ProgressSink
from midfill_engine.registry import HubSource, ModelFile
from midfill_engine.sources.base import (
    BYTES_PER_CHUNK,
    ByteSource,
    FetchContext,
    SourceError,
    check_cancelled,
    human_bytes,
)
from midfill_engine.sources.hub import HubReader, find_in_hub_cache
from midfill_engine.sources.local import PathReader
from midfill_engine.sources.packages import PackageReader

__all__ = ["Transfer", "fetch_verified", "has_right_bytes", "readers_for", "sha256_of"]

_REPORT_EVERY_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One file to fetch into ``partial``; ``title`` names it in progress reports and errors.

    ``later_bytes`` is what else will be fetched onto that disk: it has to have room for all.
    """

    title: str
    file: ModelFile
    partial: Path
    progress: ProgressSink
    cancel: CancelToken
    later_bytes: int = 0


class _WrongBytesError(SourceError):
    """A source delivered to the end, and the sha256 is another one."""


class _Reporter:
    """Passes on how far a transfer is, but not more often than a person can see."""

    def __init__(self, transfer: Transfer, task: str) -> None:
        self._transfer = transfer
        self._task = task
        self._done_bytes = 0
        self._last_s: float | None = None

    def __call__(self, done_bytes: int) -> None:
        # Bytes on their way into pip's folder are counted early; the figure never goes back.
        self._done_bytes = max(self._done_bytes, done_bytes)
        now_s = time.monotonic()
        total = self._transfer.file.size_bytes
        due = self._last_s is None or now_s - self._last_s >= _REPORT_EVERY_S
        if due or self._done_bytes >= total:
            self._last_s = now_s
            self._transfer.progress(
                Progress(task=self._task, done=min(self._done_bytes, total), total=total)
            )


class _Start:
    """What is there of the file, and its hash so far; handed on from one source to the next."""

    def __init__(self, transfer: Transfer) -> None:
        self._transfer = transfer
        self.digest = _new_digest(transfer.file)
        self.length = 0
        length = _settled_length(transfer)
        if length:
            report = _Reporter(transfer, f"Checking what is there of {transfer.title}")
            _hash_into(self.digest, transfer.partial, transfer.cancel, report)
            self.length = length

    def append(self, handle: BinaryIO, data: bytes) -> None:
        """Take the next bytes of the file; more than it has are refused."""
        if self.length + len(data) > self._transfer.file.size_bytes:
            raise SourceError("it sends more bytes than the file has")
        _write_all(handle, data)
        self.digest.update(data)
        self.length += len(data)

    def discard(self) -> None:
        """Begin again from nothing."""
        self._transfer.partial.unlink()
        self.digest = _new_digest(self._transfer.file)
        self.length = 0


def readers_for(file: ModelFile, from_path: Path | None) -> list[ByteSource]:
    """List a file's sources in the order to try: the user's path, then the registry's."""
    readers: list[ByteSource] = []
    if from_path is not None:
        readers.append(PathReader(from_path, file))
    for source in file.sources:
        if isinstance(source, HubSource):
            if cached := find_in_hub_cache(source):
                readers.append(PathReader(cached, file))
            readers.append(HubReader(source, file.size_bytes))
        else:
            readers.append(PackageReader(source))
    return readers


def fetch_verified(transfer: Transfer, readers: Iterable[ByteSource]) -> None:
    """Complete ``transfer.partial``: right size, right sha256, flushed to the disk.

    What is there already is kept. Raises ``IntegrityError`` or ``FetchError`` with one line per
    source when none delivered, ``DiskFullError`` when there is no room, ``WorkCancelledError``;
    in all these cases what can be resumed stays.
    """
    failures: list[str] = []
    wrong_bytes = False
    start: _Start | None = None
    for reader in readers:
        try:
            start = start or _Start(transfer)
            _fetch_from(transfer, reader, start)
            return
        except SourceError as error:
            failures.append(f"{reader.label}: {error}")
            transfer.progress(Progress(task=failures[-1], done=0, total=None))
            wrong_bytes = wrong_bytes or isinstance(error, _WrongBytesError)
        except OSError as error:
            raise _as_midfill_error(error, transfer) from error
    kind = IntegrityError if wrong_bytes else FetchError
    tried = "".join(f"\n  {line}" for line in failures) or " there is no source for it"
    raise kind(
        f"could not get {transfer.title} ({human_bytes(transfer.file.size_bytes)}):{tried}\n"
        "Try again when one of them can be reached (what was fetched so far is kept), or get "
        f"{transfer.file.name} in another way and name it with --from PATH."
    )


def has_right_bytes(
    path: Path, file: ModelFile, cancel: CancelToken, report: Callable[[int], None]
) -> bool:
    """Tell whether the file at ``path`` is ``file``, by its hash; ``report``: the bytes done."""
    digest = _new_digest(file)
    _hash_into(digest, path, cancel, report)
    return digest.hexdigest() == _expected(file)


def sha256_of(path: Path, cancel: CancelToken, report: Callable[[int], None]) -> str:
    """Hash a file, in hexadecimal; ``report`` is told the bytes done."""
    digest = hashlib.sha256()
    _hash_into(digest, path, cancel, report)
    return digest.hexdigest()


def _new_digest(file: ModelFile) -> hashlib._Hash:  # pyright: ignore[reportPrivateUsage]  # it has no public name
    if file.sha256 is None:
        # As git hashes a blob; a check against accidents, on small files only.
        return hashlib.sha1(b"blob %d\0" % file.size_bytes, usedforsecurity=False)
    return hashlib.sha256()


def _expected(file: ModelFile) -> str | None:
    return file.git_id if file.sha256 is None else file.sha256


def _fetch_from(transfer: Transfer, reader: ByteSource, start: _Start) -> None:
    """Complete the partial file from one source, from where it is; on wrong bytes, start over.

    Once only, and only if the start was not this source's own: it may have been the wrong part.
    """
    kind = "git id" if transfer.file.sha256 is None else "sha256"
    while True:
        resumed = start.length > 0
        _append_rest(transfer, reader, start)
        if start.digest.hexdigest() == _expected(transfer.file):
            return
        start.discard()
        if not resumed:
            raise _WrongBytesError(f"its bytes are not the model's (the {kind} differs)")


def _settled_length(transfer: Transfer) -> int:
    """Return how many bytes are there already; a file that is too long is no start."""
    try:
        length = transfer.partial.stat().st_size
    except FileNotFoundError:
        return 0
    if length <= transfer.file.size_bytes:
        return length
    transfer.partial.unlink()
    return 0


def _append_rest(transfer: Transfer, reader: ByteSource, start: _Start) -> None:
    """Append what is missing, to the last byte, and flush it to the disk."""
    size_bytes = transfer.file.size_bytes
    report = _Reporter(transfer, f"Downloading {transfer.title} from {reader.label}")
    report(start.length)
    if start.length < size_bytes:
        needed_bytes = size_bytes - start.length + reader.scratch_bytes
        _check_room(transfer, needed_bytes + transfer.later_bytes)
    # Unbuffered, so that an error of the disk shows at the write that meets it.
    with (
        tempfile.TemporaryDirectory(
            dir=transfer.partial.parent, prefix="work-", ignore_cleanup_errors=True
        ) as work,
        transfer.partial.open("ab", buffering=0) as handle,
    ):
        if start.length < size_bytes:
            context = FetchContext(
                work_dir=Path(work),
                cancel=transfer.cancel,
                ahead=lambda count: report(start.length + count),
            )
            for data in reader.stream(start.length, context):
                check_cancelled(transfer.cancel)
                start.append(handle, data)
                report(start.length)
        if start.length != size_bytes:
            raise SourceError(f"it ended after {start.length} of {size_bytes} bytes")
        os.fsync(handle.fileno())


def _write_all(handle: BinaryIO, data: bytes) -> None:
    """Write every byte: an unbuffered file may take fewer at a time."""
    view = memoryview(data)
    while view:
        view = view[handle.write(view) :]


def _hash_into(
    digest: hashlib._Hash,  # pyright: ignore[reportPrivateUsage]  # it has no public name
    path: Path,
    cancel: CancelToken,
    report: Callable[[int], None],
) -> None:
    done_bytes = 0
    with path.open("rb") as handle:
        while data := handle.read(BYTES_PER_CHUNK):
            check_cancelled(cancel)
            digest.update(data)
            done_bytes += len(data)
            report(done_bytes)


def _check_room(transfer: Transfer, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(transfer.partial.parent).free
    if free_bytes < needed_bytes:
        raise _disk_full(transfer, needed_bytes, free_bytes)


def _disk_full(transfer: Transfer, needed_bytes: int, free_bytes: int) -> DiskFullError:
    return DiskFullError(
        f"not enough room for {transfer.title}: {human_bytes(needed_bytes)} needed, "
        f"{human_bytes(free_bytes)} free in {transfer.partial.parent}.\n"
        "Make room there, or set MIDFILL_HOME to a folder on a larger disk; "
        "what was fetched so far is kept."
    )


def _as_midfill_error(error: OSError, transfer: Transfer) -> DiskFullError | FetchError:
    """Turn an error of the disk that we write to into one that says what to do."""
    folder = transfer.partial.parent
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        missing_bytes = transfer.file.size_bytes - _settled_length(transfer)
        return _disk_full(transfer, missing_bytes, shutil.disk_usage(folder).free)
    return FetchError(
        f"cannot write in {folder}: {error.strerror or error}.\n"
        "Check the folder's permissions, or set MIDFILL_HOME to another one."
    )
