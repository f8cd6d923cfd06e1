"""From the keystroke to complete ghost text: midfill beside llama.vim's requests, key by key.

python -m benchmarks.keystrokes [--model ID]... [--llama-server PATH] [--data DIR] [--quick]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

if not __package__:
    # Started by its path: then Python looks for modules in this folder, and not in the checkout.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.keystroke_figures import Target, rows_as_json, rows_table
from benchmarks.keystroke_plot import Times, save_plot
from benchmarks.keystroke_session import Peer, Plan, measure
from benchmarks.llama_typist import SERVER_FLAGS
from benchmarks.llama_vim import FIRST_PREDICT_MS, LATER_PREDICT_MS
from benchmarks.peer_llama import PeerError, build_name, find_program
from benchmarks.provenance import about, warn_if_busy
from benchmarks.report import Progress, tell_result
from benchmarks.server_session import ServerFailedError
from benchmarks.typing_scripts import (
    Script,
    code_sources,
    find_trace,
    line_scripts,
    recorded_script,
    rest_scripts,
    size_scripts,
)
from midfill_engine.errors import MidfillError
from midfill_engine.machine import probe_machine
from midfill_engine.registry import EMBEDDED_MODELS

__all__ = ["TARGETS", "main"]


def _targets(*, mean: float, needing: float, first_ms: float) -> dict[str, Target]:
    return {
        "lines_complete_all_mean": Target(bound=mean, at_least=True, of_ratio=True),
        "lines_complete_model_p50": Target(bound=needing, at_least=True, of_ratio=True),
        "lines_complete_model_p95": Target(bound=needing, at_least=True, of_ratio=True),
        "lines_prefilled_model_p50": Target(bound=3),
        "lines_first_all_p50": Target(bound=first_ms),
        "lines_free_along": Target(bound=95, at_least=True),
        "rest_complete_all_p50": Target(bound=8, at_least=True, of_ratio=True),
        "size_ratio": Target(bound=1.2),
        "idle_percent": Target(bound=1),
    }


TARGETS: dict[str, dict[str, Target]] = {
    "qwen2.5-coder-0.5b": _targets(mean=10, needing=8, first_ms=60),
    "qwen2.5-coder-1.5b": _targets(mean=5, needing=6, first_ms=90),
}
"""What is aimed at on a machine with two cores: by model, then by the key of the row."""

_HOW_TO_GET = (
    "llama-server is not here, so nothing is compared with it. It comes with llama-bench "
    "(benchmarks/README.md); then give --llama-server PATH."
)
_REST_S = 1.0
_SIZES = (200, 20_000)
_EDITS_START = 3000


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and tell; 0 whether the targets are met or not, 1 if it could not be measured."""
    args = _arguments(argv)
    report = Progress()
    found: dict[str, object] = {}
    curves: dict[str, Times] = {}
    try:
        peer = _peer(args)
        machine = about(peer_version=build_name(peer.program) if peer else None)
        warn_if_busy(machine)
        plan = _plan(args)
        for model_id in args.model or [spec.id for spec in EMBEDDED_MODELS]:
            report.label = model_id
            targets = TARGETS.get(model_id, {})
            measured = measure(
                model_id,
                plan,
                peer,
                threads=args.threads,
                stand_in=args.stand_in,
                targets=targets,
                report=report,
            )
            report.clear()
            print(
                f"\n{model_id}, {args.threads} threads\n{rows_table(measured.sections)}", flush=True
            )
            rows = [row for section in measured.sections.values() for row in section]
            found[model_id] = rows_as_json(rows)
            curves[model_id] = measured.times
    except (MidfillError, PeerError, ServerFailedError) as error:
        report.clear()
        print(f"error: {error}", file=sys.stderr)
        return 1
    tell_result("keystrokes", {**machine, **_conditions(args, plan)}, found, args.json)
    if args.plot:
        save_plot(args.plot, curves)
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.keystrokes", description=__doc__)
    parser.add_argument("--model", action="append", metavar="ID", help="may be repeated; all")
    parser.add_argument(
        "--llama-server", type=Path, metavar="PATH", help="llama.cpp's program, or its folder"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="has rustcode.json.gz in it")
    parser.add_argument("--quick", action="store_true", help="few places: does it run at all?")
    parser.add_argument("--places", type=int, metavar="N", help="lines that are typed (16)")
    parser.add_argument("--seed", type=int, default=1, help="chooses the places (1)")
    parser.add_argument(
        "--rest-ms", type=int, default=0, help="how long the cursor rests before each line (0)"
    )
    parser.add_argument(
        "--pace-ms", type=int, metavar="N", help="type at this pace, too, without waiting"
    )
    parser.add_argument(
        "--peer-later-ms",
        type=int,
        default=LATER_PREDICT_MS,
        help="llama.vim's t_max_predict_ms after the first request of a place "
        f"({LATER_PREDICT_MS}; the first has {FIRST_PREDICT_MS})",
    )
    parser.add_argument(
        "--peer-lands",
        action="store_true",
        help="llama.vim asks where the cursor comes to rest, as it does in insert mode",
    )
    parser.add_argument(
        "--threads", type=int, default=probe_machine().cores, help="for both servers (all cores)"
    )
    parser.add_argument(
        "--stand-in",
        default="never",
        choices=("never", "always"),
        help="let a smaller model answer where a larger one would take long to begin (never)",
    )
    parser.add_argument(
        "--skip", action="append", default=[], choices=("rest", "edits", "sizes", "idle")
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here too")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw a PNG")
    args = parser.parse_args(argv)
    if args.places is None:
        args.places = 3 if args.quick else 16
    if min(args.places, args.threads, args.pace_ms or 1) < 1 or args.rest_ms < 0:
        parser.error("places, threads and the pace count from 1")
    return args


