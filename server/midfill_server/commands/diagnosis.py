"""What ``midfill doctor`` found, as values, and how people and programs are told."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from midfill_engine.machine import BUSY_PERCENT
from midfill_engine.sources.base import human_bytes

__all__ = [
    "BackendReport",
    "ChosenReport",
    "Diagnosis",
    "MachineReport",
    "ModelReport",
    "NetworkReport",
    "PathsReport",
    "Trouble",
    "as_json",
    "print_diagnosis",
]

_LABEL_WIDTH = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One problem, and what to do about it. ``fatal``: nothing is completed until it is done."""

    message: str
    remedy: str
    fatal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineReport:
    """The machine; ``available_bytes`` of its memory could be used now.

    ``accelerator_bytes`` are free on the first accelerator; ``None``: no driver tells.
    """

    processor: str
    system: str
    cores: int
    memory_bytes: int
    available_bytes: int
    accelerators: tuple[str, ...]
    accelerator_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReport:
    """A model of the registry; ``conversions`` has the size in bytes per weight layout.

    ``is_embedded``: it may be fetched without asking.
    """

    id: str
    is_embedded: bool
    state: str
    size_bytes: int
    fetched_bytes: int
    conversions: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenReport:
    """The model that is used, and why. Speeds are ``None`` as long as none was measured.

    ``line_ms`` is the expected time of a line of code, ``line_budget_ms`` the time aimed at;
    ``prompt_tokens`` is how much of the code around the cursor the model sees. ``busy_percent`` is
    how much else the processor did just before it was measured.
    """

    id: str
    backend: str
    device: str
    layout: str
    reason: str
    is_here: bool
    is_converted: bool
    measured_now: bool
    busy_percent: float | None
    prefill_tokens_per_s: float | None
    step_ms: float | None
    line_ms: float | None
    line_budget_ms: float
    memory_bytes: int | None
    prompt_tokens: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendReport:
    """One way to run the model that is used. ``objection`` says why it cannot be, or is empty.

    Speeds are ``None`` as long as none was measured.
    """

    backend: str
    device: str
    layout: str
    objection: str
    is_used: bool
    memory_bytes: int | None
    prefill_tokens_per_s: float | None
    step_ms: float | None
    line_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PathsReport:
    """Where things lie; ``free_bytes`` is the room on the disk of ``home``.

    ``settings`` is ``None`` where the environment says that no file is read.
    """

    home: str
    free_bytes: int
    settings: str | None
    has_settings: bool
    log: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkReport:
    """A place that models come from; ``failure`` is empty if it answered."""

    url: str
    failure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """All that was found. ``network`` is ``None`` unless it was asked for."""

    versions: Mapping[str, str]
    machine: MachineReport
    models: tuple[ModelReport, ...]
    chosen: ChosenReport | None
    backends: tuple[BackendReport, ...]
    paths: PathsReport
    network: tuple[NetworkReport, ...] | None
    troubles: tuple[Trouble, ...]

    @property
    def can_complete(self) -> bool:
        """Whether code can be completed as things are."""
        return not any(trouble.fatal for trouble in self.troubles)


def as_json(diagnosis: Diagnosis) -> str:
    """Return the diagnosis as one JSON object, spread out."""
    found = {"can_complete": diagnosis.can_complete, **asdict(diagnosis)}
    return json.dumps(found, indent=2, ensure_ascii=False)


def print_diagnosis(diagnosis: Diagnosis) -> None:
    """Print it: in colours and wrapped on a terminal, one fact a line anywhere else."""
    if not sys.stdout.isatty():
        for label, text in _rows(diagnosis):
            print(f"{label:<{_LABEL_WIDTH}}{text}".rstrip())
        for line, _ in _closing(diagnosis):
            print(line)
        return
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table

    console = Console(highlight=False, markup=False, emoji=False)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold cyan", no_wrap=True)
    # An id or a path that is cut off cannot be copied.
    grid.add_column(overflow="fold")
    for row in _rows(diagnosis):
        grid.add_row(*row)
    console.print(grid)
    for line, style in _closing(diagnosis):
        text = line.lstrip()
        console.print(Padding(text, (0, 0, 0, len(line) - len(text))), style=style)


