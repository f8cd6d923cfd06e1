"""Mistakes in real files: how many does a model fix, and is what is called verified verified?

python -m benchmarks.fix --model ID [--set mutations|humanevalpack] [--quick] [--json FILE]

Mutations: seeded mistakes in copies of packages that are installed here (Python: ruff, pyright) and
of those in --typescript DIR (tsc). Only what a checker notices counts. Each is fixed on the
server's whole path, all but the protocol, and the result is checked anew by the checkers' own
command lines. HumanEvalPack-Fix: mistakes that only tests notice; these are run in a sandbox.

What models and checkers said is kept in files as it comes: after a kill, the same command goes on
there, and after a change of how fixes are looked for only what is new is asked.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

if not __package__:
    # Started by its path: then Python looks for modules in this folder, and not in the checkout.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.answers import file_name
from benchmarks.fix_answers import Answers
from benchmarks.fix_cases import cases
from benchmarks.fix_checks import CHECKERS, FreshChecks
from benchmarks.fix_humaneval import on_paper, on_path, read_functions
from benchmarks.fix_mutation import CLASSES
from benchmarks.fix_path import Desk, Outcome, judged
from benchmarks.fix_projects import Tree, python, typescript
from benchmarks.fix_report import Run, as_json, lines, write_cases
from benchmarks.kept import KeptRows
from benchmarks.problems import DataError
from benchmarks.provenance import about, warn_if_busy
from benchmarks.quality_engine import prompt_digest
from benchmarks.report import tell_result
from benchmarks.sandbox import Sandbox, SandboxError
from benchmarks.scores import percent
from midfill_engine.errors import MidfillError
from midfill_engine.loading import open_engine
from midfill_engine.options import EngineOptions
from midfill_engine.progress import silent
from midfill_engine.store import ModelStore
from midfill_server.fixing import Limits
from midfill_server.settings import FixSettings

__all__ = ["SETS", "main", "measure"]

SETS = ("mutations", "humanevalpack")

_DATA = "MIDFILL_DATA"
_PER_CLASS = {"python": 12, "typescript": 8}
_QUICK_PER_CLASS = 2
_QUICK_FUNCTIONS = 12


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and tell; 1 if it could not be measured."""
    args = _arguments(argv)
    # Mistaken programs are full of them.
    warnings.simplefilter("ignore", SyntaxWarning)
    machine = about(peer_version=None)
    warn_if_busy(machine)
    console = Console(stderr=True)
    folder: Path = args.folder or ModelStore().home / "benchmarks"
    try:
        engine = open_engine(
            EngineOptions(model=args.model, backend=args.backend, threads=args.threads), silent
        )
        info = engine.info
        settings = (info.model_id, info.backend, info.device, prompt_digest())
        kept = KeptRows(folder / f"fix-{file_name(info.model_id)}.jsonl")
        with closing(engine):
            answers = Answers(engine, kept, settings)
            runs, raw = measure(answers, args, folder, console)
    except (MidfillError, SandboxError) as error:
        print(f"error: {error}\nThe answers so far are in {folder}.", file=sys.stderr)
        return 1
    if args.cases:
        write_cases(args.cases, runs)
    print(f"\n{info.model_id}, {info.backend}, {info.device}; per cent ± standard error")
    print("\n".join(lines(runs)))
    if raw is not None:
        told = f"{raw['value']:.1f} ± {raw['standard_error']:.1f} %"
        print(f"  humanevalpack, the model alone, as in the paper: {told}")
    asked = {
        "model": info.model_id,
        "backend": info.backend,
        "device": info.device,
        "seed": args.seed,
        "answers": args.answers,
        "timeout_s": args.timeout_s,
        "asked_anew": answers.asked,
    }
    figures = as_json(runs)
    if raw is not None:
        figures["humanevalpack, the model alone, pass@1"] = raw
    tell_result("fix", {**machine, **asked}, figures, args.json)
    return 0


def measure(
    answers: Answers, args: argparse.Namespace, folder: Path, console: Console
) -> tuple[list[Run], dict[str, float] | None]:
    """Fix all that ``args`` wants. The second is the raw model's share, where it was asked."""
    limits = Limits(answers=args.answers, timeout_s=args.timeout_s)
    runs: list[Run] = []
    raw: dict[str, float] | None = None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as bars:
        for language in args.language if "mutations" in args.set else ():
            try:
                runs.append(_mutations(language, answers, args, folder, limits, bars))
            except DataError as error:
                runs.append(Run(name=f"mutations, {language}", missing=str(error)))
        if "humanevalpack" in args.set:
            try:
                run, raw = _functions(answers, args, limits, bars)
                runs.append(run)
            except DataError as error:
                runs.append(Run(name="humanevalpack", missing=str(error)))
    return runs, raw


