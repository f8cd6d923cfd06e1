"""What a document's text is at one version, and which snapshot is the current one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from midfill_server.document.lines import LineTable

__all__ = ["DocumentStore", "Snapshot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A document at one version. An edit makes a new snapshot and leaves this one as it is."""

    uri: str
    version: int
    language_id: str
    text: str
    # They follow from the text, so equal texts are enough.
    lines: LineTable = field(compare=False)

    @classmethod
    def of(cls, text: str, *, uri: str = "", version: int = 0, language_id: str = "") -> Snapshot:
        """Make the snapshot of a whole text."""
        return cls(
            uri=uri,
            version=version,
            language_id=language_id,
            text=text,
            lines=LineTable.of(text),
        )

    def edited(self, start: int, end: int, new: str) -> Snapshot:
        """Return the snapshot with ``[start, end)`` (offsets, in any order) replaced by ``new``."""
        start, end = min(start, end), max(start, end)
        # Joined, so that the text is not copied once more for every "+".
        text = "".join((self.text[:start], new, self.text[end:]))
        return replace(self, text=text, lines=self.lines.edited(text, start, end))

    def with_version(self, version: int) -> Snapshot:
        """Return the same text as another version."""
        return replace(self, version=version)


class DocumentStore:
    """The open documents. Belongs to one thread; the snapshots may go anywhere."""

    def __init__(self) -> None:
        self._current: dict[str, Snapshot] = {}

    def put(self, snapshot: Snapshot) -> None:
        """Make ``snapshot`` the current one of its document, opening it if need be."""
        self._current[snapshot.uri] = snapshot

    def get(self, uri: str) -> Snapshot | None:
        """Return the current snapshot; ``None`` for a document that is not open."""
        return self._current.get(uri)

    def all(self) -> tuple[Snapshot, ...]:
        """Return the current snapshots of all open documents."""
        return tuple(self._current.values())

    def close(self, uri: str) -> None:
        """Forget a document. Closing one that is not open does nothing."""
        self._current.pop(uri, None)
