"""The language server: which method goes to which handler, and the state that handlers share."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import cache, partial
from typing import Literal, cast

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from midfill_engine import __version__
from midfill_engine.machine import read_bandwidth
from midfill_engine.options import EngineOptions
from midfill_server.checking.shadow import sweep
from midfill_server.completer import Completer
from midfill_server.context.visible import path_of
from midfill_server.convert import encoding_of
from midfill_server.document import DocumentStore, PositionEncoding, Snapshot
from midfill_server.explaining import Explainer, ExplanationCache, safe_markdown
from midfill_server.fixes import Fixes
from midfill_server.handlers import engine_loading, status
from midfill_server.handlers.protocol import Protocol, arrived, work_done_token
from midfill_server.handlers.table import (
    COMMANDS,
    HANDLERS,
    LONG_COMMANDS,
    ON_DEMAND,
    Command,
    LongCommand,
)
from midfill_server.offers import Offers
from midfill_server.profile import Profile, on_battery, profile_for
from midfill_server.reader import Reader
from midfill_server.scheduler import EngineOpener, Scheduler
from midfill_server.settings import Problem, Settings
from midfill_server.statistics import Record, Recorder
from midfill_server.workspace import Workspace

__all__ = ["MidfillServer", "build_server"]

_log = logging.getLogger(__name__)

_BATTERY_INTERVAL_S = 60.0
_FLUSH_INTERVAL_S = 30.0


def build_server(
    open_engine: EngineOpener,
    settings: Settings,
    problems: Sequence[Problem] = (),
    recorder: Recorder | None = None,
    explanations: ExplanationCache | None = None,
) -> MidfillServer:
    """Make a server that opens its engine with ``open_engine`` once a client is there.

    ``settings`` are those below the client's own; ``problems`` are shown to the client;
    ``recorder`` takes what each completion cost, where the settings allow it; ``explanations``
    are those of earlier sessions.
    """
    server = MidfillServer(open_engine, settings, problems, recorder, explanations)
    for method, handler, options in HANDLERS:
        server.feature(method, options)(handler)
    for name, command in COMMANDS:
        server.command(name)(_taking_any(command))
    for name, command in LONG_COMMANDS:
        server.command(name)(_awaiting(command))
    return server


def _taking_any(command: Command) -> Callable[..., None]:
    """Return ``command`` as pygls runs it, with whatever arguments a client sends."""

    # pygls looks the annotations up when it runs this, so they are names of this module.
    def run(ls: MidfillServer, *arguments: object) -> None:
        command(ls, arguments)

    return run


def _awaiting(command: LongCommand) -> Callable[..., Awaitable[object]]:
    """Return the same for a command that takes its time."""

    async def run(ls: MidfillServer, *arguments: object) -> object:
        return await command(ls, arguments)

    return run


class MidfillServer(LanguageServer):
    """State of one session with one client; lives on the event loop's thread."""

    def __init__(
        self,
        open_engine: EngineOpener,
        settings: Settings,
        problems: Sequence[Problem],
        recorder: Recorder | None,
        explanations: ExplanationCache | None,
    ) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType] - takes untyped *args
            "midfill", __version__, protocol_cls=Protocol
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
        self.explainer = Explainer(self.scheduler, explanations or ExplanationCache(None))
        self.fixes = Fixes(self.scheduler, on_busy=self.project.busy)
        self.reader = Reader()
        self.trusted = False
        """Whether what lies in the workspace may be run."""
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

    @property
    def work_done_token(self) -> str | int | None:
        """Where the client wants to hear how its present request goes on."""
        return work_done_token.get()

    def give_up(self, request_id: str | int) -> None:
        """Answer a request as one that its client has cancelled."""
        cast("Protocol", self.protocol).give_up(request_id)

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
        return arrived.get()

    def receive(self, body: bytes | str) -> None:
        """Take one message from the transport. Whatever is wrong with it ends here."""
        try:
            data: object = json.loads(body)
            if not isinstance(data, dict):
                raise ValueError("a message is an object")
            cast("Protocol", self.protocol).receive(cast("dict[str, object]", data))
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
        handler, options = ON_DEMAND[method]
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
        if self.first_time(kind):
            self.window_show_message(types.ShowMessageParams(type=level, message=message))

    def first_time(self, kind: str) -> bool:
        """Whether nobody was told of ``kind`` in this session; from now on somebody was."""
        if kind in self._told:
            return False
        self._told.add(kind)
        return True

    def keep_explanations(self) -> None:
        """Write what was explained since the last time."""
        if self.explainer.cache.pending:
            self.spawn(asyncio.to_thread(self.explainer.cache.flush))

    def warm_up(self) -> None:
        """Read what was explained before, and load what the first hover would have to wait for."""
        safe_markdown("x")
        self.explainer.cache.load()
        # What a server that was killed left of its copies of projects.
        sweep()

    def close_aids(self) -> None:
        """End what looks for fixes and reads for hovers. Needs no event loop."""
        self.fixes.close()
        self.reader.close()
        self.explainer.cache.flush()

    def report_server_error(self, error: Exception, source: object) -> None:
        """Log; pygls would show every internal error in a popup."""
        _log.error("%s: %s", getattr(source, "__name__", source), error)
