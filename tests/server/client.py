"""A small LSP client for tests and demonstrations: synchronous, over stdio, TCP or WebSocket.

A thread reads; requests give a ``Reply`` that can be waited for or cancelled; what the server sends
by itself is kept in order and can be waited for. Nothing here sleeps.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol, TypeAlias

Json: TypeAlias = Any
"""What ``json.loads`` returns."""

REQUEST_CANCELLED = -32800
INVALID_PARAMS = -32602

_TIMEOUT_S = 20.0


class LspError(Exception):
    """The server answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Connection(Protocol):
    """How message bodies travel."""

    def send(self, body: bytes) -> None:
        """Send one message."""
        ...

    def receive(self) -> bytes | None:
        """Wait for one message; ``None`` at the end."""
        ...

    def close(self) -> None:
        """End the connection, also under a waiting ``receive``."""
        ...


class StreamConnection:
    """LSP's base protocol (Content-Length headers) over two byte streams."""

    def __init__(
        self, source: BinaryIO, sink: BinaryIO, on_close: Callable[[], None] | None = None
    ) -> None:
        self._source = source
        self._sink = sink
        self._on_close = on_close

    def send(self, body: bytes) -> None:
        """Send one message."""
        self._sink.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._sink.flush()

    def send_raw(self, data: bytes) -> None:
        """Send bytes as they are, framed or not."""
        self._sink.write(data)
        self._sink.flush()

    def receive(self) -> bytes | None:
        """Wait for one message; ``None`` at the end."""
        length = 0
        while (line := self._source.readline()).strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return self._source.read(length) if line else None

    def close(self) -> None:
        """Tell the server that nothing more comes."""
        if self._on_close is not None:
            self._on_close()
        else:
            self._sink.close()


class WebSocketConnection:
    """One message a frame; needs the package ``websockets``."""

    def __init__(self, url: str, origin: str | None = None) -> None:
        from websockets.sync.client import connect

        self._context = connect(url, origin=origin, max_size=None, compression=None)  # type: ignore[arg-type]
        self._socket = self._context.__enter__()

    def send(self, body: bytes) -> None:
        """Send one message."""
        self._socket.send(body.decode())

    def receive(self) -> bytes | None:
        """Wait for one message; ``None`` at the end."""
        from websockets.exceptions import ConnectionClosed

        try:
            data = self._socket.recv()
        except ConnectionClosed:
            return None
        return data.encode() if isinstance(data, str) else data

    def close(self) -> None:
        """Close the socket."""
        self._context.__exit__(None, None, None)


@dataclass
class Reply:
    """The answer to one request, perhaps still to come."""

    id: int
    _future: Future[Json] = field(default_factory=Future)

    def result(self, timeout_s: float = _TIMEOUT_S) -> Json:
        """Wait for the result. Raises ``LspError`` if the server answered with an error."""
        return self._future.result(timeout_s)

    @property
    def done(self) -> bool:
        """Whether the answer is there."""
        return self._future.done()

    def error_code(self, timeout_s: float = _TIMEOUT_S) -> int | None:
        """Wait; return the code of the error, ``None`` for a result."""
        error = self._future.exception(timeout_s)
        return error.code if isinstance(error, LspError) else None


@dataclass(frozen=True)
class Message:
    """A notification or a request that the server sent."""

    method: str
    params: Json


