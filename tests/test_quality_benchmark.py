"""The quality benchmark: what is asked, what counts as right, and what is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import quality
from benchmarks.answers import Asker
from benchmarks.kept import KeptRows
from benchmarks.problems import SETS, Problem, read_problems
from benchmarks.quality_cases import Case, case_of, read_cases
from benchmarks.quality_engine import KeptEngine
from benchmarks.quality_marks import Judge, Sight, candidates
from benchmarks.quality_path import walk
from benchmarks.sandbox import Limits, Sandbox
from midfill_engine.fake import ScriptedEngine
from midfill_engine.types import CompletionRequest, Request, TokenScore
from tests.benchmark_sets import posix, write
from tests.quality_engines import INFO, engine_saying, scored

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