def _mutations(
    language: str,
    answers: Answers,
    args: argparse.Namespace,
    folder: Path,
    limits: Limits,
    bars: Progress,
) -> Run:
    name = f"mutations, {language}"
    modules: Path | None = args.typescript
    tree, programs = _tree(language, folder / "fix", modules)
    kept = KeptRows(folder / "fix-checks.jsonl")
    per_class = args.per_class or (_QUICK_PER_CLASS if args.quick else _PER_CLASS[language])
    outcomes: list[Outcome] = []
    with (
        closing(
            FreshChecks(language, tree.folder, kept, modules and modules / "typescript")
        ) as fresh,
        closing(Desk(tree.folder, programs, limits)) as desk,
    ):
        with _bar(bars, f"{name}: making", per_class * len(CLASSES)) as advance:
            found = list(cases(tree, fresh, per_class, args.seed, advance))
        with _bar(bars, f"{name}: fixing", len(found)) as advance:
            for case in found:
                outcomes.append(judged(case, *desk.fix(case, answers), fresh))
                advance()
    return Run(
        name=name,
        outcomes=tuple(outcomes),
        about={
            "packages": dict(tree.versions),
            "checkers": {**fresh.versions},
            "sources": list(CHECKERS[language]),
        },
    )


def _tree(language: str, folder: Path, modules: Path | None) -> tuple[Tree, list[Path]]:
    """Return the project of a language, and the folders of its checkers."""
    if language == "python":
        return python(folder), [Path(sys.executable).parent]
    if modules is None:
        raise DataError("typescript: --typescript DIR is the node_modules with TypeScript")
    node = shutil.which("node", path=_with_own_folder())
    if node is None:
        raise DataError("typescript: node is not installed")
    return typescript(folder, modules), [modules / ".bin", Path(node).parent]


def _functions(
    answers: Answers, args: argparse.Namespace, limits: Limits, bars: Progress
) -> tuple[Run, dict[str, float] | None]:
    if args.data is None:
        raise DataError(f"--data DIR (or ${_DATA}) says where the sets are")
    functions = read_functions(args.data)[: _QUICK_FUNCTIONS if args.quick else None]
    sandbox = Sandbox.open()
    with _bar(bars, "humanevalpack: as in the paper", len(functions)) as advance:
        passed = list(on_paper(functions, answers, sandbox, advance))
    outcomes: list[Outcome] = []
    with _bar(bars, "humanevalpack: fixing", len(functions)) as advance:
        for function in functions:
            outcome = on_path(function, answers, sandbox, limits)
            if outcome is not None:
                outcomes.append(outcome)
            advance()
    run = Run(
        name="humanevalpack",
        outcomes=tuple(outcomes),
        about={"functions": len(functions), "sandbox": sandbox.described},
    )
    return run, percent(sum(passed), len(passed)) if passed else None


@contextmanager
def _bar(bars: Progress, text: str, total: int) -> Generator[Callable[[], None]]:
    yield partial(bars.advance, bars.add_task(text, total=total))


def _with_own_folder() -> str:
    return os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fix",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--model", default="qwen2.5-coder-0.5b", metavar="ID|PATH", help="the 0.5B")
    add("--set", action="append", choices=SETS, help="both (repeat)")
    add("--language", action="append", choices=tuple(CHECKERS), help="of mutations: all (repeat)")
    add("--quick", action="store_true", help="a few cases of each class")
    add("--per-class", type=int, metavar="N", help="mutations of each class")
    data = os.environ.get(_DATA)
    add("--data", type=Path, default=data, metavar="DIR", help=f"the sets; default ${_DATA}")
    add(
        "--typescript",
        type=Path,
        metavar="DIR",
        help="node_modules with typescript and packages that have sources",
    )
    add("--seed", type=int, default=1, help="which mistakes (1)")
    defaults = FixSettings()
    add("--answers", type=int, default=defaults.candidates, help="of the model, for one fix")
    add("--timeout-s", type=float, default=defaults.timeout_s, help="of one fix")
    add("--cases", type=Path, metavar="FILE", help="write each case too, a line of JSON")
    add("--json", type=Path, metavar="FILE", help="write the result here too")
    add("--folder", type=Path, metavar="DIR", help="where answers, checks and projects are kept")
    add("--backend", default="auto", help="the runtime")
    add("--threads", type=int, help="of the engine")
    args = parser.parse_args(argv)
    args.set = args.set or list(SETS)
    args.language = args.language or list(CHECKERS)
    if args.typescript is not None:
        args.typescript = args.typescript.resolve()
    return args


if __name__ == "__main__":
    sys.exit(main())
