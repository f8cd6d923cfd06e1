"""HumanEvalPack-Fix: functions with a mistake that no checker sees, only their tests do.

In two ways. As in the OctoPack paper (arXiv 2308.07124): the model sees the function and its tests,
is told to fix the bugs, and writes the function anew; greedy, pass@1. And on the server's path: the
diagnostic is the first example of the function's docstring that fails, the checker runs these
examples, and what is said to be verified is then held against all tests.
"""

from __future__ import annotations

import ast
import gzip
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from benchmarks.fix_answers import Answers
from benchmarks.fix_path import Outcome
from benchmarks.problems import DataError
from benchmarks.sandbox import Sandbox, Verdict
from midfill_engine.cancel import CancelToken
from midfill_engine.errors import RequestError
from midfill_engine.types import ChatRequest, Message, Role
from midfill_server.checking.finding import Finding
from midfill_server.document import LineTable, Snapshot
from midfill_server.fixing import Case, Diagnostic, Limits, fix

__all__ = ["BuggyFunction", "ExampleChecker", "on_paper", "on_path", "read_functions"]

_FILES = ("humanevalpack-fix/python-half.jsonl.gz", "humanevalpack-fix/python.jsonl.gz")
_PATH = "solution.py"
_MAX_TOKENS = 512
_PROMPT_TOKENS = 2048
# Where a function ends: those of the HumanEval paper, and what ends code in a chat.
_ENDS = re.compile(r"\n(?:class|def|#|@|if|print|assert|check\(|```)")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuggyFunction:
    """A function with a mistake. ``head`` is what stands before its body, the docstring included.

    ``examples`` are the tests of the docstring, ``tests`` all of them.
    """

    id: str
    kind: str
    name: str
    declaration: str
    head: str
    body: str
    solution: str
    examples: str
    tests: str

    @property
    def text(self) -> str:
        """The function as it is."""
        return self.head + self.body


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleChecker:
    """Runs tests in a sandbox and finds the first one that fails. A ``Checker`` of the server's."""

    tests: str
    sandbox: Sandbox
    function: str
    name: str = "tests"

    def check(
        self, path: str, text: str, cancel: CancelToken, timeout_s: float
    ) -> tuple[Finding, ...]:
        """Run the tests of one text."""
        del path, cancel, timeout_s
        trial = self.sandbox.run(f"{text}\n\n{with_messages(self.tests)}")
        if trial.verdict is Verdict.PASSED:
            return ()
        lines = LineTable.of(text)
        at = max(text.find(f"def {self.function}("), 0)
        line = lines.line_of(at)
        said = trial.detail or trial.verdict.value
        return (
            Finding(
                first_line=line,
                first_column=0,
                last_line=line,
                last_column=lines.span(line, text)[1] - lines.start_of(line),
                message=f"A test of {self.function} fails: {said}",
                code="",
                source=self.name,
            ),
        )


def read_functions(data: Path) -> list[BuggyFunction]:
    """Return the Python functions. Raises ``DataError``."""
    path = next((data / file for file in _FILES if (data / file).is_file()), None)
    if path is None:
        raise DataError(f"humanevalpack: {data / _FILES[0]} does not exist")
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return [_function(cast("dict[str, str]", json.loads(line))) for line in file]
    except (KeyError, ValueError) as error:
        raise DataError(f"{path} is not HumanEvalPack as it is published: {error!r}") from error


def on_path(
    function: BuggyFunction, answers: Answers, sandbox: Sandbox, limits: Limits
) -> Outcome | None:
    """Return what comes of a fix; ``None`` where the examples pass, so that nobody would ask."""
    checker = ExampleChecker(tests=function.examples, sandbox=sandbox, function=function.name)
    found = checker.check(_PATH, function.text, CancelToken(), limits.check_timeout_s)
    if not found:
        return None
    target = found[0]
    snapshot = Snapshot.of(function.text, uri=f"file:///{_PATH}", language_id="python")
    start, end = snapshot.lines.span(target.first_line, function.text)
    diagnostic = Diagnostic(start=start, end=end, message=target.message, source=target.source)
    began_s = answers.clock()
    case = Case.of(diagnostic, snapshot, path=_PATH)
    offered = fix(case, [checker], answers.ask, CancelToken(), limits, clock=answers.clock)
    seconds = answers.clock() - began_s
    text = None if offered is None else offered.text
    verified_by = None if offered is None else offered.verified_by
    contradiction = None
    if text is not None and verified_by is not None:
        again = checker.check(_PATH, text, CancelToken(), limits.check_timeout_s)
        contradiction = again[0].message if again else None
    return Outcome(
        kind=function.kind,
        id=function.id,
        message=target.message,
        title="" if offered is None else offered.title,
        text=text,
        verified_by=verified_by,
        restored=text is not None and _passes(text, function, sandbox),
        contradiction=contradiction,
        elsewhere=None,
        tried=0 if offered is None else offered.tried,
        seconds=seconds,
    )


def on_paper(
    functions: Sequence[BuggyFunction],
    answers: Answers,
    sandbox: Sandbox,
    heard: Callable[[], None],
) -> Iterator[bool]:
    """Yield whether the model's own answer passes the tests, asked as in the paper.

    Nothing is yielded for a model that cannot chat.
    """
    for function in functions:
        heard()
        try:
            answer = answers.answer(_paper_request(function), _has_ended)
        except RequestError:
            return
        yield _passes(function.declaration + _ENDS.split(answer)[0], function, sandbox)


def with_messages(tests: str) -> str:
    """Return tests each of which says what it asserts."""
    tree = ast.parse(tests)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) and node.msg is None:
            node.msg = ast.Constant(ast.unparse(node.test))
    return ast.unparse(ast.fix_missing_locations(tree))


def _passes(text: str, function: BuggyFunction, sandbox: Sandbox) -> bool:
    return sandbox.run(f"{text}\n{function.tests}\n").verdict is Verdict.PASSED


def _has_ended(answer: str) -> bool:
    return _ENDS.search(answer) is not None


def _paper_request(function: BuggyFunction) -> ChatRequest:
    question = (
        f"{function.declaration}{function.body}\n{function.tests}\n\nFix bugs in {function.name}."
    )
    return ChatRequest(
        messages=(Message(role=Role.USER, text=question),),
        answer_start=f"```python\n{function.declaration}",
        hints=(function.body,),
        max_tokens=_MAX_TOKENS,
        max_prompt_tokens=_PROMPT_TOKENS,
    )


def _function(row: Mapping[str, str]) -> BuggyFunction:
    return BuggyFunction(
        id=row["task_id"],
        kind=row["bug_type"],
        name=row["entry_point"],
        declaration=row["declaration"],
        head=row["prompt"],
        body=row["buggy_solution"],
        solution=row["canonical_solution"],
        examples=row["example_test"],
        tests=row["test"],
    )
