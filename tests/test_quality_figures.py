"""The figures of the quality benchmark: shares, silence, context, goals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.quality_figures import (
    cross_file_figures,
    groups,
    judgement_figures,
    right_figures,
)
from benchmarks.quality_marks import Marks, Sight
from benchmarks.quality_report import Run, tell
from tests.quality_engines import INFO


def marks(
    *, right: bool, silent: bool = False, best: bool = True, group: str = "g", **more: object
) -> Marks:
    everything = Sight(shown=True, right=right, fine=right, breaks=False)
    nothing = Sight(shown=False, right=False, fine=False, breaks=False)
    made = Marks(
        id="",
        group=group,
        punctuation=False,
        raw=False,
        all=everything,
        judged=nothing if silent else everything,
        best=best or right,
        whole=True,
        own_ms=1.0,
        second_ms=4.0,
        asked_anew=True,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def value(figures: object, name: str) -> float:
    assert isinstance(figures, dict)
    return round(figures[name].value, 2)


def test_the_share_of_the_best_cut_is_of_what_a_cut_could_reach() -> None:
    found = [marks(right=True)] * 3 + [marks(right=False)] + [marks(right=False, best=False)] * 4
    figures = right_figures(found)
    assert value(figures, "path") == 37.5
    assert value(figures, "best_cut") == 50.0
    assert value(figures, "share_of_best_cut") == 75.0
    assert figures["raw"] is not None
    assert right_figures([marks(right=True, raw=None)])["raw"] is None


def test_silence_is_worth_what_it_does_for_precision() -> None:
    # Six of ten are right; one right and three wrong ones are kept back.
    found = [marks(right=True)] * 5 + [marks(right=True, silent=True)]
    found += [marks(right=False)] + [marks(right=False, silent=True)] * 3
    figures = judgement_figures(found)
    assert value(figures, "precision_of_everything") == 60.0
    assert value(figures, "precision") == 83.33
    assert value(figures, "times") == 1.39
    assert value(figures, "shown") == 60.0
    assert value(figures, "breaks") == 0.0


def test_breaking_counts_where_something_whole_is_shown() -> None:
    breaking = Sight(shown=True, right=False, fine=False, breaks=True)
    found = [
        marks(right=True),
        marks(right=False),
        marks(right=False, all=breaking, judged=breaking),
        marks(right=False, whole=False),
        marks(right=False, silent=True),
    ]
    assert value(judgement_figures(found), "breaks") == 33.33


def test_context_is_worth_what_it_adds() -> None:
    pairs = [
        (marks(right=True), marks(right=True, needed=True)),
        (marks(right=False), marks(right=True, needed=True)),
        (marks(right=False), marks(right=False, needed=False)),
        (marks(right=False), marks(right=False)),
    ]
    figures = cross_file_figures(pairs)
    assert value(figures, "times") == 2.0
    assert value(figures, "needed_in_context") == 50.0
    assert cross_file_figures([(marks(right=False), marks(right=True))])["times"] is None


def test_languages_and_mere_brackets_are_told_apart() -> None:
    found = [
        marks(right=True, group="santacoder js"),
        marks(right=False, group="santacoder py"),
        marks(right=True, group="santacoder py", punctuation=True),
    ]
    assert {name: len(each) for name, each in groups("santacoder", found).items()} == {
        "santacoder": 3,
        "santacoder, words only": 2,
        "santacoder js": 1,
        "santacoder py": 2,
    }
    assert list(groups("single-line", [marks(right=True, group="single-line")])) == ["single-line"]


def test_goals_are_told_with_the_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [marks(right=True, group="single-line")] * 3
    found.append(marks(right=False, group="single-line"))
    pairs = [marks(right=False, group="cross-file name")]
    runs = [
        Run(name="single-line", marks=found),
        Run(name="cross-file", marks=[marks(right=True)], without=pairs),
        Run(name="multi-line", missing="no such file"),
        Run(name="mid-line", left_out=3),
    ]
    tell(runs, INFO, {"seed": 1}, tmp_path / "result.json")
    told = capsys.readouterr().out
    assert "path ≥ 70 met, of best cut ≥ 92 MISSED" in told
    assert "multi-line: not measured: no such file" in told
    assert "3 cases left out" in told
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["figures"]["single-line"]["path"]["value"] == 75.0
    assert result["figures"]["cross-file"]["times"] is None
    assert result["figures"]["added_ms"]["own_work"]["p95"] == 1.0
    assert result["figures"]["added_ms"]["total"]["p95"] == 5.0
