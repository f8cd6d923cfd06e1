"""The runtimes that are installed, beside each other on the same model: prefill and decode steps.

All are loaded at once, with the same threads, and take turns, in every second round in the opposite
order. What they are given is the same as well: prompts in chunks of the same length, steps after as
many tokens. The first one is what the others are compared with, round by round, so that what else
the machine does falls on both.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.engine_speed import CONTEXT_TOKENS, OurSpeed, rounds
from benchmarks.provenance import about, warn_if_busy
from benchmarks.report import Figure, Progress, as_json, spread, table, tell_result
from midfill_engine.backends.base import Backend
from midfill_engine.cancel import CancelToken
from midfill_engine.errors import MidfillError
from midfill_engine.machine import probe_machine
from midfill_engine.progress import silent
from midfill_engine.registry import EMBEDDED_MODELS, ModelSpec, find_model
from midfill_engine.runtimes import (
    RUNTIME_NAMES,
    ChosenModel,
    Device,
    Opening,
    find_runtime,
)
from midfill_engine.store import ModelStore

__all__ = ["WIDTHS", "Measured", "compare", "figures_of", "main"]

WIDTHS = (1, 2, 4, 8, 16)
"""Tokens that one step computes, with logits for each."""

Measured = Mapping[str, Mapping[str, Sequence[float]]]
"""By runtime, then by the key of the figure: one value per round."""

_PREFILL = "prefill_tokens_per_s"
_ROOM = 64


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the models that are on this machine; 1 if none of them can be run twice."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backends", description=__doc__)
    parser.add_argument("--model", action="append", metavar="ID", help="may be repeated; all")
    parser.add_argument(
        "--backend",
        action="append",
        choices=RUNTIME_NAMES,
        help="may be repeated, the first is what the others are compared with; all",
    )
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=probe_machine().cores)
    parser.add_argument("--chunk", type=int, default=128, help="tokens of a prompt at a time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the line of JSON here")
    args = parser.parse_args(argv)
    machine = about(peer_version=None)
    warn_if_busy(machine)
    store, progress, found = ModelStore(), Progress(), dict[str, object]()
    for spec in (
        [find_model(model_id) for model_id in args.model] if args.model else EMBEDDED_MODELS
    ):
        with ExitStack() as stack:
            opened = _open_all(
                spec, args.backend or RUNTIME_NAMES, args.device, args.threads, store, stack
            )
            if len(opened) < 2:
                continue
            progress.label = spec.id
            speeds = {name: OurSpeed(opened[name], chunk=args.chunk) for name in opened}
            figures = figures_of(compare(speeds, args.rounds, progress))
        progress.clear()
        first, *others = opened
        compared = f"{', '.join(others)}: times as fast as {first}"
        print(table(f"\n{spec.id}, {args.threads} threads, {args.device}; {compared}", figures))
        found[spec.id] = as_json(figures)
    tell_result("backends", machine, found, args.json)
    return 0 if found else 1


def compare(speeds: Mapping[str, OurSpeed], count: int, report: Callable[[str], None]) -> Measured:
    """Let each runtime do each thing in each of ``count`` rounds, one after the other."""
    keys = (_PREFILL, *map(_step_key, WIDTHS))
    found = {name: {key: list[float]() for key in keys} for name in speeds}
    for index in rounds(count):
        turns = [*speeds] if index % 2 == 0 else [*speeds][::-1]
        for name in turns:
            report(f"round {index + 1} of {count}: {name}, prefill")
            found[name][_PREFILL].append(speeds[name].prefill_tokens_per_s())
        for width in WIDTHS:
            report(f"round {index + 1} of {count}: steps of {width}")
            for name in turns:
                found[name][_step_key(width)].append(speeds[name].width_ms(width))
    return found


def figures_of(measured: Measured) -> list[Figure]:
    """Return what the first runtime reaches, then how many times as fast the others are."""
    (first, base), *others = measured.items()
    figures = [
        Figure(key=f"{first}.{key}", name=_title(first, key), unit=_unit(key), value=spread(values))
        for key, values in base.items()
    ]
    for name, values_of in others:
        for key, values in values_of.items():
            pairs = list(zip(values, base[key], strict=True))
            if key == _PREFILL:
                ratios = [mine / its for mine, its in pairs]
            else:
                ratios = [its / mine for mine, its in pairs]
            figures.append(
                Figure(
                    key=f"{name}.{key}",
                    name=_title(name, key),
                    unit=_unit(key),
                    value=spread(ratios),
                    ours=spread(values),
                    peer=spread(base[key]),
                )
            )
    return figures


def _open_all(
    spec: ModelSpec,
    names: Sequence[str],
    device: Device,
    threads: int,
    store: ModelStore,
    stack: ExitStack,
) -> dict[str, Backend]:
    """Open a model in each runtime that has it ready; tell why the others do not take part."""
    opened: dict[str, Backend] = {}
    for name in names:
        try:
            backend = _open(name, spec, device, threads, store)
        except MidfillError as error:
            print(f"{spec.id}: without {name}: {error}", file=sys.stderr)
            continue
        stack.callback(backend.close)
        opened[name] = backend
    return opened


def _open(name: str, spec: ModelSpec, device: Device, threads: int, store: ModelStore) -> Backend:
    runtime = find_runtime(name)
    layout = runtime.layouts(spec, device)[0]
    chosen = ChosenModel(
        spec=spec, layout=layout.name, reason="benchmark", runtime=name, device=device
    )
    prepared = runtime.prepared(chosen, store)
    if prepared is None:
        raise MidfillError(f"not ready; run: midfill models pull {spec.id} --backend {name}")
    opening = Opening(
        threads=threads,
        context_tokens=CONTEXT_TOKENS + _ROOM,
        cache_bytes=0,
        progress=silent,
        cancel=CancelToken(),
    )
    return runtime.open(prepared, chosen, opening).backend


def _step_key(width: int) -> str:
    return f"step_{width}_ms"


def _unit(key: str) -> str:
    return "tok/s" if key == _PREFILL else "ms"


def _title(name: str, key: str) -> str:
    if key == _PREFILL:
        return f"{name}: prefill of {CONTEXT_TOKENS} tokens"
    return f"{name}: step of {key.split('_')[1]} after {CONTEXT_TOKENS}"


if __name__ == "__main__":
    sys.exit(main())
