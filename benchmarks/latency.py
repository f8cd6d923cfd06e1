"""Speed and memory of midfill on this machine, beside llama.cpp's on the same file.

python -m benchmarks.latency [--model ID]... [--llama-bench PATH] [--rounds N] [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

if not __package__:
    # Started by its path: then Python looks for modules in this folder, and not in the checkout.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.engine_speed import CONTEXT_TOKENS, EngineSpeed, measure_engine
from benchmarks.overhead import Overhead, measure_overhead
from benchmarks.peer_llama import HOW_TO_GET, LlamaBench, PeerError, open_peer
from benchmarks.provenance import about, warn_if_busy
from benchmarks.report import Figure, Goal, Progress, as_json, spread, table, tell_result
from benchmarks.server_session import ServerFailedError, ServerRun, measure_server
from midfill_engine.cancel import CancelToken
from midfill_engine.errors import MidfillError
from midfill_engine.loading import prepare, prompt_tokens_for
from midfill_engine.machine import probe_machine
from midfill_engine.options import EngineOptions
from midfill_engine.progress import silent
from midfill_engine.registry import EMBEDDED_MODELS
from midfill_engine.runtimes import ChosenModel
from midfill_engine.select import choose_model
from midfill_engine.speed import load_speed
from midfill_engine.store import ModelStore

__all__ = ["GOALS", "engine_figures", "main", "server_figures"]

GOALS: dict[str, dict[str, Goal]] = {
    "qwen2.5-coder-0.5b": {
        "prefill": Goal(bound=1.8, at_least=True),
        "decode_step": Goal(bound=0.9),
        "first_answer": Goal(bound=3.0),
        "peak_memory": Goal(bound=1.2),
        "server_overhead": Goal(bound=3.0, of="p95"),
    },
    "qwen2.5-coder-1.5b": {
        "prefill": Goal(bound=1.1, at_least=True),
        "decode_step": Goal(bound=1.1),
        "first_answer": Goal(bound=6.0),
        "peak_memory": Goal(bound=2.2),
        "server_overhead": Goal(bound=3.0, of="p95"),
    },
}
"""What is aimed at on a machine with two cores, per model."""

_STARTS = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and tell; 0 whether the targets are met or not, 1 if it could not be measured."""
    args = _arguments(argv)
    report = Progress()
    store = ModelStore()
    try:
        with open_peer(args.llama_bench) as peer:
            if peer is None:
                print(HOW_TO_GET, file=sys.stderr)
            machine = about(peer_version=peer.version if peer else None)
            warn_if_busy(machine)
            found: dict[str, object] = {}
            for model_id in args.model or [spec.id for spec in EMBEDDED_MODELS]:
                report.label = model_id
                chosen = choose_model(EngineOptions(model=model_id, weights=args.weights), store)
                figures = _measure(chosen, store, peer, args, report)
                report.clear()
                title = f"\n{chosen.spec.id}, {chosen.layout} weights, {args.threads} threads"
                print(table(title, figures), flush=True)
                found[chosen.spec.id] = {"layout": chosen.layout, **as_json(figures)}
    except (MidfillError, PeerError, ServerFailedError) as error:
        report.clear()
        print(f"error: {error}", file=sys.stderr)
        return 1
    tell_result("latency", {**machine, "threads": args.threads}, found, args.json)
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--model", action="append", metavar="ID", help="may be repeated; all")
    parser.add_argument("--weights", default="auto", help="layout of the weights (auto)")
    parser.add_argument(
        "--llama-bench", type=Path, metavar="PATH", help="llama.cpp's program, or its folder"
    )
    parser.add_argument("--rounds", type=int, default=5, help="pairs of measurements (5)")
    parser.add_argument(
        "--threads", type=int, default=probe_machine().cores, help="for both engines (all cores)"
    )
    parser.add_argument(
        "--skip", action="append", default=[], choices=("engine", "server", "overhead")
    )
    parser.add_argument(
        "--stand-in", action="store_true", help="let a smaller model answer while one loads"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here too")
    args = parser.parse_args(argv)
    if args.rounds < 1 or args.threads < 1:
        parser.error("rounds and threads count from 1")
    return args


def _measure(
    chosen: ChosenModel,
    store: ModelStore,
    peer: LlamaBench | None,
    args: argparse.Namespace,
    report: Callable[[str], None],
) -> list[Figure]:
    goals = GOALS.get(chosen.spec.id, {})
    folder = prepare(chosen, store, download=False, progress=silent, cancel=CancelToken())
    figures: list[Figure] = []
    with ExitStack() as stack:
        log = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "server.log"
        if "engine" not in args.skip:
            gguf = store.model_path(chosen.spec)
            # A model can be used without the file it was made from, but not compared.
            bench = peer if gguf else None
            speed = measure_engine(
                folder,
                gguf or folder,
                peer=bench,
                threads=args.threads,
                count=args.rounds,
                report=report,
            )
            figures += engine_figures(speed, goals, has_peer=bench is not None)
        if "server" not in args.skip:
            settings = {
                "weights": chosen.layout,
                "threads": args.threads,
                "stand_in": "loading" if args.stand_in else "never",
            }
            run = measure_server(chosen.spec.id, settings, starts=_STARTS, log=log, report=report)
            figures += server_figures(run, goals)
        if "overhead" not in args.skip:
            known = load_speed(folder, probe_machine().fingerprint)
            overhead = measure_overhead(
                chosen.spec.id,
                folder / "tokenizer.json",
                prompt_tokens=prompt_tokens_for(known) if known else CONTEXT_TOKENS,
                report=report,
            )
            figures += _overhead_figures(overhead, goals)
    return figures


def engine_figures(speed: EngineSpeed, goals: dict[str, Goal], *, has_peer: bool) -> list[Figure]:
    """Return our speeds, as ratios to the peer's where there are any."""
    why = speed.peer_failure or ("" if has_peer else "no llama.cpp to compare with")
    figures = [
        _ratio(
            "prefill",
            f"prefill, {CONTEXT_TOKENS} tokens",
            "tok/s",
            speed.prefill_tokens_per_s,
            speed.peer_prefill_tokens_per_s,
            goals.get("prefill"),
            why,
        ),
        _ratio(
            "decode_step",
            f"decode step at {CONTEXT_TOKENS}",
            "ms",
            speed.step_ms,
            speed.peer_step_ms,
            goals.get("decode_step"),
            why,
        ),
    ]
    for width, times_ms in speed.width_ms.items():
        value = spread(times_ms)
        name = f"  step of {width} tokens"
        figures.append(Figure(key=f"step_of_{width}", name=name, unit="ms", value=value))
    return figures


def server_figures(run: ServerRun, goals: dict[str, Goal]) -> list[Figure]:
    """Return what a user of the server meets."""
    ttft_ms = [answer.ttft_ms for answer in run.answers if answer.ttft_ms is not None]
    starts, first = run.starts, run.answers[0]
    return [
        Figure(
            key="first_answer",
            name="start to first answer",
            unit="s",
            value=spread([whole_s for whole_s, _ in starts]),
            goal=goals.get("first_answer"),
            note=f"{first.prefilled_tokens} tokens prefilled, {first.generated_tokens} generated",
        ),
        Figure(
            key="start_and_load",
            name="  of which start and load",
            unit="s",
            value=spread([whole_s - first.computing_ms / 1000 for whole_s, first in starts]),
        ),
        Figure(
            key="peak_memory",
            name="peak resident memory",
            unit="GB",
            value=spread([run.peak_bytes / 1e9]),
            goal=goals.get("peak_memory"),
            note=f"after {len(run.answers)} completions",
        ),
        Figure(
            key="first_token",
            name="  first token",
            unit="ms",
            value=spread(ttft_ms) if ttft_ms else None,
        ),
        Figure(
            key="whole_completion",
            name="  whole completion",
            unit="ms",
            value=spread([answer.total_ms for answer in run.answers]),
        ),
    ]


def _overhead_figures(overhead: Overhead, goals: dict[str, Goal]) -> list[Figure]:
    ready = spread(overhead.ready_ms)
    return [
        Figure(
            key="server_overhead",
            name="server overhead",
            unit="ms",
            value=ready,
            goal=goals.get("server_overhead"),
            note=f"{ready.count} keystrokes, prompts of up to {overhead.prompt_tokens} tokens",
        ),
        Figure(
            key="rendering",
            name="  of which rendering",
            unit="ms",
            value=spread(overhead.render_ms),
        ),
    ]


def _ratio(
    key: str,
    name: str,
    unit: str,
    ours: Sequence[float],
    peers: Sequence[float],
    goal: Goal | None,
    why: str,
) -> Figure:
    ratios = [our / peer for our, peer in zip(ours, peers, strict=False)]
    return Figure(
        key=key,
        name=name,
        unit=unit,
        value=spread(ratios) if ratios else None,
        ours=spread(ours),
        peer=spread(peers) if peers else None,
        goal=goal,
        note=why,
    )


if __name__ == "__main__":
    sys.exit(main())
