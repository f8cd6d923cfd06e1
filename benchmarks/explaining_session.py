"""Drives real servers: hovers, explanations that stream, and typing meanwhile."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.explaining_places import Place, ProjectFile
from benchmarks.midfill_typist import MidfillTypist, TimedClient
from benchmarks.replay import Keystroke, Shown, type_turn
from benchmarks.server_session import ServerFailedError
from benchmarks.typing_scripts import Edit, Script
from tests.server.client import Json, LspError, Reply

__all__ = ["Hovered", "Hovers", "Streamed", "Turn", "Writer", "hover", "said", "stream", "turn"]

_ANSWER_S = 120.0
_FIRST_TEXT_S = 60.0
_LOOK_S = 0.25
_PENDING = "midfill is reading this"
_RULE = "\n\n---\n\n"
_FENCED = re.compile(r"^(`{3,})[^\n]*\n.*?^\1$", re.DOTALL | re.MULTILINE)
_tokens = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hovered:
    """One answer: how long it took, and what is in it."""

    ms: float
    signature: bool = False
    documentation: bool = False
    pending: bool = False
    explained: bool = False


@dataclass(slots=True, kw_only=True)
class Hovers:
    """All answers of a run; ``again`` are those of places to which the pointer came back.

    ``waited_s``: from the first hover at such a place to the one that had the explanation.
    """

    alone: list[Hovered] = field(default_factory=list[Hovered])
    beside: list[Hovered] = field(default_factory=list[Hovered])
    again: list[Hovered] = field(default_factory=list[Hovered])
    waited_s: list[float] = field(default_factory=list[float])


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """One explanation that was watched; ``first_s`` is until there was anything to read."""

    first_s: float
    whole_s: float
    chars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One script, typed once; ``watched`` keys were pressed while an explanation was on its way.

    ``grew`` is how often explanations grew meanwhile.
    """

    keys: tuple[Keystroke, ...]
    watched: int = 0
    grew: int = 0


