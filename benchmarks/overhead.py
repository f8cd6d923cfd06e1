"""What the server itself costs per request, with a model that costs nothing.

Each request is one keystroke in the middle of a file of 1,000 lines: an edit and the request for
a completion, as an editor sends them. Timed from before the client writes the edit to the moment
the prompt's tokens, already compared with what is cached, reach the backend. That covers both
pipes' ends, parsing, the edit, the snapshot, the hand-over to the worker thread, the choice of
the window and the tokenizer; the client's own encoding of two small messages is in it too.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from benchmarks.server_session import server_environment
from benchmarks.sites import SAMPLES, SITES
from tests.server.client import LspClient

__all__ = ["Key", "Overhead", "keystrokes", "lengthen", "measure_overhead"]

_LINES = 1000
_REQUESTS = 240
_UNTIMED = 20
_ANSWER_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Typing ``text`` at a position; both count from 0. ``text`` is one character."""

    line: int
    character: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overhead:
    """``ready_ms`` has one entry per request; ``render_ms`` is the tokenizer's part of each."""

    ready_ms: tuple[float, ...]
    render_ms: tuple[float, ...]
    prompt_tokens: int


def measure_overhead(
    model_id: str, tokenizer: Path, *, prompt_tokens: int, report: Callable[[str], None]
) -> Overhead:
    """Type into a server without a model; needs the vocabulary of a converted one."""
    report("server overhead")
    with tempfile.TemporaryDirectory() as folder:
        times = Path(folder) / "times.json"
        command = [sys.executable, "-m", "benchmarks.null_server", "--model", model_id]
        command += ["--tokenizer", str(tokenizer), "--times", str(times)]
        command += ["--prompt-tokens", str(prompt_tokens)]
        with LspClient.start(command, env=server_environment()) as client:
            sent_ns, render_ms = _type(client, report)
            client.shutdown(_ANSWER_S)
        ready: list[list[int]] = json.loads(times.read_text())
    if len(ready) != len(sent_ns):
        raise RuntimeError(f"{len(sent_ns)} requests, but {len(ready)} prompts")
    ready_ms = [(at_ns - sent) / 1e6 for (at_ns, _), sent in zip(ready, sent_ns, strict=True)]
    return Overhead(
        ready_ms=tuple(ready_ms[_UNTIMED:]),
        render_ms=tuple(render_ms[_UNTIMED:]),
        prompt_tokens=max(length for _, length in ready),
    )


def keystrokes(text: str, *, line: int, count: int) -> Iterator[Key]:
    """Type ``text`` again and again from the start of ``line`` on, an end of line after each."""
    character = 0
    for _, letter in zip(range(count), cycle(text + "\n"), strict=False):
        yield Key(line=line, character=character, text=letter)
        character += 1
        if letter == "\n":
            line, character = line + 1, 0


def lengthen(text: str, lines: int) -> str:
    """Repeat ``text`` until it has exactly ``lines`` lines, each ended."""
    own = [f"{line}\n" for line in text.removesuffix("\n").split("\n")]
    return "".join(own[index % len(own)] for index in range(lines))


def _type(client: LspClient, report: Callable[[str], None]) -> tuple[list[int], list[float]]:
    """Send the keys one after the other; return when, and how long rendering took for each."""
    client.initialize({"streaming": True})
    source = (SAMPLES / SITES[0].file).read_text(encoding="utf-8")
    uri = "file:///typing.py"
    # The cursor's line is empty at first, as it is where one writes something new.
    above = _LINES // 2
    client.open(uri, lengthen(source, above) + "\n" + lengthen(source, _LINES - above - 1))
    sent_ns: list[int] = []
    typed = "        " + SITES[0].hole
    keys = keystrokes(typed, line=above, count=_UNTIMED + _REQUESTS)
    for number, key in enumerate(keys, start=1):
        if number % 50 == 0:
            report(f"server overhead: request {number} of {_UNTIMED + _REQUESTS}")
        at = {"line": key.line, "character": key.character}
        change = {"range": {"start": at, "end": at}, "text": key.text}
        after = (key.line + 1, 0) if key.text == "\n" else (key.line, key.character + 1)
        sent_ns.append(time.perf_counter_ns())
        client.change(uri, number + 1, change)
        client.complete(uri, *after).result(_ANSWER_S)
    stats = client.params_of("midfill/completionStats")
    return sent_ns, [float(stat["renderMs"]) for stat in stats]
