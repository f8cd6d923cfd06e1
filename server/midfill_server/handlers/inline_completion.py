"""``textDocument/inlineCompletion``: ghost text at the cursor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from lsprotocol import types

from midfill_server.convert import to_offset, to_range
from midfill_server.handlers import lifecycle
from midfill_server.pipeline import Completion, Query, complete
from midfill_server.scheduler import EngineUnavailableError, SupersededError

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["PROGRESS_METHOD", "STATS_METHOD", "inline_completion"]

_log = logging.getLogger(__name__)

PROGRESS_METHOD = "midfill/inlineCompletionProgress"
"""Notification with the text so far; sent while a completion grows if ``streaming`` is set."""

STATS_METHOD = "midfill/completionStats"
"""Notification with what a completion cost; sent before its answer if ``streaming`` is set."""


async def inline_completion(
    ls: MidfillServer, params: types.InlineCompletionParams
) -> types.InlineCompletionList | None:
    """Complete at the cursor. The answer is whole for every client, streamed to or not.

    A cancel by the client is answered with -32800, by pygls. A request that a newer one has
    replaced is answered with null: several clients show any error to the user, and to none does
    null mean that the ghost text on the screen is wrong.
    """
    query = _query(ls, params)
    if query is None:
        return None
    request_id = ls.protocol.msg_id
    try:
        async with asyncio.timeout(ls.settings.completion.timeout_s):
            await asyncio.shield(lifecycle.started(ls))
            completion = await ls.scheduler.run(
                query.snapshot.uri, partial(complete, query), _progress_sender(ls, params, query)
            )
    except SupersededError:
        return None
    except TimeoutError:
        _log.warning("request %s: no answer in time", request_id)
        return types.InlineCompletionList(items=[])
    except EngineUnavailableError:
        # The user was told when the engine could not be opened.
        return types.InlineCompletionList(items=[])
    except Exception as error:
        _log.exception("request %s failed", request_id)
        kind = f"complete:{type(error).__name__}"
        ls.tell_once(kind, f"midfill: {error}", types.MessageType.Warning)
        return types.InlineCompletionList(items=[])
    _send_stats(ls, params, query, completion)
    return _answer(ls, query, completion)


def _query(ls: MidfillServer, params: types.InlineCompletionParams) -> Query | None:
    snapshot = ls.arrived
    if snapshot is None:
        _log.warning("completion in %s, which is not open", params.text_document.uri)
        return None
    selection = params.context.selected_completion_info
    if selection is None:
        start = end = to_offset(snapshot, params.position, ls.encoding)
    else:
        start = to_offset(snapshot, selection.range.start, ls.encoding)
        end = to_offset(snapshot, selection.range.end, ls.encoding)
    return Query(
        snapshot=snapshot,
        start=start,
        end=end,
        selected=selection.text if selection else "",
        max_tokens=ls.settings.completion.max_tokens,
        request_id=str(ls.protocol.msg_id),
    )


def _answer(ls: MidfillServer, query: Query, completion: Completion) -> types.InlineCompletionList:
    if not completion.text:
        return types.InlineCompletionList(items=[])
    item = types.InlineCompletionItem(
        insert_text=completion.text,
        range=to_range(query.snapshot, query.start, query.end, ls.encoding),
    )
    return types.InlineCompletionList(items=[item])


def _token(ls: MidfillServer, params: types.InlineCompletionParams) -> str | int | None:
    """Return what the client knows its request by: its own token, else the request's id."""
    given = params.work_done_token
    return given if given is not None else ls.protocol.msg_id


def _progress_sender(
    ls: MidfillServer, params: types.InlineCompletionParams, query: Query
) -> Callable[[str], None] | None:
    if not ls.settings.streaming:
        return None
    token = _token(ls, params)

    def send(text: str) -> None:
        ls.protocol.notify(PROGRESS_METHOD, {**_subject(token, params, query), "text": text})

    return send


def _send_stats(
    ls: MidfillServer, params: types.InlineCompletionParams, query: Query, completion: Completion
) -> None:
    timings = completion.timings
    if not ls.settings.streaming or timings is None:
        return
    stats: dict[str, object] = {
        **_subject(_token(ls, params), params, query),
        "model": completion.model_id,
        "finish": completion.finish.value,
        "promptTokens": timings.prompt_tokens,
        "reusedTokens": timings.reused_tokens,
        "prefilledTokens": timings.prefilled_tokens,
        "generatedTokens": timings.generated_tokens,
        "renderMs": timings.render_ms,
        "ttftMs": timings.ttft_ms,
        "decodeMs": timings.decode_ms,
        "tokensPerS": timings.tokens_per_s,
    }
    ls.protocol.notify(STATS_METHOD, stats)


def _subject(
    token: str | int | None, params: types.InlineCompletionParams, query: Query
) -> dict[str, object]:
    position = params.position
    return {
        "token": token,
        "uri": query.snapshot.uri,
        "version": query.snapshot.version,
        "position": {"line": position.line, "character": position.character},
    }
