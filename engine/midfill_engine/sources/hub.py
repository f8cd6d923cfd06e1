"""The Hugging Face hub, or a mirror of it.

``huggingface_hub`` supplies what is its own business: how a file's address is written, the user's
stored token, and the cache it keeps on this machine. The transfer is ours, a plain GET with a
Range, because ``hf_hub_download`` cannot promise what a pull needs. Its HEAD request, retries and
name lookups add up to minutes where nothing answers; it shows progress in its own terminal bar
only; it cannot be cancelled from another thread; and it would leave a second copy of the model in
its cache. ``requests`` and not that library's session, whose type differs between its versions.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from midfill_engine.registry import HubSource
from midfill_engine.sources.base import (
    FetchContext,
    SourceError,
    check_cancelled,
    human_bytes,
    pause,
)

__all__ = ["HubReader", "find_in_hub_cache"]

# The whole price of a hub that does not answer: name lookup, connection, TLS and redirects
# together. It stays under three seconds with the time that imports take.
_FIRST_ANSWER_S = 2.5
_STALL_S = 20.0
_RETRIES = 3
_POLL_S = 0.1
_CHUNK_BYTES = 64 * 1024
_QUEUED_CHUNKS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    reason: str
    content_range: str | None
    content_length: int | None


class _InterruptedError(Exception):
    """The connection broke; asking again for the rest may help."""


# What the reading thread hands over: the answer's head, its body, and the end or what broke.
_Item = _Answer | bytes | Exception | None


class HubReader:
    """Downloads one file of the hub at its pinned revision; a cut connection is taken up again."""

    def __init__(
        self,
        source: HubSource,
        size_bytes: int,
        *,
        first_answer_s: float = _FIRST_ANSWER_S,
        stall_s: float = _STALL_S,
        retry_wait_s: float = 0.5,
    ) -> None:
        self._source = source
        self._size_bytes = size_bytes
        self._first_answer_s = first_answer_s
        self._stall_s = stall_s
        self._retry_wait_s = retry_wait_s

    @property
    def label(self) -> str:
        """The host that is asked."""
        endpoint = _endpoint() or "https://huggingface.co"
        return urlsplit(endpoint).netloc or endpoint

    @property
    def scratch_bytes(self) -> int:
        """Nothing besides the file."""
        return 0

    def stream(self, offset: int, context: FetchContext) -> Iterator[bytes]:
        """Yield the file's bytes from ``offset`` on, over as many connections as it takes."""
        if _is_offline():
            raise SourceError("not asked, since HF_HUB_OFFLINE is set")
        position = offset
        fruitless = 0
        while position < self._size_bytes:
            before = position
            try:
                for data in self._read_once(position, context):
                    position += len(data)
                    yield data
                problem = "it closed the connection too early"
            except _InterruptedError as error:
                problem = str(error)
            if position == offset:
                # It never delivered anything: another try would only cost the user more time.
                raise SourceError(problem)
            fruitless = 0 if position > before else fruitless + 1
            if fruitless > _RETRIES:
                raise SourceError(f"{problem}, {fruitless} times in a row")
            if position < self._size_bytes:
                pause(self._retry_wait_s * 2**fruitless, context.cancel)

    def _read_once(self, position: int, context: FetchContext) -> Iterator[bytes]:
        """Yield what one connection delivers from ``position`` on."""
        items: queue.Queue[_Item] = queue.Queue(_QUEUED_CHUNKS)
        abandoned = threading.Event()
        deadline_s = time.monotonic() + self._first_answer_s
        # A name lookup cannot be given a timeout, nor can a read be cancelled: so a thread does
        # both, and is left behind when they take too long.
        threading.Thread(
            target=_read_in_thread,
            args=(self._url(), _headers(position), self._stall_s, items, abandoned),
            name="midfill-hub",
            daemon=True,
        ).start()
        skip_bytes: int | None = None
        try:
            while True:
                item = _next_item(items, deadline_s, context)
                if item is None:
                    return
                if isinstance(item, Exception):
                    raise _InterruptedError(_explain(item)) from item
                deadline_s = time.monotonic() + self._stall_s
                if isinstance(item, _Answer):
                    skip_bytes = self._check_answer(item, position)
                    continue
                data = item[skip_bytes:] if skip_bytes else item
                skip_bytes = max(0, (skip_bytes or 0) - len(item))
                if data:
                    yield data
        finally:
            abandoned.set()

    def _check_answer(self, answer: _Answer, position: int) -> int:
        """Return how many bytes of the body to skip; raise ``SourceError`` if it is not ours."""
        if answer.status == 206:
            expected = f"bytes {position}-{self._size_bytes - 1}/{self._size_bytes}"
            if answer.content_range != expected:
                raise SourceError(f"it sent {answer.content_range!r} when asked for {expected!r}")
            return 0
        if answer.status in (401, 403):
            raise SourceError(
                f"it refused access ({answer.status} {answer.reason}); "
                "if HF_TOKEN or a stored login is out of date, renew or remove it"
            )
        if answer.status != 200:
            raise SourceError(f"it answered {answer.status} {answer.reason}")
        if answer.content_length not in (None, self._size_bytes):
            raise SourceError(
                f"it sent {human_bytes(answer.content_length or 0)} where the file has "
                f"{human_bytes(self._size_bytes)}; a proxy or a sign-in page may have answered"
            )
        # A server that ignores Range sends the file from its start.
        return position

    def _url(self) -> str:
        from huggingface_hub import hf_hub_url

        return hf_hub_url(
            self._source.repo,
            self._source.filename,
            revision=self._source.revision,
            endpoint=_endpoint(),
        )


def find_in_hub_cache(source: HubSource) -> Path | None:
    """Return the file where another program's download through the hub's own cache left it."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source.repo, source.filename, revision=source.revision)
    return Path(found) if isinstance(found, str) else None


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def _is_offline() -> bool:
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.strip().upper() in {"1", "ON", "YES", "TRUE"}


def _headers(position: int) -> dict[str, str]:
    from huggingface_hub import get_token

    headers = {
        # Compression would make Range and Content-Length speak of other bytes than ours.
        "Accept-Encoding": "identity",
        "Range": f"bytes={position}-",
        "User-Agent": "midfill",
    }
    if token := get_token():
        headers["Authorization"] = f"Bearer {token}"
    return headers


def _next_item(items: queue.Queue[_Item], deadline_s: float, context: FetchContext) -> _Item:
    """Wait for the thread's next item, looking at the cancel token and at the deadline."""
    while True:
        check_cancelled(context.cancel)
        try:
            return items.get(timeout=_POLL_S)
        except queue.Empty:
            if time.monotonic() >= deadline_s:
                raise _InterruptedError("it does not answer") from None


def _read_in_thread(
    url: str,
    headers: dict[str, str],
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
                url, headers=headers, stream=True, timeout=(_FIRST_ANSWER_S, stall_s)
            ) as response,
        ):
            length = response.headers.get("Content-Length", "")
            answer = _Answer(
                status=response.status_code,
                reason=response.reason or "",
                content_range=response.headers.get("Content-Range"),
                content_length=int(length) if length.isdecimal() else None,
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
