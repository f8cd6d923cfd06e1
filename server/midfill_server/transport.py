"""How bytes travel: standard streams, TCP, WebSocket. One client, then the end.

pygls has loops of its own for these; they swallow the exit code, keep a thread in a read that
nothing can end, and take WebSocket messages of at most 1 MiB.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, BinaryIO

from midfill_engine.errors import BackendUnavailableError, MidfillError

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

    from midfill_server.server import MidfillServer

__all__ = ["serve_stdio", "serve_tcp", "serve_ws"]

_log = logging.getLogger(__name__)

_READ_BYTES = 64 * 1024
_FLUSH_TIMEOUT_S = 1.0

# A page from anywhere can connect to a port on this machine, but it cannot hide its origin.
_LOCAL_ORIGIN = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")


def serve_stdio(server: MidfillServer) -> int:
    """Talk over standard input and output until the client leaves; returns the exit code."""
    # Whatever else in this process prints would end up between two messages: from now on, only
    # the private copy leads to the client, and standard output goes to standard error.
    sys.stdout.flush()
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        asyncio.run(_stdio(server, sys.stdin.fileno(), out))
    return server.exit_code


def serve_tcp(server: MidfillServer, host: str, port: int) -> int:
    """Talk to the first client that connects; port 0 takes a free one. Returns the exit code."""
    asyncio.run(_tcp(server, host, port))
    return server.exit_code


def serve_ws(server: MidfillServer, host: str, port: int) -> int:
    """Talk to the first WebSocket client, one message a frame. Returns the exit code."""
    asyncio.run(_ws(server, host, port))
    return server.exit_code


async def _converse(server: MidfillServer, messages: AsyncIterator[bytes | str]) -> None:
    """Feed the server until the messages end or the server wants to stop."""

    async def read() -> None:
        async for body in messages:
            server.receive(body)

    tasks = [asyncio.ensure_future(read()), asyncio.ensure_future(server.stopped())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            _log.warning("the connection ended: %r", result)


async def _framed(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield message bodies (LSP base protocol) until the stream ends, in the midst of one too."""
    with contextlib.suppress(asyncio.IncompleteReadError):
        while (length := await _content_length(reader)) is not None:
            yield await reader.readexactly(length)


async def _content_length(reader: asyncio.StreamReader) -> int | None:
    length: int | None = None
    while line := await reader.readline():
        if not line.strip():
            if length is not None:
                return length
            continue
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            length = int(value)
    return None


class _PipeWriter:
    """Writes to a pipe; a reader that has gone away ends the session."""

    def __init__(self, out: BinaryIO, gone: Callable[[], None]) -> None:
        self._out = out
        self._gone = gone

    def write(self, data: bytes) -> None:
        try:
            self._out.write(data)
            self._out.flush()
        except (OSError, ValueError) as error:
            _log.warning("the client does not read any more: %r", error)
            self._gone()

    def close(self) -> None:
        """Do nothing: the pipe belongs to the caller."""


async def _stdio(server: MidfillServer, stdin: int, out: BinaryIO) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()

    def pump() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            data = b"-"
            while data:
                try:
                    data = os.read(stdin, _READ_BYTES)
                except OSError:
                    data = b""
                loop.call_soon_threadsafe(reader.feed_data if data else _end, data)

    def _end(_: bytes) -> None:
        reader.feed_eof()

    # A daemon that reads the descriptor itself: a read that never returns delays no exit.
    threading.Thread(target=pump, name="midfill-stdin", daemon=True).start()
    server.protocol.set_writer(_PipeWriter(out, server.request_stop))
    await _converse(server, _framed(reader))


async def _tcp(server: MidfillServer, host: str, port: int) -> None:
    ended = asyncio.Event()
    turn = _one_at_most()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if turn():
            server.protocol.set_writer(writer)  # pyright: ignore[reportArgumentType] - pygls takes write() -> None too
            await _converse(server, _framed(reader))
            ended.set()
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_FLUSH_TIMEOUT_S):
                await writer.wait_closed()

    try:
        listener = await asyncio.start_server(connection, host, port)
    except OSError as error:
        raise MidfillError(f"cannot listen on {host}:{port}: {error}") from error
    _announce("tcp", listener.sockets[0].getsockname())
    await ended.wait()
    listener.close()


class _FrameWriter:
    """Sends each message as a text frame, in order."""

    def __init__(self, send: Callable[[str], Awaitable[None]]) -> None:
        self._send = send
        self._queue: asyncio.Queue[str] = asyncio.Queue()

    def write(self, data: bytes) -> None:
        self._queue.put_nowait(data.decode())

    def close(self) -> None:
        """Do nothing: the connection belongs to the transport."""

    async def pump(self) -> None:
        while True:
            await self._send(await self._queue.get())


async def _ws(server: MidfillServer, host: str, port: int) -> None:
    try:
        from websockets.asyncio.server import serve
        from websockets.exceptions import ConnectionClosed
    except ImportError as error:
        raise BackendUnavailableError(
            'WebSocket needs one more package: pip install "midfill[websocket]"'
        ) from error
    ended = asyncio.Event()
    turn = _one_at_most()

    async def frames(socket: ServerConnection) -> AsyncIterator[bytes | str]:
        with contextlib.suppress(ConnectionClosed):
            async for frame in socket:
                yield frame

    async def connection(socket: ServerConnection) -> None:
        if not turn():
            return
        writer = _FrameWriter(socket.send)
        server.protocol.set_writer(writer, include_headers=False)
        pump = asyncio.ensure_future(writer.pump())
        await _converse(server, frames(socket))
        pump.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
            await pump
        ended.set()

    try:
        listener = await serve(
            connection,
            host,
            port,
            origins=[None, _LOCAL_ORIGIN],
            # Whole documents travel in one frame, over the loopback interface.
            max_size=None,
            compression=None,
        )
    except OSError as error:
        raise MidfillError(f"cannot listen on {host}:{port}: {error}") from error
    _announce("ws", next(iter(listener.sockets)).getsockname())
    await ended.wait()
    listener.close()


def _one_at_most() -> Callable[[], bool]:
    """Return a function that is true at its first call: one session has one client."""
    taken = False

    def turn() -> bool:
        nonlocal taken
        mine, taken = not taken, True
        if not mine:
            _log.warning("refused a second client")
        return mine

    return turn


def _announce(scheme: str, address: tuple[str, int]) -> None:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    print(f"midfill: listening on {scheme}://{host}:{address[1]}", file=sys.stderr, flush=True)