def _rows(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    """Yield label and text; a label is empty where the one before it still holds."""
    yield "installed", ", ".join(f"{name} {text}" for name, text in diagnosis.versions.items())
    machine = diagnosis.machine
    yield "machine", f"{machine.processor}, {machine.cores} cores, {machine.system}"
    accelerators = ", ".join(machine.accelerators) or "no NVIDIA accelerator"
    if machine.accelerator_bytes is not None:
        accelerators += f" ({human_bytes(machine.accelerator_bytes)} free)"
    memory, free = human_bytes(machine.memory_bytes), human_bytes(machine.available_bytes)
    yield "", f"{memory} of memory, {free} free; {accelerators}"
    for index, model in enumerate(diagnosis.models):
        yield "" if index else "models", _model_line(model)
    if diagnosis.chosen is not None:
        yield from _chosen_rows(diagnosis.chosen)
    for index, backend in enumerate(diagnosis.backends):
        yield "" if index else "backends", _backend_line(backend)
    yield from _place_rows(diagnosis)


def _model_line(model: ModelReport) -> str:
    if model.state == "missing":
        return f"{model.id}: not here ({human_bytes(model.size_bytes)} to fetch)"
    made = ", ".join(f"{name} {human_bytes(size)}" for name, size in model.conversions.items())
    converted = f"; converted: {made}" if made else "; not converted yet"
    return f"{model.id}: {model.state}, {human_bytes(model.fetched_bytes)}{converted}"


def _chosen_rows(chosen: ChosenReport) -> Iterator[tuple[str, str]]:
    how = f"{chosen.backend} on the {chosen.device}, {chosen.layout} weights"
    yield "used", f"{chosen.id}, {how}"
    yield "because", chosen.reason
    if chosen.prefill_tokens_per_s is None or chosen.step_ms is None or chosen.line_ms is None:
        yield "speed", "not measured yet"
    else:
        when = "measured now" if chosen.measured_now else "measured earlier"
        if chosen.busy_percent is not None and chosen.busy_percent > BUSY_PERCENT:
            when = "the best measured so far"
        yield (
            "speed",
            f"prefill {chosen.prefill_tokens_per_s:.0f} tokens/s, decode {chosen.step_ms:.1f} ms "
            f"a token, a line {chosen.line_ms / 1000:.1f} s "
            f"(aim: {chosen.line_budget_ms / 1000:.1f} s); {when}",
        )
    if chosen.prompt_tokens is not None:
        yield "prompt", f"up to {chosen.prompt_tokens} tokens of the code around the cursor"


def _backend_line(report: BackendReport) -> str:
    if report.objection:
        return f"{report.backend}, {report.device}: {report.objection}"
    line = f"{report.backend}, {report.device}, {report.layout} weights: "
    if report.line_ms is None or report.step_ms is None or report.prefill_tokens_per_s is None:
        line += "not measured yet"
    else:
        line += (
            f"prefill {report.prefill_tokens_per_s:.0f} tokens/s, decode {report.step_ms:.1f} ms, "
            f"a line {report.line_ms / 1000:.1f} s"
        )
    if report.memory_bytes is not None:
        line += f", {report.memory_bytes / 1e9:.1f} GB"
    return f"{line} (used)" if report.is_used else line


def _place_rows(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    paths = diagnosis.paths
    if paths.settings is None:
        yield "settings", "the environment says that no file is read"
    else:
        yield (
            "settings",
            paths.settings + ("" if paths.has_settings else " (no such file: defaults)"),
        )
    yield "home", f"{paths.home} ({human_bytes(paths.free_bytes)} free)"
    yield "log", paths.log
    for index, place in enumerate(diagnosis.network or ()):
        yield "" if index else "network", f"{place.url}: {place.failure or 'answers'}"


def _closing(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    """Yield the lines after the facts, each with its style."""
    yield "", ""
    for trouble in diagnosis.troubles:
        yield (
            f"{'ERROR' if trouble.fatal else 'NOTE'}  {trouble.message}",
            ("bold red" if trouble.fatal else "yellow"),
        )
        yield f"       Do: {trouble.remedy}", ""
    if diagnosis.can_complete:
        yield "midfill can complete code here.", "bold green"
    else:
        yield "midfill cannot complete code yet.", "bold red"
