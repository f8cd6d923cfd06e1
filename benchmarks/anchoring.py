"""Where should the prompt be split while somebody types? Quality of several places, by measurement.

Real lines are cut at a seeded random character; the model sees what is before and behind, split
in each of the ways below, and the rest of the line counts if it is exact. One case more per line
has only its indentation typed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.provenance import about
from benchmarks.report import tell_result
from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.loading import open_engine
from midfill_engine.options import EngineOptions
from midfill_engine.progress import silent
from midfill_engine.types import CompletionRequest

__all__ = ["SPLITS", "Problem", "main", "split_at"]

_MAX_TOKENS = 32
_WORD = re.compile(r"[^\S\n]*(\w+|[^\w\s]+|[^\S\n]+)\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """``rest`` is what stands between ``before`` and ``after``, up to the end of the line."""

    language: str
    kind: str
    before: str
    rest: str
    after: str


def _line_start(before: str) -> int:
    return before.rfind("\n") + 1


def _text_start(before: str) -> int:
    start = _line_start(before)
    return start + len(before[start:]) - len(before[start:].lstrip())


def _word_start(before: str) -> int:
    found = _WORD.search(before)
    return found.start() if found else len(before)


def _lines_up(count: int) -> Callable[[str], int]:
    def start(before: str) -> int:
        at = _line_start(before)
        for _ in range(count):
            at = before.rfind("\n", 0, max(at - 1, 0)) + 1
        return at

    return start


SPLITS: Mapping[str, tuple[Callable[[str], int], bool]] = {
    "at the cursor": (len, False),
    "at the word, healed": (_word_start, True),
    "at the line's text, healed": (_text_start, True),
    "at the line, not healed": (_line_start, False),
    "at the line, healed": (_line_start, True),
    "4 lines up, healed": (_lines_up(4), True),
    "12 lines up, healed": (_lines_up(12), True),
}
"""Name of a way to split: where it does, given the text before the cursor, and whether it heals."""


def split_at(name: str, problem: Problem) -> CompletionRequest:
    """Return the request for ``problem``, split in the way ``name``."""
    place, heal = SPLITS[name]
    at = place(problem.before)
    return CompletionRequest(
        prefix=problem.before[:at],
        typed=problem.before[at:],
        suffix=problem.after,
        heal=heal,
        max_tokens=_MAX_TOKENS,
    )


def problems(data: Path, per_source: int, seed: int) -> Iterator[Problem]:
    """Yield cases of HumanEval's single-line and the SantaCoder set, a seeded sample of each."""
    sources = (
        data / "human-eval-infilling" / "HumanEval-SingleLineInfilling.jsonl.gz",
        data / "santacoder-fim" / "half.jsonl.gz",
    )
    generator = random.Random(seed)
    for source in sources:
        with gzip.open(source, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        generator.shuffle(rows)
        found = (row for row in rows if len(row["canonical_solution"].strip()) > 8)
        for row, _ in zip(found, range(per_source), strict=False):
            yield from _cases(row, generator)


def _cases(row: Mapping[str, str], generator: random.Random) -> Iterator[Problem]:
    line, _, more = row["canonical_solution"].strip("\n").partition("\n")
    text = line.strip()
    indent = line[: len(line) - len(line.lstrip())]
    before = row["prompt"] if row["prompt"].endswith("\n") else row["prompt"] + "\n"
    after = "\n" + more + row["suffix"].removeprefix("\n")
    cut = generator.randrange(1, len(text))
    for kind, at in (("within the line", cut), ("after its indentation", 0)):
        yield Problem(
            language=row.get("language", "py"),
            kind=kind,
            before=before + indent + text[:at],
            rest=text[at:],
            after=after,
        )


def is_exact(engine: Engine, problem: Problem, name: str) -> bool:
    """Whether the model, shown the problem in the way ``name``, writes the rest of the line."""
    cancel = CancelToken()
    written = ""
    for chunk in engine.stream(split_at(name, problem), cancel):
        written += chunk.text
        if "\n" in written.lstrip("\n"):
            cancel.cancel()
    first, *_ = written.split("\n")
    return first.rstrip() == problem.rest.rstrip()


def main(argv: Sequence[str] | None = None) -> int:
    """Print, for each way to split, how many of the lines were completed exactly."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.anchoring", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--model", default="qwen2.5-coder-0.5b", metavar="ID")
    parser.add_argument("--problems", type=int, default=60, help="lines of each set (default 60)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, help="threads that compute (default: all cores)")
    parser.add_argument(
        "--split", action="append", choices=tuple(SPLITS), help="may be repeated; all"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the line of JSON here")
    args = parser.parse_args(argv)
    engine = open_engine(EngineOptions(model=args.model, threads=args.threads), silent)
    if hasattr(signal, "SIGTERM"):
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    exact = {name: dict[str, list[bool]]() for name in args.split or SPLITS}
    try:
        for number, problem in enumerate(problems(args.data, args.problems, args.seed), start=1):
            for name in exact:
                exact[name].setdefault(problem.kind, []).append(is_exact(engine, problem, name))
            print(f"\r{number} cases", end="", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("\nstopped early; what was measured until now:", file=sys.stderr)
    engine.close()
    found = {"model": args.model, "seed": args.seed, "exact": _tell(exact)}
    tell_result("anchoring", about(peer_version=None), found, args.json)
    return 0


def _tell(exact: Mapping[str, Mapping[str, Sequence[bool]]]) -> dict[str, object]:
    """Print a line for each way to split; return the counts and shares."""
    told: dict[str, object] = {}
    for name, kinds in exact.items():
        shares = {kind: sum(hits) / len(hits) for kind, hits in kinds.items()}
        words = (f"{kind} {share:6.1%} of {len(kinds[kind])}" for kind, share in shares.items())
        print(f"{name:28} {'   '.join(words)}")
        told[name] = {
            kind: {"share": round(share, 4), "cases": len(kinds[kind])}
            for kind, share in shares.items()
        }
    return told


if __name__ == "__main__":
    sys.exit(main())
