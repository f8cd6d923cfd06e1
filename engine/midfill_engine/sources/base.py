"""What every source of bytes looks like, and how it says that it could not deliver.

A source yields the bytes of one file from an offset on. Since every source of a file carries the
same bytes, whatever one source left behind is a start for the next one too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from midfill_engine.cancel import CancelToken
from midfill_engine.errors import FetchError, WorkCancelledError

__all__ = [
    "BYTES_PER_CHUNK",
    "ByteSource",
    "FetchContext",
    "SourceError",
    "check_cancelled",
    "human_bytes",
    "pause",
]

BYTES_PER_CHUNK = 1024 * 1024
"""How much is read from a disk at a time; the cancel token is looked at in between."""

_POLL_S = 0.1


class SourceError(FetchError):
    """One source could not deliver; the next one may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchContext:
    """What a source needs while it delivers.

    ``work_dir`` is an empty folder for scratch files, removed afterwards. ``ahead`` is told how
    many bytes have arrived that were not yielded yet, so that progress moves meanwhile.
    """

    work_dir: Path
    cancel: CancelToken
    ahead: Callable[[int], None]


class ByteSource(Protocol):
    """One place that has the bytes of one file."""

    @property
    def label(self) -> str:
        """The source's name for a person, as in "from huggingface.co"."""
        ...

    @property
    def scratch_bytes(self) -> int:
        """How much room it needs besides the file itself while it works, in bytes."""
        ...

    def stream(self, offset: int, context: FetchContext) -> Iterator[bytes]:
        """Yield the file's bytes from ``offset`` on.

        Raises ``SourceError`` when it cannot go on, ``WorkCancelledError`` when it should not,
        and ``OSError`` with ``ENOSPC`` when its scratch folder has no room left.
        """
        ...


def check_cancelled(cancel: CancelToken) -> None:
    """Raise ``WorkCancelledError`` once the token is set."""
    if cancel.cancelled:
        raise WorkCancelledError("stopped; what was fetched so far stays for the next pull")


def pause(seconds: float, cancel: CancelToken) -> None:
    """Wait, but no longer than until the token is set: then raise ``WorkCancelledError``."""
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        check_cancelled(cancel)
        time.sleep(min(left_s, _POLL_S))
    check_cancelled(cancel)


def human_bytes(size_bytes: int) -> str:
    """Write a size for a person, in the decimal units that disks and downloads are sold in."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    size = size_bytes / 1000
    for unit in ("kB", "MB"):
        if round(size) < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"
