"""The benchmark of fixes: what mistakes it makes, and what it counts."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import fix
from benchmarks.fix_answers import Answers
from benchmarks.fix_cases import FixCase, cases, chosen
from benchmarks.fix_checks import Finding, FreshChecks, added, contradicts
from benchmarks.fix_humaneval import BuggyFunction, on_paper, on_path, read_functions
from benchmarks.fix_mutation import Mutation
from benchmarks.fix_path import Desk, Outcome, judged
from benchmarks.fix_projects import Tree
from benchmarks.fix_report import Run, as_json, lines, write_cases
from benchmarks.fix_same import is_same
from benchmarks.kept import KeptRows
from benchmarks.problems import DataError
from benchmarks.sandbox import Sandbox
from midfill_engine.fake import ScriptedEngine
from midfill_engine.types import ChatRequest, CompletionRequest
from midfill_server.fixing import Ask, Fix, Limits
from tests.benchmark_sets import posix, write
from tests.test_fix_mistakes import PYTHON

# Files with hardly anything in them are left out.
MODULE = PYTHON + "\n" + "# Much is to be said of this.\n" * 50


# --- What checkers say ---------------------------------------------------------------------------


def finding(message: str, *, source: str = "ruff", code: str = "F821", start: int = 0) -> Finding:
    return Finding(
        source=source, code=code, message=message, severity="error", start=start, end=start + 1
    )


def test_what_is_new_is_counted_and_may_have_moved() -> None:
    before = [finding("a"), finding("b from line 3")]
    assert added(before, [finding("a", start=9), finding("b from line 4")]) == []
    assert added(before, [finding("a"), finding("a", start=9)]) == [finding("a", start=9)]


def test_a_fresh_check_contradicts_a_label() -> None:
    target, other = finding("a"), finding("b", source="pyright")
    old, new = "a\nb\n", "A\nb\n"
    assert contradicts([target], [], target, old, new) is None
    assert contradicts([target], [other], target, old, new) is None
    assert contradicts([target], [target], target, old, new) == "still there: a"
    assert contradicts([target], [finding("c", start=2)], target, old, new) == "new: c"
    assert contradicts([target, target], [target], target, old, new) is None


@pytest.mark.parametrize(
    ("message", "start", "code", "is_wrong"),
    [
        ("`os` imported but unused", 4, "F401", False),
        ("too long", 0, "E501", True),
        ("`gone` imported but unused", 4, "F401", True),
        ("`here` imported but unused", 4, "F401", True),
        ("Expected an expression", 4, "", True),
    ],
)
def test_what_wrong_syntax_hid_elsewhere_contradicts_nothing(
    message: str, start: int, code: str, is_wrong: bool
) -> None:
    target = finding("Expected `:`", code="")
    after = [finding(message, code=code, start=start + len("here()") * (start > 0))]
    said = contradicts([target], after, target, "gone()\nb\nc\n", "here()\nb\nc\n")
    assert said == (f"new: {message}" if is_wrong else None)


def test_what_is_fixed_stands_where_the_mistake_is() -> None:
    mutation = Mutation(text="one\ntwo\nthree\n", at=5)
    rng = random.Random(1)
    far, near = finding("far", start=0), finding("near", start=6)
    assert chosen("undefined name", [far, near], mutation, rng) is near
    assert chosen("undefined name", [far], mutation, rng) is None
    assert chosen("missing import", [far], mutation, rng) is far
    assert chosen("syntax error", [far, near], mutation, rng) is None
    broken = finding("broken", code="", start=9)
    assert chosen("syntax error", [far, broken], mutation, rng) is broken
    assert chosen("syntax error", [finding("x", source="ts", code="2304")], mutation, rng) is None
    script = finding("x", source="ts", code="1005")
    assert chosen("syntax error", [script], mutation, rng) is script


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("import a\nimport b\nx = (1)\n", "import b\nimport a\nx = 1  # one\n", True),
        ("from a import b, c\n", "from a import c\nfrom a import b\n", True),
        ("from a import b\n", "from c import b\n", False),
        ("x = 1\n", "x = 2\n", False),
        ("x = (\n", "x = [\n", False),
    ],
)
def test_what_means_the_same_in_python(one: str, other: str, same: bool) -> None:
    assert is_same("python", one, other) is same


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (
            'import { a, b } from "m";\nf(a, b)',
            "import { b } from 'm'\nimport {a} from 'm'\nf(a,b);",
            True,
        ),
        ("import a from 'm'", "import { a } from 'm'", False),
        ("f(a) // why", "f(a)", True),
        ("f(a)", "f(b)", False),
        ("let a: string", "let a: number", False),
    ],
)
def test_what_means_the_same_in_typescript(one: str, other: str, same: bool) -> None:
    assert is_same("typescript", one, other) is same


# --- A case, from the mistake to the figures -----------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    folder = tmp_path / "project"
    (folder / "package").mkdir(parents=True)
    (folder / "package" / "module.py").write_text(MODULE)
    (folder / "ruff.toml").write_text('[lint]\nselect = ["E9", "F"]\n')
    return Tree(language="python", folder=folder, versions={"package": "1"})


class RuffOnly(FreshChecks):
    """The real ruff, and no pyright, which takes seconds."""

    def _findings(self, path: str, text: str):  # type: ignore[no-untyped-def]
        yield from self._ruff(path, text)


@pytest.fixture
def fresh(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[FreshChecks]:
    monkeypatch.setattr("benchmarks.fix_checks._versions", lambda *_: {"ruff": "this one"})
    with closing(RuffOnly("python", tree.folder, KeptRows(tmp_path / "checks.jsonl"))) as opened:
        yield opened


def test_a_case_is_a_mistake_that_a_checker_notices(tree: Tree, fresh: FreshChecks) -> None:
    heard: list[None] = []
    found = list(cases(tree, fresh, 2, 1, lambda: heard.append(None)))
    assert len(found) == len(heard)
    by_kind = {case.kind: case for case in found}
    # Ruff alone knows nothing of types; the project has one file.
    assert {"undefined name", "missing import", "unused name", "syntax error"} <= set(by_kind)
    assert "type mismatch" not in by_kind
    assert len(by_kind) == len(found)
    missing = by_kind["missing import"]
    assert missing.target.code == "F821"
    assert missing.text[missing.target.start : missing.target.end] in missing.target.message
    module = tree.folder / "package" / "module.py"
    assert module.read_text() == MODULE


def test_what_checkers_said_is_kept(tree: Tree, fresh: FreshChecks, tmp_path: Path) -> None:
    first = fresh.run("package/module.py", "import os\n")
    assert [one.code for one in first] == ["F401"]
    assert (first[0].start, first[0].end) == (7, 9)
    kept = KeptRows(tmp_path / "checks.jsonl")
    with closing(RuffOnly("python", tree.folder, kept)) as again:
        again._ruff = None  # type: ignore[assignment, method-assign]
        assert again.run("package/module.py", "import os\n") == first


def test_a_fix_is_looked_for_as_the_server_does_and_checked_anew(
    tree: Tree, fresh: FreshChecks, tmp_path: Path
) -> None:
    case = next(
        case for case in cases(tree, fresh, 1, 1, lambda: None) if case.kind == "unused name"
    )
    answers = Answers(ScriptedEngine(""), KeptRows(tmp_path / "answers.jsonl"), ("m",))
    desk = Desk(tree.folder, [Path(sys.executable).parent], Limits())
    try:
        found, seconds = desk.fix(case, answers)
    finally:
        desk.close()
    outcome = judged(case, found, seconds, fresh)
    assert (outcome.verified_by, outcome.restored, outcome.contradiction) == ("ruff", True, None)
    assert outcome.text == case.original
    assert outcome.seconds > 0


def offered(case: FixCase, text: str, fresh: FreshChecks, verified_by: str | None) -> Outcome:
    found = Fix(edits=(), text=text, title="", verified_by=verified_by, tried=3)
    return judged(case, found, 1.0, fresh)


def test_a_wrong_label_is_found(tree: Tree, fresh: FreshChecks) -> None:
    case = next(
        case for case in cases(tree, fresh, 1, 1, lambda: None) if case.kind == "missing import"
    )
    assert offered(case, case.text + "\n", fresh, "ruff").contradiction is not None
    assert offered(case, case.original + "\nundefined_\n", fresh, "ruff").contradiction is not None
    right = offered(case, case.original, fresh, "ruff")
    assert (right.contradiction, right.restored) == (None, True)
    # Syntax alone verifies nothing, and what is not said cannot be wrong.
    assert offered(case, case.text + "\n", fresh, "syntax").verified_by is None
    assert offered(case, case.text + "\n", fresh, None).contradiction is None


# --- The answers ---------------------------------------------------------------------------------


def step(text: str, enough: str = "\n") -> Ask:
    return Ask(request=CompletionRequest(prefix=text), enough=lambda said: enough in said)


def test_an_answer_is_asked_for_once_and_takes_its_time_again(tmp_path: Path) -> None:
    engine = ScriptedEngine("one\ntwo\nthree\n", piece=2)
    kept = KeptRows(tmp_path / "answers.jsonl")
    first = Answers(engine, kept, ("m",))
    assert first.ask(step("a")).startswith("one\n")
    assert first.ask(step("a")).startswith("one\n")
    assert (first.asked, len(engine.requests)) == (1, 1)
    # What was not read is asked for when somebody wants it.
    assert "two\n" in first.ask(step("a", "two\n"))
    assert first.asked == 2
    assert Answers(engine, KeptRows(kept.path), ("m",)).ask(step("a")).startswith("one\n")
    assert len(engine.requests) == 2
    Answers(engine, kept, ("other",)).ask(step("a"))
    assert len(engine.requests) == 3


def test_the_clock_goes_on_by_what_a_kept_answer_took(tmp_path: Path) -> None:
    kept = KeptRows(tmp_path / "answers.jsonl")
    Answers(ScriptedEngine("one\n"), kept, ("m",)).ask(step("a"))
    (row,) = (json.loads(line) for line in kept.path.read_text().splitlines())
    kept.add({**row, "pieces": [["one\n", 40.0]], "seconds": 50.0})
    answers = Answers(ScriptedEngine(""), kept, ("m",))
    began_s = answers.clock()
    answers.ask(step("a"))
    assert 39 < answers.clock() - began_s < 45


def test_an_answer_that_comes_too_late_is_none(tmp_path: Path) -> None:
    kept = KeptRows(tmp_path / "answers.jsonl")
    hasty = replace(step("a"), limit_s=0.0)
    with pytest.raises(TimeoutError):
        Answers(ScriptedEngine("one\n"), kept, ("m",)).ask(hasty)
    # What was said by then is kept for who has more time.
    answers = Answers(ScriptedEngine(""), kept, ("m",))
    assert answers.ask(step("a")) == "one\n"
    (row,) = list(kept.path.read_text().splitlines())[-1:]
    kept.add({**json.loads(row), "pieces": [["one\n", 40.0]], "seconds": 50.0})
    began_s = answers.clock()
    with pytest.raises(TimeoutError):
        answers.ask(replace(step("a"), limit_s=20.0))
    assert 19 < answers.clock() - began_s < 25
    assert answers.asked == 0


# --- HumanEvalPack-Fix ---------------------------------------------------------------------------

FUNCTION = BuggyFunction(
    id="Python/0",
    kind="operator misuse",
    name="double",
    declaration="def double(x):\n",
    head='def double(x):\n    """Double it.\n    >>> double(2)\n    4\n    """\n',
    body="    return 2 + x\n",
    solution="    return 2 * x\n",
    examples="def check(double):\n    assert double(3) == 6\ncheck(double)\n",
    tests=(
        "def check(double):\n    assert double(3) == 6\n    assert double(0) == 0\ncheck(double)\n"
    ),
)


def answering(text: str, tmp_path: Path) -> tuple[ScriptedEngine, Answers]:
    engine = ScriptedEngine(text)
    return engine, Answers(engine, KeptRows(tmp_path / "answers.jsonl"), ("m",))


@posix
def test_a_model_is_asked_as_in_the_paper(tmp_path: Path) -> None:
    engine, answers = answering("    return 2 * x\n```\nThat is all.", tmp_path)
    assert list(on_paper([FUNCTION], answers, Sandbox.open(), lambda: None)) == [True]
    request = engine.requests[0]
    assert isinstance(request, ChatRequest)
    asked = request.messages[-1].text
    assert asked.endswith("Fix bugs in double.")
    assert "assert double(0) == 0" in asked
    assert "Double it" not in asked
    wrong = replace(FUNCTION, body="    return 3 + x\n")
    _, answers = answering("    return x\n```", tmp_path / "other")
    assert list(on_paper([wrong], answers, Sandbox.open(), lambda: None)) == [False]


@posix
def test_a_failing_example_is_fixed_and_held_against_all_tests(tmp_path: Path) -> None:
    engine, answers = answering("    return 2 * x\n```", tmp_path)

    def script(request: object) -> str:
        if isinstance(request, ChatRequest):
            assert "double(3) == 6" in request.messages[-1].text
            return f"{FUNCTION.head.removeprefix(' ')}    return 6\n```"
        return ""

    engine._script = script  # type: ignore[assignment]
    outcome = on_path(FUNCTION, answers, Sandbox.open(), Limits(answers=4))
    assert outcome is not None
    assert (outcome.kind, outcome.verified_by) == ("operator misuse", "tests")
    # The example passes, other tests do not.
    assert (outcome.restored, outcome.contradiction) == (False, None)
    fine = replace(FUNCTION, body=FUNCTION.solution)
    assert on_path(fine, answers, Sandbox.open(), Limits()) is None


def test_a_set_that_is_missing_or_of_another_kind_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_functions(tmp_path)
    write(tmp_path / "humanevalpack-fix" / "python-half.jsonl.gz", [{"task_id": "Python/0"}])
    with pytest.raises(DataError, match="bug_type"):
        read_functions(tmp_path)


# --- The figures ---------------------------------------------------------------------------------


def outcome(kind: str, *, verified: bool = True, text: str | None = "x", **more: object) -> Outcome:
    fields: dict[str, object] = {
        "kind": kind,
        "id": f"{kind} a.py",
        "message": "m",
        "title": "t",
        "text": text,
        "verified_by": "ruff" if verified and text is not None else None,
        "restored": True,
        "contradiction": None,
        "elsewhere": None,
        "tried": 2,
        "seconds": 2.0,
        **more,
    }
    return Outcome(**fields)  # type: ignore[arg-type]


def test_figures_are_told_by_class() -> None:
    run = Run(
        name="mutations, python",
        outcomes=(
            outcome("undefined name", seconds=1.0),
            outcome("undefined name", restored=False, seconds=3.0),
            outcome("syntax error", verified=False),
            outcome("syntax error", text=None, restored=False),
        ),
        about={"packages": {"rich": "15"}},
    )
    figures = as_json([run, Run(name="humanevalpack", missing="no data")])
    assert figures["humanevalpack"] == {"missing": "no data"}
    python = figures["mutations, python"]
    assert isinstance(python, dict)
    assert python["all"]["verified_percent"] == {"value": 50.0, "standard_error": 25.0}
    assert python["all"]["unverified_percent"]["value"] == 25.0
    names = python["undefined name"]
    assert names["restored_of_verified_percent"]["value"] == 50.0
    assert (names["offer_s"]["p50"], names["offer_s"]["p95"]) == (2.0, 3.0)
    assert python["syntax error"]["verified_percent"]["value"] == 0.0
    told = lines([run, Run(name="humanevalpack", missing="no data")])
    assert told[-1] == "  humanevalpack: not measured: no data"
    assert [line.split("  ")[0] for line in told[1:2]] == ["mutations, python"]
    assert all(line == line.rstrip() for line in told)


def test_each_case_can_be_looked_at(tmp_path: Path) -> None:
    run = Run(name="r", outcomes=(outcome("a"), outcome("b", text=None)))
    write_cases(tmp_path / "new" / "cases.jsonl", [run])
    rows = [
        json.loads(line) for line in (tmp_path / "new" / "cases.jsonl").read_text().splitlines()
    ]
    assert [(row["set"], row["kind"], row["text"]) for row in rows] == [
        ("r", "a", "x"),
        ("r", "b", None),
    ]


def test_wrong_labels_stand_out() -> None:
    run = Run(name="r", outcomes=(outcome("a", contradiction="new: y"), outcome("a")))
    assert run.groups[0].as_json()["wrong_labels"] == 1
    assert "  WRONG LABEL a a.py: new: y" in lines([run])


@posix
def test_a_run_is_told_in_a_table_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {
        "task_id": FUNCTION.id,
        "bug_type": FUNCTION.kind,
        "entry_point": FUNCTION.name,
        "declaration": FUNCTION.declaration,
        "prompt": FUNCTION.head,
        "buggy_solution": FUNCTION.body,
        "canonical_solution": FUNCTION.solution,
        "example_test": FUNCTION.examples,
        "test": FUNCTION.tests,
    }
    write(tmp_path / "humanevalpack-fix" / "python-half.jsonl.gz", [row])
    engine = ScriptedEngine("    return 2 * x\n```")
    monkeypatch.setattr(fix, "open_engine", lambda *_: engine)
    command = ["--data", str(tmp_path), "--language", "typescript"]
    command += ["--folder", str(tmp_path / "kept"), "--json", str(tmp_path / "result.json")]
    assert fix.main(command) == 0
    told = capsys.readouterr().out
    assert "typescript: not measured" in told
    assert "as in the paper: 100.0 ± 0.0 %" in told
    result = json.loads((tmp_path / "result.json").read_text())
    assert result == json.loads(told.splitlines()[-1])
    assert "--typescript" in result["figures"]["mutations, typescript"]["missing"]
    assert result["figures"]["humanevalpack"]["all"]["cases"] == 1
    asked = len(engine.requests)
    assert asked
    assert fix.main(command) == 0
    assert len(engine.requests) == asked, "what was answered is not asked again"
