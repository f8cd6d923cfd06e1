"""From hello to goodbye, as the clients that people use say it.

What a client can do is what it sent itself once, as pytest-lsp has it on record.
"""

from __future__ import annotations

import asyncio

import pytest
from lsprotocol import types
from pytest_lsp import client_capabilities

from tests.lsp.client import TIMEOUT_S, Client, error_code, texts
from tests.lsp.conftest import StartClient

pytestmark = pytest.mark.asyncio

URI = "file:///project/a.txt"
NOT_INITIALIZED = -32002
INVALID_REQUEST = -32600

VS_CODE = "visual_studio_code@v1.65.2"


async def hello(
    client: Client, capabilities: types.ClientCapabilities | None = None, *, name: str = ""
) -> types.ServerCapabilities:
    result = await client.initialize_session(
        types.InitializeParams(
            capabilities=capabilities or types.ClientCapabilities(),
            client_info=types.ClientInfo(name=name) if name else None,
        )
    )
    return result.capabilities


@pytest.mark.parametrize(
    ("spec", "encoding", "transport"),
    [
        (VS_CODE, "utf-16", "tcp"),
        ("neovim@v0.11.0", "utf-8", "stdio"),
        ("neovim@v0.10.0", "utf-16", "ws"),
        ("emacs@v29.1", "utf-32", "stdio"),
    ],
)
async def test_what_the_server_offers_suits_each_client(
    start: StartClient, spec: str, encoding: str, transport: str
) -> None:
    client = await start(transport)
    offered = await hello(client, client_capabilities(spec), name=spec)
    assert offered.position_encoding == encoding
    sync = offered.text_document_sync
    assert isinstance(sync, types.TextDocumentSyncOptions)
    assert (sync.open_close, sync.change) == (True, types.TextDocumentSyncKind.Incremental)
    assert offered.inline_completion_provider is not None
    client.open(URI, "one\ntwo")
    assert texts(await client.complete(URI, 1, 3)) == ["[7|two|]"]
    assert await client.leave() == 0
    # Loading was shown, from its beginning to its end, under a token that the client was told.
    (reports,) = client.progress_reports.values()
    assert isinstance(reports[0], types.WorkDoneProgressBegin)
    assert isinstance(reports[-1], types.WorkDoneProgressEnd)
    assert client.messages == []


async def test_settings_come_from_the_client_and_change_with_it(start: StartClient) -> None:
    client = await start()
    client.set_configuration({"trace": {"server": "off"}}, section="midfill")
    await hello(client, client_capabilities(VS_CODE))
    client.open(URI, "#doubt x")
    assert texts(await client.complete(URI, 0, 8)) == []
    await client.until(lambda: client.registered)
    (registration,) = client.registered
    assert registration.method == types.WORKSPACE_DID_CHANGE_CONFIGURATION
    client.set_configuration({"eagerness": "always"}, section="midfill.completion")
    client.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings=None))
    # It is pulled again first, and requests do not wait for that.
    async with asyncio.timeout(TIMEOUT_S):
        while not (said := texts(await client.complete(URI, 0, 8))):
            pass
    assert said == ["perhaps(1)"]


async def test_nothing_is_done_before_hello(start: StartClient) -> None:
    client = await start()
    client.open(URI, "early")
    early = client.ask_raw(
        types.TEXT_DOCUMENT_INLINE_COMPLETION,
        {
            "textDocument": {"uri": URI},
            "position": {"line": 0, "character": 5},
            "context": {"triggerKind": 2},
        },
    )
    assert await error_code(early) == NOT_INITIALIZED
    await hello(client)
    assert await client.complete(URI, 0, 5) is None


async def test_hello_is_said_once(start: StartClient) -> None:
    client = await start()
    first = await hello(client, client_capabilities("emacs@v29.1"))
    again = client.ask_raw(
        types.INITIALIZE, {"processId": None, "rootUri": None, "capabilities": {}}
    )
    assert await error_code(again) == INVALID_REQUEST
    # The first stays agreed on: this would be another place in UTF-16.
    assert first.position_encoding == "utf-32"
    client.open(URI, "😀😀 x")
    assert texts(await client.complete(URI, 0, 4)) == ["[4|😀😀 x|]"]


async def test_after_goodbye_requests_are_refused(start: StartClient) -> None:
    client = await start()
    await hello(client)
    client.open(URI, "x")
    await client.shutdown_async(None)
    assert await error_code(client.complete(URI, 0, 1)) == INVALID_REQUEST
    assert await error_code(client.ask_raw(types.SHUTDOWN, None)) == INVALID_REQUEST
    client.exit(None)
    assert await client.ended() == 0


@pytest.mark.parametrize("transport", ["stdio", pytest.param("tcp", marks=pytest.mark.slow)])
async def test_exit_before_hello_ends_the_server(start: StartClient, transport: str) -> None:
    client = await start(transport)
    client.exit(None)
    assert await client.ended() == 1
