"""What ``midfill doctor`` tries out: how fast a model is, and whether the network answers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from midfill_engine.machine import BUSY_PERCENT
from midfill_server.commands.diagnosis import NetworkReport

if TYPE_CHECKING:
    from midfill_engine.progress import ProgressSink
    from midfill_engine.runtimes import ChosenModel
    from midfill_engine.speed import Speed
    from midfill_engine.store import ModelStore

__all__ = ["Measure", "Reach", "Trial", "faster_of", "measure", "reach"]

_NETWORK_S = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A measured speed, and how busy other work kept the processor just before."""

    speed: Speed
    busy_percent: float


class Measure(Protocol):
    """Loads a model that is here, and times it."""

    def __call__(
        self, chosen: ChosenModel, store: ModelStore, threads: int | None, progress: ProgressSink
    ) -> Trial:
        """Convert if need be, load, time and remember. Raises ``MidfillError``."""
        ...


Reach = Callable[[], tuple[NetworkReport, ...]]
"""Looks whether the places that models come from answer."""


def measure(
    chosen: ChosenModel, store: ModelStore, threads: int | None, progress: ProgressSink
) -> Trial:
    """Load a model that is here, time it, and remember the speed; see ``Measure``."""
    from midfill_engine.cancel import CancelToken
    from midfill_engine.machine import probe_machine, watch_processor
    from midfill_engine.progress import Progress
    from midfill_engine.runtimes import Opening, conversion_folder, find_runtime
    from midfill_engine.speed import MEASURED_TOKENS, load_speed, measure_speed, save_speed

    runtime, cancel = find_runtime(chosen.runtime), CancelToken()
    path = runtime.prepare(chosen, store, download=False, progress=progress, cancel=cancel)
    what = f"{chosen.spec.id} ({chosen.runtime}, {chosen.device})"
    progress(Progress(task=f"Measuring {what}", done=0, total=None))
    busy_percent = watch_processor()
    machine = probe_machine().fingerprint
    opening = Opening(
        threads=threads,
        context_tokens=MEASURED_TOKENS,
        cache_bytes=0,
        progress=progress,
        cancel=cancel,
    )
    backend = runtime.open(path, chosen, opening).backend
    try:
        speed = replace(measure_speed(backend, machine), busy_percent=busy_percent)
    finally:
        backend.close()
    folder = conversion_folder(chosen, store)
    earlier = load_speed(folder, machine)
    # A quiet machine tells the truth, also where it is slower than it was. On a busy one a
    # measurement can only be too slow, so it must not displace a better one.
    if earlier is not None and busy_percent > BUSY_PERCENT:
        speed = faster_of(earlier, speed)
    save_speed(folder, speed)
    return Trial(speed=speed, busy_percent=busy_percent)


def faster_of(one: Speed, other: Speed) -> Speed:
    """Return the better of each figure."""
    return replace(
        one,
        prefill_tokens_per_s=max(one.prefill_tokens_per_s, other.prefill_tokens_per_s),
        step_ms=min(one.step_ms, other.step_ms),
    )


def reach() -> tuple[NetworkReport, ...]:
    """Ask the hub and the package index for an answer, both at once, for a few seconds."""
    from threading import Thread

    hub = os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"
    index = _index_url()
    answers: dict[str, str] = {}

    def ask(url: str) -> None:
        import requests

        try:
            # Any answer will do: what counts is that the host is there and speaks.
            status = requests.head(url, timeout=_NETWORK_S).status_code
            answers[url] = "" if status < 500 else f"it answers with status {status}"
        except requests.RequestException as error:
            answers[url] = type(error).__name__

    # Daemons: a name that cannot be looked up keeps a thread far longer than anyone waits.
    threads = [Thread(target=ask, args=(url,), daemon=True) for url in (hub, index)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_NETWORK_S)
    late = f"no answer in {_NETWORK_S:.0f} s"
    return tuple(NetworkReport(url=url, failure=answers.get(url, late)) for url in (hub, index))


def _index_url() -> str:
    """Return the package index that pip would ask."""
    if named := os.environ.get("PIP_INDEX_URL"):
        return named
    command = [sys.executable, "-P", "-m", "pip", "config", "get", "global.index-url"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return "https://pypi.org/simple/"
    return said.stdout.strip()
