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
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from midfill_engine.registry import HubSource
from midfill_engine.sources.base import FetchContext, SourceError, human_bytes, pause
from midfill_engine.sources.http import (
    FIRST_ANSWER_S,
    STALL_S,
    Answer,
    InterruptedAnswerError,
    get,
)

__all__ = [
    "HubReader",
    "check_online",
    "find_in_hub_cache",
    "hub_endpoint",
    "hub_headers",
    "hub_name",
    "refusal",
]

_RETRIES = 3


class HubReader:
    """Downloads one file of the hub at its pinned revision; a cut connection is taken up again."""

    def __init__(
        self,
        source: HubSource,
        size_bytes: int,
        *,
        first_answer_s: float = FIRST_ANSWER_S,
        stall_s: float = STALL_S,
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
        return hub_name()

    @property
    def scratch_bytes(self) -> int:
        """Nothing besides the file."""
        return 0

    def stream(self, offset: int, context: FetchContext) -> Iterator[bytes]:
        """Yield the file's bytes from ``offset`` on, over as many connections as it takes."""
        check_online()
        position = offset
        fruitless = 0
        while position < self._size_bytes:
            before = position
            try:
                for data in self._read_once(position, context):
                    position += len(data)
                    yield data
                problem = "it closed the connection too early"
            except InterruptedAnswerError as error:
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
        headers = {
            # Compression would make Range and Content-Length speak of other bytes than ours.
            "Accept-Encoding": "identity",
            "Range": f"bytes={position}-",
            **hub_headers(),
        }
        skip_bytes = 0
        for item in get(
            self._url(),
            headers,
            context.cancel,
            first_answer_s=self._first_answer_s,
            stall_s=self._stall_s,
        ):
            if isinstance(item, Answer):
                skip_bytes = self._check_answer(item, position)
                continue
            data = item[skip_bytes:] if skip_bytes else item
            skip_bytes = max(0, skip_bytes - len(item))
            if data:
                yield data

    def _check_answer(self, answer: Answer, position: int) -> int:
        """Return how many bytes of the body to skip; raise ``SourceError`` if it is not ours."""
        if answer.status == 206:
            expected = f"bytes {position}-{self._size_bytes - 1}/{self._size_bytes}"
            if answer.content_range != expected:
                raise SourceError(f"it sent {answer.content_range!r} when asked for {expected!r}")
            return 0
        if answer.status != 200:
            raise refusal(answer, self._source.repo)
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
            endpoint=hub_endpoint(),
        )


def find_in_hub_cache(source: HubSource) -> Path | None:
    """Return the file where another program's download through the hub's own cache left it."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source.repo, source.filename, revision=source.revision)
    return Path(found) if isinstance(found, str) else None


def hub_endpoint() -> str:
    """Return the address of the hub, or of the mirror that the user has set."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def hub_name() -> str:
    """Return the host that is asked, for a person."""
    return urlsplit(hub_endpoint()).netloc or hub_endpoint()


def hub_headers() -> dict[str, str]:
    """Return what every request to the hub carries: the user's token, if there is one."""
    from huggingface_hub import get_token

    headers = {"User-Agent": "midfill"}
    if token := get_token():
        headers["Authorization"] = f"Bearer {token}"
    return headers


def check_online() -> None:
    """Raise ``SourceError`` where the user has forbidden to ask the hub."""
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    if value.strip().upper() in {"1", "ON", "YES", "TRUE"}:
        raise SourceError("not asked, since HF_HUB_OFFLINE is set")


def refusal(answer: Answer, repo: str) -> SourceError:
    """Say why the hub did not hand out something of ``repo``, and what to do."""
    if answer.status in (401, 403):
        return SourceError(
            f"it refused access ({answer.status} {answer.reason}). Where {hub_endpoint()}/{repo} "
            "asks to agree to its terms, do so there, and set HF_TOKEN; "
            "if HF_TOKEN or a stored login is out of date, renew or remove it"
        )
    return SourceError(f"it answered {answer.status} {answer.reason}")
