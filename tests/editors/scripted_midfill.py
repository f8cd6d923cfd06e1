"""Towards an editor this program is ``midfill``, with an engine that follows a script.

``python -m tests.editors.scripted_midfill --folder F [--open HOW] --version | serve --stdio``.
What it completes with is told in ``tests.server.scripted_server``, and besides:

* with ``#gate`` it stops after the first line until ``F/open`` exists, and so does its checker
  with each text;
* each call of the engine is a line of ``F/calls``: the text before the cursor, as JSON; each text
  that is checked one of ``F/checks``; each message one of ``F/heard``: its method;
* ``F/pid`` is the process that serves now;
* it answers chats, and checks for bad words, as is told there; with ``--own-tools`` the tools of
  the project check, and no others;
* with ``--open missing`` a download works, so that everything after the question can be tried;
* with ``--open ends`` it ends at once, as a broken installation does.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from midfill_engine import __version__
from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.options import EngineOptions
from midfill_engine.progress import ProgressSink
from midfill_engine.types import Chunk, CompletionRequest, Request
from midfill_server import fixes
from midfill_server.checking.base import Checker
from midfill_server.checking.finding import Finding
from midfill_server.commands.serve import end_session
from midfill_server.server import MidfillServer, build_server
from midfill_server.settings import load_settings
from midfill_server.transport import serve_stdio
from tests.server import scripted_server

_LOOK_EVERY_S = 0.02


class TellingEngine(scripted_server.StepEngine):
    """Writes down what it is asked, and stops at the gate."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def stream(self, request: Request, cancel: CancelToken) -> Iterator[Chunk]:
        """Answer as the script says, except at a gate."""
        if not isinstance(request, CompletionRequest):
            yield from super().stream(request, cancel)
            return
        before = request.prefix + request.typed
        if request.max_tokens:
            tell(self._folder / "calls", json.dumps(before))
        for chunk in super().stream(request, cancel):
            yield chunk
            if "#gate" in before and "\n" in chunk.text:
                wait_for_gate(self._folder, cancel)


class TellingChecker(scripted_server.WordChecker):
    """Writes down what it is to look at, and stops at the gate."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(
        self, path: str, text: str, cancel: CancelToken, timeout_s: float
    ) -> tuple[Finding, ...]:
        """Find by looking, but for a gate."""
        tell(self._folder / "checks", json.dumps(text))
        if "#gate" in text:
            wait_for_gate(self._folder, cancel)
        return super().check(path, text, cancel, timeout_s)


def checkers_for(folder: Path, *_: object, **__: object) -> tuple[Checker, ...]:
    """Return the only checker."""
    return (TellingChecker(folder),)


def tell(path: Path, line: str) -> None:
    """Add a line to a file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def wait_for_gate(folder: Path, cancel: CancelToken) -> None:
    """Wait until the gate is open, or nobody wants what lies behind it."""
    pause = threading.Event()
    while not cancel.cancelled and not (folder / "open").exists():
        pause.wait(_LOOK_EVERY_S)


def listen(server: MidfillServer, folder: Path) -> None:
    """Have each message written down before the server takes it."""
    receive = server.receive

    def heard(body: bytes | str) -> None:
        tell(folder / "heard", str(json.loads(body).get("method")))
        receive(body)

    server.receive = heard


def opener(how: str, folder: Path) -> object:
    """Return an ``EngineOpener`` that behaves as ``how`` says."""
    plain = scripted_server.opener(how)

    def open_engine(options: EngineOptions, progress: ProgressSink) -> Engine:
        plain(options, progress).close()  # type: ignore[operator]
        return TellingEngine(folder)

    return open_engine


def main() -> int:
    """Say the version, or serve until the client leaves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--open", default="works")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--own-tools", action="store_true")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("command", nargs="?", default="serve")
    parser.add_argument("--stdio", action="store_true")
    parser.add_argument("--clientProcessId")
    args = parser.parse_args()
    if args.version:
        print(f"midfill {__version__}")
        return 0
    if args.open == "ends":
        print("this installation is broken", file=sys.stderr)
        return 1
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    logging.getLogger("pygls").setLevel(logging.ERROR)
    (args.folder / "pid").write_text(str(os.getpid()), encoding="utf-8")
    settings, problems = load_settings()
    if args.own_tools:
        os.environ["PATH"] = ""
    else:
        fixes.checkers_for = partial(checkers_for, args.folder)
    server = build_server(opener(args.open, args.folder), settings, problems)  # type: ignore[arg-type]
    listen(server, args.folder)
    code = serve_stdio(server)
    end_session(server, code)
    return code


if __name__ == "__main__":
    sys.exit(main())
