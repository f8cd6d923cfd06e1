"""Which method goes to which handler, and which command to which function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from lsprotocol import types

from midfill_server.handlers import (
    code_action,
    completion_menu,
    configuration,
    cursor,
    documents,
    explain,
    feedback,
    fix_all,
    generate,
    hover,
    inline_completion,
    lifecycle,
    models,
    status,
    surroundings,
    trust,
)

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["COMMANDS", "HANDLERS", "LONG_COMMANDS", "ON_DEMAND", "Command", "LongCommand"]

Command: TypeAlias = "Callable[[MidfillServer, Sequence[object]], None]"
"""Done at once, in the order of the messages."""

LongCommand: TypeAlias = "Callable[[MidfillServer, Sequence[object]], Awaitable[object]]"
"""Answered when it is done; a cancel of its request cancels it."""

HANDLERS: tuple[tuple[str, Callable[..., object], object], ...] = (
    (types.INITIALIZE, lifecycle.initialize, None),
    (types.INITIALIZED, lifecycle.initialized, None),
    (types.SHUTDOWN, lifecycle.shutdown, None),
    (types.WORKSPACE_DID_CHANGE_CONFIGURATION, configuration.did_change, None),
    (types.TEXT_DOCUMENT_DID_OPEN, documents.did_open, None),
    (types.TEXT_DOCUMENT_DID_CHANGE, documents.did_change, None),
    (types.TEXT_DOCUMENT_DID_SAVE, documents.did_save, None),
    (types.TEXT_DOCUMENT_DID_CLOSE, documents.did_close, None),
    (types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS, documents.did_change_folders, None),
    (cursor.MOVED_METHOD, cursor.did_move, None),
    (surroundings.DIAGNOSTICS_METHOD, surroundings.did_change_diagnostics, None),
    (trust.TRUST_METHOD, trust.did_change, None),
    (feedback.SHOWN_METHOD, feedback.did_show, None),
    (feedback.PARTLY_ACCEPTED_METHOD, feedback.did_partially_accept, None),
    (models.MODELS_METHOD, models.models, None),
    # Without an options object pygls does not advertise the capability.
    (
        types.TEXT_DOCUMENT_INLINE_COMPLETION,
        status.awaited(inline_completion.inline_completion),
        types.InlineCompletionOptions(),
    ),
    (types.TEXT_DOCUMENT_HOVER, hover.hover, None),
    (types.TEXT_DOCUMENT_CODE_ACTION, code_action.code_action, code_action.OPTIONS),
    (types.CODE_ACTION_RESOLVE, status.awaited(code_action.resolve), None),
)

# A handler that is there is advertised, so these are there only once they are wanted.
ON_DEMAND: Mapping[str, tuple[Callable[..., object], object]] = MappingProxyType(
    {
        types.TEXT_DOCUMENT_COMPLETION: (
            status.awaited(completion_menu.completion),
            completion_menu.OPTIONS,
        )
    }
)

COMMANDS: tuple[tuple[str, Command], ...] = (
    (feedback.ACCEPTED_COMMAND, feedback.did_accept),
    (models.DOWNLOAD_COMMAND, models.download),
)

LONG_COMMANDS: tuple[tuple[str, LongCommand], ...] = (
    (explain.EXPLAIN_COMMAND, status.awaited(explain.explain)),
    (explain.EXPLAIN_DIAGNOSTIC_COMMAND, status.awaited(explain.explain_diagnostic)),
    (fix_all.FIX_ALL_COMMAND, status.awaited(fix_all.fix_all)),
    (generate.GENERATE_COMMAND, status.awaited(generate.generate)),
)
