"""Open, change, close: keeps the snapshots up to date. Synchronous, so in message order."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lsprotocol import types

from midfill_server.convert import apply_change
from midfill_server.document import Snapshot

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["did_change", "did_change_folders", "did_close", "did_open", "did_save"]

_log = logging.getLogger(__name__)


def did_open(ls: MidfillServer, params: types.DidOpenTextDocumentParams) -> None:
    """Take the whole text."""
    document = params.text_document
    language_id = document.language_id
    snapshot = Snapshot.of(
        document.text,
        uri=document.uri,
        version=document.version,
        language_id=str(getattr(language_id, "value", language_id)),
    )
    ls.documents.put(snapshot)
    ls.project.opened(snapshot)


def did_change(ls: MidfillServer, params: types.DidChangeTextDocumentParams) -> None:
    """Apply the changes in order; each speaks of the text that the one before it left."""
    document = params.text_document
    snapshot = ls.documents.get(document.uri)
    if snapshot is None:
        _log.warning("change of %s, which is not open", document.uri)
        return
    for change in params.content_changes:
        snapshot = apply_change(snapshot, change, ls.encoding)
    snapshot = snapshot.with_version(document.version)
    ls.documents.put(snapshot)
    ls.project.changed(snapshot)


def did_save(ls: MidfillServer, params: types.DidSaveTextDocumentParams) -> None:
    """Have the file read again: others may show parts of it."""
    ls.project.saved(params.text_document.uri)


def did_close(ls: MidfillServer, params: types.DidCloseTextDocumentParams) -> None:
    """Forget the text."""
    uri = params.text_document.uri
    ls.documents.close(uri)
    ls.project.closed(uri)
    ls.completer.forget(uri)
    ls.offers.leave(uri)
    ls.explainer.drop(uri)
    ls.reader.trees.forget(uri)


def did_change_folders(ls: MidfillServer, params: types.DidChangeWorkspaceFoldersParams) -> None:
    """Read the folders that the workspace has now; pygls keeps the list of them."""
    ls.open_project()
