"""Runs the keystroke benchmark with one model: both servers, part by part."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.keystroke_figures import (
    Comparison,
    Row,
    Target,
    keystroke_rows,
    paced_rows,
    summary,
)
from benchmarks.keystroke_plot import Times
from benchmarks.llama_typist import LlamaTypist, open_llama
from benchmarks.midfill_typist import MidfillTypist, open_midfill
from benchmarks.replay import PacedKeystroke, Played, Typist, play
from benchmarks.server_session import peak_resident_bytes
from benchmarks.typing_scripts import Script, code_sources, line_scripts
from midfill_engine.cancel import CancelToken
from midfill_engine.loading import prepare
from midfill_engine.options import EngineOptions
from midfill_engine.progress import silent
from midfill_engine.select import choose_model
from midfill_engine.store import ModelStore
from midfill_engine.tokenizer import load_tokenizer

__all__ = ["Measured", "Peer", "Plan", "measure"]

_IDLE_S = 5.0
_WARM_UP_SEED = 1000
_TITLES = {
    "lines": "lines of real files, typed character by character",
    "rest": "the first key after the cursor had rested",
    "edits": "recorded edits",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured with each model; what is empty is left out.

    ``paced`` is typed at ``pace_ms`` without waiting for answers. ``idle``: measure what the
    servers use while nothing is typed.
    """

    lines: list[Script]
    rest: list[Script]
    edits: list[Script]
    sizes: list[Script]
    paced: list[Script]
    pace_ms: int
    idle: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """How llama.vim is played; ``program`` is llama-server (see ``open_llama`` for the rest)."""

    program: Path
    later_predict_ms: int
    lands: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was found with one model, by the title of each part; ``times`` are of the lines."""

    sections: dict[str, list[Row]]
    times: Times


def measure(
    model_id: str,
    plan: Plan,
    peer: Peer | None,
    *,
    threads: int,
    stand_in: str,
    targets: Mapping[str, Target],
    report: Callable[[str], None],
) -> Measured:
    """Start both servers and measure; raises ``ServerFailedError``, ``PeerError``.

    ``stand_in``: our server's setting of that name.
    The model must have been pulled (``MidfillError`` otherwise). Without the GGUF file that it
    was made from there is no comparison.
    """
    store = ModelStore()
    chosen = choose_model(EngineOptions(model=model_id), store)
    folder = prepare(chosen, store, download=False, progress=silent, cancel=CancelToken())
    gguf = store.model_path(chosen.spec)
    with ExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        report("starting the servers")
        engine = {"weights": chosen.layout, "threads": threads, "stand_in": stand_in}
        ours = stack.enter_context(open_midfill(model_id, engine, logs / "midfill.log"))
        theirs: LlamaTypist | None = None
        if peer is not None and gguf is not None:
            theirs = stack.enter_context(
                open_llama(
                    peer.program,
                    gguf,
                    threads=threads,
                    later_predict_ms=peer.later_predict_ms,
                    lands=peer.lands,
                    log=logs / "llama.log",
                )
            )
        _warm_up(ours, theirs)
        count = _token_counter(folder / "tokenizer.json")
        sections: dict[str, list[Row]] = {}
        times: Times = {}
        for scripts in (plan.lines, plan.rest, plan.edits):
            if scripts:
                found = _compare(scripts, ours, theirs, report)
                sections[_TITLES[found.part]] = keystroke_rows(found, count, targets)
                if scripts is plan.lines:
                    times = _times(found)
        if plan.paced:
            sections[f"a key every {plan.pace_ms} ms"] = _paced(plan, ours, theirs, report)
        sections["the servers"] = [
            *_size_rows(plan.sizes, ours, targets, report),
            *_server_rows(plan, ours, theirs, targets, report),
        ]
    return Measured(sections=sections, times=times)


def _warm_up(ours: MidfillTypist, theirs: LlamaTypist | None) -> None:
    """Let both load everything, at a place that is not measured."""
    (script,) = line_scripts(code_sources(_WARM_UP_SEED), 1, _WARM_UP_SEED)
    script = replace(script, part="warm-up", turns=(script.turns[0][:2],))
    play(script, [typist for typist in (ours, theirs) if typist is not None])


def _compare(
    scripts: Sequence[Script],
    ours: MidfillTypist,
    theirs: LlamaTypist | None,
    report: Callable[[str], None],
) -> Comparison:
    part = scripts[0].part
    typists: list[Typist] = [ours, *([theirs] if theirs else [])]
    found: dict[str, list[Played]] = {typist.name: [] for typist in typists}
    for number, script in enumerate(scripts, start=1):
        report(f"{_TITLES[part]}: {number} of {len(scripts)}")
        # Who begins changes, so that what the machine does meanwhile meets both.
        order = typists[:: 1 if number % 2 else -1]
        for typist, played in zip(order, play(script, order), strict=True):
            found[typist.name].append(played)
    peer = found[theirs.name] if theirs else []
    return Comparison(part=part, ours=found[ours.name], peer=peer)


def _times(found: Comparison) -> Times:
    sides = {"midfill": found.ours, "llama.vim": found.peer}
    return {
        name: [key.shown.complete_ms for played in side for key in played.keystrokes]
        for name, side in sides.items()
    }


def _paced(
    plan: Plan, ours: MidfillTypist, theirs: LlamaTypist | None, report: Callable[[str], None]
) -> list[Row]:
    our_keys: list[PacedKeystroke] = []
    their_keys: list[PacedKeystroke] = []
    for number, script in enumerate(plan.paced, start=1):
        report(f"at a pace: {number} of {len(plan.paced)}")
        our_keys += ours.type_paced(script, plan.pace_ms / 1000)
        ours.processor.settle()
        if theirs is not None:
            their_keys += theirs.type_paced(script, plan.pace_ms / 1000)
    return paced_rows(our_keys, their_keys)


def _size_rows(
    scripts: Sequence[Script],
    ours: MidfillTypist,
    targets: Mapping[str, Target],
    report: Callable[[str], None],
) -> list[Row]:
    """Return what a key costs in files of different lengths, the shortest first."""
    medians_ms: list[float] = []
    rows: list[Row] = []
    for script in scripts:
        report(f"a file of {script.name}")
        (played,) = play(script, [ours])
        # The first key computes the whole prompt; what a keystroke costs shows in the others.
        times = summary(key.shown.complete_ms for key in played.keystrokes[1:])
        assert times is not None
        medians_ms.append(times.p50)
        key, name = f"size_{script.name}", f"key to complete text, {script.name}, p50"
        rows.append(Row(key=key, name=name, unit="ms", ours=times.p50))
    if rows:
        rows.append(
            Row(
                key="size_ratio",
                name="the longest ÷ the shortest",
                unit="x",
                ours=medians_ms[-1] / medians_ms[0],
                target=targets.get("size_ratio"),
            )
        )
    return rows


def _server_rows(
    plan: Plan,
    ours: MidfillTypist,
    theirs: LlamaTypist | None,
    targets: Mapping[str, Target],
    report: Callable[[str], None],
) -> list[Row]:
    """Return what is not about single keys; doing nothing comes last."""
    rows = [
        Row(
            key="peak_memory",
            name="peak resident memory of the server",
            unit="GB",
            ours=peak_resident_bytes(ours.pid) / 1e9,
            peer=peak_resident_bytes(theirs.pid) / 1e9 if theirs else None,
        )
    ]
    if plan.idle:
        report("doing nothing")
        ours.processor.settle()
        rows.append(
            Row(
                key="idle_percent",
                name=f"processor while nobody types, {_IDLE_S:.0f} s, of one core",
                unit="%",
                ours=ours.processor.idle_percent(_IDLE_S),
                peer=theirs.processor.idle_percent(_IDLE_S) if theirs else None,
                target=targets.get("idle_percent"),
            )
        )
    return rows


def _token_counter(path: Path) -> Callable[[str], int]:
    # Both servers run the same model, so its own tokens count for both.
    tokenizer = load_tokenizer(path)
    return lambda text: len(tokenizer.encode_fragment(text))
