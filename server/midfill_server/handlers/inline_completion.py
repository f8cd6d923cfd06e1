"""``textDocument/inlineCompletion``: ghost text at the cursor."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lsprotocol import types

from midfill_engine.types import Timings
from midfill_server.alternatives import BUDGET_S
from midfill_server.convert import to_offset, to_range
from midfill_server.document import Snapshot
from midfill_server.handlers import feedback, lifecycle
from midfill_server.handlers.refusal import refused
from midfill_server.pipeline import Completion, Query
from midfill_server.postprocess import Length
from midfill_server.scheduler import EngineUnavailableError, SupersededError
from midfill_server.statistics import Record

if TYPE_CHECKING:
    from midfill_server.server import MidfillServer

__all__ = ["NEOVIM", "PROGRESS_METHOD", "STATS_METHOD", "inline_completion"]

_log = logging.getLogger(__name__)

PROGRESS_METHOD = "midfill/inlineCompletionProgress"
"""Notification with the text so far; sent while a completion grows if ``streaming`` is set."""

STATS_METHOD = "midfill/completionStats"
"""Notification with what a completion cost; sent before its answer if ``streaming`` is set."""

NEOVIM = "Neovim"
"""What its client calls itself in ``initialize``."""

# An engine that has to be opened again first keeps nobody waiting for a choice.
_OTHERS_S = BUDGET_S + 1.0


@dataclass(slots=True, kw_only=True)
class _Request:
    """One request: its document as it was, and ``[start, end)``, which the answer replaces.

    ``selected`` is text that the answer must begin with, as the entry that is selected in an
    editor's popup; without one, ``start == end`` is the cursor. ``arrived_s`` and ``first_s`` are
    when it came and when its first text was there.
    """

    params: types.InlineCompletionParams
    snapshot: Snapshot
    start: int
    end: int
    selected: str
    arrived_s: float
    first_s: float | None = None


async def inline_completion(
    ls: MidfillServer, params: types.InlineCompletionParams, *, asker: str = ""
) -> types.InlineCompletionList | None:
    """Complete at the cursor. The answer is whole for every client, streamed to or not.

    A cancel by the client is answered with -32800, by pygls. A request that a newer one has
    replaced is answered with null: several clients show any error to the user, and to none does
    null mean that the ghost text on the screen is wrong. ``asker`` is which part of the client
    asks, where several do.
    """
    request = _request(ls, params)
    if request is None:
        return None
    settings, request_id = ls.settings.completion, ls.protocol.msg_id
    try:
        async with asyncio.timeout(settings.timeout_s):
            await asyncio.shield(lifecycle.started(ls))
            query = _query(ls, request)
            if reason := refused(ls, query):
                _log.info("request %s: nothing is suggested: %s", request_id, reason)
                return _answer(ls, request, None)
            completion = await ls.completer.complete(
                query,
                _on_line(ls, request),
                # Who asks for texts to choose from waits for whole ones.
                line_first=settings.line_first and not query.invoked,
                asker=asker,
            )
        _send_stats(ls, request, completion)
        ls.record(_record(request, completion))
        others = await _others(ls, query, completion) if query.invoked else ()
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
    return _answer(ls, request, completion, others)


async def _others(ls: MidfillServer, query: Query, completion: Completion) -> tuple[str, ...]:
    """Return what else may be chosen. Whatever goes wrong with that, the first text is there."""
    try:
        async with asyncio.timeout(_OTHERS_S):
            return await ls.completer.alternatives(query, completion)
    except SupersededError:
        raise
    except TimeoutError:
        return ()
    except Exception:
        _log.exception("request %s has no other texts", ls.protocol.msg_id)
        return ()


def _request(ls: MidfillServer, params: types.InlineCompletionParams) -> _Request | None:
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
    return _Request(
        params=params,
        snapshot=snapshot,
        start=start,
        end=end,
        selected=selection.text if selection else "",
        arrived_s=time.perf_counter(),
    )


def _query(ls: MidfillServer, request: _Request) -> Query:
    text, start, selected = request.snapshot.text, request.start, request.selected
    if selected or start != request.end:
        text = text[:start] + selected + text[request.end :]
    pause_s = ls.apply_profile().pause_s
    invoked = _is_invoked(request)
    settings = ls.settings.completion
    return Query(
        uri=request.snapshot.uri,
        text=text,
        cursor=start + len(selected),
        language_id=request.snapshot.language_id,
        length=Length(settings.length),
        eagerness=settings.eagerness,
        invoked=invoked,
        max_tokens=settings.max_tokens,
        patient=not invoked,
        pause_s=0.0 if invoked else pause_s,
        request_id=str(ls.protocol.msg_id),
    )


def _is_invoked(request: _Request) -> bool:
    automatic = types.InlineCompletionTriggerKind.Automatic
    return request.params.context.trigger_kind is not automatic


def _answer(
    ls: MidfillServer,
    request: _Request,
    completion: Completion | None,
    others: tuple[str, ...] = (),
) -> types.InlineCompletionList:
    """Return what is offered now: nothing for ``None``."""
    texts = (completion.text, *others) if completion else ()
    texts = [_insertable(ls, request.selected + text) for text in texts if text]
    commands = _offered(ls, request, texts, completion)
    place = to_range(request.snapshot, request.start, request.end, ls.encoding)
    return types.InlineCompletionList(
        items=[
            types.InlineCompletionItem(insert_text=text, range=place, command=command)
            for text, command in zip(texts, commands, strict=True)
        ]
    )


def _insertable(ls: MidfillServer, text: str) -> str:
    """Return a text with the line ends that the client can insert: most take the document's own."""
    # It parts lines at "\n" alone and adds the file's line ends when it writes the file.
    return text.replace("\r\n", "\n") if ls.client_name == NEOVIM else text


