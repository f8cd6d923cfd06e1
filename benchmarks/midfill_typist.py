"""Types into the real server over stdio, as an editor does, and times what comes back."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.replay import PacedKeystroke, Processor, Shown
from benchmarks.server_session import ServerFailedError, server_environment
from benchmarks.typing_scripts import Edit, Script, Typed
from tests.server.client import Json, LspClient, Reply

__all__ = ["MOVE_METHOD", "MidfillTypist", "TimedClient", "ghost_text", "open_midfill"]

MOVE_METHOD = "midfill/didMoveCursor"
_PROGRESS = "midfill/inlineCompletionProgress"
_STATS = "midfill/completionStats"
_EXPLANATION = "midfill/explanation"
_COMMAND = (sys.executable, "-m", "midfill_server", "serve", "--log-level", "warning")
_ANSWER_S = 120.0


class TimedClient(LspClient):
    """Notes when messages arrive, on the thread that reads them.

    ``answered_s``, ``first_text_s`` and ``stats`` are by the request's id, ``explained_s`` (each
    time that an explanation grew) by its token.
    """

    def __init__(self, *args: Json, **options: Json) -> None:
        # The reader starts inside of the client's own constructor.
        self.answered_s: dict[int, float] = {}
        self.first_text_s: dict[int, float] = {}
        self.stats: dict[int, Mapping[str, Json]] = {}
        self.explained_s: dict[str, list[float]] = {}
        super().__init__(*args, **options)

    def _take(self, message: Json) -> None:
        now_s = time.perf_counter()
        if "method" not in message:
            self.answered_s[message["id"]] = now_s
        elif message["method"] == _PROGRESS:
            self.first_text_s.setdefault(message["params"]["token"], now_s)
        elif message["method"] == _STATS:
            self.stats[message["params"]["token"]] = message["params"]
        elif message["method"] == _EXPLANATION and message["params"]["text"]:
            self.explained_s.setdefault(message["params"]["token"], []).append(now_s)
        super()._take(message)


@dataclass(slots=True)
class _Document:
    uri: str
    typed: Typed
    version: int = 1


class MidfillTypist:
    """One editor with one file open in one server."""

    name = "midfill"

    def __init__(self, client: TimedClient, log: Path) -> None:
        assert client.process is not None
        self.client = client
        self._log = log
        self._document: _Document | None = None
        self.pid = client.process.pid
        self.processor = Processor(self.pid)

    @property
    def _open(self) -> _Document:
        if self._document is None:
            raise RuntimeError("no file is open")
        return self._document

    def open(self, script: Script) -> None:
        """Open the script's file."""
        self.client.open(script.uri, script.text, language=script.language_id)
        self._document = _Document(script.uri, Typed(script.text))

    def close(self) -> None:
        """Close it."""
        self.client.notify("textDocument/didClose", {"textDocument": {"uri": self._open.uri}})
        self._document = None

    def type(self, edit: Edit) -> Shown | None:
        """Make the edit, ask, and wait for the answer."""
        if edit.jumps:
            self._move(edit)
        began_s, reply = self._send(edit)
        if reply is None:
            return None
        self._wait(reply)
        return self._shown(reply, began_s)

    def type_paced(self, script: Script, pace_s: float) -> list[PacedKeystroke]:
        """Make the whole script's edits at a pace; a key cancels what the one before asked for."""
        self.open(script)
        times: list[tuple[float, Reply]] = []
        due_s = time.perf_counter()
        for edit in (edit for turn in script.turns for edit in turn):
            time.sleep(max(0.0, due_s - time.perf_counter()))
            if times and not times[-1][1].done:
                self.client.cancel(times[-1][1])
            began_s, reply = self._send(edit)
            if reply is not None:
                times.append((began_s, reply))
            due_s += pace_s
        self._wait(times[-1][1])
        ends_s = [began_s for began_s, _ in times[1:]] + [float("inf")]
        found: list[PacedKeystroke] = []
        for (began_s, reply), end_s in zip(times, ends_s, strict=True):
            # The reader of a cancelled one may be behind: its answer is on the way.
            with suppress(Exception):
                reply.result(_ANSWER_S)
            at_s = self.client.answered_s[reply.id]
            in_time = at_s < end_s and reply.error_code() is None
            found.append(PacedKeystroke(complete_ms=(at_s - began_s) * 1000 if in_time else None))
        self.close()
        return found

    def _move(self, edit: Edit) -> None:
        line, character = self._open.typed.position(edit.offset)
        self.client.notify(
            MOVE_METHOD,
            {
                "textDocument": {"uri": self._open.uri},
                "position": {"line": line, "character": character},
            },
        )
        time.sleep(edit.rest_s)

    def _send(self, edit: Edit) -> tuple[float, Reply | None]:
        """Send the edit and the request; return when the key was pressed, and the reply."""
        document = self._open
        start = document.typed.position(edit.offset)
        end = document.typed.position(edit.offset + edit.deleted)
        cursor = document.typed.position(document.typed.apply(edit))
        document.version += 1
        span = {"start": _position(start), "end": _position(end)}
        began_s = time.perf_counter()
        change = {"range": span, "text": edit.inserted}
        self.client.change(document.uri, document.version, change)
        if not edit.asks:
            return began_s, None
        return began_s, self.client.complete(document.uri, *cursor)

    def _wait(self, reply: Reply) -> None:
        try:
            reply.result(_ANSWER_S)
        except EOFError as error:
            raise ServerFailedError(f"{error}; {self._last_words()}") from error

    def _shown(self, reply: Reply, began_s: float) -> Shown:
        client = self.client
        end_s = client.answered_s[reply.id]
        first_s = min(client.first_text_s.get(reply.id, end_s), end_s)
        cost = client.stats.get(reply.id)
        if cost is None and not client.stats:
            # An empty answer without its cost means that there was no engine to ask.
            told = [message["message"] for message in client.params_of("window/showMessage")]
            raise ServerFailedError(f"the server has no engine: {told or self._last_words()}")
        cost = cost or {}
        return Shown(
            text=ghost_text(reply.result(), self._open.typed),
            first_ms=(first_s - began_s) * 1000,
            complete_ms=(end_s - began_s) * 1000,
            source=str(cost.get("source", "model")),
            prompt_tokens=int(cost.get("promptTokens", 0)),
            prefilled_tokens=int(cost.get("prefilledTokens", 0)),
            generated_tokens=int(cost.get("generatedTokens", 0)),
        )

    def _last_words(self) -> str:
        text = self._log.read_text(encoding="utf-8", errors="replace")
        return text[-500:].strip() or "it logged nothing"


def ghost_text(answer: Json, typed: Typed) -> str:
    """Return the text after the cursor of the first item; an item may begin before the cursor."""
    items = answer["items"] if answer else []
    if not items:
        return ""
    text, span = str(items[0]["insertText"]), items[0].get("range")
    if span is None:
        return text
    return text[span["end"]["character"] - span["start"]["character"] :]


@contextmanager
def open_midfill(
    model_id: str, engine: Mapping[str, object], log: Path, *, folders: Sequence[str] = ()
) -> Generator[MidfillTypist]:
    """Start a server; ``engine`` is the group of settings of that name, ``folders`` are URIs."""
    with log.open("ab") as stderr:
        client = TimedClient.start(list(_COMMAND), env=server_environment(), stderr=stderr)
    assert isinstance(client, TimedClient)
    with client:
        options = {"model": model_id, "engine": dict(engine), "streaming": True}
        # Columns are then characters, as in Python.
        client.initialize(options, encodings=["utf-32"], folders=folders)
        yield MidfillTypist(client, log)
        with suppress(Exception):
            client.shutdown(_ANSWER_S)


def _position(place: tuple[int, int]) -> dict[str, int]:
    return {"line": place[0], "character": place[1]}
