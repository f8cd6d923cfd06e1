"""Whether what is shown at a cursor is right, and whether the best possible cut would have been."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from benchmarks.answers import Answer
from benchmarks.cross_file import is_answer
from benchmarks.kept import KeptRows, key_of
from benchmarks.quality_cases import Case
from benchmarks.quality_path import Outcome, Shown, Written
from benchmarks.sandbox import Sandbox, Verdict
from benchmarks.scores import first_line, only_punctuation

__all__ = ["Judge", "Marks", "candidates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What was on the screen: something, the right thing, something that breaks the document.

    ``fine``: right, or at least its first line is exactly the true one.
    """

    shown: bool
    right: bool
    fine: bool
    breaks: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What became of one case.

    ``raw``: the raw model's answer is right; ``None`` where it was not asked. ``all`` is what is
    seen without any judgement, ``judged`` at the default eagerness. ``best``: some cut of the same
    answer is right. ``whole``: the document had no error before, so that it could be broken.
    ``needed``: what only another file says was among what the model was shown of other files;
    ``None`` where nothing is.
    """

    id: str
    group: str
    punctuation: bool
    raw: bool | None
    all: Sight
    judged: Sight
    best: bool
    whole: bool
    own_ms: float
    second_ms: float
    asked_anew: bool
    needed: bool | None = None


class Judge:
    """Tells right answers from wrong ones; verdicts on programs are kept in ``kept``."""

    def __init__(self, sandbox: Sandbox, kept: KeptRows) -> None:
        self._sandbox = sandbox
        self._kept = kept

    def mark(self, outcome: Outcome, raw: Answer | None) -> Marks:
        """Mark a case; ``raw`` is what the raw model answered to its problem."""
        case = outcome.case
        everything = self._sight(case, outcome.all)
        return Marks(
            id=case.problem.id,
            group=case.problem.group,
            punctuation=only_punctuation(case.problem.expected),
            raw=None if raw is None else self._is_right(case, raw.text, ""),
            all=everything,
            judged=self._sight(case, outcome.judged),
            best=everything.right or self._best(case, outcome.written),
            whole=outcome.whole,
            own_ms=outcome.own_ms,
            second_ms=outcome.second_ms,
            asked_anew=outcome.asked_anew,
            needed=_needed(outcome) if outcome.context else None,
        )

    def _sight(self, case: Case, shown: Shown) -> Sight:
        text = shown.text
        right = bool(text) and self._is_right(case, text, case.after)
        true = first_line(case.problem.solution)
        exact = bool(text) and not case.kind and first_line(text) == true
        return Sight(shown=bool(text), right=right, fine=right or exact, breaks=shown.breaks)

    def _best(self, case: Case, written: Written) -> bool:
        return any(self._is_right(case, cut, case.after) for cut in candidates(case, written))

    def _is_right(self, case: Case, text: str, after: str) -> bool:
        problem = case.problem
        if case.kind:
            return is_answer(problem.expected, text)
        if problem.expected:
            return first_line(text) == problem.expected
        return self._passes(problem.program(text + after))

    def _passes(self, program: str) -> bool:
        try:
            ast.parse(program)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            # Nothing of it would run.
            return False
        key = key_of(program, self._sandbox.limits.seconds)
        row = self._kept.get(key)
        if row is None:
            row = {"key": key, "verdict": self._sandbox.run(program).verdict}
            self._kept.add(row)
        return row["verdict"] == Verdict.PASSED


def candidates(case: Case, written: Written) -> list[str]:
    """Return the cuts of an answer that a person could wish for, shortest first.

    Of a gap of several lines: at line ends, and the whole answer. Of one line: after each token of
    the first line that has something in it, and at line ends behind that.
    """
    text = written.text
    ends = {at for at, character in enumerate(text) if character == "\n"} | {len(text)}
    if not case.several_lines:
        start = len(text) - len(text.lstrip())
        first_end = min((at for at in ends if at >= start), default=0)
        ends |= {at for at in written.ends if at <= first_end}
    cuts = dict.fromkeys(text[:at].rstrip() for at in sorted(ends))
    return [cut for cut in cuts if cut]


def _needed(outcome: Outcome) -> bool:
    shown = "\n".join(chunk.text for chunk in outcome.context)
    return all(re.search(rf"\b{re.escape(word)}\b", shown) for word in outcome.case.needed)
