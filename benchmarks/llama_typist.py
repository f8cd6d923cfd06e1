"""Types as llama.vim's user does: the plugin's requests, against a llama-server of our own."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from benchmarks.llama_vim import (
    FIRST_PREDICT_MS,
    LATER_PREDICT_MS,
    RETRY_S,
    Around,
    Entry,
    LlamaVimCache,
    around,
    as_accepted,
    rendered,
    request_body,
)
from benchmarks.peer_llama import PeerError, library_env
from benchmarks.replay import PacedKeystroke, Processor, Shown
from benchmarks.typing_scripts import Edit, Script, Typed

__all__ = ["SERVER_FLAGS", "LlamaAnswer", "LlamaTypist", "Plugin", "open_llama"]

SERVER_FLAGS = (
    *("-c", "4096", "-b", "1024", "-ub", "1024", "-fa", "on"),
    *("--cache-reuse", "256", "-np", "1"),
)
"""What the plugin's own manual advises for a machine without a GPU; threads come on top."""

_START_S = 120.0
_ANSWER_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaAnswer:
    """What llama-server made of a request."""

    content: str
    prompt_tokens: int
    prefilled_tokens: int
    generated_tokens: int


class LlamaTypist:
    """One editor with the plugin, and one file in it.

    ``type`` is kinder to the peer than the plugin is: it asks only where the cache has nothing,
    and computes nothing ahead that a key would have to wait behind. ``type_paced`` does all that
    the plugin does. ``lands``: the cursor comes to a place in insert mode, so the plugin asks there
    before anything is typed.
    """

    name = "llama.vim"

    def __init__(self, url: str, pid: int, *, later_predict_ms: int, lands: bool) -> None:
        self._url = url
        self._later_predict_ms = later_predict_ms
        self._lands = lands
        self._session = requests.Session()
        self._cache = LlamaVimCache()
        self._typed = Typed("")
        self._is_first = True
        self.pid = pid
        self.processor = Processor(pid)

    def open(self, script: Script) -> None:
        """Open the script's file."""
        self._typed = Typed(script.text)
        self._is_first = True

    def close(self) -> None:
        """Close it; the plugin keeps its answers."""

    def type(self, edit: Edit) -> Shown | None:
        """Make the edit; show what the cache has, or ask and wait."""
        self._is_first |= edit.jumps
        late_s = self._land(edit) if edit.rest_s and self._lands else 0.0
        cursor = self._typed.apply(edit)
        if not edit.asks:
            return None
        began_s = time.perf_counter() - late_s
        place = around(self._typed.text, cursor)
        if not place.is_asked:
            return None
        content = self._cache.get(place)
        answer: LlamaAnswer | None = None
        if content is None:
            answer = self._ask_here(place)
            content = answer.content
        text = rendered(content, place)
        took_ms = (time.perf_counter() - began_s) * 1000
        return Shown(
            text=text,
            first_ms=took_ms,
            complete_ms=took_ms,
            source="model" if answer else "cache",
            prompt_tokens=answer.prompt_tokens if answer else 0,
            prefilled_tokens=answer.prefilled_tokens if answer else 0,
            generated_tokens=answer.generated_tokens if answer else 0,
        )

    def type_paced(self, script: Script, pace_s: float) -> list[PacedKeystroke]:
        """Make the whole script's edits at a pace, with all that the plugin does meanwhile."""
        self.open(script)
        return Plugin(self._ask, self._cache).run(script, pace_s)

    def _land(self, edit: Edit) -> float:
        """Ask where the cursor came to rest; return by how many seconds the key is kept waiting."""
        end_s = time.perf_counter() + edit.rest_s
        place = around(self._typed.text, edit.offset)
        if place.is_asked and self._cache.get(place) is None:
            self._ask_here(place)
        left_s = end_s - time.perf_counter()
        time.sleep(max(0.0, left_s))
        return max(0.0, -left_s)

    def _ask_here(self, place: Around) -> LlamaAnswer:
        answer = self._ask(place, FIRST_PREDICT_MS if self._is_first else self._later_predict_ms)
        self._is_first = False
        self._cache.put(place, Entry(content=answer.content))
        return answer

    def _ask(self, place: Around, predict_ms: int) -> LlamaAnswer:
        body = request_body(place, predict_ms)
        try:
            reply = self._session.post(f"{self._url}/infill", json=body, timeout=_ANSWER_S)
            reply.raise_for_status()
            found = reply.json()
            return LlamaAnswer(
                content=found["content"],
                prompt_tokens=found["tokens_evaluated"],
                prefilled_tokens=found["timings/prompt_n"],
                generated_tokens=found["timings/predicted_n"],
            )
        except (requests.RequestException, ValueError, KeyError) as error:
            raise PeerError(f"llama-server did not answer as expected: {error!r}") from error


