"""The problems of the public sets: read from a folder, and how each one is asked and scored.

Two sets are called HumanEval-FIM. (a) OpenAI's human-eval-infilling (``single-line``,
``multi-line``, ``random-span``): Python, the tests are run, pass@1; ``mid-line`` is made of its
single lines, each cut at a random character. (b) The SantaCoder set (``santacoder``): Python, Java
and JavaScript, the first line is compared. They are never mixed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

__all__ = [
    "SETS",
    "DataError",
    "Measure",
    "Problem",
    "ProblemSet",
    "parse_sets",
    "read_problems",
    "sample",
]

# Where an answer to a HumanEval prompt ends: those of the paper (arXiv 2107.03374).
_FUNCTION_ENDS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
_SHOTS = 3
# The examples of the papers are the tasks 2, 3 and 4 of the whole set.
_PAPER_SHOTS = (2, 3, 4)


class DataError(RuntimeError):
    """A set is not in the folder, or not as it is published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """How a set is scored: ``protocol`` tells sets apart that share a name."""

    protocol: str
    executed: bool


PASS = Measure(protocol="pass@1", executed=True)
INFILL = Measure(protocol="(a) infilling, tests run, pass@1", executed=True)
EXACT = Measure(protocol="(b) SantaCoder, first line, exact match", executed=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemSet:
    """A set by its name: ``files`` are looked for below the data folder, in this order.

    ``infills``: the model sees the text after the gap; else it only continues. ``whole_lines``:
    the gap is one of whole lines. ``max_tokens`` bounds an answer.
    """

    name: str
    files: tuple[str, ...]
    measure: Measure
    infills: bool
    whole_lines: bool
    max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem. ``group`` is what it is counted under, ``ends`` are texts that end an answer.

    An executed one passes if ``program`` of the answer runs to its end; else ``expected`` is the
    line that the answer must begin with, blanks at its ends left out. ``solution`` is what a person
    wrote there, where that is published.
    """

    id: str
    group: str
    prefix: str
    suffix: str = ""
    ends: tuple[str, ...] = ()
    program_start: str = ""
    program_end: str = ""
    expected: str = ""
    solution: str = ""

    def program(self, answer: str) -> str:
        """Return what to run."""
        return self.program_start + answer + self.program_end


_INFILLING = "human-eval-infilling/HumanEval-"
SETS: Mapping[str, ProblemSet] = {
    each.name: each
    for each in (
        ProblemSet(
            name="humaneval",
            files=("human-eval/HumanEval.jsonl.gz",),
            measure=PASS,
            infills=False,
            whole_lines=False,
            max_tokens=512,
        ),
        ProblemSet(
            name="mbpp",
            files=("mbpp/mbpp.jsonl", "mbpp/mbpp_test.jsonl"),
            measure=PASS,
            infills=False,
            whole_lines=False,
            max_tokens=256,
        ),
        ProblemSet(
            name="single-line",
            files=(f"{_INFILLING}SingleLineInfilling.jsonl.gz",),
            measure=INFILL,
            infills=True,
            whole_lines=True,
            max_tokens=128,
        ),
        ProblemSet(
            name="mid-line",
            files=(f"{_INFILLING}SingleLineInfilling.jsonl.gz",),
            measure=INFILL,
            infills=True,
            whole_lines=False,
            max_tokens=128,
        ),
        ProblemSet(
            name="multi-line",
            files=(f"{_INFILLING}MultiLineInfilling.jsonl.gz",),
            measure=INFILL,
            infills=True,
            whole_lines=True,
            max_tokens=256,
        ),
        ProblemSet(
            name="random-span",
            files=(f"{_INFILLING}RandomSpanInfilling.jsonl.gz",),
            measure=INFILL,
            infills=True,
            whole_lines=False,
            max_tokens=256,
        ),
        ProblemSet(
            name="santacoder",
            files=("santacoder-fim/all.jsonl.gz", "santacoder-fim/half.jsonl.gz"),
            measure=EXACT,
            infills=True,
            whole_lines=True,
            max_tokens=128,
        ),
    )
}
"""By name."""


def parse_sets(known: Iterable[str], text: str) -> dict[str, int | None]:
    """Return how many of which sets ``NAME,NAME:N`` asks for; ``None`` where it is not said.

    Raises ``ArgumentTypeError`` if it names others than those that are ``known``.
    """
    names, wanted = list(known), dict[str, int | None]()
    for part in filter(None, text.split(",")):
        name, _, limit = part.strip().partition(":")
        if name not in names or (limit and not limit.isdecimal()) or limit == "0":
            raise argparse.ArgumentTypeError(f"sets are NAME or NAME:N of {', '.join(names)}")
        wanted[name] = int(limit) if limit else None
    return wanted


def read_problems(which: ProblemSet, data: Path) -> list[Problem]:
    """Return all problems of a set. Raises ``DataError``."""
    path = next((data / file for file in which.files if (data / file).is_file()), None)
    if path is None:
        raise DataError(f"{which.name}: {data / which.files[0]} does not exist")
    rows = list(_rows(path))
    try:
        match which.name:
            case "humaneval":
                return [_function(row) for row in rows]
            case "mbpp":
                return _tasks(rows)
            case "santacoder":
                return [_line(row) for row in rows]
            case "mid-line":
                return [problem for row in rows if (problem := _rest_of_line(row)) is not None]
            case _:
                return [_gap(row, which.name) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not {which.name} as it is published: {error!r}") from error


def sample(problems: Sequence[Problem], limit: int | None, seed: int) -> list[Problem]:
    """Return ``limit`` problems in an order that ``seed`` decides; fewer are among more."""
    shuffled = list(problems)
    random.Random(seed).shuffle(shuffled)
    return shuffled[:limit]


def _rows(path: Path) -> Iterator[Mapping[str, object]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield cast("dict[str, object]", json.loads(line))


def _function(row: Mapping[str, object]) -> Problem:
    prompt = str(row["prompt"])
    return Problem(
        id=str(row["task_id"]),
        group="humaneval",
        prefix=prompt,
        ends=_FUNCTION_ENDS,
        program_start=prompt,
        program_end=f"\n{row['test']}\ncheck({row['entry_point']})\n",
    )


def _gap(row: Mapping[str, object], group: str) -> Problem:
    prefix, suffix = str(row["prompt"]), str(row["suffix"])
    return Problem(
        id=str(row["task_id"]),
        group=group,
        prefix=prefix,
        suffix=suffix,
        program_start=prefix,
        program_end=f"{suffix}\n{row['test']}\ncheck({row['entry_point']})\n",
        solution=str(row["canonical_solution"]),
    )


def _rest_of_line(row: Mapping[str, object]) -> Problem | None:
    """Return the problem of writing the rest of a line, cut at a random character of its text.

    The place depends on nothing but the line's name. ``None`` for a line of one character.
    """
    whole = _gap(row, "mid-line")
    line = whole.solution.rstrip("\n")
    start = len(line) - len(line.lstrip())
    if "\n" in line or len(line) - start < 2:
        return None
    cut = random.Random(whole.id).randrange(start + 1, len(line))
    return Problem(
        id=whole.id.replace("SingleLine", "MidLine"),
        group="mid-line",
        prefix=whole.prefix + line[:cut],
        suffix="\n" + whole.suffix,
        program_start=whole.program_start + line[:cut],
        program_end="\n" + whole.program_end,
        solution=line[cut:],
    )


def _line(row: Mapping[str, object]) -> Problem:
    return Problem(
        id=f"{row['language']}/{row['name']}",
        group=f"santacoder {row['language']}",
        prefix=str(row["prompt"]),
        suffix=str(row["suffix"]),
        expected=str(row["canonical_solution"]).strip(),
        solution=str(row["canonical_solution"]),
    )


def _tasks(rows: Sequence[Mapping[str, object]]) -> list[Problem]:
    """Return the tasks of MBPP, each after three solved ones, as in its paper (2108.07732).

    Where the file has the tasks that the papers show, and the others of the training part, only
    the test part (11 to 510) is scored; where it does not, its first tasks are shown instead, and
    not scored.
    """
    by_id = {int(str(row["task_id"])): row for row in rows}
    shown = _PAPER_SHOTS if set(_PAPER_SHOTS) <= set(by_id) else tuple(sorted(by_id)[:_SHOTS])
    shots = "".join(
        f"{_asked(by_id[task])}{_clean(by_id[task]['code'])}\n[DONE]\n\n" for task in shown
    )
    return [
        Problem(
            id=f"MBPP/{task}",
            group="mbpp",
            prefix=shots + _asked(row),
            ends=("[DONE]", "\n[BEGIN]"),
            program_start=str(row.get("test_setup_code", "")) + "\n",
            program_end="\n" + "\n".join(_tests(row)) + "\n",
        )
        for task, row in by_id.items()
        if 11 <= task <= 510 and task not in shown
    ]


def _asked(row: Mapping[str, object]) -> str:
    text = str(row["prompt"] if "prompt" in row else row["text"])
    tests = "\n".join(_tests(row))
    return (
        f"You are an expert Python programmer, and here is your task: {text} "
        f"Your code should pass these tests:\n\n{tests}\n[BEGIN]\n"
    )


def _tests(row: Mapping[str, object]) -> list[str]:
    tests = row["test_list"] if "test_list" in row else row["test"]
    return [str(test) for test in cast("list[object]", tests)]


def _clean(code: object) -> str:
    return str(code).replace("\r\n", "\n").strip()
