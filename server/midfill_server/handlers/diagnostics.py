"""Diagnostics of the protocol as ``fixing`` takes them, and what is known where one is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lsprotocol import types

from midfill_server.context.visible import path_of
from midfill_server.convert import to_offset
from midfill_server.document import PositionEncoding, Snapshot
from midfill_server.fixes import Wish
from midfill_server.fixing import Diagnostic, Limits
from midfill_server.syntax import language_of

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["diagnostic_of", "informed", "is_ours", "limits_of", "wish_for"]

_OURS = "midfill"
_MAX_CONTEXT_CHARS = 1500
_MAX_MESSAGE_CHARS = 2000
_MAX_RELATED = 4
_SEVERITIES = {1: "error", 2: "warning", 3: "information", 4: "hint"}


def diagnostic_of(
    given: types.Diagnostic, snapshot: Snapshot, encoding: PositionEncoding
) -> Diagnostic:
    """Return a diagnostic of the protocol, with offsets in ``snapshot``."""
    start = to_offset(snapshot, given.range.start, encoding)
    code = given.code
    return Diagnostic(
        start=start,
        end=max(start, to_offset(snapshot, given.range.end, encoding)),
        message=given.message[:_MAX_MESSAGE_CHARS],
        code="" if code is None else str(code),
        source=given.source or "",
        # LSP leaves it to the client what one without a severity is; most show an error.
        severity=_SEVERITIES.get(given.severity or 1, "error"),
        related=tuple(
            each.message[:_MAX_MESSAGE_CHARS]
            for each in (given.related_information or ())[:_MAX_RELATED]
        ),
    )


def is_ours(given: types.Diagnostic) -> bool:
    """Whether it came from midfill itself."""
    return (given.source or "").casefold() == _OURS


def limits_of(ls: MidfillServer) -> Limits:
    """Return what the settings allow for one fix."""
    settings = ls.settings.fix
    return Limits(
        answers=settings.candidates,
        timeout_s=settings.timeout_s,
        only_verified=settings.only_verified,
    )


def wish_for(
    ls: MidfillServer,
    diagnostic: Diagnostic,
    snapshot: Snapshot,
    others: Sequence[Diagnostic] = (),
) -> Wish:
    """Return the wish for a fix of a diagnostic."""
    around = ls.project.surroundings
    return Wish(
        diagnostic=diagnostic,
        snapshot=snapshot,
        path=path_of(snapshot.uri) or "",
        limits=limits_of(ls),
        trusted=ls.trusted,
        roots=ls.roots,
        others=tuple(one for one in others if one != diagnostic),
        definitions=around.index if around is not None else None,
    )


def informed(ls: MidfillServer, wish: Wish) -> Wish:
    """Return a wish with what a model may be shown of other files; for the one that counts."""
    around, snapshot = ls.project.surroundings, wish.snapshot
    if around is None:
        return wish
    context = around.gather(
        uri=snapshot.uri,
        language=language_of(snapshot.language_id, snapshot.uri),
        text=snapshot.text,
        tree=ls.reader.trees.tree(snapshot.uri, snapshot.language_id, snapshot.text),
        cursor=wish.diagnostic.start,
        max_characters=_MAX_CONTEXT_CHARS,
        remembers=False,
    )
    return replace(wish, context=context)