class LspClient:
    """Talks to one server. ``answers`` maps a method of the server to what it is answered.

    A value of ``answers`` is the result, or a function from params to the result. Requests that
    are not in it get ``null``.
    """

    def __init__(
        self,
        connection: Connection,
        process: subprocess.Popen[bytes] | None = None,
        answers: Mapping[str, object] | None = None,
    ) -> None:
        self.connection = connection
        self.process = process
        self.answers = dict(answers or {})
        self.received: list[Message] = []
        self._inbox: queue.Queue[Message | None] = queue.Queue()
        self._replies: dict[int, Reply] = {}
        self._lock = threading.Lock()
        self._next_id = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        *,
        answers: Mapping[str, object] | None = None,
        env: Mapping[str, str] | None = None,
        stderr: int | BinaryIO | None = None,
    ) -> LspClient:
        """Start a server that talks over its standard streams."""
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=None if env is None else {**os.environ, **env},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        return cls(StreamConnection(process.stdout, process.stdin), process, answers)  # type: ignore[arg-type]

    @classmethod
    def connect_tcp(
        cls, host: str, port: int, answers: Mapping[str, object] | None = None
    ) -> LspClient:
        """Connect to a server that listens on TCP."""
        sock = socket.create_connection((host, port), timeout=_TIMEOUT_S)
        sock.settimeout(None)

        source, sink = sock.makefile("rb"), sock.makefile("wb")

        def close() -> None:
            with suppress(OSError):  # the server may have been quicker
                sock.shutdown(socket.SHUT_RDWR)
            for end in (source, sink, sock):
                end.close()

        return cls(StreamConnection(source, sink, close), answers=answers)  # type: ignore[arg-type]

    @classmethod
    def connect_ws(cls, url: str, answers: Mapping[str, object] | None = None) -> LspClient:
        """Connect to a server that listens for WebSockets."""
        return cls(WebSocketConnection(url), answers=answers)

    # What a client says

    def request(self, method: str, params: Json = None) -> Reply:
        """Send a request."""
        with self._lock:
            self._next_id += 1
            reply = self._replies[self._next_id] = Reply(self._next_id)
        self._send({"id": reply.id, "method": method, "params": params})
        return reply

    def notify(self, method: str, params: Json = None) -> None:
        """Send a notification."""
        self._send({"method": method, "params": params})

    def cancel(self, reply: Reply) -> None:
        """Ask the server to give up a request."""
        self.notify("$/cancelRequest", {"id": reply.id})

    def initialize(
        self,
        options: Json = None,
        *,
        capabilities: Json = None,
        encodings: Sequence[str] | None = None,
        process_id: int | None = None,
        folders: Sequence[str] = (),
        name: str | None = None,
    ) -> Json:
        """Do the handshake; returns the server's capabilities. ``folders`` are URIs."""
        capabilities = {"textDocument": {"inlineCompletion": {}}, **(capabilities or {})}
        if encodings is not None:
            capabilities["general"] = {"positionEncodings": list(encodings)}
        result = self.request(
            "initialize",
            {
                "processId": process_id,
                "rootUri": None,
                "workspaceFolders": [{"uri": uri, "name": "folder"} for uri in folders] or None,
                "clientInfo": name and {"name": name},
                "capabilities": capabilities,
                "initializationOptions": options,
            },
        ).result()
        self.notify("initialized", {})
        return result["capabilities"]

    def open(self, uri: str, text: str, *, language: str = "plaintext", version: int = 1) -> None:
        """Open a document."""
        document = {"uri": uri, "languageId": language, "version": version, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})

    def change(self, uri: str, version: int, *changes: Json) -> None:
        """Change a document; a change is ``{"text"}`` or ``{"range", "text"}``."""
        self.notify(
            "textDocument/didChange",
            {"textDocument": {"uri": uri, "version": version}, "contentChanges": list(changes)},
        )

    def complete(
        self, uri: str, line: int, character: int, *, selected: Json = None, automatic: bool = True
    ) -> Reply:
        """Ask for ghost text; ``selected`` is a ``selectedCompletionInfo``."""
        context: Json = {"triggerKind": 2 if automatic else 1}
        if selected is not None:
            context["selectedCompletionInfo"] = selected
        return self.request(
            "textDocument/inlineCompletion",
            {
                "textDocument": {"uri": uri},
                "position": {"line": line, "character": character},
                "context": context,
            },
        )

    # What the server says by itself

    def wait_for(
        self,
        method: str,
        where: Callable[[Json], bool] = lambda params: True,
        timeout_s: float = _TIMEOUT_S,
    ) -> Json:
        """Return the params of the next notification or request of that method.

        Messages before it are skipped; all of them stay in ``received``.
        """
        while (message := self._inbox.get(timeout=timeout_s)) is not None:
            if message.method == method and where(message.params):
                return message.params
        raise EOFError(f"the server ended before it sent {method}")

    def next_message(self, timeout_s: float = _TIMEOUT_S) -> Message | None:
        """Return the next notification or request; ``None`` once the server has ended."""
        return self._inbox.get(timeout=timeout_s)

    def params_of(self, method: str) -> list[Json]:
        """Return the params of everything of that method that has arrived, in order."""
        return [message.params for message in self.received if message.method == method]

    # The end

    def shutdown(self, timeout_s: float = _TIMEOUT_S) -> int | None:
        """Say goodbye properly; returns the exit code of a server that was started here."""
        self.request("shutdown").result(timeout_s)
        self.notify("exit")
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = _TIMEOUT_S) -> int | None:
        """Wait for the server to end; returns its exit code if it was started here."""
        code = None if self.process is None else self.process.wait(timeout_s)
        self._reader.join(timeout_s)
        return code

    def close(self) -> None:
        """Leave without a word; a server that was started here is ended if need be."""
        with suppress(OSError):
            self.connection.close()
        if self.process is not None:
            try:
                self.process.wait(_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(_TIMEOUT_S)
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()

    def __enter__(self) -> LspClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, message: Json) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        with self._lock:
            self.connection.send(body)

    def _read(self) -> None:
        try:
            while (body := self.connection.receive()) is not None:
                self._take(json.loads(body))
        except (OSError, ValueError):
            pass  # closed on this side
        for reply in self._replies.values():
            if not reply.done:
                reply._future.set_exception(EOFError("the server ended before it answered"))
        self._inbox.put(None)

    def _take(self, message: Json) -> None:
        if "method" not in message:
            future = self._replies[message["id"]]._future
            if (error := message.get("error")) is not None:
                future.set_exception(LspError(error["code"], error["message"]))
            else:
                future.set_result(message.get("result"))
            return
        item = Message(message["method"], message.get("params"))
        self.received.append(item)
        if "id" in message:
            answer = self.answers.get(item.method)
            result = answer(item.params) if callable(answer) else answer
            self._send({"id": message["id"], "result": result})
        self._inbox.put(item)