def _peer(args: argparse.Namespace) -> Peer | None:
    program = find_program("llama-server", args.llama_server)
    if program is None:
        print(_HOW_TO_GET, file=sys.stderr)
        return None
    return Peer(program=program, later_predict_ms=args.peer_later_ms, lands=args.peer_lands)


def _plan(args: argparse.Namespace) -> Plan:
    """Choose what is typed."""
    sources = list(code_sources(args.seed))
    lines = line_scripts(sources, args.places, args.seed, rest_s=args.rest_ms / 1000)
    rest: list[Script] = []
    if "rest" not in args.skip:
        # From the other end: these files are open for the first time.
        rest = rest_scripts(sources[::-1], 1 if args.quick else 6, args.seed, _REST_S)
    paced: list[Script] = []
    if args.pace_ms:
        # Other places again, or the peer's cache would know the answers.
        others = code_sources(args.seed + 1)
        paced = [
            replace(script, part="paced")
            for script in line_scripts(others, args.places, args.seed + 1)
        ]
    return Plan(
        lines=lines,
        rest=rest,
        edits=_edits(args),
        sizes=[] if "sizes" in args.skip else size_scripts(_SIZES, args.seed),
        paced=paced,
        pace_ms=args.pace_ms or 0,
        idle="idle" not in args.skip,
    )


def _edits(args: argparse.Namespace) -> list[Script]:
    """Return the recorded edits; says why there are none."""
    if "edits" in args.skip:
        return []
    trace = find_trace(args.data) if args.data else None
    if trace is None:
        why = f"none in {args.data}" if args.data else "no --data DIR was given"
        print(f"Recorded edits are not replayed: {why}.", file=sys.stderr)
        return []
    return [recorded_script(trace, start=_EDITS_START, asks=10 if args.quick else 80)]


def _conditions(args: argparse.Namespace, plan: Plan) -> dict[str, object]:
    return {
        "threads": args.threads,
        "seed": args.seed,
        "rest_ms": args.rest_ms,
        "stand_in": args.stand_in,
        "peer": {
            "flags": " ".join(SERVER_FLAGS),
            "later_predict_ms": args.peer_later_ms,
            "lands": args.peer_lands,
        },
        "places": [script.name for script in [*plan.lines, *plan.rest, *plan.edits]],
    }


if __name__ == "__main__":
    sys.exit(main())