def _on_line(ls: MidfillServer, request: _Request) -> Callable[[Completion], None]:
    """Return what takes the first line: notes when it came, and sends it to who wants it."""
    token = _token(ls, request.params)
    streaming = ls.settings.streaming

    def take(line: Completion) -> None:
        if request.first_s is None:
            request.first_s = time.perf_counter()
        if streaming:
            text = _insertable(ls, request.selected + line.text)
            # It may be accepted before the rest is there. The whole will be the same offer, grown.
            (command,) = _offered(ls, request, [text], line)
            subject = _subject(token, request)
            ls.protocol.notify(PROGRESS_METHOD, {**subject, "text": text, "command": command})

    return take


def _offered(
    ls: MidfillServer, request: _Request, texts: list[str], completion: Completion | None
) -> list[types.Command]:
    return feedback.offered(
        ls,
        request.snapshot,
        request.start,
        texts,
        completion=completion,
        invoked=_is_invoked(request),
        at_s=request.arrived_s,
    )


def _record(request: _Request, completion: Completion) -> Record:
    now_s = time.perf_counter()
    timings = completion.timings or Timings()
    shown = bool(completion.text)
    first_s = request.first_s or (now_s if shown else None)
    return Record(
        when_s=round(time.time()),
        language_id=request.snapshot.language_id,
        model_id=completion.model_id,
        source=completion.source,
        first_ms=None if first_s is None else (first_s - request.arrived_s) * 1000,
        total_ms=(now_s - request.arrived_s) * 1000,
        shown=shown,
        prefilled_tokens=timings.prefilled_tokens,
        reused_tokens=timings.reused_tokens,
        generated_tokens=timings.generated_tokens,
        drafted_tokens=timings.drafted_tokens,
        accepted_tokens=timings.accepted_tokens,
    )


def _token(ls: MidfillServer, params: types.InlineCompletionParams) -> str | int | None:
    """Return what the client knows its request by: its own token, else the request's id."""
    given = params.work_done_token
    return given if given is not None else ls.protocol.msg_id


def _send_stats(ls: MidfillServer, request: _Request, completion: Completion) -> None:
    if not ls.settings.streaming:
        return
    # What did not make the model work cost nothing.
    timings = completion.timings or Timings()
    stats: dict[str, object] = {
        **_subject(_token(ls, request.params), request),
        "model": completion.model_id,
        "source": completion.source.value,
        "finish": completion.finish.value,
        "promptTokens": timings.prompt_tokens,
        "reusedTokens": timings.reused_tokens,
        "prefilledTokens": timings.prefilled_tokens,
        "generatedTokens": timings.generated_tokens,
        "draftedTokens": timings.drafted_tokens,
        "acceptedTokens": timings.accepted_tokens,
        "renderMs": timings.render_ms,
        "ttftMs": timings.ttft_ms,
        "decodeMs": timings.decode_ms,
        "tokensPerS": timings.tokens_per_s,
    }
    ls.protocol.notify(STATS_METHOD, stats)


def _subject(token: str | int | None, request: _Request) -> dict[str, object]:
    position = request.params.position
    return {
        "token": token,
        "uri": request.snapshot.uri,
        "version": request.snapshot.version,
        "position": {"line": position.line, "character": position.character},
    }
