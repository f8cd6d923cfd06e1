"""``textDocument/codeAction``: fixes for what other servers found, and explanations.

An action names what it fixes at once; its edit is computed when it is chosen, or was before.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from lsprotocol import types

from midfill_engine.errors import MidfillError
from midfill_server.checking.syntax import SYNTAX
from midfill_server.convert import to_offset
from midfill_server.document import Snapshot
from midfill_server.fixes import Wish
from midfill_server.fixing import Fix
from midfill_server.handlers import lifecycle
from midfill_server.handlers.arguments import unstructured
from midfill_server.handlers.diagnostics import diagnostic_of, informed, is_ours, wish_for
from midfill_server.handlers.edits import is_current, workspace_edit
from midfill_server.handlers.explain import (
    EXPLAIN_COMMAND,
    EXPLAIN_DIAGNOSTIC_COMMAND,
    shows_explanations,
)
from midfill_server.handlers.fix_all import FIX_ALL_COMMAND, may_have_several
from midfill_server.handlers.refusal import refusal_of
from midfill_server.handlers.work_done import work_done
from midfill_server.scheduler import EngineUnavailableError, SupersededError

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["OPTIONS", "code_action", "resolve"]

_log = logging.getLogger(__name__)

_EXPLAIN_KIND = "midfill.explain"
OPTIONS = types.CodeActionOptions(
    code_action_kinds=[types.CodeActionKind.QuickFix, _EXPLAIN_KIND],
    resolve_provider=True,
)

_MAX_FIXED = 5
_MAX_TITLE_CHARS = 80
# Who asks for a list by hand waits so long for a fix to stand in it.
_PATIENCE_S = 1.5
# Half a second after VS Code has asked by itself, because the cursor has come to rest or there is
# another diagnostic, it forgets that it was asked by hand, and shows no list at all.
_HURRIED_S = 0.3


async def code_action(
    ls: MidfillServer, params: types.CodeActionParams
) -> list[types.CodeAction] | None:
    """Offer a fix and an explanation for each diagnostic at a place; known fixes with their edits.

    Asked by hand, it waits a moment for the nearest fix; asked by the editor itself, it only
    begins to look for that one, if so much may be computed unasked.
    """
    snapshot = ls.arrived
    if snapshot is None or not _takes_actions(ls):
        return None
    cursor = to_offset(snapshot, params.range.start, ls.encoding)
    if refusal_of(ls, snapshot, cursor) is not None:
        return None
    actions: list[types.CodeAction] = []
    if _is_wanted(params, types.CodeActionKind.QuickFix):
        given = _near(params)
        wishes = _wishes(ls, params, snapshot, given) if ls.settings.fix.enabled else []
        await _look(ls, params, wishes)
        for wish, each in zip(wishes, given, strict=False):
            actions += _fixes(ls, wish, each)
        actions += _all_of_a_kind(ls, params, snapshot, given)
        if shows_explanations(ls):
            actions += [_explains_problem(snapshot, each) for each in given]
    by_hand = not _is_automatic(params) or params.range.start != params.range.end
    if by_hand and shows_explanations(ls) and _is_wanted(params, _EXPLAIN_KIND):
        actions.append(_explains(snapshot, params.range))
    return actions


async def resolve(ls: MidfillServer, params: types.CodeAction) -> types.CodeAction:
    """Compute the edit of an action; says why there is none."""
    if params.edit is not None or params.command is not None:
        # Some clients have each action resolved that lacks one of the two.
        return params
    data: object = params.data
    name = cast("Mapping[str, object]", data).get("id") if isinstance(data, Mapping) else None
    wish = ls.fixes.offered(name) if isinstance(name, str) else None
    if wish is None or not is_current(ls, wish.snapshot):
        _say(ls, "The document has changed since this fix was offered. Ask for it again.")
        return params
    await asyncio.shield(lifecycle.started(ls))
    async with work_done(ls, "midfill: looking for a fix"):
        found = await _found(ls, wish)
    if found is None:
        _say(ls, f"No fix was found for: {_short(wish.diagnostic.message)}")
    elif not is_current(ls, wish.snapshot):
        _say(ls, "The document has changed while a fix was looked for. Ask for it again.")
    else:
        params.edit = workspace_edit(ls, wish.snapshot, found.edits)
        if not _verifier(found):
            _say(ls, "No tool here could confirm this fix: look at it before you keep it.")
    return params


async def _found(ls: MidfillServer, wish: Wish) -> Fix | None:
    try:
        return (await ls.fixes.find(informed(ls, wish)) or (None,))[0]
    except TimeoutError:
        return None
    except (SupersededError, EngineUnavailableError):
        _say(ls, "There is no model now that could look for a fix.")
    except MidfillError as error:
        _say(ls, str(error))
    return None


async def _look(ls: MidfillServer, params: types.CodeActionParams, wishes: Sequence[Wish]) -> None:
    """Have the fixes looked for that may be."""
    if _is_automatic(params) and _resolves(ls):
        ls.fixes.hurry(_HURRIED_S)
    unknown = [wish for wish in wishes if ls.fixes.known(wish) is None]
    if not unknown or unknown[0] is not wishes[0]:
        return
    await asyncio.shield(lifecycle.started(ls))
    if _is_automatic(params):
        if not ls.apply_profile().is_thrifty:
            ls.fixes.begin(informed(ls, unknown[0]))
        return
    limit_s = _PATIENCE_S
    if not _resolves(ls):
        limit_s = ls.settings.fix.timeout_s
    ends_s = time.monotonic() + limit_s
    for wish in unknown[: 1 if _resolves(ls) else None]:
        try:
            await ls.fixes.find(informed(ls, wish), max(ends_s - time.monotonic(), 0.0))
        except (TimeoutError, SupersededError, EngineUnavailableError, MidfillError) as error:
            # Who chooses the action is told.
            _log.info("no fix yet: %s", error)


def _near(params: types.CodeActionParams) -> list[types.Diagnostic]:
    """Return the diagnostics of others at the place, the nearest to its start first."""
    place = params.range
    found = [
        each
        for each in params.context.diagnostics
        if not is_ours(each) and each.range.start <= place.end and place.start <= each.range.end
    ]

    def distance(each: types.Diagnostic) -> tuple[int, int]:
        start, at = each.range.start, place.start
        return abs(start.line - at.line), abs(start.character - at.character)

    return sorted(found, key=distance)[:_MAX_FIXED]


def _wishes(
    ls: MidfillServer,
    params: types.CodeActionParams,
    snapshot: Snapshot,
    given: Sequence[types.Diagnostic],
) -> list[Wish]:
    others = [diagnostic_of(each, snapshot, ls.encoding) for each in params.context.diagnostics]
    own = [diagnostic_of(each, snapshot, ls.encoding) for each in given]
    return [wish_for(ls, each, snapshot, others) for each in own]


def _fixes(ls: MidfillServer, wish: Wish, given: types.Diagnostic) -> Iterator[types.CodeAction]:
    """Yield the action that fixes a diagnostic, unless it is known that nothing does."""
    known = ls.fixes.known(wish)
    if known is None and _resolves(ls):
        yield types.CodeAction(
            title=f"Fix: {_short(wish.diagnostic.message)}",
            kind=types.CodeActionKind.QuickFix,
            diagnostics=[given],
            data={"id": ls.fixes.offer(wish)},
        )
    found = known[0] if known is not None else None
    if found is not None:
        verifier = _verifier(found)
        how = f"verified by {verifier}" if verifier else "unverified"
        yield types.CodeAction(
            title=f"Fix ({how}): {_short(found.title or wish.diagnostic.message)}",
            kind=types.CodeActionKind.QuickFix,
            diagnostics=[given],
            is_preferred=True if verifier else None,
            edit=workspace_edit(ls, wish.snapshot, found.edits),
        )


def _all_of_a_kind(
    ls: MidfillServer,
    params: types.CodeActionParams,
    snapshot: Snapshot,
    given: Sequence[types.Diagnostic],
) -> Iterator[types.CodeAction]:
    """Yield an action for each kind of which the file may have several."""
    seen: set[tuple[str | None, object]] = set()
    for each in given:
        kind = (each.source, each.code)
        if kind in seen or not ls.settings.fix.enabled:
            continue
        seen.add(kind)
        same = sum((one.source, one.code) == kind for one in params.context.diagnostics)
        if may_have_several(ls, snapshot.uri, each, same):
            title = f"Fix all {each.code} in this file"
            yield types.CodeAction(
                title=title,
                kind=types.CodeActionKind.QuickFix,
                diagnostics=[each],
                command=_command(title, FIX_ALL_COMMAND, snapshot, diagnostic=each),
            )


def _explains_problem(snapshot: Snapshot, given: types.Diagnostic) -> types.CodeAction:
    title = f"Explain: {_short(given.message)}"
    return types.CodeAction(
        title=title,
        kind=types.CodeActionKind.QuickFix,
        diagnostics=[given],
        command=_command(title, EXPLAIN_DIAGNOSTIC_COMMAND, snapshot, diagnostic=given),
    )


def _explains(snapshot: Snapshot, place: types.Range) -> types.CodeAction:
    return types.CodeAction(
        title="Explain",
        kind=_EXPLAIN_KIND,
        command=_command("Explain", EXPLAIN_COMMAND, snapshot, range=place),
    )


def _command(title: str, name: str, snapshot: Snapshot, **given: object) -> types.Command:
    told = {key: unstructured(value) for key, value in given.items()}
    return types.Command(title=title, command=name, arguments=[{"uri": snapshot.uri, **told}])


def _verifier(found: Fix) -> str:
    """Return who confirmed a fix, ``""`` if nobody did: that a text can be parsed says little."""
    by = found.verified_by
    return "" if by is None or by == SYNTAX else by


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_TITLE_CHARS else line[: _MAX_TITLE_CHARS - 1] + "\u2026"


def _say(ls: MidfillServer, message: str) -> None:
    ls.window_show_message(
        types.ShowMessageParams(type=types.MessageType.Info, message=f"midfill: {message}")
    )


def _is_automatic(params: types.CodeActionParams) -> bool:
    return params.context.trigger_kind is types.CodeActionTriggerKind.Automatic


def _is_wanted(params: types.CodeActionParams, kind: str) -> bool:
    """Whether a kind of actions is among those that the client asks for."""
    only = params.context.only
    if only is None:
        return True
    names = [str(getattr(each, "value", each)) for each in only]
    own = str(getattr(kind, "value", kind))
    return any(not name or own == name or own.startswith(f"{name}.") for name in names)


def _takes_actions(ls: MidfillServer) -> bool:
    """Whether the client knows actions; an old one knows commands only."""
    text_document = ls.client_capabilities.text_document
    able = text_document.code_action if text_document else None
    return able is not None and able.code_action_literal_support is not None


def _resolves(ls: MidfillServer) -> bool:
    """Whether the client asks for the edit of an action once that is chosen."""
    text_document = ls.client_capabilities.text_document
    able = text_document.code_action if text_document else None
    if able is None or able.resolve_support is None or not able.data_support:
        return False
    return "edit" in able.resolve_support.properties
