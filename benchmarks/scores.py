"""How good answers of a raw model are, in the protocols of the papers."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from benchmarks.answers import Answer
from benchmarks.problems import Problem
from benchmarks.published import Published
from benchmarks.sandbox import Sandbox, Trial, Verdict

__all__ = [
    "Marks",
    "Score",
    "first_line",
    "mark",
    "only_punctuation",
    "percent",
    "score_lines",
    "scores",
]

_WORD = re.compile(r"\w")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What became of one answer. ``punctuation``: what was expected has no letter or digit."""

    group: str
    verdict: Verdict
    punctuation: bool = False


@dataclass(kw_only=True)
class Score:
    """Right answers of a group. ``verdicts`` counts what became of all of them."""

    name: str
    count: int = 0
    right: int = 0
    published: float | None = None
    verdicts: Counter[str] = field(default_factory=Counter[str])

    def add(self, marks: Marks) -> None:
        """Count one answer."""
        self.count += 1
        self.verdicts[marks.verdict.value] += 1
        self.right += marks.verdict is Verdict.PASSED

    def as_json(self) -> dict[str, object]:
        """Return per cent and standard errors."""
        fields: dict[str, object] = {
            "count": self.count,
            "raw_percent": percent(self.right, self.count),
            "verdicts": dict(self.verdicts),
        }
        if self.published is not None:
            fields["published_percent"] = self.published
        return fields


def first_line(text: str) -> str:
    """Return the first line that has something in it, blanks at its ends left out."""
    return text.strip().partition("\n")[0].strip()


def only_punctuation(text: str) -> bool:
    """Whether ``text`` has neither letter nor digit."""
    return bool(text) and not _WORD.search(text)


def mark(
    pairs: Sequence[tuple[Problem, Answer]], sandbox: Sandbox, threads: int
) -> Iterator[Marks]:
    """Yield the marks of each answer, in order; programs run beside each other."""
    with ThreadPoolExecutor(threads) as pool:
        problems, answers = [each for each, _ in pairs], [each for _, each in pairs]
        yield from pool.map(partial(_marks, sandbox), problems, answers)


def scores(found: Sequence[Marks], published: Published | None, order: str) -> list[Score]:
    """Return one score for each group, after one for all of them where there are several."""
    groups = sorted({marks.group for marks in found})
    whole = groups[0].partition(" ")[0] if groups else ""
    names: dict[str, list[Marks]] = {}
    if len(groups) > 1:
        names[whole] = list(found)
        names[f"{whole}, words only"] = [marks for marks in found if not marks.punctuation]
    names |= {group: [marks for marks in found if marks.group == group] for group in groups}
    result: list[Score] = []
    for name, marked in names.items():
        if not marked:
            continue
        score = Score(name=f"{name} {order}".strip())
        score.published = published.percent(name, order) if published else None
        for marks in marked:
            score.add(marks)
        result.append(score)
    return result


def score_lines(scored: Mapping[str, Sequence[Score]]) -> list[str]:
    """Return aligned lines, a heading for each protocol; no line ends in blanks."""
    lines: list[str] = []
    for protocol, found in scored.items():
        rows = [(protocol, "problems", "raw, %", "published, %")]
        for score in found:
            raw = _shown_percent(score.right, score.count)
            published = "" if score.published is None else f"{score.published:.1f}"
            rows.append((f"  {score.name}", str(score.count), raw, published))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        for row in rows:
            cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            lines.append("  ".join([row[0].ljust(widths[0]), *cells]).rstrip())
    return lines


def _marks(sandbox: Sandbox, problem: Problem, answer: Answer) -> Marks:
    return Marks(
        group=problem.group,
        verdict=_verdict(problem, answer.text, sandbox),
        punctuation=only_punctuation(problem.expected),
    )


def _verdict(problem: Problem, text: str, sandbox: Sandbox) -> Verdict:
    if not problem.expected:
        trial: Trial = sandbox.run(problem.program(text))
        return trial.verdict
    right = first_line(text) == problem.expected
    return Verdict.PASSED if right else Verdict.FAILED


def percent(right: int, count: int) -> dict[str, float]:
    """Return a share in per cent, and its standard error."""
    share = right / count
    return {
        "value": round(100 * share, 2),
        "standard_error": round(100 * math.sqrt(share * (1 - share) / count), 2),
    }


def _shown_percent(right: int, count: int) -> str:
    found = percent(right, count)
    return f"{found['value']:.1f} ± {found['standard_error']:.1f}"