class Plugin:
    """The plugin's life while keys come by themselves: one request at a time, never given up.

    A key that finds the request of an earlier one under way looks again after a while. What is
    shown is followed by a request for what would come after it.
    """

    def __init__(self, ask: Callable[[Around, int], LlamaAnswer], cache: LlamaVimCache) -> None:
        self._ask = ask
        self._cache = cache
        self._done: queue.Queue[tuple[Around, LlamaAnswer | PeerError]] = queue.Queue()
        self._busy = False
        self._retry_s: float | None = None
        self._place: Around | None = None
        self._key_s = 0.0
        self._shown = ""
        self._complete_ms: float | None = None

    def run(self, script: Script, pace_s: float) -> list[PacedKeystroke]:
        """Type the script at a pace; returns an entry for each key."""
        typed = Typed(script.text)
        found: list[PacedKeystroke] = []
        edits = [edit for turn in script.turns for edit in turn]
        due_s = time.perf_counter()
        for number, edit in enumerate(edits):
            self._serve(until_s=due_s)
            if number:
                found.append(PacedKeystroke(complete_ms=self._complete_ms))
            cursor = typed.apply(edit)
            self._key(around(typed.text, cursor))
            due_s += pace_s
        # The last one is waited for: nothing comes after it.
        end_s = time.perf_counter() + _ANSWER_S
        while self._complete_ms is None and time.perf_counter() < end_s:
            self._serve(until_s=time.perf_counter() + RETRY_S)
        found.append(PacedKeystroke(complete_ms=self._complete_ms))
        while self._busy:
            self._serve(until_s=time.perf_counter() + RETRY_S)
        return found

    def _serve(self, until_s: float) -> None:
        """Handle what comes in until then."""
        while (left_s := until_s - time.perf_counter()) > 0:
            if self._retry_s is not None:
                left_s = min(left_s, max(0.0, self._retry_s - time.perf_counter()))
            try:
                place, answer = self._done.get(timeout=left_s)
            except queue.Empty:
                if self._retry_s is not None and time.perf_counter() >= self._retry_s:
                    self._retry_s = None
                    self._request()
                continue
            self._take(place, answer)

    def _key(self, place: Around) -> None:
        self._place, self._key_s = place, time.perf_counter()
        self._shown, self._complete_ms = "", None
        self._hint()
        self._request()

    def _hint(self) -> None:
        """Show what the cache has for the present place, and ask for what would follow it."""
        assert self._place is not None
        content = self._cache.get(self._place)
        if content is None:
            return
        self._shown = rendered(content, self._place)
        if self._complete_ms is None:
            self._complete_ms = (time.perf_counter() - self._key_s) * 1000
        if self._shown and not self._busy:
            ahead = as_accepted(self._place, self._shown)
            if not self._cache.has(ahead):
                self._start(ahead, LATER_PREDICT_MS)

    def _request(self) -> None:
        """Ask for the present place, or look again later while a request is under way."""
        assert self._place is not None
        if self._busy:
            self._retry_s = time.perf_counter() + RETRY_S
        elif self._place.is_asked and not self._cache.has(self._place):
            self._start(self._place, FIRST_PREDICT_MS)

    def _start(self, place: Around, predict_ms: int) -> None:
        self._busy = True

        def work() -> None:
            try:
                self._done.put((place, self._ask(place, predict_ms)))
            except PeerError as error:
                self._done.put((place, error))

        threading.Thread(target=work, daemon=True).start()

    def _take(self, place: Around, answer: LlamaAnswer | PeerError) -> None:
        self._busy = False
        if isinstance(answer, PeerError):
            raise answer
        self._cache.put(place, Entry(content=answer.content))
        if not self._shown:
            self._hint()


@contextmanager
def open_llama(
    program: Path, gguf: Path, *, threads: int, later_predict_ms: int, lands: bool, log: Path
) -> Generator[LlamaTypist]:
    """Start llama-server on a free port of this machine; raises ``PeerError``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(program), "-m", str(gguf), "--host", "127.0.0.1", "--port", str(port)]
    command += ["-t", str(threads), *SERVER_FLAGS]
    with ExitStack() as stack:
        env = {**os.environ, **library_env(program, stack)}
        stderr = stack.enter_context(log.open("ab"))
        try:
            process = subprocess.Popen(
                command, stdout=stderr, stderr=stderr, stdin=subprocess.DEVNULL, env=env
            )
        except OSError as error:
            raise PeerError(f"{program} could not be run: {error}") from error
        stack.callback(_end, process)
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url, process, log)
        yield LlamaTypist(url, process.pid, later_predict_ms=later_predict_ms, lands=lands)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end_s = time.monotonic() + _START_S
    while time.monotonic() < end_s and process.poll() is None:
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"{url}/health", timeout=5).ok:
                return
        time.sleep(0.1)
    said = log.read_text(encoding="utf-8", errors="replace")[-300:]
    raise PeerError(f"llama-server did not start: {' '.join(said.split())}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
