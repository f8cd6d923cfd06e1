"""pytest-lsp's client, started over any transport, that keeps and checks what the server sends.

Every message of the server is read by ``lsprotocol`` and written back: what is not in the protocol,
or not in the right place, is lost on the way, and then the message is in ``invalid``.
"""

from __future__ import annotations

import asyncio
import copy
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeAlias

import pytest
from lsprotocol import types
from lsprotocol.converters import get_converter
from pygls.exceptions import JsonRpcException
from pygls.protocol import default_converter
from pytest_lsp import LanguageClient
from pytest_lsp.checks import (
    check_params_against_client_capabilities,
    check_result_against_client_capabilities,
)
from pytest_lsp.client import DEFAULT_CLIENT_FEATURES
from pytest_lsp.protocol import LanguageClientProtocol

Json: TypeAlias = Any

COMMAND = (sys.executable, "-m", "tests.server.scripted_server")
TIMEOUT_S = 20.0

PROGRESS = "midfill/inlineCompletionProgress"
STATS = "midfill/completionStats"
STATUS = "midfill/didChangeStatus"
OWN_NOTIFICATIONS = (PROGRESS, STATS, STATUS)

_LISTENING = re.compile(rb"listening on \w+://127\.0\.0\.1:(\d+)")
_OWN_METHODS = "midfill/"


class _Protocol(LanguageClientProtocol):
    """pytest-lsp's protocol, which shows each message to the client before anything reads it."""

    def structure_message(self, data: dict[str, Any]) -> object:
        # The reader calls this for every JSON object from the inside out; only whole messages
        # carry the version. Reading one changes it, so a copy is kept.
        if "jsonrpc" in data:
            self._server.took(copy.deepcopy(data))  # type: ignore[attr-defined]
        return super().structure_message(data)

    def send_request_async(
        self, method: str, params: object = None, msg_id: str | int | None = None
    ) -> asyncio.Future[Any]:
        """Send a request now, which pytest-lsp's own coroutine does once it is awaited.

        Only then do edits, requests and cancels leave in the order in which a test makes them.
        """
        capabilities = self._server.capabilities
        check_params_against_client_capabilities(capabilities, method, params)
        msg_id = self._server.noted(method, msg_id)  # type: ignore[attr-defined]
        sent = asyncio.wrap_future(self.send_request(method, params, msg_id=msg_id))

        async def checked() -> object:
            result = await sent
            check_result_against_client_capabilities(capabilities, method, result)
            return result

        return asyncio.ensure_future(checked())

    def send_raw(self, message: Mapping[str, Json]) -> asyncio.Future[Any]:
        """Send a request as it is, however little sense it makes; returns its answer."""
        answer: Future[Any] = Future()
        self._request_futures[message["id"]] = answer
        self._send_data(dict(message))
        return asyncio.wrap_future(answer)


