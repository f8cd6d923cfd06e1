"""Edits of documents as a client takes them: for exactly the text that they were made for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from midfill_server.convert import to_range
from midfill_server.document import Snapshot
from midfill_server.fixing import TextEdit

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["apply", "is_current", "workspace_edit"]


def workspace_edit(
    ls: MidfillServer, snapshot: Snapshot, edits: Sequence[TextEdit]
) -> types.WorkspaceEdit:
    """Return the edits of one document; with its version, where the client can check that."""
    changes = [
        types.TextEdit(range=to_range(snapshot, one.start, one.end, ls.encoding), new_text=one.new)
        for one in edits
    ]
    workspace = ls.client_capabilities.workspace
    able = workspace.workspace_edit if workspace else None
    if able is None or not able.document_changes:
        return types.WorkspaceEdit(changes={snapshot.uri: changes})
    document = types.OptionalVersionedTextDocumentIdentifier(
        uri=snapshot.uri, version=snapshot.version
    )
    return types.WorkspaceEdit(
        document_changes=[types.TextDocumentEdit(text_document=document, edits=changes)]
    )


def is_current(ls: MidfillServer, snapshot: Snapshot) -> bool:
    """Whether the document still has the text of ``snapshot``, in the same version."""
    now = ls.documents.get(snapshot.uri)
    return now is not None and now.version == snapshot.version and now.text == snapshot.text


async def apply(
    ls: MidfillServer, snapshot: Snapshot, edits: Sequence[TextEdit], label: str
) -> tuple[bool, types.WorkspaceEdit | None]:
    """Have the client make edits, if it can; returns whether it did, and what is left to it.

    What was made for an earlier text is never applied.
    """
    if not edits or not is_current(ls, snapshot):
        return False, None
    edit = workspace_edit(ls, snapshot, edits)
    workspace = ls.client_capabilities.workspace
    if not (workspace and workspace.apply_edit):
        return False, edit
    try:
        answer = await ls.workspace_apply_edit_async(
            types.ApplyWorkspaceEditParams(edit=edit, label=label)
        )
    except JsonRpcException:
        return False, None
    return answer.applied, None
