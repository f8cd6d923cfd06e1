"""``midfill doctor``: what is installed, which model is used and why, how fast, what is wrong."""

from __future__ import annotations

import argparse
import importlib.util
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from midfill_engine import __version__
from midfill_engine.errors import (
    BackendUnavailableError,
    MidfillError,
    ModelError,
    OutOfMemoryError,
)
from midfill_engine.machine import BUSY_PERCENT
from midfill_server.commands import Subparsers
from midfill_server.commands.backends import compare, worth_trying
from midfill_server.commands.diagnosis import (
    BackendReport,
    ChosenReport,
    Diagnosis,
    MachineReport,
    ModelReport,
    NetworkReport,
    PathsReport,
    Trouble,
    as_json,
    print_diagnosis,
)
from midfill_server.commands.trials import Measure, Reach, Trial, measure, reach

if TYPE_CHECKING:
    from midfill_engine.machine import Machine
    from midfill_engine.options import EngineOptions
    from midfill_engine.progress import ProgressSink
    from midfill_engine.registry import ModelSpec
    from midfill_engine.runtimes import ChosenModel
    from midfill_engine.store import ModelStore

__all__ = ["add_parser", "run"]

# All of them bring the module "onnxruntime": with two, whichever was installed last wins, and
# parts of the other one stay.
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino")
_PACKAGES = (
    "torch",
    "llama-cpp-python",
    "optimum-onnx",
    "numpy",
    "tokenizers",
    "pygls",
    "onnx",
    "gguf",
    "huggingface_hub",
)
_INSTALL = f'"{sys.executable}" -m pip install "midfill[cpu]"'


