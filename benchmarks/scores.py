"""How good answers are: as the model wrote them, and as the server would show them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from benchmarks.answers import Answer
from benchmarks.problems import Problem, ProblemSet
from benchmarks.published import Published
from benchmarks.sandbox import Sandbox, Trial, Verdict
from midfill_engine.types import FinishReason
from midfill_server.postprocess import Site, truncate, visible, whole_lines

__all__ = ["Marks", "Score", "first_line", "mark", "score_lines", "scores", "shown"]

_WORD = re.compile(r"\w")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Whether one answer is right; ``cut`` is ``None`` where no server would show it.

    ``punctuation``: what was expected has neither letter nor digit.
    """

    group: str
    raw: Verdict
    cut: Verdict | None
    punctuation: bool = False


@dataclass(kw_only=True)
class Score:
    """Right answers of a group. ``verdicts`` counts what became of the answers as written."""

    name: str
    count: int = 0
    raw: int = 0
    cut: int | None = None
    published: float | None = None
    verdicts: Counter[str] = field(default_factory=Counter[str])

    def add(self, marks: Marks) -> None:
        """Count one answer."""
        self.count += 1
        self.verdicts[marks.raw.value] += 1
        self.raw += marks.raw is Verdict.PASSED
        if marks.cut is not None:
            self.cut = (self.cut or 0) + (marks.cut is Verdict.PASSED)

    def as_json(self) -> dict[str, object]:
        """Return per cent and standard errors."""
        fields: dict[str, object] = {
            "count": self.count,
            "raw_percent": _percent(self.raw, self.count),
            "verdicts": dict(self.verdicts),
        }
        if self.cut is not None:
            fields["cut_percent"] = _percent(self.cut, self.count)
        if self.published is not None:
            fields["published_percent"] = self.published
        return fields


def shown(problem: Problem, which: ProblemSet, answer: Answer) -> str:
    """Return what the server's cuts leave of an answer, as text to put into the gap.

    A gap of whole lines is an empty line in an editor, or the end of the line before it.
    """
    after = ("\n" if which.whole_lines else "") + problem.suffix
    site = Site.around(problem.prefix, after)
    text = answer.text
    if answer.finish is FinishReason.LENGTH and not truncate(text, site).settled:
        text = whole_lines(text)
    text = visible(truncate(text, site), site, final=True)
    return text + "\n" if which.whole_lines else text


def first_line(text: str) -> str:
    """Return the first line that has something in it, blanks at its ends left out."""
    return text.strip().partition("\n")[0].strip()


def mark(
    pairs: Sequence[tuple[Problem, Answer]], which: ProblemSet, sandbox: Sandbox, threads: int
) -> Iterator[Marks]:
    """Yield the marks of each answer, in order; programs run beside each other."""
    with ThreadPoolExecutor(threads) as pool:
        problems, answers = [each for each, _ in pairs], [each for _, each in pairs]
        yield from pool.map(partial(_marks, which, sandbox), problems, answers)


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
        rows = [(protocol, "problems", "raw, %", "cut, %", "published, %")]
        for score in found:
            cut = "" if score.cut is None else _shown_percent(score.cut, score.count)
            raw = _shown_percent(score.raw, score.count)
            published = "" if score.published is None else f"{score.published:.1f}"
            rows.append((f"  {score.name}", str(score.count), raw, cut, published))
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        for row in rows:
            cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            lines.append("  ".join([row[0].ljust(widths[0]), *cells]).rstrip())
    return lines


def _marks(which: ProblemSet, sandbox: Sandbox, problem: Problem, answer: Answer) -> Marks:
    cut_text = shown(problem, which, answer) if which.infills else None
    raw = _verdict(problem, answer.text, sandbox)
    cut = None
    if cut_text is not None:
        cut = raw if cut_text == answer.text else _verdict(problem, cut_text, sandbox)
    return Marks(
        group=problem.group,
        raw=raw,
        cut=cut,
        punctuation=bool(problem.expected) and not _WORD.search(problem.expected),
    )


def _verdict(problem: Problem, text: str, sandbox: Sandbox) -> Verdict:
    if not problem.expected:
        trial: Trial = sandbox.run(problem.program(text))
        return trial.verdict
    right = first_line(text) == problem.expected
    return Verdict.PASSED if right else Verdict.FAILED


def _percent(right: int, count: int) -> dict[str, float]:
    share = right / count
    return {
        "value": round(100 * share, 2),
        "standard_error": round(100 * math.sqrt(share * (1 - share) / count), 2),
    }


def _shown_percent(right: int, count: int) -> str:
    found = _percent(right, count)
    return f"{found['value']:.1f} ± {found['standard_error']:.1f}"
