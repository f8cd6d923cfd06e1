"""How well a raw model writes code: HumanEval, MBPP and infilling sets, beside the papers.

python -m benchmarks.humaneval --model ID --data DIR [--set NAME[:N],…] [--json FILE]

Greedy. HumanEval and MBPP are continued from the prefix alone, MBPP after three solved tasks;
infilling shows what follows the gap. What the server makes of a model is measured by
benchmarks.quality. Answers are kept in a file as they come: after a kill, the same command goes on
there.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

if not __package__:
    # Started by its path: then Python looks for modules in this folder, and not in the checkout.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.answers import (
    Answer,
    AnswerFile,
    Asker,
    ask,
    engine_options,
    file_name,
    open_asker,
)
from benchmarks.problems import (
    SETS,
    DataError,
    Problem,
    ProblemSet,
    parse_sets,
    read_problems,
    sample,
)
from benchmarks.provenance import about
from benchmarks.published import published_for
from benchmarks.report import tell_result
from benchmarks.sandbox import Limits, Sandbox, SandboxError
from benchmarks.scores import Score, mark, score_lines, scores
from midfill_engine.cancel import CancelToken
from midfill_engine.errors import MidfillError, ModelError
from midfill_engine.loading import load_model
from midfill_engine.local import LoadedModel
from midfill_engine.machine import probe_machine
from midfill_engine.progress import silent
from midfill_engine.select import choose_model
from midfill_engine.store import ModelStore
from midfill_engine.types import EngineInfo

__all__ = ["Run", "main", "measure"]

_DATA = "MIDFILL_DATA"
_NEVER_MIXED = (
    "(a) and (b) are both called HumanEval-FIM: one runs the tests, the other compares a line. "
    "Their numbers are never comparable."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One set asked in one way, or why it was not (``missing``)."""

    which: ProblemSet
    order: str = ""
    scores: tuple[Score, ...] = ()
    seconds: float = 0.0
    tokens: int = 0
    missing: str = ""

    @property
    def name(self) -> str:
        """The set, and the order of the prompt where there is one."""
        return f"{self.which.name} {self.order}".strip()

    def as_json(self) -> dict[str, object]:
        """Return what is worth keeping."""
        if self.missing:
            return {"missing": self.missing}
        return {
            "protocol": self.which.measure.protocol,
            "max_tokens": self.which.max_tokens,
            "answers_s": round(self.seconds, 1),
            "answers_tokens": self.tokens,
            "scores": {score.name: score.as_json() for score in self.scores},
        }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and tell; 1 if it could not be measured."""
    args = _arguments(argv)
    console = Console(stderr=True)
    machine = about(peer_version=None)
    try:
        sandbox = Sandbox.open(Limits(seconds=args.timeout_s))
        store = ModelStore()
        # Nothing is left out of a prompt.
        options = engine_options(args, args.context_tokens)
        chosen = choose_model(options, store)
        console.print(f"Loading {chosen.spec.id}")
        model = load_model(chosen, store, options, silent, CancelToken())
    except (MidfillError, SandboxError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    info = EngineInfo(
        model_id=chosen.spec.id,
        backend=f"{chosen.runtime}, {chosen.layout} weights",
        device=chosen.device,
    )
    path = args.answers or store.home / "benchmarks" / f"answers-{file_name(chosen.spec.id)}.jsonl"
    try:
        runs = measure(model, info, args, AnswerFile(path), sandbox, console)
    except MidfillError as error:
        print(f"error: {error}\nThe answers so far are in {path}.", file=sys.stderr)
        return 1
    finally:
        model.backend.close()
    _tell(runs, info, args, path, sandbox, machine)
    return 0


def measure(
    model: LoadedModel,
    info: EngineInfo,
    args: argparse.Namespace,
    kept: AnswerFile,
    sandbox: Sandbox,
    console: Console,
) -> list[Run]:
    """Ask and mark all that ``args`` wants: every set, infilling ones in every format."""
    published = published_for(info.model_id)
    runs: list[Run] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as bars:
        for name, limit in args.set.items():
            which, limit = SETS[name], limit or args.limit
            for fim in args.format or [None] if which.infills else [None]:
                try:
                    problems = sample(read_problems(which, args.data), limit, args.seed)
                    asker = open_asker(model, info, infills=which.infills, fim=fim, heal=args.heal)
                except (DataError, ModelError) as error:
                    runs.append(Run(which=which, order=fim or "", missing=str(error)))
                    continue
                pairs = _asked(asker, problems, which, kept, bars)
                task = bars.add_task(f"{name}: running", total=len(pairs))
                marks = [
                    each for each in mark(pairs, sandbox, args.jobs) if bars.advance(task) is None
                ]
                runs.append(
                    Run(
                        which=which,
                        order=asker.order,
                        scores=tuple(scores(marks, published, asker.order)),
                        seconds=sum(answer.seconds for _, answer in pairs),
                        tokens=sum(answer.tokens for _, answer in pairs),
                    )
                )
    return runs


def _asked(
    asker: Asker,
    problems: Sequence[Problem],
    which: ProblemSet,
    kept: AnswerFile,
    bars: Progress,
) -> list[tuple[Problem, Answer]]:
    task = bars.add_task(f"{which.name} {asker.order}: asking", total=len(problems))
    pairs: list[tuple[Problem, Answer]] = []
    for problem, answer in zip(problems, ask(asker, problems, which, kept), strict=True):
        pairs.append((problem, answer))
        bars.advance(task)
    return pairs


def _tell(
    runs: Sequence[Run],
    info: EngineInfo,
    args: argparse.Namespace,
    path: Path,
    sandbox: Sandbox,
    machine: dict[str, object],
) -> None:
    print(f"\n{info.model_id}, {info.backend}, {info.device}; greedy; per cent ± standard error")
    by_protocol: dict[str, list[Score]] = {}
    for run in runs:
        by_protocol.setdefault(run.which.measure.protocol, []).extend(run.scores)
    print("\n".join(score_lines({name: rows for name, rows in by_protocol.items() if rows})))
    for run in runs:
        if run.missing:
            print(f"  {run.name}: not measured: {run.missing}")
        elif run.scores and run.scores[0].count:
            each_s = run.seconds / run.scores[0].count
            print(f"  {run.name}: {each_s:.2f} s an answer, {run.seconds:.0f} s in all")
    published = published_for(info.model_id)
    if published:
        print(f"  published: {published.source}, {published.note}")
    else:
        print("  published: nothing for this model that we know of")
    print(f"  {_NEVER_MIXED}\n  programs ran with {sandbox.described}\n  answers: {path}")
    asked = {
        "model": info.model_id,
        "backend": info.backend,
        "device": info.device,
        "seed": args.seed,
        "healed": args.heal,
        "timeout_s": args.timeout_s,
        "sandbox": sandbox.described,
        "published_source": published.source if published else None,
        "published_note": published.note if published else None,
    }
    figures = {run.name: run.as_json() for run in runs}
    tell_result("humaneval", {**machine, **asked}, figures, args.json)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.humaneval",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--model", required=True, metavar="ID|PATH", help="of the registry, or on disk")
    data = os.environ.get(_DATA)
    add("--data", type=Path, default=data, metavar="DIR", help=f"the sets; default ${_DATA}")
    sets = partial(parse_sets, SETS)
    add("--set", type=sets, default=dict.fromkeys(SETS), metavar="NAME[:N],…", help="all")
    add("--limit", type=int, metavar="N", help="problems of a set that says no N; all")
    add("--seed", type=int, default=1)
    add("--format", action="append", metavar="NAME", help="of infilling; the model's own (repeat)")
    add("--heal", action="store_true", help="spell the last tokens anew; the papers do not")
    add("--backend", default="auto", help="the runtime")
    add("--device", default="auto", choices=("auto", "cpu", "gpu"))
    add("--weights", default="auto", metavar="LAYOUT", help="layout of the weights")
    add("--threads", type=int, default=None, help="of the engine")
    add("--jobs", type=int, default=probe_machine().cores, help="programs run beside each other")
    add("--timeout-s", type=float, default=5.0, help="of one program (5)")
    add("--context-tokens", type=int, default=4096)
    add("--download", action="store_true", help="fetch the model if it is not here")
    add("--answers", type=Path, metavar="FILE", help="where answers are kept, and looked for")
    add("--json", type=Path, metavar="FILE", help="write the result here too")
    args = parser.parse_args(argv)
    if args.data is None:
        parser.error(f"--data DIR (or ${_DATA}) says where the sets are")
    if args.limit == 0 or 0 in args.set.values():
        parser.error("problems count from 1")
    return args


if __name__ == "__main__":
    sys.exit(main())
