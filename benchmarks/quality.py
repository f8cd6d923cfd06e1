"""What the server shows, against what the model says by itself: the right text, cut rightly?

python -m benchmarks.quality --model ID --data DIR (--quick | --set NAME[:N],…) [--json FILE]

Each case is completed on the server's whole path (windows, context, model, cut, judgement), and
its problem is put to the raw model as in the papers. Sets: santacoder (first line exact),
single-line, mid-line and multi-line (the tests are run), cross-file (in packages that are
installed here, with what the server finds in other files and without).

What the model wrote is kept in a file as it comes: after a kill, the same command goes on there,
and after a change of cuts or judgement it only judges anew. --rejudge does that without a model.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

if not __package__:
    # Started by its path: then Python looks for modules in this folder, and not in the checkout.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.answers import (
    Answer,
    AnswerFile,
    Asker,
    engine_options,
    file_name,
    open_asker,
)
from benchmarks.cross_file import read_cross_file
from benchmarks.kept import KeptRows
from benchmarks.problems import SETS, DataError, parse_sets
from benchmarks.quality_cases import CASE_SETS, Case, read_cases
from benchmarks.quality_engine import KeptEngine, NotKeptError, prompt_digest
from benchmarks.quality_marks import Judge, Marks
from benchmarks.quality_path import Outcome, Project, walk
from benchmarks.quality_report import Run, tell, write_cases
from benchmarks.sandbox import Limits, Sandbox, SandboxError
from midfill_engine.cancel import CancelToken
from midfill_engine.errors import MidfillError
from midfill_engine.loading import open_chosen
from midfill_engine.local import LocalEngine
from midfill_engine.machine import probe_machine
from midfill_engine.progress import silent
from midfill_engine.select import choose_model
from midfill_engine.store import ModelStore
from midfill_engine.types import EngineInfo

__all__ = ["CROSS_FILE", "QUICK", "Model", "main", "measure", "open_model"]

CROSS_FILE = "cross-file"
QUICK: Mapping[str, int | None] = {
    "santacoder": 40,
    "single-line": 24,
    "mid-line": 24,
    "multi-line": 10,
    CROSS_FILE: 24,
}
"""About ten minutes with the 0.5B on two cores."""

_DATA = "MIDFILL_DATA"
_RUN = "the latest run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Who is asked. ``asker`` asks the raw model; ``None`` where nobody can be asked."""

    engine: KeptEngine
    asker: Asker
    asks: bool
    prompt_tokens: int


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and tell; 1 if it could not be measured."""
    args = _arguments(argv)
    # The programs of a model are full of them.
    warnings.simplefilter("ignore", SyntaxWarning)
    console = Console(stderr=True)
    store = ModelStore()
    folder: Path = args.folder or store.home / "benchmarks"
    try:
        sandbox = Sandbox.open(Limits(seconds=args.timeout_s))
        model = open_model(args, store, folder, console)
        try:
            runs = measure(model, args, folder, sandbox, console)
        finally:
            model.engine.close()
    except (MidfillError, SandboxError) as error:
        print(f"error: {error}\nThe answers so far are in {folder}.", file=sys.stderr)
        return 1
    if args.cases:
        write_cases(args.cases, runs)
    asked = {
        "seed": args.seed,
        "prompt_tokens": model.prompt_tokens,
        "sandbox": sandbox.described,
        "timeout_s": args.timeout_s,
        "answers_too_short": model.engine.too_short,
    }
    tell(runs, model.engine.info, asked, args.json)
    return 0


def measure(
    model: Model, args: argparse.Namespace, folder: Path, sandbox: Sandbox, console: Console
) -> list[Run]:
    """Complete and mark all that ``args`` wants; what cannot be had is told in its ``Run``."""
    judge = Judge(sandbox, KeptRows(folder / "verdicts.jsonl"))
    answers = AnswerFile(folder / f"answers-{file_name(model.engine.info.model_id)}.jsonl")
    runs: list[Run] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as bars:
        for name, limit in cast("Mapping[str, int | None]", args.set).items():
            run = Run(name=name)
            runs.append(run)
            try:
                if name == CROSS_FILE:
                    console.print("Looking for places in the packages that are installed")
                    cases = read_cross_file(folder / CROSS_FILE, limit, args.seed)
                else:
                    cases = read_cases(name, args.data, limit, args.seed)
            except DataError as error:
                run.missing = str(error)
                continue
            with _bar(bars, f"{name}: completing", len(cases)) as advance:
                asked = _ask(model, run, cases, answers, advance)
            with (
                _bar(bars, f"{name}: judging", len(asked)) as advance,
                ThreadPoolExecutor(args.jobs) as pool,
            ):
                run.outcomes = [each.outcome for each in asked]
                for marks in pool.map(partial(_marked, judge), asked):
                    run.marks.append(marks[0])
                    run.without += marks[1:]
                    advance()
    return runs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What came of a case: on the path, on the path without context, and of the raw model."""

    outcome: Outcome
    without: Outcome | None
    raw: Answer | None


