"""The cursors of the quality benchmark: each public problem as the document that an editor holds.

Nothing of the answer is given away: a gap of whole lines is an empty line without indentation, the
rest of a line is missing up to its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.problems import SETS, Problem, ProblemSet, read_problems, sample

__all__ = ["CASE_SETS", "Case", "case_of", "read_cases"]

_LANGUAGES = {"py": "python", "js": "javascript", "java": "java"}
_FILE_ENDS = {"python": "py", "javascript": "js", "java": "java"}

CASE_SETS: Mapping[str, int] = {
    "santacoder": 96,
    "single-line": 96,
    "mid-line": 96,
    "multi-line": 256,
}
"""By name of a set: how long an answer may get, in tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A cursor in a document, and the problem that is asked there.

    ``after`` follows what is shown when it is put into the problem's gap. ``folder`` is the
    project that the document belongs to; most belong to none. ``several_lines``: the true answer
    may have more than one. ``kind`` says what of an answer counts: one of those of ``cross_file``,
    or ``""``: its first line, or that the program runs. ``needed`` are words of the answer that
    only another file says.
    """

    problem: Problem
    uri: str
    language_id: str
    text: str
    cursor: int
    max_tokens: int
    after: str = ""
    several_lines: bool = False
    kind: str = ""
    needed: tuple[str, ...] = ()
    folder: Path | None = None

    @property
    def one_line(self) -> bool:
        """Whether nothing but the first line of an answer counts."""
        return bool(self.problem.expected)


def read_cases(name: str, data: Path, limit: int | None, seed: int) -> list[Case]:
    """Return ``limit`` cases of a set, all if it is ``None``. Raises ``DataError``."""
    which = SETS[name]
    return [case_of(problem, which) for problem in sample(read_problems(which, data), limit, seed)]


def case_of(problem: Problem, which: ProblemSet) -> Case:
    """Return the document that an editor holds where ``problem`` is to be solved.

    The prefixes of SantaCoder's set end before the line end that their gap begins with; those of
    the other sets of whole lines end behind it.
    """
    before, after = problem.prefix, problem.suffix
    if which.name == "santacoder":
        before += "\n"
    if which.whole_lines:
        after = "\n" + after
    _, _, language = problem.group.partition(" ")
    language_id = _LANGUAGES.get(language, "python")
    return Case(
        problem=problem,
        uri=f"file:///project/solution.{_FILE_ENDS[language_id]}",
        language_id=language_id,
        text=before + after,
        cursor=len(before),
        max_tokens=CASE_SETS[which.name],
        after="\n" if which.whole_lines else "",
        several_lines=which.name == "multi-line",
    )