class Client(LanguageClient):
    """One client of one scripted server."""

    def __init__(self) -> None:
        super().__init__(protocol_cls=_Protocol, converter_factory=default_converter)
        for method, answer in DEFAULT_CLIENT_FEATURES.items():
            self.feature(method)(answer)
        self.feature(types.CLIENT_REGISTER_CAPABILITY)(_accept_registration)
        for method in OWN_NOTIFICATIONS:
            self.feature(method)(_keep)
        self.asked: dict[str | int, str] = {}
        self.answered: Counter[str | int] = Counter()
        self.received: list[Json] = []
        self.invalid: list[str] = []
        self.registered: list[types.Registration] = []
        self.process: asyncio.subprocess.Process | None = None
        self._ids = 0
        self._news = asyncio.Event()
        self._drain: asyncio.Task[None] | None = None

    async def start(self, transport: str, env: Mapping[str, str], *arguments: str) -> None:
        """Start a server and connect to it."""
        if transport == "ws":
            pytest.importorskip("websockets", reason="the WebSocket extra is not installed")
        command = [*COMMAND, "--transport", transport, *arguments]
        if transport == "stdio":
            await self.start_io(*command, env=dict(env), limit=2**24)
            self.process = self._server
            return
        self.process = await asyncio.create_subprocess_exec(
            *command, env=dict(env), stderr=asyncio.subprocess.PIPE
        )
        assert self.process.stderr is not None
        found = None
        while found is None:
            line = await self.process.stderr.readline()
            assert line, "the server ended before it listened"
            found = _LISTENING.search(line)
        self._drain = asyncio.create_task(_read_to_the_end(self.process.stderr))
        connect = self.start_tcp if transport == "tcp" else self.start_ws
        await connect("127.0.0.1", int(found[1]))

    # What a client says

    def noted(self, method: str, msg_id: str | int | None = None) -> str | int:
        """Return the id for a request, by default a number, as most clients send."""
        if msg_id is None:
            msg_id = self._ids = self._ids + 1
        self.asked[msg_id] = method
        return msg_id

    def ask(
        self, method: str, params: object, msg_id: str | int | None = None
    ) -> asyncio.Future[Any]:
        """Send a request."""
        return self.protocol.send_request_async(method, params, msg_id)  # type: ignore[return-value]

    def ask_raw(self, method: str, params: Json) -> asyncio.Future[Any]:
        """Send a request whose params need not make sense."""
        msg_id = self.noted(method)
        message = {"jsonrpc": "2.0", "id": msg_id, "method": method, "params": params}
        return self.protocol.send_raw(message)  # type: ignore[attr-defined]

    def tell_raw(self, method: str, params: Json) -> None:
        """Send a notification whose params need not make sense."""
        self.protocol._send_data({"jsonrpc": "2.0", "method": method, "params": params})

    def complete(
        self,
        uri: str,
        line: int,
        character: int,
        *,
        invoked: bool = False,
        msg_id: str | int | None = None,
        token: str | int | None = None,
    ) -> asyncio.Future[Any]:
        """Ask for ghost text."""
        kind = types.InlineCompletionTriggerKind
        return self.ask(
            types.TEXT_DOCUMENT_INLINE_COMPLETION,
            types.InlineCompletionParams(
                text_document=types.TextDocumentIdentifier(uri=uri),
                position=types.Position(line=line, character=character),
                context=types.InlineCompletionContext(
                    trigger_kind=kind.Invoked if invoked else kind.Automatic
                ),
                work_done_token=token,
            ),
            msg_id,
        )

    def open(self, uri: str, text: str, version: int = 1) -> None:
        """Open a document."""
        self.text_document_did_open(
            types.DidOpenTextDocumentParams(
                text_document=types.TextDocumentItem(
                    uri=uri, language_id="plaintext", version=version, text=text
                )
            )
        )

    def change(self, uri: str, version: int, *changes: tuple[types.Range | None, str]) -> None:
        """Change a document, in parts, or whole where there is no range."""
        self.text_document_did_change(
            types.DidChangeTextDocumentParams(
                text_document=types.VersionedTextDocumentIdentifier(uri=uri, version=version),
                content_changes=[
                    types.TextDocumentContentChangeWholeDocument(text=text)
                    if place is None
                    else types.TextDocumentContentChangePartial(range=place, text=text)
                    for place, text in changes
                ],
            )
        )

    def close(self, uri: str) -> None:
        """Close a document."""
        self.text_document_did_close(
            types.DidCloseTextDocumentParams(text_document=types.TextDocumentIdentifier(uri=uri))
        )

    def cancel(self, msg_id: str | int) -> None:
        """Ask the server to give up a request."""
        self.protocol.notify(types.CANCEL_REQUEST, types.CancelParams(id=msg_id))

    # What the server says

    def took(self, message: Json) -> None:
        """Note one message of the server and look whether the protocol knows all of it."""
        method = message.get("method")
        if method is None:
            self.answered[message["id"]] += 1
            method = self.asked.get(message["id"])
        else:
            self.received.append(message)
        if problem := _problem(message, method):
            self.invalid.append(problem)
        # Whoever waits looks again when the message has been handled.
        asyncio.get_running_loop().call_soon(self._news.set)

    def params_of(self, method: str) -> list[Json]:
        """Return the params of everything of that method that has arrived, as they were sent."""
        return [one["params"] for one in self.received if one["method"] == method]

    async def until(self, ready: Callable[[], Any]) -> Any:
        """Wait until ``ready()`` is true, and return it; it is asked after each message."""
        async with asyncio.timeout(TIMEOUT_S):
            while not (value := ready()):
                self._news.clear()
                await self._news.wait()
        return value

    def report_server_error(self, error: Exception, source: object) -> None:
        """Keep what pytest-lsp would end the server for."""
        self.invalid.append(f"{error!r} in what the server sent")

    # The end

    async def leave(self) -> int:
        """Say goodbye properly; returns the exit code."""
        await self.shutdown_async(None)
        self.exit(None)
        return await self.ended()

    async def ended(self) -> int:
        """Wait for the server to end; returns the exit code."""
        assert self.process is not None
        async with asyncio.timeout(TIMEOUT_S):
            return await self.process.wait()

    async def clean_up(self) -> None:
        """End the server if it is still there, and everything that was begun for it."""
        assert self.process is not None
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.kill()
        await self.process.wait()
        # pygls leaves the writer of a TCP connection open.
        writer = self.protocol.writer
        if isinstance(writer, asyncio.StreamWriter):
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        # What a killed server had not read yet breaks the connection.
        with suppress(ConnectionError):
            await self.stop()
        if self._drain is not None:
            await self._drain


