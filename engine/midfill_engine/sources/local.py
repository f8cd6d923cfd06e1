"""A file that is already on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from midfill_engine.registry import ModelFile
from midfill_engine.sources.base import (
    BYTES_PER_CHUNK,
    FetchContext,
    SourceError,
    check_cancelled,
    human_bytes,
)

__all__ = ["PathReader"]


class PathReader:
    """Copies from ``path``: the file itself, or a folder that holds it under its own name."""

    def __init__(self, path: Path, file: ModelFile) -> None:
        self._path = path / file.name if path.is_dir() else path
        self._size_bytes = file.size_bytes

    @property
    def label(self) -> str:
        """The path."""
        return str(self._path)

    @property
    def scratch_bytes(self) -> int:
        """Nothing besides the copy."""
        return 0

    def stream(self, offset: int, context: FetchContext) -> Iterator[bytes]:
        """Yield the file's bytes from ``offset`` on; a file of another size is refused at once."""
        try:
            with self._path.open("rb") as handle:
                size_bytes = handle.seek(0, 2)
                if size_bytes != self._size_bytes:
                    raise SourceError(
                        f"it has {size_bytes} bytes ({human_bytes(size_bytes)}), "
                        f"and the model's file has {self._size_bytes}"
                    )
                handle.seek(offset)
                while data := handle.read(BYTES_PER_CHUNK):
                    check_cancelled(context.cancel)
                    yield data
        except OSError as error:
            raise SourceError(f"it cannot be read: {error.strerror or error}") from error
