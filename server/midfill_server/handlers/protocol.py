"""pygls's protocol with some habits changed, and what it knows of the request that is handled."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, cast

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.protocol import LanguageServerProtocol, lsp_method

from midfill_server.document import Snapshot
from midfill_server.handlers.arguments import RequestFailedError, subject_of

if TYPE_CHECKING:
    from concurrent.futures import Future

    from pygls.protocol.json_rpc import MessageHandler, MsgId, RPCMessage

    from midfill_server.server import MidfillServer

__all__ = ["Protocol", "arrived", "work_done_token"]

arrived: ContextVar[Snapshot | None] = ContextVar("midfill_arrived", default=None)
"""The document of the present request, as it was when the request arrived."""

work_done_token: ContextVar[str | int | None] = ContextVar("midfill_token", default=None)
"""The token that came with it."""

_BUILTIN_DOCUMENT_METHODS = (
    types.TEXT_DOCUMENT_DID_OPEN,
    types.TEXT_DOCUMENT_DID_CHANGE,
    types.TEXT_DOCUMENT_DID_CLOSE,
)


class Protocol(LanguageServerProtocol):
    """Each override says why."""

    def _register_builtin_features(self) -> None:
        super()._register_builtin_features()
        # pygls would keep a second copy of every document, split into lines by str.splitlines.
        for method in _BUILTIN_DOCUMENT_METHODS:
            self.fm.builtin_features.pop(method)  # pyright: ignore[reportUnknownMemberType] - untyped in pygls

    def _handle_request(self, msg_id: str | int, method_name: str, params: object) -> None:
        # An async handler starts later, when edits that came in the same burst are already
        # applied. Position and text agree only if the text is taken now.
        server = cast("MidfillServer", self._server)
        uri = subject_of(params)
        arrived.set(None if uri is None else server.documents.get(uri))
        work_done_token.set(getattr(params, "work_done_token", None))
        super()._handle_request(msg_id, method_name, params)

    def _execute_handler(
        self,
        msg_id: MsgId,
        handler: MessageHandler,
        callback: Callable[[Future[object]], None],
        args: tuple[object, ...] | None = None,
        kwargs: dict[str, object] | None = None,
    ) -> None:
        # A command is run by a handler that waits for another one. pygls ends only the first when
        # the request is cancelled, and never forgets the second.
        super()._execute_handler(msg_id, handler, callback, args, kwargs)
        waiting = callback.keywords.get("result_future") if isinstance(callback, partial) else None
        inner = None if waiting is None else self._request_futures.pop(msg_id, None)
        if waiting is not None and inner is not None:
            outer = cast("Future[object]", waiting)
            outer.add_done_callback(lambda _: inner.cancel())

    def _send_handler_result(self, future: Future[object], *, msg_id: MsgId) -> None:
        # pygls logs all errors as bugs. What a user is told is none.
        error = None if future.cancelled() else future.exception()
        if isinstance(error, RequestFailedError):
            self._request_futures.pop(msg_id, None)
            self._send_response(msg_id, error=error.to_response_error())
        else:
            super()._send_handler_result(future, msg_id=msg_id)

    def give_up(self, msg_id: MsgId) -> None:
        """Do as if the client had cancelled one of its requests."""
        if msg_id in self._request_futures:
            self._handle_cancel_notification(msg_id)

    def receive(self, data: dict[str, object]) -> None:
        """Handle one parsed message; a request that is malformed gets its answer.

        pygls would only log it, and the client would wait for ever.
        """
        try:
            message = self.structure_message(data)
        except JsonRpcException as error:
            msg_id = data.get("id")
            if "method" in data and isinstance(msg_id, str | int):
                self._send_response(msg_id, error=error.to_response_error())
            raise
        refusal = self._refusal(str(data.get("method", "")))
        if refusal is None:
            self.handle_message(cast("RPCMessage", message))
        elif isinstance(msg_id := data.get("id"), str | int):
            self._send_response(msg_id, error=refusal)

    def _refusal(self, method: str) -> types.ResponseError | None:
        """Return why a message comes at the wrong time, ``None`` for the right one.

        pygls says nothing after the goodbye, and lets anything in before the hello.
        """
        server = cast("MidfillServer", self._server)
        if not method or method == types.EXIT:
            return None
        if server.shutdown_requested:
            return types.ResponseError(types.ErrorCodes.InvalidRequest, "shutting down")
        if server.greeted and method == types.INITIALIZE:
            return types.ResponseError(types.ErrorCodes.InvalidRequest, "already initialized")
        if not server.greeted and method != types.INITIALIZE:
            return types.ResponseError(types.ErrorCodes.ServerNotInitialized, "not initialized")
        return None

    @lsp_method(types.EXIT)
    def lsp_exit(self, *args: object) -> Generator[object, object, None]:
        """End the session. pygls would call ``sys.exit`` inside the event loop."""
        cast("MidfillServer", self._server).request_stop()
        yield from ()