async def _read_to_the_end(stream: asyncio.StreamReader) -> None:
    while line := await stream.readline():
        sys.stderr.write(line.decode(errors="replace"))


def _keep(client: Client, params: object) -> None:
    """Do nothing: whatever arrives is kept in ``received``."""


def _accept_registration(client: Client, params: types.RegistrationParams) -> None:
    client.registered.extend(params.registrations)


async def error_code(answer: asyncio.Future[Any]) -> int | None:
    """Wait for an answer; return the code of the error, ``None`` for a result."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await answer
    except JsonRpcException as error:
        return error.code
    return None


def _problem(message: Json, method: str | None) -> str | None:
    """Return what is wrong with a message of the server, ``None`` if the protocol knows it all."""
    if message.get("jsonrpc") != "2.0":
        return f"no JSON-RPC 2.0: {message}"
    shape: Any = None
    if "error" in message:
        shape = types.ResponseErrorMessage
    elif method in types.METHOD_TO_TYPES:
        request, response, _, _ = types.METHOD_TO_TYPES[method]
        shape = request if "method" in message else response
    elif method is None or not method.startswith(_OWN_METHODS):
        return f"a method that LSP does not know: {message}"
    if shape is None:
        return None
    converter = get_converter()
    try:
        read = converter.structure(copy.deepcopy(message), shape)
    except Exception as error:
        return f"{error!r} in {message}"
    written = converter.unstructure(read, shape)
    lost = list(_lost(message, written, ""))
    return f"{lost} unknown or changed in {message}" if lost else None


def _lost(sent: Json, read: Json, path: str) -> list[str]:
    """Return the paths of what was sent and is not what was read."""
    if isinstance(sent, dict) and isinstance(read, dict):
        # A property that is null is as good as one that is absent, but where null is the value.
        return [
            lost
            for name, value in sent.items()
            if value is not None or name in read
            for lost in _lost(value, read.get(name), f"{path}/{name}")
        ]
    if isinstance(sent, list) and isinstance(read, list) and len(sent) == len(read):
        pairs = enumerate(zip(sent, read, strict=True))
        return [lost for at, (a, b) in pairs for lost in _lost(a, b, f"{path}/{at}")]
    return [] if sent == read else [path]


def place(line: int, start: int, end: int) -> types.Range:
    """Return a range within a line."""
    return types.Range(
        start=types.Position(line=line, character=start),
        end=types.Position(line=line, character=end),
    )


def texts(answer: object) -> list[str]:
    """Return the texts of an answer, none for null."""
    items = answer.items if isinstance(answer, types.InlineCompletionList) else []
    return [str(item.insert_text) for item in items]
