"""Text documents as values: what the text was at one version, and where its lines are.

Owns: line ends, position arithmetic in every LSP encoding, which document has which text now.
Must never know: LSP message types, engines, threads.
"""

from midfill_server.document.lines import LineTable
from midfill_server.document.positions import PositionEncoding, offset_at, position_at
from midfill_server.document.snapshot import DocumentStore, Snapshot

__all__ = [
    "DocumentStore",
    "LineTable",
    "PositionEncoding",
    "Snapshot",
    "offset_at",
    "position_at",
]
