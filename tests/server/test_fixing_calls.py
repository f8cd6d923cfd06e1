"""Arguments that a call lacks, and members that types of the language itself have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from midfill_engine.types import CompletionRequest, Sampling
from midfill_server.context.entries import Signature
from midfill_server.fixing import Case, lacking
from midfill_server.fixing.candidates import candidates
from midfill_server.fixing.case import Asked, Ready
from midfill_server.fixing.known_members import members_of
from tests.server.fixing_marks import Known, case_of

_FEW = "Expected 2 arguments, but got 1."


def ready(case: Case) -> list[str]:
    """Return the texts that take no model."""
    return [idea.text for idea in candidates(case, 0) if isinstance(idea, Ready)]


def question(case: Case) -> Asked:
    (asked,) = lacking.further_arguments(case, Sampling())
    return asked


def test_a_variable_that_is_called_as_the_parameter_is_the_argument() -> None:
    case = case_of(
        "def f(size, width):\n    g(size)\n    <|h(size)|>\n",
        'Argument missing for parameter "width"',
    )
    first, second, *_ = ready(case)
    assert first.endswith("    h(size, width)\n")
    assert second.endswith("    h(size, width=width)\n")


def test_an_argument_without_a_name_comes_before_those_with_one() -> None:
    case = case_of(
        "def f(size, width):\n    <|h(size, a=1, b=2)|>\n",
        'Argument missing for parameter "width"',
    )
    first, second, *_ = ready(case)
    assert first.endswith("    h(size, width, a=1, b=2)\n")
    assert second.endswith("    h(size, a=1, b=2, width=width)\n")


def test_several_arguments_may_lack() -> None:
    case = case_of(
        "def f(self, width):\n    self.height = 1\n    <|h()|>\n",
        'Arguments missing for parameters "width", "height"',
    )
    assert ready(case)[0].endswith("    h(width, self.height)\n")


def test_the_definition_tells_what_parameters_are_called() -> None:
    text = (
        "function put(item: Map<string, number>, at: number, far?: boolean): void {}\n"
        "function f(item, at, far) {\n  <|put|>(item);\n}\n"
    )
    assert ready(case_of(text, _FEW, code="2554", language="typescript"))[0].endswith(
        "  put(item, at);\n}\n"
    )


def test_a_definition_of_another_file_tells_it_too() -> None:
    class Put(Known):
        def definitions_named(self, name: str) -> tuple[Signature, ...]:
            found = super().definitions_named(name)
            text = "put(item: string, at: number)"
            return tuple(replace(one, kind="function", text=text) for one in found)

    case = case_of(
        "function f(item, at) {\n  <|put|>(item);\n}\n",
        _FEW,
        code="2554",
        language="typescript",
        definitions=Put(names={"put": "/project/put.ts"}),
    )
    assert ready(case)[0] == "function f(item, at) {\n  put(item, at);\n}\n"


def test_what_is_not_used_any_more_may_be_the_argument() -> None:
    case = case_of(
        "import { A } from './a';\nconst b = new <|B()|>;\n",
        "Expected 1 arguments, but got 0.",
        code="2554",
        language="typescript",
        others=["'A' is declared but its value is never read."],
    )
    assert ready(case)[0].endswith("new B(A);\n")


def test_an_answer_may_forget_whose_it_is() -> None:
    case = case_of(
        "class A {\n  f() {\n    <|g|>();\n    this.items;\n  }\n}\n",
        "Expected 1 arguments, but got 0.",
        code="2554",
        language="typescript",
    )
    first, second = question(case).read("items)")
    assert "g(items)" in first
    assert "g(this.items)" in second
    assert len(list(question(case).read("other)"))) == 1


@pytest.mark.parametrize(
    ("marked", "typed", "answer", "expected"),
    [
        ("f();\n<|g|>(a);\n", "g(a, ", "b, 1);\nh();", ["g(a, b);", "g(a, b, 1);"]),
        ("f();\n<|g|>();\n", "g(", "b.c[0])", ["g(b.c[0]);"]),
        ("f();\n<|g|>(a,);\n", "g(a, ", "(b, c))", ["g(a, (b, c));"]),
        ("f();\n<|g|>(\n  a,\n  b\n);\n", "  ", "c\n);", ["g(\n  a,\n  b,\n  c\n);"]),
        ("f();\n<|g|>(\n  a,\n);\n", "  ", "c,\n);", ["g(\n  a,\n  c\n);"]),
    ],
)
def test_a_model_is_asked_before_the_bracket_closes(
    marked: str, typed: str, answer: str, expected: list[str]
) -> None:
    case = case_of(marked, _FEW, code="2554", language="typescript")
    asked = question(case)
    assert isinstance(asked.request, CompletionRequest)
    assert asked.request.typed == typed
    assert asked.request.suffix.lstrip(",\n").startswith(")")
    assert asked.enough(answer)
    assert list(asked.read(answer)) == [f"f();\n{text}\n" for text in expected]


def test_of_too_many_arguments_no_more_are_asked_for() -> None:
    case = case_of("<|g|>(a, b);\n", "Expected 1 arguments, but got 2.", language="typescript")
    assert list(lacking.further_arguments(case, Sampling())) == []
    assert list(lacking.named_like_parameters(case)) == []


def test_of_too_few_arguments_none_is_taken_away() -> None:
    case = case_of("<|g|>(a, b);\n", "Expected 3 arguments, but got 2.", language="typescript")
    assert [text for text in ready(case) if len(text) < len(case.text)] == []


@pytest.mark.parametrize(
    ("language", "type_", "member"),
    [
        ("typescript", "(plugin: string) => string", "apply"),
        ("typescript", "string[]", "forEach"),
        ("typescript", "readonly [number, string]", "indexOf"),
        ("typescript", '"a" | "b"', "trim"),
        ("typescript", "Map<string, () => void> | undefined", "call"),
        ("typescript", "Map<string, number> | undefined", "has"),
        ("typescriptreact", "ObjectConstructor", "assign"),
        ("javascript", "Promise<void>", "finally"),
        ("python", "list[str]", "append"),
        ("python", "type[str]", "join"),
        ("python", "Dict[str, int]", "items"),
        ("python", "os", "lstat"),
    ],
)
def test_types_of_the_language_have_members(language: str, type_: str, member: str) -> None:
    assert member in members_of(language, type_)


@pytest.mark.parametrize("type_", ["Box", "typeof import('a')", "{ a: number; }", ""])
def test_of_other_types_none_are_known(type_: str) -> None:
    assert members_of("typescript", type_) == ()
    assert members_of("python", "open") == ()
    assert members_of("rust", "Vec<u8>") == ()


@pytest.mark.parametrize(
    ("marked", "message", "language", "expected"),
    [
        (
            "const a = f.<|aply|>(null, []);\n",
            "Property 'aply' does not exist on type '(plugin: string) => string'.",
            "typescript",
            "const a = f.apply(null, []);\n",
        ),
        (
            "const a = b.<|tirm|>();\n",
            "Property 'tirm' does not exist on type '\"a\" | \"b\"'.",
            "typescript",
            "const a = b.trim();\n",
        ),
        (
            "a.<|apend|>(1)\n",
            'Cannot access attribute "apend" for class "list[int]"',
            "python",
            "a.append(1)\n",
        ),
        (
            "import os\n\nos.<|lstay|>(a)\n",
            '"lstay" is not a known attribute of module "os"',
            "python",
            "import os\n\nos.lstat(a)\n",
        ),
    ],
)
def test_members_that_nobody_has_written_yet_are_tried(
    marked: str, message: str, language: str, expected: str
) -> None:
    assert ready(case_of(marked, message, language=language))[0] == expected
