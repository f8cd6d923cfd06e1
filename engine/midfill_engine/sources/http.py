"""One GET that cannot hang: every wait has an end, and the cancel token is looked at meanwhile.

A name lookup cannot be given a timeout, nor can a read be cancelled: so a thread does both, and is
left behind when they take too long.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from midfill_engine.cancel import CancelToken
from midfill_engine.sources.base import check_cancelled

__all__ = ["FIRST_ANSWER_S", "STALL_S", "Answer", "InterruptedAnswerError", "get"]

FIRST_ANSWER_S = 2.5
"""The whole price of a server that does not answer, in seconds.

Name lookup, connection, TLS and redirects together; it stays under three with the time that
imports take.
"""
STALL_S = 20.0
"""How long a server that answered may be silent, in seconds."""

_POLL_S = 0.1
_CHUNK_BYTES = 64 * 1024
_QUEUED_CHUNKS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The head of an answer; ``next_url`` is where a list of several pages goes on."""

    status: int
    reason: str
    content_range: str | None
    content_length: int | None
    next_url: str | None


class InterruptedAnswerError(Exception):
    """The connection broke, or none came about; asking again may help."""


# What the reading thread hands over: the answer's head, its body, and the end or what broke.
_Item = Answer | bytes | Exception | None


def get(
    url: str,
    headers: Mapping[str, str],
    cancel: CancelToken,
    *,
    first_answer_s: float = FIRST_ANSWER_S,
    stall_s: float = STALL_S,
) -> Iterator[Answer | bytes]:
    """Yield the answer's head, then its body in pieces.

    Raises ``InterruptedAnswerError``, which says in a few words what happened, and
    ``WorkCancelledError``.
    """
    items: queue.Queue[_Item] = queue.Queue(_QUEUED_CHUNKS)
    abandoned = threading.Event()
    deadline_s = time.monotonic() + first_answer_s
    threading.Thread(
        target=_read_in_thread,
        args=(url, headers, stall_s, items, abandoned),
        name="midfill-hub",
        daemon=True,
    ).start()
    try:
        while True:
            item = _next_item(items, deadline_s, cancel)
            if item is None:
                return
            if isinstance(item, Exception):
                raise InterruptedAnswerError(_explain(item)) from item
            yield item
            deadline_s = time.monotonic() + stall_s
    finally:
        abandoned.set()


def _next_item(items: queue.Queue[_Item], deadline_s: float, cancel: CancelToken) -> _Item:
    """Wait for the thread's next item, looking at the cancel token and at the deadline."""
    while True:
        check_cancelled(cancel)
        try:
            return items.get(timeout=_POLL_S)
        except queue.Empty:
            if time.monotonic() >= deadline_s:
                raise InterruptedAnswerError("it does not answer") from None


def _read_in_thread(
    url: str,
    headers: Mapping[str, str],
    stall_s: float,
    items: queue.Queue[_Item],
    abandoned: threading.Event,
) -> None:
    """Send one GET and put its answer into ``items``, until the end or until nobody wants it."""
    import requests
    import urllib3.exceptions

    def put(item: _Item) -> bool:
        while not abandoned.is_set():
            try:
                items.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False

    try:
        with (
            requests.Session() as session,
            session.get(
                url, headers=headers, stream=True, timeout=(FIRST_ANSWER_S, stall_s)
            ) as response,
        ):
            length = response.headers.get("Content-Length", "")
            answer = Answer(
                status=response.status_code,
                reason=response.reason or "",
                content_range=response.headers.get("Content-Range"),
                content_length=int(length) if length.isdecimal() else None,
                next_url=response.links.get("next", {}).get("url"),
            )
            if not put(answer):
                return
            for chunk in response.iter_content(_CHUNK_BYTES):
                if not put(chunk):
                    return
        put(None)
    except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
        put(error)


def _explain(error: Exception) -> str:
    """Say in a few words what broke; the library's own words are long and speak of its insides."""
    import requests

    text = str(error)
    if any(sign in text for sign in ("NameResolution", "getaddrinfo", "Name or service")):
        return "its name cannot be looked up; is there a network?"
    if isinstance(error, requests.exceptions.SSLError):
        return "no trusted connection (certificate); behind a company proxy set REQUESTS_CA_BUNDLE"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy refused the connection"
    if isinstance(error, requests.exceptions.Timeout):
        return "it does not answer"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was cut"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "no connection"
    return f"the request failed ({type(error).__name__})"