def _ask(
    model: Model,
    run: Run,
    cases: Sequence[Case],
    answers: AnswerFile,
    advance: Callable[[], None],
) -> list[_Asked]:
    projects: dict[Path, Project] = {}
    asked: list[_Asked] = []
    for case in cases:
        try:
            project = None if case.folder is None else projects.get(case.folder)
            if project is None and case.folder is not None:
                project = projects[case.folder] = Project(case.folder)
            outcome = walk(case, model.engine, project)
            without = walk(case, model.engine) if project is not None else None
        except NotKeptError:
            run.left_out += 1
        else:
            raw = None if project is not None else _raw(model, case, run.name, answers)
            asked.append(_Asked(outcome=outcome, without=without, raw=raw))
        advance()
    return asked


def _raw(model: Model, case: Case, name: str, answers: AnswerFile) -> Answer | None:
    """Return what the raw model says to a case's problem, asking it only if that is not kept."""
    answer = answers.get(model.asker.key(case.problem, SETS[name]))
    if answer is None and model.asks:
        answer = model.asker.answer(case.problem, SETS[name])
        answers.add(answer)
    return answer


def _marked(judge: Judge, asked: _Asked) -> tuple[Marks, ...]:
    marks = judge.mark(asked.outcome, asked.raw)
    return (marks,) if asked.without is None else (marks, judge.mark(asked.without, None))


@contextmanager
def _bar(bars: Progress, text: str, total: int) -> Generator[Callable[[], None]]:
    task = bars.add_task(text, total=total)
    yield lambda: bars.advance(task)


def open_model(
    args: argparse.Namespace, store: ModelStore, folder: Path, console: Console
) -> Model:
    """Load the model, unless nobody is to be asked."""
    options = engine_options(args, args.prompt_tokens)
    chosen = choose_model(options, store)
    kept = KeptRows(folder / f"quality-{file_name(chosen.spec.id)}.jsonl")
    if args.rejudge:
        return _remembered(kept)
    console.print(f"Loading {chosen.spec.id}")
    engine = open_chosen(chosen, store, options, silent, CancelToken())
    return _asking(engine, args.context_tokens, kept)


def _asking(engine: LocalEngine, context_tokens: int, kept: KeptRows) -> Model:
    # The raw model is shown all there is.
    raw = replace(engine.model, prompt_tokens=context_tokens)
    asker = open_asker(raw, engine.info, infills=True, fim=None, heal=False)
    info, prompt_tokens = engine.info, engine.model.prompt_tokens
    settings = [info.model_id, info.backend, info.device, prompt_tokens, context_tokens]
    settings.append(prompt_digest())
    kept.add(
        {
            "key": _RUN,
            "model": [info.model_id, info.backend, info.device],
            "order": asker.order,
            "prompt_tokens": prompt_tokens,
            "settings": settings,
        }
    )
    return Model(
        engine=KeptEngine(engine, kept, settings, info),
        asker=asker,
        asks=True,
        prompt_tokens=prompt_tokens,
    )


def _remembered(kept: KeptRows) -> Model:
    """Return the model of the latest run, which can only be asked what it was asked before."""
    row = kept.get(_RUN)
    if row is None:
        raise NotKeptError(f"{kept.path} has no answers: run once without --rejudge")
    model_id, backend, device = cast("list[str]", row["model"])
    info = EngineInfo(model_id=model_id, backend=backend, device=device)
    engine = KeptEngine(None, kept, cast("list[object]", row["settings"]), info)
    settings = (model_id, backend, device, "")
    return Model(
        engine=engine,
        asker=Asker(engine, settings, order=str(row["order"])),
        asks=False,
        prompt_tokens=int(str(row["prompt_tokens"])),
    )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--model", default="qwen2.5-coder-0.5b", metavar="ID|PATH", help="the 0.5B")
    data = os.environ.get(_DATA)
    add("--data", type=Path, default=data, metavar="DIR", help=f"the sets; default ${_DATA}")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--quick",
        dest="set",
        action="store_const",
        const=QUICK,
        help="about ten minutes with the 0.5B: " + ",".join(f"{n}:{c}" for n, c in QUICK.items()),
    )
    sets = partial(parse_sets, QUICK)
    which.add_argument("--set", type=sets, metavar="NAME[:N],…", help="a seeded N of each, or all")
    add("--seed", type=int, default=1, help="which of them (1)")
    add("--rejudge", action="store_true", help="only judge what is kept, without a model")
    add("--cases", type=Path, metavar="FILE", help="write each case too: text, scores, verdicts")
    add("--json", type=Path, metavar="FILE", help="write the result here too")
    add("--folder", type=Path, metavar="DIR", help="where answers, verdicts and projects are kept")
    add("--backend", default="auto", help="the runtime")
    add("--device", default="auto", choices=("auto", "cpu", "gpu"))
    add("--weights", default="auto", metavar="LAYOUT", help="layout of the weights")
    add("--threads", type=int, help="of the engine")
    add("--prompt-tokens", type=int, metavar="N", help="of the path; what the server takes here")
    add("--context-tokens", type=int, default=4096, metavar="N", help="of prompt and answer")
    add("--jobs", type=int, default=probe_machine().cores, help="programs run beside each other")
    add("--timeout-s", type=float, default=5.0, help="of one program (5)")
    add("--download", action="store_true", help="fetch the model if it is not here")
    args = parser.parse_args(argv)
    if args.data is None and set(args.set) & set(CASE_SETS):
        parser.error(f"--data DIR (or ${_DATA}) says where the sets are")
    return args


if __name__ == "__main__":
    sys.exit(main())
