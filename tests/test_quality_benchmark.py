"""The quality benchmark: what is asked, what counts as right, and what is kept."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import quality
from benchmarks.answers import Asker
from benchmarks.cross_file import is_answer, places
from benchmarks.cross_file_names import Package
from benchmarks.kept import KeptRows
from benchmarks.problems import SETS, Problem, read_problems
from benchmarks.quality_cases import Case, case_of, read_cases
from benchmarks.quality_engine import KeptEngine, NotKeptError
from benchmarks.quality_figures import (
    cross_file_figures,
    groups,
    judgement_figures,
    right_figures,
)
from benchmarks.quality_marks import Judge, Marks, Sight, candidates
from benchmarks.quality_path import Project, walk
from benchmarks.quality_report import Run, tell
from benchmarks.sandbox import Limits, Sandbox
from midfill_engine.cancel import CancelToken
from midfill_engine.fake import ScriptedEngine
from midfill_engine.types import (
    CompletionRequest,
    EngineInfo,
    FinishReason,
    Request,
    TokenScore,
)
from tests.test_humaneval_benchmark import write

posix = pytest.mark.skipif(os.name != "posix", reason="programs run on Linux and macOS only")

INFO = EngineInfo(model_id="tiny-0.5b", backend="toy", device="cpu")
ROW = {
    "task_id": "SingleLineInfilling/HumanEval/0/L0",
    "entry_point": "double",
    "prompt": "def double(x):\n",
    "suffix": "    return y\n",
    "canonical_solution": "    y = 2 * x\n",
    "test": "def check(f):\n    assert f(2) == 4\n",
}
LINE = {
    "name": "one",
    "language": "js",
    "prompt": "function f(x) {",
    "suffix": "}",
    "canonical_solution": "    return x + 1;",
}


def data(folder: Path) -> Path:
    write(folder / "human-eval-infilling" / "HumanEval-SingleLineInfilling.jsonl.gz", [ROW])
    write(folder / "human-eval-infilling" / "HumanEval-MultiLineInfilling.jsonl.gz", [ROW])
    write(folder / "santacoder-fim" / "half.jsonl.gz", [LINE])
    return folder


def marked(case: Case) -> str:
    return f"{case.text[: case.cursor]}<|>{case.text[case.cursor :]}"


def scored(at: int, logprob: float = -0.1) -> TokenScore:
    return TokenScore(
        at=at, logprob=logprob, stop_logprob=-9.0, runner_up="", runner_up_logprob=-5.0
    )


# --- What is asked -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["single-line", "multi-line"])
def test_a_gap_of_whole_lines_is_an_empty_line(name: str, tmp_path: Path) -> None:
    (case,) = read_cases(name, data(tmp_path), None, 1)
    assert marked(case) == "def double(x):\n<|>\n    return y\n"
    assert case.after == "\n"
    assert case.several_lines is (name == "multi-line")


def test_the_prompts_of_santacoder_end_before_a_line_end(tmp_path: Path) -> None:
    (case,) = read_cases("santacoder", data(tmp_path), None, 1)
    assert marked(case) == "function f(x) {\n<|>\n}"
    assert (case.language_id, case.problem.expected) == ("javascript", "return x + 1;")


def test_a_line_is_cut_within_its_text_and_the_rest_is_asked_for(tmp_path: Path) -> None:
    rows = [{**ROW, "task_id": f"SingleLineInfilling/{number}"} for number in range(40)]
    rows.append({**ROW, "task_id": "too short", "canonical_solution": "    )\n"})
    folder = tmp_path / "human-eval-infilling"
    write(folder / "HumanEval-SingleLineInfilling.jsonl.gz", rows)
    cases = read_cases("mid-line", tmp_path, None, 1)
    assert len(cases) == 40
    cuts: set[str] = set()
    for case in cases:
        before, _, after = marked(case).partition("<|>")
        typed = before.removeprefix("def double(x):\n")
        assert typed + case.problem.solution == "    y = 2 * x"
        assert typed.strip()
        assert case.problem.solution
        assert after == "\n    return y\n"
        assert case.problem.program("§") == before + "§" + after + f"\n{ROW['test']}\n" + (
            "check(double)\n"
        )
        cuts.add(typed)
    assert len(cuts) > 4
    again = {case.problem.id: case.text for case in read_cases("mid-line", tmp_path, None, 2)}
    assert again == {case.problem.id: case.text for case in cases}, "the set is always the same"


# --- What is kept --------------------------------------------------------------------------------


REQUEST = CompletionRequest(prefix="a = ", scored=True)


def kept_engine(
    path: Path, inner: ScriptedEngine | None, settings: tuple[str, ...] = ("m",)
) -> KeptEngine:
    return KeptEngine(inner, KeptRows(path), settings, INFO)


def said(engine: KeptEngine, request: CompletionRequest = REQUEST, stop_at: str = "") -> str:
    """What is read of an answer, up to ``stop_at``."""
    cancel, text = CancelToken(), ""
    chunks = list[FinishReason | None]()
    for chunk in engine.stream(request, cancel):
        text += chunk.text
        chunks.append(chunk.finish)
        if stop_at and stop_at in text:
            cancel.cancel()
    assert [finish for finish in chunks if finish] == chunks[-1:]
    engine.settle()
    return text


def never(text: str) -> bool:
    return False


def test_an_answer_is_read_on_where_that_is_asked_for(tmp_path: Path) -> None:
    inner = ScriptedEngine("one\ntwo\nthree\n", scores=lambda text: [scored(0), scored(4)])
    engine = kept_engine(tmp_path / "kept", inner)
    assert said(engine, stop_at="one") == "one\n"
    answer = engine.answer(REQUEST)
    assert (answer.text, answer.finish) == ("one\n", FinishReason.CANCELLED)
    assert engine.read_on(REQUEST, 100, lambda text: "\n" in text) == answer
    longer = engine.read_on(REQUEST, 100, never)
    assert (longer.text, longer.finish) == ("one\ntwo\nthree\n", FinishReason.STOP)
    assert (longer.scores, longer.ends) == ((scored(0), scored(4)), (4, 14))
    assert longer.seconds == answer.seconds
    again = kept_engine(tmp_path / "kept", None)
    assert again.read_on(REQUEST, 100, never) == longer
    assert len(inner.requests) == 2


def test_what_is_kept_is_not_asked_again_and_arrives_as_it_came(tmp_path: Path) -> None:
    inner = ScriptedEngine("one\ntwo\n", scores=lambda text: [scored(at) for at in (0, 4, 8)])
    live = kept_engine(tmp_path / "kept", inner)
    first = list(live.stream(REQUEST, CancelToken()))
    live.settle()
    again = list(kept_engine(tmp_path / "kept", None).stream(REQUEST, CancelToken()))
    assert [(c.text, c.scores, c.finish) for c in again] == [
        (c.text, c.scores, c.finish) for c in first
    ]
    # How long it may be and for whom is no other question; a longer text is, and another model.
    same = replace(REQUEST, max_tokens=3, request_id="x", hints=("one",))
    assert said(kept_engine(tmp_path / "kept", inner), same) == "one\ntwo\n"
    assert len(inner.requests) == 1
    said(kept_engine(tmp_path / "kept", inner), replace(REQUEST, prefix="b = "))
    said(kept_engine(tmp_path / "kept", inner, ("other",)))
    assert len(inner.requests) == 3


def test_who_asks_gets_no_more_tokens_than_it_wants(tmp_path: Path) -> None:
    engine = kept_engine(tmp_path / "kept", ScriptedEngine("one two three four", piece=4))
    few = replace(REQUEST, max_tokens=2)
    *_, last = engine.stream(few, CancelToken())
    assert last.finish is FinishReason.LENGTH
    assert said(engine, few) == "one two "
    assert said(engine) == "one two three four"


def test_without_a_model_only_what_is_kept_is_told(tmp_path: Path) -> None:
    engine = kept_engine(tmp_path / "kept", None)
    with pytest.raises(NotKeptError):
        said(engine)
    with pytest.raises(NotKeptError):
        engine.fit(REQUEST, ["one"], "two", CancelToken())


def test_what_was_not_read_so_far_is_asked_for_without_a_seam(tmp_path: Path) -> None:
    inner = ScriptedEngine("one\ntwo\nthree\n", scores=lambda text: [scored(0), scored(4)])
    said(kept_engine(tmp_path / "kept", inner), stop_at="one")
    without = kept_engine(tmp_path / "kept", None)
    assert (said(without), without.too_short) == ("one\n", 1)
    assert said(kept_engine(tmp_path / "kept", inner)) == "one\ntwo\nthree\n"
    assert said(without) == "one\n"
    assert said(kept_engine(tmp_path / "kept", None)) == "one\ntwo\nthree\n"
    assert len(inner.requests) == 2


def test_how_well_a_text_goes_on_is_kept_too(tmp_path: Path) -> None:
    inner = ScriptedEngine("", fits=lambda answer: -float(len(answer)))
    live = kept_engine(tmp_path / "kept", inner).fit(REQUEST, ["a", "bb"], "c", CancelToken())
    again = kept_engine(tmp_path / "kept", None)
    assert again.fit(REQUEST, ["bb", "a"], "c", CancelToken()) == (live[1], live[0])
    with pytest.raises(NotKeptError):
        again.fit(REQUEST, ["a", "ccc"], "c", CancelToken())


# --- The path ------------------------------------------------------------------------------------


def gap_case(name: str = "single-line") -> Case:
    (problem,) = [
        Problem(
            id="one",
            group=name,
            prefix="def double(x):\n",
            suffix="    return y\n",
            program_start="def double(x):\n",
            program_end="    return y\n\nassert double(2) == 4\n",
            solution="    y = 2 * x\n",
        )
    ]
    return case_of(problem, SETS[name])


def engine_saying(
    text: str, path: Path, logprob: float = -0.01
) -> tuple[KeptEngine, ScriptedEngine]:
    def scores(whole: str) -> Sequence[TokenScore]:
        return [scored(at, logprob) for at in range(0, len(whole), 4)]

    inner = ScriptedEngine(text, scores=scores)
    return KeptEngine(inner, KeptRows(path), ("m",), INFO), inner


RUNS_ON = "    y = 2 * x\n    return y\n\n\ndef more():\n    pass\n"


@posix
def test_a_case_is_cut_judged_and_compared_with_the_best_cut(tmp_path: Path) -> None:
    engine, inner = engine_saying(RUNS_ON, tmp_path / "kept")
    outcome = walk(gap_case(), engine)
    assert outcome.all.text == outcome.judged.text == "    y = 2 * x"
    assert outcome.written.text == RUNS_ON
    assert outcome.written.raw in RUNS_ON
    assert outcome.own_ms > 0
    request = inner.requests[0]
    assert isinstance(request, CompletionRequest)
    assert request.prefix + request.typed == "def double(x):\n"
    judge = Judge(Sandbox.open(Limits(seconds=20.0)), KeptRows(tmp_path / "verdicts"))
    marks = judge.mark(outcome, None)
    assert marks.all == marks.judged == Sight(shown=True, right=True, fine=True, breaks=False)
    assert (marks.best, marks.raw) == (True, None)
    assert marks.asked_anew
    assert not walk(gap_case(), engine).asked_anew


@posix
def test_silence_is_told_from_being_wrong(tmp_path: Path) -> None:
    engine, _ = engine_saying(RUNS_ON, tmp_path / "kept", logprob=-6.0)
    outcome = walk(gap_case(), engine)
    assert (outcome.judged.text, outcome.all.text) == ("", "    y = 2 * x")
    judge = Judge(Sandbox.open(Limits(seconds=20.0)), KeptRows(tmp_path / "verdicts"))
    marks = judge.mark(outcome, None)
    assert marks.judged == Sight(shown=False, right=False, fine=False, breaks=False)
    assert marks.all.right
    assert marks.best


class Hesitant(ScriptedEngine):
    """Says ``y = x`` where it would nearly have said ``z``, after which all goes on better."""

    def __init__(self) -> None:
        def script(request: Request) -> str:
            assert isinstance(request, CompletionRequest)
            _, z, after = request.typed.rpartition("z")
            return " = 2 * x\n    more\n".removeprefix(after) if z else "    y = x\n    more\n"

        def scores(text: str) -> Sequence[TokenScore]:
            near = replace(scored(4, -0.7), runner_up="z", runner_up_logprob=-0.8)
            return [scored(0), near if text.startswith("    ") else scored(4), scored(8)]

        super().__init__(script, scores=scores, fits=lambda answer: 0.0 if "z" in answer else -9.0)


def test_after_second_thoughts_the_text_that_was_taken_is_read_on(tmp_path: Path) -> None:
    engine = KeptEngine(Hesitant(), KeptRows(tmp_path / "kept"), ("m",), INFO)
    outcome = walk(gap_case(), engine)
    assert outcome.all.text.startswith("    z = 2 * x")
    assert outcome.written.text == "    z = 2 * x\n    more\n"
    assert outcome.second_ms > 0
    again = KeptEngine(None, KeptRows(tmp_path / "kept"), ("m",), INFO)
    replayed = walk(gap_case(), again)
    assert (replayed.all, replayed.written) == (outcome.all, outcome.written)
    assert replayed.second_ms == pytest.approx(outcome.second_ms, abs=1.0)


def kept_answer(text: str, path: Path) -> tuple[Case, list[str]]:
    engine, _ = engine_saying(text, path)
    case = gap_case()
    return case, candidates(case, walk(case, engine).written)


def test_a_line_may_be_cut_after_each_token_and_more_lines_at_their_ends(tmp_path: Path) -> None:
    case, cuts = kept_answer("    y = x + 1\n    z = 2\n", tmp_path / "kept")
    assert cuts == ["    y =", "    y = x +", "    y = x + 1", "    y = x + 1\n    z = 2"]
    engine, _ = engine_saying("    y = x + 1\n    z = 2\n", tmp_path / "other")
    several = replace(case, several_lines=True)
    assert candidates(several, walk(several, engine).written) == [
        "    y = x + 1",
        "    y = x + 1\n    z = 2",
    ]


@posix
def test_a_first_line_that_is_true_is_fine_though_the_tests_fail(tmp_path: Path) -> None:
    engine, _ = engine_saying("    y = 2 * x\n    y = 0\n", tmp_path / "kept")
    case = replace(gap_case(), several_lines=True)
    outcome = walk(case, engine)
    judge = Judge(Sandbox.open(Limits(seconds=20.0)), KeptRows(tmp_path / "verdicts"))
    shown = replace(outcome.all, text="    y = 2 * x\n    y = 0")
    marks = judge.mark(replace(outcome, all=shown, judged=shown), None)
    assert (marks.all.right, marks.all.fine, marks.best) == (False, True, True)


@posix
def test_verdicts_are_kept_and_what_cannot_run_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "verdicts"
    engine, _ = engine_saying(RUNS_ON, tmp_path / "kept")
    outcome = walk(gap_case(), engine)
    Judge(Sandbox.open(Limits(seconds=20.0)), KeptRows(path)).mark(outcome, None)
    kept = path.read_text()

    class Nobody(Sandbox):
        def run(self, program: str):  # type: ignore[no-untyped-def]
            raise AssertionError("its verdict is known")

    again = Judge(Nobody(limits=Limits(seconds=20.0)), KeptRows(path))
    assert again.mark(outcome, None).best
    broken = replace(outcome.all, text="    y = (")
    assert not again.mark(replace(outcome, judged=broken), None).judged.right
    assert path.read_text() == kept


# --- Figures -------------------------------------------------------------------------------------


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


# --- Cross-file ----------------------------------------------------------------------------------

SHAPES = '''"""Shapes."""


class Shape:
    border: int = 0

    def __init__(self, width, corner_radius=0):
        self.width = width

    def scaled_copy(self, factor, keep_corners=True):
        return self


def draw(shape, line_style="solid"):
    pass
'''
PAGE = '''"""Pages."""
from tiny.shapes import Shape
from . import shapes as drawing
from tiny import draw as paint
from tiny import draw


class Round(Shape):
    def grow(self):
        return self.scaled_copy(2)


def show(shape: Shape | None, page):
    big = Shape(3, corner_radius=2)
    draw(big, line_style="dashed")
    draw(page)
    paint(page, line_style="none")
    page.scaled_copy_of(1)
    return shape.border
'''


def project(folder: Path, page: str = PAGE) -> Path:
    package = folder / "tiny"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('from .shapes import draw\n\n__all__ = ["draw"]\n')
    (package / "shapes.py").write_text(SHAPES)
    (package / "page.py").write_text(page)
    (package / "broken.py").write_text("def (\n")
    return folder


def test_places_need_what_only_another_file_says(tmp_path: Path) -> None:
    found = places(Package.read(project(tmp_path), "tiny"))
    seen = {
        (place.kind, place.answer, place.needed, place.definition.holder.name) for place in found
    }
    assert seen == {
        ("name", "aled_copy", ("scaled_copy",), "tiny.shapes"),
        ("attribute", "rder", ("border",), "tiny.shapes"),
        ("arguments", "rner_radius", ("corner_radius",), "tiny.shapes"),
    }
    place = next(place for place in found if place.answer == "rder")
    assert place.text[: place.cursor].endswith("    return shape.bo")
    assert place.text[place.cursor :] == "\n"


def test_of_one_file_there_are_some_places_only(tmp_path: Path) -> None:
    names = ("first_kind", "second_kind", "third_kind", "fourth_kind", "fifth_kind")
    calls = "".join(f"    draw(page, {name}=1)\n" for name in names)
    folder = project(tmp_path, f"from tiny.shapes import draw\n\n\ndef show(page):\n{calls}")
    shapes = folder / "tiny" / "shapes.py"
    shapes.write_text(f"def draw(page, {', '.join(names)}):\n    pass\n")
    assert len(places(Package.read(folder, "tiny"))) == 4


@pytest.mark.parametrize(
    "line",
    [
        "draw(page)",  # nothing that only the other file says
        "draw(page, line_style='a')\n    draw(page, line_style='b')",  # given away
        "draw(page, line_style=(",  # goes on in the next line
        'print(f"{draw(page, line_style=1)}")',  # in a string
        "page.scaled_copy(1)",  # nobody knows what a page is
        "paint(page, line_style=1)",  # called by another name
        "other(page, line_style=1)",  # not from here
    ],
)
def test_what_another_file_need_not_say_is_no_place(line: str, tmp_path: Path) -> None:
    end = "1))\n" if line.endswith("(") else ""
    page = (
        "from tiny.shapes import draw\nfrom tiny import draw as paint\n\n\n"
        f"def show(page):\n    {line}\n        {end}"
    )
    assert places(Package.read(project(tmp_path, page), "tiny")) == []


@pytest.mark.parametrize(
    ("expected", "text", "right"),
    [
        ("rder", "rder + 1\n", True),
        ("rder", "rder", True),
        ("rder", "rders", False),
        ("rder", " rder", False),
        ("rder", "", False),
    ],
)
def test_an_answer_is_the_rest_of_a_name(expected: str, text: str, right: bool) -> None:
    assert is_answer(expected, text) is right


def test_context_comes_from_the_project_and_never_from_the_file_itself(tmp_path: Path) -> None:
    folder = project(tmp_path / "project")
    (place,) = [
        place for place in places(Package.read(folder, "tiny")) if place.kind == "arguments"
    ]
    case = Case(
        problem=Problem(id="p", group="cross-file arguments", prefix="", expected=place.answer),
        uri=place.module.path.resolve().as_uri(),
        language_id="python",
        text=place.text,
        cursor=place.cursor,
        max_tokens=64,
        kind=place.kind,
        needed=place.needed,
        folder=folder,
    )
    engine, inner = engine_saying("rner_radius=2)", tmp_path / "kept")
    judge = Judge(Sandbox(), KeptRows(tmp_path / "verdicts"))
    shown = judge.mark(walk(case, engine, Project(folder)), None)
    alone = judge.mark(walk(case, engine), None)
    assert shown.all.right
    assert (shown.needed, alone.needed) == (True, None)
    with_context, without = inner.requests[0], inner.requests[-1]
    assert isinstance(with_context, CompletionRequest)
    assert isinstance(without, CompletionRequest)
    assert {chunk.path for chunk in with_context.context} == {"tiny/shapes.py"}
    assert with_context.path == "tiny/page.py"
    assert without.context == ()


# --- The whole -----------------------------------------------------------------------------------


@posix
def test_a_run_goes_on_where_it_was_and_judges_anew_without_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = ScriptedEngine("    y = 2 * x\n", scores=lambda text: [scored(0, -0.01)])

    def asking(rejudge: bool) -> quality.Model:
        kept = KeptRows(tmp_path / "kept")
        engine = KeptEngine(None if rejudge else inner, kept, ("m",), INFO)
        return quality.Model(
            engine=engine, asker=Asker(inner, ("m",)), asks=not rejudge, prompt_tokens=512
        )

    monkeypatch.setattr(quality, "open_model", lambda args, *_: asking(args.rejudge))
    command = ["--data", str(data(tmp_path)), "--folder", str(tmp_path / "folder")]
    command += ["--set", "single-line,santacoder:1", "--json", str(tmp_path / "result.json")]
    command += ["--cases", str(tmp_path / "cases")]
    assert quality.main(command) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["figures"]["single-line"]["path"]["value"] == 100.0
    assert result["figures"]["single-line"]["raw"]["value"] == 100.0
    assert result["figures"]["santacoder"]["path"]["value"] == 0.0
    cases = [json.loads(line) for line in (tmp_path / "cases").read_text().splitlines()]
    assert [(case["set"], case["right"]) for case in cases] == [
        ("single-line", True),
        ("santacoder", False),
    ]
    asked = len(inner.requests)
    assert quality.main([*command, "--rejudge"]) == 0
    assert quality.main(command) == 0
    assert len(inner.requests) == asked
    # What was never asked is left out, and nobody is asked.
    command[command.index("--set") + 1] = "multi-line"
    (tmp_path / "human-eval-infilling" / "HumanEval-MultiLineInfilling.jsonl.gz").unlink()
    other = {**ROW, "prompt": "def double(x, z):\n"}
    write(tmp_path / "human-eval-infilling" / "HumanEval-MultiLineInfilling.jsonl.gz", [other])
    assert quality.main([*command, "--rejudge"]) == 0
    assert "1 cases left out" in capsys.readouterr().out
    assert len(inner.requests) == asked


def test_the_sets_are_those_that_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong in (["--set", "humaneval"], ["--set", "single-line:0"], []):
        with pytest.raises(SystemExit):
            quality.main(["--data", str(tmp_path), *wrong])
    assert "NAME:N" in capsys.readouterr().err
    assert {name for name in quality.QUICK if name != quality.CROSS_FILE} <= set(SETS)
    assert read_problems(SETS["mid-line"], data(tmp_path))[0].group == "mid-line"