def add_parser(subparsers: Subparsers) -> None:
    """Declare the options."""
    parser = subparsers.add_parser(
        "doctor",
        help="check this installation and say what to do about each problem",
        description="Check this installation: what is installed, which model is used and why, how "
        "fast it is, and what to do about each problem. The exit code is 0 if midfill can "
        "complete code, else 1.",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    parser.add_argument(
        "--quick", action="store_true", help="load nothing: show the speed measured last"
    )
    parser.add_argument(
        "--network", action="store_true", help="ask the places that models come from, too"
    )


def run(
    args: argparse.Namespace, timer: Measure | None = None, network: Reach | None = None
) -> int:
    """Examine and print; the two functions stand in for ``measure`` and ``reach`` in tests."""
    from midfill_engine.progress import silent
    from midfill_server.commands.terminal import progress_sink

    with progress_sink(sys.stderr, transient=True) as progress:
        shown = progress if sys.stderr.isatty() else silent
        timed = None if args.quick else timer or measure
        diagnosis = _examine(timed, shown)
        if args.network:
            found = (network or reach)()
            diagnosis = replace(
                diagnosis,
                network=found,
                troubles=(*diagnosis.troubles, *_network_troubles(found)),
            )
    if args.json:
        print(as_json(diagnosis))
    else:
        print_diagnosis(diagnosis)
    return 0 if diagnosis.can_complete else 1


def _examine(timed: Measure | None, progress: ProgressSink) -> Diagnosis:
    from midfill_engine.machine import probe_machine
    from midfill_engine.registry import MODELS
    from midfill_engine.store import ModelStore
    from midfill_server.settings import engine_options, load_settings

    settings, problems = load_settings()
    options = engine_options(settings)
    store, machine = ModelStore(options.home), probe_machine()
    troubles = list(_runtime_troubles())
    has_runtime = not any(trouble.fatal for trouble in troubles)
    paths = _paths(store.home)
    for problem in problems:
        remedy = f"Correct it in {paths.settings}; until then it is ignored."
        troubles.append(Trouble(message=f"settings: {problem}", remedy=remedy))
    chosen, backends, found = _chosen(
        options, store, machine, timed if has_runtime else None, progress
    )
    troubles += found
    troubles += _room_troubles(chosen, store, paths)
    return Diagnosis(
        versions=_versions(),
        machine=MachineReport(
            processor=machine.processor,
            system=machine.system,
            cores=machine.cores,
            memory_bytes=machine.memory_bytes,
            available_bytes=machine.available_bytes,
            accelerators=machine.accelerators,
            accelerator_bytes=machine.accelerator_bytes,
        ),
        models=tuple(
            report
            for report in (_model(spec, store) for spec in MODELS)
            # Of the others there are many; `midfill models list` has them.
            if report.state != "missing" or report.is_embedded
        ),
        chosen=chosen,
        backends=backends,
        paths=paths,
        network=None,
        troubles=tuple(troubles),
    )


def _versions() -> dict[str, str]:
    """Return the versions of what is installed; what is not is left out."""
    found = {"midfill": __version__, "python": platform.python_version()}
    for name in (*_RUNTIMES, *_PACKAGES):
        version = _version(name)
        if version is not None:
            found[name] = version
    return found


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _runtime_troubles() -> Iterator[Trouble]:
    installed = [name for name in _RUNTIMES if _version(name) is not None]
    if len(installed) > 1:
        names = " and ".join(installed)
        yield Trouble(
            message=f"{names} are both installed, and overwrite each other's files",
            remedy=f'"{sys.executable}" -m pip uninstall -y {" ".join(installed)}, '
            f"and then {_INSTALL}",
        )
    modules = ("onnxruntime", "torch", "llama_cpp")
    if not any(importlib.util.find_spec(module) for module in modules):
        message = "onnxruntime, which runs the models, is not installed"
        yield Trouble(message=message, remedy=_INSTALL, fatal=True)


def _model(spec: ModelSpec, store: ModelStore) -> ModelReport:
    from midfill_engine.onnx.convert import OnnxManifest

    stored = store.describe(spec)
    # The layout's name is the folder's; the parent of any of them is that of all.
    parent = store.conversion_dir(spec.id, spec.layout).parent
    layouts = sorted(folder for folder in parent.glob("*") if OnnxManifest.read(folder))
    return ModelReport(
        id=spec.id,
        is_embedded=spec.embedded,
        state=stored.state.value,
        size_bytes=spec.size_bytes,
        fetched_bytes=stored.fetched_bytes,
        conversions={folder.name: _bytes_in(folder) for folder in layouts},
    )


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _chosen(
    options: EngineOptions,
    store: ModelStore,
    machine: Machine,
    timed: Measure | None,
    progress: ProgressSink,
) -> tuple[ChosenReport | None, tuple[BackendReport, ...], list[Trouble]]:
    """Choose as the server does; measure, and choose again where the speed decides."""
    from midfill_engine.select import choose_model

    tried: dict[ChosenModel, Trial | MidfillError] = {}
    try:
        chosen = choose_model(options, store)
        if timed is not None:
            for candidate in worth_trying(options, chosen, store, machine):
                tried[_form(candidate)] = _try(timed, candidate, options, store, progress)
            # What was measured may change the choice, to a model that was not measured yet.
            while _form(chosen := choose_model(options, store)) not in tried:
                if not _is_here(chosen, store):
                    break
                tried[_form(chosen)] = _try(timed, chosen, options, store, progress)
    except (ModelError, OutOfMemoryError, BackendUnavailableError) as error:
        remedy = "Correct `model`, `engine.backend` or `engine.weights`; `midfill models list` "
        remedy += "shows the ids."
        return None, (), [Trouble(message=str(error), remedy=remedy, fatal=True)]
    trial = tried.get(_form(chosen))
    report = _report(chosen, options, store, machine, trial if isinstance(trial, Trial) else None)
    troubles = [
        _failed(form, error, is_chosen=form == _form(chosen))
        for form, error in tried.items()
        if isinstance(error, MidfillError)
    ]
    compared = compare(options, chosen, store, machine)
    return report, compared, [*troubles, *_model_troubles(report, chosen.spec, store, machine)]


def _form(chosen: ChosenModel) -> ChosenModel:
    """Return the choice without its reason: what it is, whyever it was chosen."""
    return replace(chosen, reason="")


def _try(
    timed: Measure,
    candidate: ChosenModel,
    options: EngineOptions,
    store: ModelStore,
    progress: ProgressSink,
) -> Trial | MidfillError:
    try:
        return timed(candidate, store, options.threads, progress)
    except MidfillError as error:
        return error


def _is_here(chosen: ChosenModel, store: ModelStore) -> bool:
    """Whether the model can be loaded: a conversion does without the file it was made from."""
    return store.model_path(chosen.spec) is not None or _is_converted(chosen, store)


def _is_converted(chosen: ChosenModel, store: ModelStore) -> bool:
    from midfill_engine.runtimes import find_runtime

    return find_runtime(chosen.runtime).prepared(chosen, store) is not None


def _report(
    chosen: ChosenModel,
    options: EngineOptions,
    store: ModelStore,
    machine: Machine,
    trial: Trial | None,
) -> ChosenReport:
    from midfill_engine.estimate import LATENCY_BUDGET_MS, line_ms
    from midfill_engine.loading import prompt_tokens_for
    from midfill_engine.runtimes import conversion_folder
    from midfill_engine.select import memory_needed
    from midfill_engine.speed import load_speed

    folder = conversion_folder(chosen, store)
    speed = trial.speed if trial else load_speed(folder, machine.fingerprint)
    return ChosenReport(
        id=chosen.spec.id,
        backend=chosen.runtime,
        device=chosen.device,
        layout=chosen.layout,
        reason=chosen.reason,
        is_here=_is_here(chosen, store),
        is_converted=_is_converted(chosen, store),
        measured_now=trial is not None,
        busy_percent=trial.busy_percent if trial else None,
        prefill_tokens_per_s=speed.prefill_tokens_per_s if speed else None,
        step_ms=speed.step_ms if speed else None,
        line_ms=line_ms(speed) if speed else None,
        line_budget_ms=LATENCY_BUDGET_MS,
        memory_bytes=memory_needed(chosen),
        prompt_tokens=options.prompt_tokens or (prompt_tokens_for(speed) if speed else None),
    )


def _model_troubles(
    report: ChosenReport, spec: ModelSpec, store: ModelStore, machine: Machine
) -> Iterator[Trouble]:
    from midfill_engine.registry import MODELS

    pull = f"midfill models pull {spec.id}"
    smallest = min(MODELS, key=lambda other: other.rank)
    smaller = (
        f'Set `model = "{smallest.id}"`, which is smaller and faster.'
        if smallest.id != spec.id
        else "This is the smallest model there is."
    )
    if not report.is_here:
        stored = store.describe(spec)
        percent = min(99, stored.fetched_bytes * 100 // spec.size_bytes)
        how_far = f"only {percent} % of it is" if stored.fetched_bytes else "it is not"
        message = f"{spec.id} would be used, but {how_far} on this machine"
        yield Trouble(message=message, remedy=pull, fatal=True)
        return
    if report.memory_bytes is not None and report.memory_bytes > machine.available_bytes:
        needed, free = report.memory_bytes / 1e9, machine.available_bytes / 1e9
        message = f"{spec.id} needs {needed:.1f} GB of memory, and {free:.1f} GB are free"
        yield Trouble(message=message, remedy=f"Close other programs. {smaller}")
    if report.busy_percent is not None and report.busy_percent > BUSY_PERCENT:
        message = f"other programs kept the processor {report.busy_percent:.0f} % busy meanwhile"
        remedy = "Run this again when they are done: what is slow now may be fast enough."
        yield Trouble(message=message, remedy=remedy)
    if report.line_ms is not None and report.line_ms > report.line_budget_ms:
        message = (
            f"{spec.id} is slow here: a line takes about {report.line_ms / 1000:.1f} s, "
            f"{report.line_budget_ms / 1000:.1f} s are aimed at"
        )
        yield Trouble(message=message, remedy=smaller)


def _room_troubles(
    chosen: ChosenReport | None, store: ModelStore, paths: PathsReport
) -> Iterator[Trouble]:
    """Say now what a pull or a conversion would fail of."""
    from midfill_engine.registry import find_model
    from midfill_engine.sources.base import human_bytes

    if chosen is None or chosen.is_converted:
        return
    stored = store.describe(find_model(chosen.id))
    size_bytes = find_model(chosen.id).size_bytes
    # The file, and twice its size while it is converted.
    needed = size_bytes * 3 - stored.fetched_bytes
    if paths.free_bytes < needed:
        message = (
            f"fetching and converting {chosen.id} needs {human_bytes(needed)} in {paths.home}, "
            f"{human_bytes(paths.free_bytes)} are free"
        )
        yield Trouble(message=message, remedy="Make room, or set MIDFILL_HOME to another disk.")


def _failed(form: ChosenModel, error: MidfillError, *, is_chosen: bool) -> Trouble:
    model_id = form.spec.id
    return Trouble(
        message=f"{model_id} could not be loaded by {form.runtime}: {error}",
        remedy=f"midfill models remove {model_id}, and then midfill models pull {model_id}",
        fatal=is_chosen,
    )


def _paths(home: Path) -> PathsReport:
    from midfill_server.settings import config_path, log_path

    settings = config_path()
    there = home
    while not there.exists() and there != there.parent:
        there = there.parent
    return PathsReport(
        home=str(home),
        free_bytes=shutil.disk_usage(there).free,
        settings=str(settings) if settings else None,
        has_settings=settings is not None and settings.is_file(),
        log=str(log_path()),
    )


def _network_troubles(found: Sequence[NetworkReport]) -> Iterator[Trouble]:
    failed = [place for place in found if place.failure]
    if failed and len(failed) == len(found):
        remedy = "Check the network and its proxy, or fetch the model elsewhere and run: "
        remedy += "midfill models pull ID --from PATH"
        places = ", ".join(f"{place.url} ({place.failure})" for place in failed)
        yield Trouble(message=f"no place that has models can be reached: {places}", remedy=remedy)
