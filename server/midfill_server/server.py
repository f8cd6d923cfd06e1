"""The language server: which method goes to which handler, and the state that handlers share."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextvars import ContextVar
from functools import cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, cast

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol, lsp_method

from midfill_engine import __version__
from midfill_engine.machine import read_bandwidth
from midfill_engine.options import EngineOptions
from midfill_server.completer import Completer
from midfill_server.context.visible import path_of
from midfill_server.convert import encoding_of
from midfill_server.document import DocumentStore, PositionEncoding, Snapshot
from midfill_server.handlers import (
    completion_menu,
    configuration,
    cursor,
    documents,
    engine_loading,
    feedback,
    inline_completion,
    lifecycle,
    models,
    status,
    surroundings,
)
from midfill_server.offers import Offers
from midfill_server.profile import Profile, on_battery, profile_for
from midfill_server.scheduler import EngineOpener, Scheduler
from midfill_server.settings import Problem, Settings
from midfill_server.statistics import Record, Recorder
from midfill_server.workspace import Workspace

if TYPE_CHECKING:
    from pygls.protocol.json_rpc import RPCMessage

__all__ = ["MidfillServer", "build_server"]

_log = logging.getLogger(__name__)

_BATTERY_INTERVAL_S = 60.0
_FLUSH_INTERVAL_S = 30.0

_arrived: ContextVar[Snapshot | None] = ContextVar("midfill_arrived", default=None)

_BUILTIN_DOCUMENT_METHODS = (
    types.TEXT_DOCUMENT_DID_OPEN,
    types.TEXT_DOCUMENT_DID_CHANGE,
    types.TEXT_DOCUMENT_DID_CLOSE,
)

_HANDLERS: tuple[tuple[str, Callable[..., object], object], ...] = (
    (types.INITIALIZE, lifecycle.initialize, None),
    (types.INITIALIZED, lifecycle.initialized, None),
    (types.SHUTDOWN, lifecycle.shutdown, None),
    (types.WORKSPACE_DID_CHANGE_CONFIGURATION, configuration.did_change, None),
    (types.TEXT_DOCUMENT_DID_OPEN, documents.did_open, None),
    (types.TEXT_DOCUMENT_DID_CHANGE, documents.did_change, None),
    (types.TEXT_DOCUMENT_DID_SAVE, documents.did_save, None),
    (types.TEXT_DOCUMENT_DID_CLOSE, documents.did_close, None),
    (types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS, documents.did_change_folders, None),
    (cursor.MOVED_METHOD, cursor.did_move, None),
    (surroundings.DIAGNOSTICS_METHOD, surroundings.did_change_diagnostics, None),
    (feedback.SHOWN_METHOD, feedback.did_show, None),
    (feedback.PARTLY_ACCEPTED_METHOD, feedback.did_partially_accept, None),
    (models.MODELS_METHOD, models.models, None),
    # Without an options object pygls does not advertise the capability.
    (
        types.TEXT_DOCUMENT_INLINE_COMPLETION,
        status.awaited(inline_completion.inline_completion),
        types.InlineCompletionOptions(),
    ),
)

# A handler that is there is advertised, so these are there only once they are wanted.
_ON_DEMAND: Mapping[str, tuple[Callable[..., object], object]] = MappingProxyType(
    {
        types.TEXT_DOCUMENT_COMPLETION: (
            status.awaited(completion_menu.completion),
            completion_menu.OPTIONS,
        )
    }
)

_COMMANDS: tuple[tuple[str, Callable[[MidfillServer, Sequence[object]], None]], ...] = (
    (feedback.ACCEPTED_COMMAND, feedback.did_accept),
    (models.DOWNLOAD_COMMAND, models.download),
)


def build_server(
    open_engine: EngineOpener,
    settings: Settings,
    problems: Sequence[Problem] = (),
    recorder: Recorder | None = None,
) -> MidfillServer:
    """Make a server that opens its engine with ``open_engine`` once a client is there.

    ``settings`` are those below the client's own; ``problems`` are shown to the client;
    ``recorder`` takes what each completion cost, where the settings allow it.
    """
    server = MidfillServer(open_engine, settings, problems, recorder)
    for method, handler, options in _HANDLERS:
        server.feature(method, options)(handler)
    for name, command in _COMMANDS:
        server.command(name)(_taking_any(command))
    return server


def _taking_any(
    command: Callable[[MidfillServer, Sequence[object]], None],
) -> Callable[..., None]:
    """Return ``command`` as pygls runs it, with whatever arguments a client sends."""

    # pygls looks the annotations up when it runs this, so they are names of this module.
    def run(ls: MidfillServer, *arguments: object) -> None:
        command(ls, arguments)

    return run


class _Protocol(LanguageServerProtocol):
    """pygls's protocol with five habits changed; each override says why."""

    def _register_builtin_features(self) -> None:
        super()._register_builtin_features()
        # pygls would keep a second copy of every document, split into lines by str.splitlines.
        for method in _BUILTIN_DOCUMENT_METHODS:
            self.fm.builtin_features.pop(method)  # pyright: ignore[reportUnknownMemberType] - untyped in pygls

    def _handle_request(self, msg_id: str | int, method_name: str, params: object) -> None:
        # An async handler starts later, when edits that came in the same burst are already
        # applied. Position and text agree only if the text is taken now.
        document = getattr(params, "text_document", None)
        if document is not None:
            server = cast("MidfillServer", self._server)
            _arrived.set(server.documents.get(document.uri))
        super()._handle_request(msg_id, method_name, params)

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


