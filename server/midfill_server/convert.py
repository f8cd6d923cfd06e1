"""LSP positions and ranges to and from offsets of a snapshot."""

from __future__ import annotations

from lsprotocol import types

from midfill_server.document import PositionEncoding, Snapshot, offset_at, position_at

__all__ = ["apply_change", "encoding_of", "to_offset", "to_position", "to_range"]


def encoding_of(negotiated: types.PositionEncodingKind | str | None) -> PositionEncoding:
    """Return the encoding that client and server agreed on; UTF-16 is the protocol's default."""
    if negotiated is None:
        return PositionEncoding.UTF16
    return PositionEncoding(str(getattr(negotiated, "value", negotiated)))


def to_offset(snapshot: Snapshot, position: types.Position, encoding: PositionEncoding) -> int:
    """Return the offset of ``position``, clamped to its line and to the text."""
    return offset_at(snapshot.text, snapshot.lines, position.line, position.character, encoding)


def to_position(snapshot: Snapshot, offset: int, encoding: PositionEncoding) -> types.Position:
    """Return the position of ``offset``."""
    line, character = position_at(snapshot.text, snapshot.lines, offset, encoding)
    return types.Position(line=line, character=character)


def to_range(snapshot: Snapshot, start: int, end: int, encoding: PositionEncoding) -> types.Range:
    """Return the range of ``[start, end)``."""
    return types.Range(
        start=to_position(snapshot, start, encoding), end=to_position(snapshot, end, encoding)
    )


def apply_change(
    snapshot: Snapshot,
    change: types.TextDocumentContentChangeEvent,
    encoding: PositionEncoding,
) -> Snapshot:
    """Return the snapshot after one content change, whole or partial."""
    if isinstance(change, types.TextDocumentContentChangeWholeDocument):
        return Snapshot.of(
            change.text,
            uri=snapshot.uri,
            version=snapshot.version,
            language_id=snapshot.language_id,
        )
    return snapshot.edited(
        to_offset(snapshot, change.range.start, encoding),
        to_offset(snapshot, change.range.end, encoding),
        change.text,
    )
