"""A real server process, driven as an editor does: time to the first answer, and peak memory."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.provenance import ROOT
from benchmarks.sites import SITES, OpenSite
from tests.server.client import Json, LspClient

__all__ = [
    "Answer",
    "ServerFailedError",
    "ServerRun",
    "measure_server",
    "peak_resident_bytes",
    "server_environment",
]

_ANSWER_S = 120.0
_COMPLETIONS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One completion: its wall time, and what the server says that it cost.

    ``computing_ms`` is the engine's part: from the request's text to the last token.
    """

    total_ms: float
    ttft_ms: float | None
    computing_ms: float
    prefilled_tokens: int
    generated_tokens: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRun:
    """Of each start the seconds to the first answer, and that answer; ``peak_bytes`` and all
    ``answers`` of the last one of them."""

    starts: tuple[tuple[float, Answer], ...]
    peak_bytes: int
    answers: tuple[Answer, ...]


class ServerFailedError(Exception):
    """The server did not serve; the message has what it logged last."""


def measure_server(
    model_id: str,
    engine: Mapping[str, object],
    *,
    starts: int,
    log: Path,
    report: Callable[[str], None],
) -> ServerRun:
    """Start the server ``starts`` times; let the last one complete at about ten places.

    ``engine`` is the group of settings of that name. Raises ``ServerFailedError``.
    """
    options = {"model": model_id, "engine": dict(engine), "streaming": True}
    first: list[tuple[float, Answer]] = []
    answers: list[Answer] = []
    peak_bytes = 0
    for index in range(starts):
        report(f"server start {index + 1} of {starts}")
        began_s = time.perf_counter()
        with log.open("ab") as stderr:
            client = LspClient.start(
                [sys.executable, "-m", "midfill_server", "serve", "--log-level", "warning"],
                env=server_environment(),
                stderr=stderr,
            )
        with client:
            client.initialize(options)
            answer = _complete(client, SITES[0].open(), log)
            first.append((time.perf_counter() - began_s, answer))
            if index == starts - 1:
                answers = [answer, *_further(client, log, report)]
                assert client.process is not None
                peak_bytes = peak_resident_bytes(client.process.pid)
            with suppress(Exception):
                client.shutdown(_ANSWER_S)
    return ServerRun(starts=tuple(first), peak_bytes=peak_bytes, answers=tuple(answers))


def server_environment() -> Mapping[str, str]:
    """Return what makes a new process find this checkout, and none of the user's settings."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "MIDFILL_CONFIG": "",
        "MIDFILL_STATE": "",
        "PYTHONUTF8": "1",
        "PYTHONPATH": os.pathsep.join(paths),
    }


def peak_resident_bytes(pid: int) -> int:
    """Return the largest resident memory that a process ever had.

    Pages of the weight file that it maps count. Where the system keeps no peak of other
    processes (macOS) this is what is resident now, after all the work.
    """
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import psutil

    memory = psutil.Process(pid).memory_info()
    return int(getattr(memory, "peak_wset", memory.rss))


def _further(client: LspClient, log: Path, report: Callable[[str], None]) -> Sequence[Answer]:
    sites = [*SITES[1:], *SITES][: _COMPLETIONS - 1]
    answers: list[Answer] = []
    for number, site in enumerate(sites, start=2):
        report(f"completion {number} of {_COMPLETIONS}")
        answers.append(_complete(client, site.open(), log))
    return answers


def _complete(client: LspClient, place: OpenSite, log: Path) -> Answer:
    client.open(place.uri, place.before + place.behind, language=place.site.language_id)
    began_s = time.perf_counter()
    try:
        answer: Json = client.complete(place.uri, place.line, place.column, automatic=False).result(
            _ANSWER_S
        )
    except EOFError as error:
        raise ServerFailedError(f"{error}; {_last_words(log)}") from error
    total_ms = (time.perf_counter() - began_s) * 1000
    client.notify("textDocument/didClose", {"textDocument": {"uri": place.uri}})
    stats = client.params_of("midfill/completionStats")
    if not stats:
        # An empty answer without its cost means that there was no engine to ask.
        told = [message["message"] for message in client.params_of("window/showMessage")]
        raise ServerFailedError(f"the server has no engine: {told or _last_words(log)}")
    items: Json = answer["items"] if answer else []
    return Answer(
        total_ms=total_ms,
        ttft_ms=stats[-1]["ttftMs"],
        computing_ms=(stats[-1]["ttftMs"] or 0.0) + stats[-1]["decodeMs"],
        prefilled_tokens=stats[-1]["prefilledTokens"],
        generated_tokens=stats[-1]["generatedTokens"],
        text=items[0]["insertText"] if items else "",
    )


def _last_words(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-500:].strip() or "it logged nothing"
