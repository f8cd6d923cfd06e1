"""A server process without a model: what the text before the cursor says, the engine does.

The completion is ``[characters before|line before|line after]``, unless the prefix contains one of
these: ``#slow`` (one line, and then one that goes on until it is cancelled), ``#long`` (only the
latter), ``#refuse`` (the engine's own error), ``#bug`` (any other error), ``#clock`` (answers when
the engine was called), ``#text`` and a JSON string (answers that), ``#choose`` (it nearly writes
something else at two places), ``#doubt`` (it is not sure of what it says). With ``#tell`` each call
of the engine is logged, with what it is shown of other files as JSON.

In a chat the messages count instead of the prefix: it says ``CHATTED``, or as above; ``#slow`` is
one sentence, and then one that goes on. With ``--base`` the model was not made to chat.

The only checker finds each word of the code that begins with ``bad``, as ``B1`` of ``fake``; in a
text with ``#hang`` it goes on until it is cancelled.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import threading
import time
from collections.abc import Iterator

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.errors import FetchError, ModelMissingError, RequestError
from midfill_engine.fake import ScriptedEngine
from midfill_engine.options import EngineOptions
from midfill_engine.progress import Progress, ProgressSink
from midfill_engine.types import ChatRequest, Chunk, Cost, Request, TokenScore
from midfill_server import fixes
from midfill_server.checking.base import CheckCancelledError, Checker
from midfill_server.checking.finding import Finding
from midfill_server.commands.serve import end_session
from midfill_server.explaining import ExplanationCache, explanations_beside
from midfill_server.server import build_server
from midfill_server.settings import Settings, load_settings, statistics_path
from midfill_server.statistics import Recorder
from midfill_server.transport import serve_stdio, serve_tcp, serve_ws

CHATTED = "It adds its two arguments. It has no effects."
"""What is said in a chat unless the messages want something else."""

RUNNING_METHOD = "midfill/test/running"
"""Request: how many texts the engine is writing at the moment."""

_STEP_S = 0.005
_FOR_EVER = threading.Event()
_CHOSEN = "alpha(one)"
_DOUBTED = "perhaps(1)"
_RESTS = {"beta": "(one)", "alpha(two": ")"}


def script(request: Request) -> str:
    """Return what the engine generates."""
    chats = isinstance(request, ChatRequest)
    if isinstance(request, ChatRequest):
        prefix = "\n".join(message.text for message in request.messages) + request.answer_start
        seen: list[list[str]] = []
    else:
        prefix = request.prefix + request.typed
        seen = [[chunk.path, chunk.text] for chunk in request.context]
    if "#tell" in prefix:
        print(f"asked for {request.max_tokens} tokens", file=sys.stderr, flush=True)
        print(f"shown {json.dumps(seen)}", file=sys.stderr, flush=True)
    if "#slow" in prefix and chats:
        whole = "It is slow. It says " + "".join(f"word {index}, " for index in range(20_000))
        # Where it had to make way, it goes on behind what it has said.
        said = request.answer_start.find(whole[:11]) if isinstance(request, ChatRequest) else -1
        return whole[len(request.answer_start) - said :] if said >= 0 else whole
    if "#slow" in prefix:
        return "word one\n" + "word " * 100_000
    if "#long" in prefix:
        return "word " * 100_000
    if "#refuse" in prefix:
        raise RequestError("this cannot be completed")
    if "#bug" in prefix:
        raise ZeroDivisionError("a bug")
    if "#clock" in prefix:
        return str(time.time_ns())
    if "#text" in prefix:
        return str(json.loads(prefix.partition("#text")[2].splitlines()[0]))
    if "#choose" in prefix:
        return next((rest for end, rest in _RESTS.items() if prefix.endswith(end)), _CHOSEN)
    if "#doubt" in prefix:
        return _DOUBTED
    if isinstance(request, ChatRequest):
        return CHATTED
    before = prefix.rpartition("\n")[2]
    after = request.suffix.partition("\n")[0].rstrip("\r")
    return f"[{len(prefix)}|{before[-40:]}|{after[:40]}]"


def scores(text: str) -> list[TokenScore]:
    """Return what the engine thinks of the tokens of its answer."""
    if text == _DOUBTED:
        return [_score(0, logprob=-15.0)]
    if text != _CHOSEN:
        return [_score(0)]
    return [_score(0, "beta", -3.1), _score(6, "two", -3.0), _score(9)]


def _score(
    at: int, runner_up: str = "", runner_up_logprob: float = -19.0, *, logprob: float = -0.05
) -> TokenScore:
    return TokenScore(
        at=at,
        logprob=logprob,
        stop_logprob=-9.0,
        runner_up=runner_up,
        runner_up_logprob=runner_up_logprob,
    )


class StepEngine(ScriptedEngine):
    """A scripted engine whose steps take time where the script is long."""

    def __init__(self, *, chats: bool = True) -> None:
        super().__init__(script, piece=16, before_step=self._step, scores=scores)
        self.running = 0
        self._chats = chats

    def estimate(self, request: Request) -> Cost:
        """Predict; a model that was not made to chat refuses."""
        self._look(request)
        return super().estimate(request)

    def _look(self, request: Request) -> None:
        if isinstance(request, ChatRequest) and not self._chats:
            raise RequestError("scripted completes code and was not made to chat")

    def stream(self, request: Request, cancel: CancelToken) -> Iterator[Chunk]:
        """Count what is being written at the moment."""
        self._look(request)
        self.running += 1
        try:
            yield from super().stream(request, cancel)
        finally:
            self.running -= 1

    def _step(self, index: int) -> None:
        if index > 4:
            _FOR_EVER.wait(_STEP_S)


class WordChecker:
    """Finds words that begin with ``bad``."""

    name = "fake"

    def check(
        self, path: str, text: str, cancel: CancelToken, timeout_s: float
    ) -> tuple[Finding, ...]:
        """Find by looking for them."""
        while "#hang" in text and not cancel.wait(timeout_s):
            pass
        if cancel.cancelled:
            raise CheckCancelledError("stopped")
        return tuple(
            Finding(
                first_line=number,
                first_column=word.start(),
                last_line=number,
                last_column=word.end(),
                message=f"'{word[0]}' is bad",
                code="B1",
                source="fake",
            )
            for number, line in enumerate(text.split("\n"))
            for word in re.finditer(r"\bbad\w*", line.partition("#")[0])
        )


def checkers_for(*_: object, trusted: bool, **__: object) -> tuple[Checker, ...]:
    """Return the only checker, and log whether programs of the workspace might be run."""
    print(f"trusted: {trusted}", file=sys.stderr, flush=True)
    return (WordChecker(),)


def opener(mode: str, opened: list[StepEngine] | None = None, *, chats: bool = True) -> object:
    """Return an ``EngineOpener`` that behaves as ``mode`` says and notes what it opens."""

    def open_engine(options: EngineOptions, progress: ProgressSink) -> Engine:
        print(f"opening {options}", file=sys.stderr, flush=True)
        if mode == "missing" and not options.download:
            raise ModelMissingError(
                "no model is here yet: midfill models pull", model_id="tiny", download_bytes=1000
            )
        if mode == "fails":
            raise FetchError("no source could deliver")
        for done in range(3):
            progress(Progress(task=f"Loading {options.model}", done=done, total=2))
        if mode == "blocks":
            _FOR_EVER.wait()
        engine = StepEngine(chats=chats)
        if opened is not None:
            opened.append(engine)
        return engine

    return open_engine


def main() -> int:
    """Serve until the client leaves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--transport", default="stdio", choices=("stdio", "tcp", "ws"))
    parser.add_argument("--open", default="works", choices=("works", "missing", "fails", "blocks"))
    parser.add_argument("--load-settings", action="store_true")
    parser.add_argument("--base", action="store_true")
    args = parser.parse_args()
    settings, problems = load_settings() if args.load_settings else (Settings(), [])
    path = statistics_path()
    recorder = None if path is None else Recorder(path)
    opened: list[StepEngine] = []
    fixes.checkers_for = checkers_for
    explanations = ExplanationCache(explanations_beside(path))
    open_engine = opener(args.open, opened, chats=not args.base)
    server = build_server(open_engine, settings, problems, recorder, explanations)  # type: ignore[arg-type]

    @server.feature(RUNNING_METHOD)
    def running(ls: object, params: object) -> int:
        return sum(engine.running for engine in opened)

    if args.transport == "tcp":
        code = serve_tcp(server, "127.0.0.1", 0)
    elif args.transport == "ws":
        code = serve_ws(server, "127.0.0.1", 0)
    else:
        code = serve_stdio(server)
    end_session(server, code)
    return code


if __name__ == "__main__":
    sys.exit(main())