class MidfillServer(LanguageServer):
    """State of one session with one client; lives on the event loop's thread."""

    def __init__(
        self,
        open_engine: EngineOpener,
        settings: Settings,
        problems: Sequence[Problem],
        recorder: Recorder | None,
    ) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType] - takes untyped *args
            "midfill", __version__, protocol_cls=_Protocol
        )
        self.documents = DocumentStore()
        self.status = status.Announcer(partial(status.send, self))
        self.scheduler = Scheduler(engine_loading.heard(self, open_engine))
        self.project = Workspace()
        self.completer = Completer(self.scheduler, on_busy=self.project.busy)
        self.base_settings = settings
        """Settings below ``workspace/configuration``, to which a change goes back first."""
        self.settings = settings
        self.client_name = ""
        """What the client called itself, ``""`` if it did not."""
        self.problems = list(problems)
        self.recorder = recorder
        self.offers = Offers()
        self._flush: asyncio.TimerHandle | None = None
        self._profile: Profile | None = None
        self._battery_asked_s = -_BATTERY_INTERVAL_S
        self._battery = False
        self.opened_with: EngineOptions | None = None
        self.opening: engine_loading.Opening | None = None
        self.chosen_model: str | None = None
        """The id of a model that was chosen by a command since the settings named one."""
        self.bandwidth_of = cache(read_bandwidth)
        """Memory's bytes per second, measured when it is first asked for."""
        self.menu: Literal["advertised", "registered"] | None = None
        """How the client came to know of ``textDocument/completion``, if it does."""
        self.startup: asyncio.Task[None] | None = None
        self.greeted = False
        """Whether the client has said ``initialize``."""
        self.shutdown_requested = False
        self._stop = asyncio.Event()
        self._told: set[str] = set()
        self._background: set[asyncio.Task[None]] = set()

    @property
    def encoding(self) -> PositionEncoding:
        """The negotiated unit of positions."""
        return encoding_of(self.workspace.position_encoding)

    def open_project(self) -> None:
        """Read the folders of the workspace, as far as the settings want it."""
        self.project.open(self.settings.context, self.roots, self.documents.all())
        if self.completer.scenes.neighbourhood is not self.project.surroundings:
            self.completer.scenes.neighbourhood = self.project.surroundings
            # What was shown beside a text until now may be what is not to be shown any more.
            self.completer.start_over()

    def apply_profile(self) -> Profile:
        """Let as much be computed ahead as is right now; looks at the battery once a minute."""
        now_s = time.monotonic()
        if now_s - self._battery_asked_s >= _BATTERY_INTERVAL_S:
            self._battery, self._battery_asked_s = on_battery(), now_s
        profile = profile_for(self.settings, battery=self._battery)
        if profile != self._profile:
            self._profile = profile
            self.completer.foresight = profile.foresight
            self.scheduler.idle_release_s = profile.idle_release_s
        return profile

    @property
    def roots(self) -> tuple[str, ...]:
        """The folders of the workspace, as paths."""
        return tuple(filter(None, map(path_of, self.workspace.folders)))

    @property
    def arrived(self) -> Snapshot | None:
        """The document of the present request, as it was when the request arrived."""
        return _arrived.get()

    def receive(self, body: bytes | str) -> None:
        """Take one message from the transport. Whatever is wrong with it ends here."""
        try:
            data: object = json.loads(body)
            if not isinstance(data, dict):
                raise ValueError("a message is an object")
            cast("_Protocol", self.protocol).receive(cast("dict[str, object]", data))
        except JsonRpcException as error:
            _log.warning("ignored a malformed message: %s", error)
        except ValueError as error:
            _log.warning("ignored what is not a message: %s", error)
        except Exception:
            _log.exception("failed to handle a message")

    def request_stop(self) -> None:
        """Let the transport end the session soon. Idempotent."""
        self._stop.set()

    async def stopped(self) -> None:
        """Wait until the session is to end."""
        await self._stop.wait()

    @property
    def exit_code(self) -> int:
        """0 if the client asked for a shutdown before it left (LSP, ``exit``), else 1."""
        return 0 if self.shutdown_requested else 1

    def provide(self, method: str) -> object:
        """Answer a method that is not always wanted, from now on; returns its options."""
        handler, options = _ON_DEMAND[method]
        if method not in self.protocol.fm.features:  # pyright: ignore[reportUnknownMemberType] - untyped in pygls
            self.feature(method, options)(handler)
        return options

    def spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run ``work`` beside the requests; the loop alone would not keep it alive."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def record(self, record: Record) -> None:
        """Keep what a completion cost; it is written within half a minute, beside the loop."""
        if self.recorder is None or not self.settings.statistics:
            return
        self.recorder.add(record)
        self._plan_to_write(self.recorder)

    def close_figures(self) -> None:
        """Write what is left, what became of the last suggestions too. Needs no event loop."""
        if self.recorder is not None:
            self._add_feedback(self.recorder, all_of_it=True)
            self.recorder.close()

    def _plan_to_write(self, recorder: Recorder) -> None:
        if self._flush is None:
            loop = asyncio.get_running_loop()
            self._flush = loop.call_later(_FLUSH_INTERVAL_S, self._write, recorder)

    def _write(self, recorder: Recorder) -> None:
        self._flush = None
        self._add_feedback(recorder)
        if self.offers:
            # What becomes of them may be known by then.
            self._plan_to_write(recorder)
        self.spawn(asyncio.to_thread(recorder.flush))

    def _add_feedback(self, recorder: Recorder, *, all_of_it: bool = False) -> None:
        for each in self.offers.settle(all_of_them=all_of_it):
            if self.settings.statistics:
                recorder.add(each)

    def tell_once(self, kind: str, message: str, level: types.MessageType) -> None:
        """Show a message to the user, at most once per ``kind`` and session."""
        if kind in self._told:
            return
        self._told.add(kind)
        self.window_show_message(types.ShowMessageParams(type=level, message=message))

    def report_server_error(self, error: Exception, source: object) -> None:
        """Log; pygls would show every internal error in a popup."""
        _log.error("%s: %s", getattr(source, "__name__", source), error)
