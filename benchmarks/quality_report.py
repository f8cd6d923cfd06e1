"""How the quality benchmark tells what it found: tables, one line of JSON, and each case."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.cross_file import versions
from benchmarks.provenance import about
from benchmarks.quality_figures import (
    Estimate,
    Goals,
    added_figures,
    as_json,
    cross_file_figures,
    goals_for,
    groups,
    judgement_figures,
    lines_of,
    right_figures,
    verdict,
)
from benchmarks.quality_marks import Marks
from benchmarks.quality_path import DEFAULT_EAGERNESS, Outcome
from benchmarks.report import Spread, short, tell_result
from midfill_engine.types import EngineInfo

__all__ = ["Run", "tell", "write_cases"]

_RIGHT = ("right, %", "cases", "raw", "path", "best cut", "of best cut", "path, judged", "")
_JUDGED = ("shown, %", "cases", "right of all", "of judged", "times", "judged shown", "break", "")
_CROSS = ("other files, %", "cases", "without", "with", "times", "had it", "")


@dataclass(slots=True, kw_only=True)
class Run:
    """One set. ``without`` are the marks without context, of the same cases, where there is any.

    ``left_out`` cases have no kept answer, and there was no model; ``missing`` says why none has.
    """

    name: str
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    marks: list[Marks] = field(default_factory=list[Marks])
    without: list[Marks] = field(default_factory=list[Marks])
    left_out: int = 0
    missing: str = ""

    @property
    def pairs(self) -> list[tuple[Marks, Marks]]:
        """The marks without and with context."""
        return list(zip(self.without, self.marks, strict=True)) if self.without else []


def tell(
    runs: Sequence[Run], info: EngineInfo, asked: Mapping[str, object], path: Path | None
) -> None:
    """Print tables and one line of JSON, which goes to ``path`` too."""
    goals = goals_for(info.model_id)
    print(f"\n{info.model_id}, {info.backend}, {info.device}; greedy; ± standard error")
    for lines in (_right(runs, goals), _judged(runs, goals), _cross_file(runs, goals)):
        if len(lines) > 1:
            print("\n" + "\n".join(lines))
    marks = [each for run in runs for each in (*run.marks, *run.without)]
    added = added_figures(marks)
    if added:
        print("\n" + "\n".join(_added(added, goals)))
    for run in runs:
        if run.missing:
            print(f"{run.name}: not measured: {run.missing}")
        if run.left_out:
            print(f"{run.name}: {run.left_out} cases left out, their answers are not kept")
    packages = versions() if any(run.without for run in runs) else {}
    told = {
        "model": info.model_id,
        "backend": info.backend,
        "device": info.device,
        "eagerness": DEFAULT_EAGERNESS,
        **asked,
        **({"packages": packages} if packages else {}),
    }
    figures = _figures(runs)
    figures["added_ms"] = {name: asdict(value) for name, value in added.items()}
    tell_result("quality", {**about(peer_version=None), **told}, figures, path)


def write_cases(path: Path, runs: Sequence[Run]) -> None:
    """Write a line of JSON for each case: what was written, shown and right, and the scores."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for run in runs:
            for outcome, marks in zip(run.outcomes, run.marks, strict=True):
                file.write(json.dumps(_case(run.name, outcome, marks)) + "\n")


def _case(name: str, outcome: Outcome, marks: Marks) -> dict[str, object]:
    problem, written = outcome.case.problem, outcome.written
    return {
        "set": name,
        "id": problem.id,
        "before": outcome.case.text[: outcome.case.cursor][-200:],
        "solution": problem.solution,
        "text": written.raw,
        "scores": [[score.at, score.logprob, score.stop_logprob] for score in written.scores],
        "shown": outcome.all.text,
        "right": marks.all.fine,
        "judged": outcome.judged.text,
        "passes": marks.all.right,
        "goes_on": written.text,
        "best_cut_passes": marks.best,
        "raw_passes": marks.raw,
        "breaks": marks.all.breaks,
        "needed": list(outcome.case.needed),
        "needed_in_context": marks.needed,
        "context": [chunk.text for chunk in outcome.context],
    }


def _added(added: Mapping[str, Spread], goals: Goals) -> list[str]:
    names = {"own_work": "own work", "total": "with the model's second thoughts"}
    lines = ["added time per completion, ms"]
    for name, value in added.items():
        met = "met" if value.p95 <= goals.added_p95_ms else "MISSED"
        lines.append(
            f"  {names[name]}: p50 {short(value.p50)}, p95 {short(value.p95)} of {value.count}; "
            f"≤ {goals.added_p95_ms:g} p95 {met}"
        )
    return lines


def _right(runs: Sequence[Run], goals: Goals) -> list[str]:
    rows: list[tuple[str, int, Sequence[Estimate | None], str]] = []
    for run in runs:
        if run.without:
            continue
        for name, marks in groups(run.name, run.marks).items():
            found = right_figures(marks)
            goal = verdict(found["path"], goals.right.get(name))
            if name == run.name:
                best = verdict(found["share_of_best_cut"], goals.best_share)
                goal = f"path {goal}, of best cut {best}" if goal and best else goal or best
            rows.append((name, len(marks), list(found.values()), goal))
    return lines_of(_RIGHT, rows)


def _judged(runs: Sequence[Run], goals: Goals) -> list[str]:
    rows: list[tuple[str, int, Sequence[Estimate | None], str]] = []
    every = [each for run in runs for each in run.marks]
    named = {run.name: run.marks for run in runs if run.marks}
    for name, marks in {**named, **({"all sets": every} if len(named) > 1 else {})}.items():
        found = judgement_figures(marks)
        met = (
            verdict(found["times"], goals.precision),
            verdict(found["shown"], goals.shown),
            verdict(found["breaks"], goals.breaks, at_least=False),
        )
        told = zip(("times", "shown", "break"), met, strict=True)
        goal = ", ".join(f"{what} {each}" for what, each in told if each)
        columns = [value for key, value in found.items() if key != "breaks_of_everything"]
        rows.append((name, len(marks), columns, goal))
    return lines_of(_JUDGED, rows)


def _cross_file(runs: Sequence[Run], goals: Goals) -> list[str]:
    rows: list[tuple[str, int, Sequence[Estimate | None], str]] = []
    for run in runs:
        for name, pairs in _pair_groups(run).items():
            found = cross_file_figures(pairs)
            goal = verdict(found["times"], goals.context) if name == run.name else ""
            columns = [value for key, value in found.items() if "eagerness" not in key]
            rows.append((name, len(pairs), columns, goal))
    return lines_of(_CROSS, rows)


def _pair_groups(run: Run) -> dict[str, list[tuple[Marks, Marks]]]:
    if not run.pairs:
        return {}
    parts = sorted({on.group for _, on in run.pairs})
    return {run.name: run.pairs} | {
        part: [pair for pair in run.pairs if pair[1].group == part] for part in parts
    }


def _figures(runs: Sequence[Run]) -> dict[str, object]:
    figures: dict[str, object] = {}
    for run in runs:
        if run.missing:
            figures[run.name] = {"missing": run.missing}
            continue
        if run.without:
            for name, pairs in _pair_groups(run).items():
                figures[name] = {"count": len(pairs), **as_json(cross_file_figures(pairs))}
        else:
            for name, marks in groups(run.name, run.marks).items():
                figures[name] = {"count": len(marks), **as_json(right_figures(marks))}
        figures[f"{run.name}, judgement"] = as_json(judgement_figures(run.marks))
    every = [each for run in runs for each in run.marks]
    if every:
        figures["all sets, judgement"] = as_json(judgement_figures(every))
    return figures
