"""Clients of scripted servers; nothing else in the project's tests runs on an event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest_asyncio

from tests.lsp.client import Client
from tests.server.conftest import environment

StartClient = Callable[..., Awaitable[Client]]


@pytest_asyncio.fixture
async def start() -> AsyncIterator[StartClient]:
    """Start a server of its own, over stdio unless told otherwise, and connect to it."""
    clients: list[Client] = []

    async def start_client(transport: str = "stdio", *arguments: str) -> Client:
        clients.append(Client())
        await clients[-1].start(transport, environment(), *arguments)
        return clients[-1]

    yield start_client
    for client in clients:
        await client.clean_up()
        # Whatever a test looks at, the server sent nothing that LSP 3.18 does not know.
        assert client.invalid == []