def hover(client: TimedClient, place: Place) -> Hovered:
    """Rest the pointer on a name; return what was answered."""
    began_s = time.perf_counter()
    reply = client.request(
        "textDocument/hover",
        {
            "textDocument": {"uri": place.file.uri},
            # The middle of the name, where a pointer comes to rest.
            "position": place.file.position((place.start + place.end) // 2),
        },
    )
    answer: Json = reply.result(_ANSWER_S)
    ms = (client.answered_s[reply.id] - began_s) * 1000
    return said(str(answer["contents"]["value"]) if answer else "", ms)


def said(markdown: str, ms: float) -> Hovered:
    """Return what a hover's text has in it."""
    meaning, *behind = markdown.split(_RULE)
    signature = _FENCED.search(meaning) is not None
    # Behind the signature stands where it is, and then what is written about it.
    paragraphs = [part for part in _FENCED.sub("", meaning).split("\n\n") if part.strip()]
    pending = any(_PENDING in part for part in behind)
    return Hovered(
        ms=ms,
        signature=signature,
        documentation=len(paragraphs) > 1,
        pending=pending,
        explained=bool(behind) and not pending,
    )


def until_explained(client: TimedClient, place: Place, limit_s: float) -> tuple[Hovered, float]:
    """Hover again and again; return the answer that has the explanation, and the seconds to it.

    After ``limit_s`` it is the last answer, which has none.
    """
    began_s = time.perf_counter()
    while True:
        found = hover(client, place)
        waited_s = time.perf_counter() - began_s
        if found.explained or not found.pending or waited_s > limit_s:
            return found, waited_s
        time.sleep(_LOOK_S)


def stream(client: TimedClient, place: Place, length: str) -> Streamed:
    """Ask for an explanation and watch it come. Raises ``ServerFailedError``."""
    began_s = time.perf_counter()
    reply, token = _asked(client, place, length)
    try:
        answer: Json = reply.result(_ANSWER_S)
    except (LspError, EOFError) as error:
        raise ServerFailedError(f"nothing was explained: {error}") from error
    return Streamed(
        first_s=client.explained_s[token][0] - began_s,
        whole_s=client.answered_s[reply.id] - began_s,
        chars=len(answer["markdown"]),
    )


class Writer:
    """Somebody who has one explanation written after the other, on a thread of its own.

    No place is explained twice: what was said before would be shown again at once.
    """

    def __init__(self, client: TimedClient, places: Iterator[Place], length: str) -> None:
        self._client = client
        self._places = places
        self._length = length
        self._stopped = threading.Event()
        self._reply: Reply | None = None
        self._refused = ""
        self._tokens: list[str] = []
        self._thread: threading.Thread | None = None

    @property
    def is_writing(self) -> bool:
        """Whether an explanation is asked for and not whole yet."""
        reply = self._reply
        return reply is not None and not reply.done

    @property
    def grew(self) -> int:
        """How often explanations grew since the start."""
        return sum(len(self._client.explained_s.get(token, ())) for token in self._tokens)

    def __enter__(self) -> Writer:
        """Begin; returns when the first one has text. Raises ``ServerFailedError``."""
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()
        end_s = time.monotonic() + _FIRST_TEXT_S
        while not self.grew:
            if time.monotonic() > end_s:
                why = self._refused or "the server is silent"
                raise ServerFailedError(f"no explanation began: {why}")
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        """Give up what is written; returns when the server knows."""
        self._stopped.set()
        if self._reply is not None:
            self._client.cancel(self._reply)
        assert self._thread is not None
        self._thread.join(_ANSWER_S)

    def _write(self) -> None:
        for place in self._places:
            if self._stopped.is_set():
                return
            self._reply, token = _asked(self._client, place, self._length)
            self._tokens.append(token)
            if self._stopped.is_set():
                self._client.cancel(self._reply)
            # Cancelled, or superseded: then the next one counts.
            try:
                self._reply.result(_ANSWER_S)
            except (LspError, EOFError) as error:
                self._refused = str(error)
        self._refused = self._refused or "every function was explained already"


class _Unhurried:
    """A typist who pauses before each key."""

    def __init__(self, typist: MidfillTypist, pause_s: float, writer: Writer | None) -> None:
        self.name = typist.name
        self.processor = typist.processor
        self.watched = 0
        self._typist = typist
        self._pause_s = pause_s
        self._writer = writer

    def open(self, script: Script) -> None:
        self._typist.open(script)

    def close(self) -> None:
        self._typist.close()

    def type(self, edit: Edit) -> Shown | None:
        time.sleep(self._pause_s)
        self.watched += self._writer is not None and self._writer.is_writing
        return self._typist.type(edit)


def turn(
    typist: MidfillTypist, script: Script, pause_s: float, places: Iterator[Place] | None
) -> Turn:
    """Type a script; with ``places``, while these are explained at length."""
    if places is None:
        return Turn(keys=_typed(_Unhurried(typist, pause_s, None), script))
    with Writer(typist.client, places, "long") as writer:
        before = writer.grew
        unhurried = _Unhurried(typist, pause_s, writer)
        keys = _typed(unhurried, script)
        return Turn(keys=keys, watched=unhurried.watched, grew=writer.grew - before)


def _typed(typist: _Unhurried, script: Script) -> tuple[Keystroke, ...]:
    typist.open(script)
    found = [key for edits in script.turns for key in type_turn(edits, typist)]
    typist.close()
    return tuple(key for key in found if key is not None)


def open_files(client: TimedClient, files: Sequence[ProjectFile]) -> None:
    """Open files as an editor does."""
    for file in files:
        client.open(file.uri, file.text, language=file.language_id)


def close_files(client: TimedClient, files: Sequence[ProjectFile]) -> None:
    """Close them."""
    for file in files:
        client.notify("textDocument/didClose", {"textDocument": {"uri": file.uri}})


def hovers(
    client: TimedClient,
    names: Sequence[tuple[ProjectFile, Sequence[Place]]],
    functions: Iterator[Place],
    *,
    rest_s: float,
    again: int,
    report: Callable[[str], None],
) -> Hovers:
    """Point at names, file by file; in the second half while explanations stream as well.

    In both halves each hover has the model begin. Then the pointer comes back to ``again`` of the
    names, and waits there.
    """
    found = Hovers()
    half = (len(names) + 1) // 2
    _point(client, names[:half], rest_s, found.alone, report)
    if len(names) > half:
        with Writer(client, functions, "medium"):
            _point(client, names[half:], rest_s, found.beside, report)
    told = 0
    for file, places in names[:half]:
        if told == again:
            break
        open_files(client, [file])
        for place in places:
            if hover(client, place).pending:
                report(f"coming back: {told + 1} of {again}")
                answer, waited_s = until_explained(client, place, _ANSWER_S)
                found.again.append(answer)
                found.waited_s += [waited_s] if answer.explained else []
                told += 1
                break
        close_files(client, [file])
    return found


def _point(
    client: TimedClient,
    names: Sequence[tuple[ProjectFile, Sequence[Place]]],
    rest_s: float,
    found: list[Hovered],
    report: Callable[[str], None],
) -> None:
    for file, places in names:
        report(f"hovers: {len(found)} so far")
        open_files(client, [file])
        for place in places:
            found.append(hover(client, place))
            time.sleep(rest_s)
        close_files(client, [file])


def _asked(client: TimedClient, place: Place, length: str) -> tuple[Reply, str]:
    token = f"explanation-{next(_tokens)}"
    words = {"uri": place.file.uri, "range": place.range, "length": length, "token": token}
    reply = client.request(
        "workspace/executeCommand", {"command": "midfill.explain", "arguments": [words]}
    )
    return reply, token
