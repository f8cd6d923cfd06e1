"""``textDocument/hover``: what the files say of a name at once, what the model says once it has.

Never waits for the model: what it writes about a name is shown by a later hover there.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lsprotocol import types

from midfill_server.context.visible import path_of
from midfill_server.convert import to_offset, to_range
from midfill_server.document import Snapshot
from midfill_server.explaining import (
    Length,
    Question,
    Symbol,
    Unavailable,
    ask_about_symbol,
    ground,
    hover_markdown,
    symbol_at,
    with_sources,
)
from midfill_server.explaining.explainer import Outcome
from midfill_server.handlers.announced import announces
from midfill_server.handlers.inline_completion import NEOVIM
from midfill_server.handlers.refusal import refusal_of
from midfill_server.handlers.status import State

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["hover", "may_be_asked", "name_model", "opened_texts"]

# Other files are read for so long; without them a signature is shown, and nothing is explained.
_READING_S = 0.06


async def hover(ls: MidfillServer, params: types.HoverParams) -> types.Hover | None:
    """Tell what the name at the cursor means; ``null`` where the project does not know it."""
    snapshot = ls.arrived
    if snapshot is None or not ls.settings.explain.enabled:
        return None
    cursor = to_offset(snapshot, params.position, ls.encoding)
    tree = ls.reader.trees.tree(snapshot.uri, snapshot.language_id, snapshot.text)
    symbol = symbol_at(snapshot, tree, cursor, ls.project.surroundings)
    if symbol is None:
        return None
    read = await _read(ls, symbol)
    outcome = None if read is None else _explained(ls, snapshot, read, cursor)
    said = hover_markdown(read or symbol, outcome, command=_command(ls))
    return types.Hover(
        contents=types.MarkupContent(kind=_format(ls), value=said),
        range=to_range(snapshot, symbol.start, symbol.end, ls.encoding),
    )


def _command(ls: MidfillServer) -> str:
    """Return what the client calls the command that explains more, ``""`` if it has none."""
    if not announces(ls, "explanations"):
        return ""
    return ":Midfill explain" if ls.client_name == NEOVIM else "midfill: Explain"


async def _read(ls: MidfillServer, symbol: Symbol) -> Symbol | None:
    """Return the symbol with what other files say of it; ``None`` if they take too long."""
    reading = asyncio.get_running_loop().run_in_executor(
        ls.reader.pool, with_sources, symbol, ls.reader.files, opened_texts(ls)
    )
    try:
        async with asyncio.timeout(_READING_S):
            return await asyncio.shield(reading)
    except TimeoutError:
        # A later hover finds them read.
        return None


def _explained(
    ls: MidfillServer, snapshot: Snapshot, symbol: Symbol, cursor: int
) -> Outcome | None:
    """Return what there is of the model's explanation, and have it written if that may be."""
    if not may_be_asked(ls) or refusal_of(ls, snapshot, cursor) is not None:
        return None
    question = _question(ls, snapshot, symbol)
    if question is None:
        return None
    name_model(ls)
    ls.keep_explanations()
    known = ls.explainer.look(question)
    if known is not None or ls.apply_profile().is_thrifty:
        return known
    outcome = ls.explainer.begin(snapshot.uri, question)
    if isinstance(outcome, Unavailable) and not ls.first_time(outcome.message):
        return None
    return outcome


def _question(ls: MidfillServer, snapshot: Snapshot, symbol: Symbol) -> Question | None:
    tree = ls.reader.trees.tree(snapshot.uri, snapshot.language_id, snapshot.text)
    around = ls.project.surroundings
    grounding = ground(symbol, snapshot, tree, around, ls.documents.all())
    if grounding is None:
        return None
    bound = ls.settings.explain.max_tokens
    return ask_about_symbol(grounding, Length.SHORT, max_tokens=bound)


def may_be_asked(ls: MidfillServer) -> bool:
    """Whether there is a model, and it may say something in hovers."""
    return ls.settings.explain.hover and ls.status.latest.state is State.READY


def name_model(ls: MidfillServer) -> None:
    """Tell the explainer which model serves: what another one wrote is not shown."""
    latest = ls.status.latest
    if latest.state is State.READY and latest.model is not None:
        ls.explainer.model_id = latest.model


def opened_texts(ls: MidfillServer) -> dict[str, str]:
    """Return the texts of the open documents by their paths."""
    found = ((path_of(each.uri), each.text) for each in ls.documents.all())
    return {path: text for path, text in found if path is not None}


def _format(ls: MidfillServer) -> types.MarkupKind:
    text_document = ls.client_capabilities.text_document
    wanted = text_document.hover if text_document else None
    formats = (wanted.content_format if wanted else None) or [types.MarkupKind.Markdown]
    is_shown = types.MarkupKind.Markdown in formats
    return types.MarkupKind.Markdown if is_shown else types.MarkupKind.PlainText
