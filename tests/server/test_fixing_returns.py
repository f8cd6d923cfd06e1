"""A ``return`` that was lost is told by what nobody uses any more, before a model says more."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from midfill_engine.cancel import CancelToken
from midfill_engine.types import CompletionRequest
from midfill_server.fixing import Ask, Case, fix
from tests.server.fixing_marks import Strict, case_of

_LOST = "must return value on all code paths"


def tried(case: Case, answer: Callable[[Ask], str] | str = "") -> list[str]:
    """Return what is put in for each text that is tried, in order."""
    checker = Strict(case, lambda text: False)
    fix(
        case,
        [checker],
        lambda step: answer if isinstance(answer, str) else answer(step),
        CancelToken(),
    )
    lines = set(case.text.splitlines())
    return [
        "\n".join(line.strip() for line in text.splitlines() if line not in lines)
        for text in checker.asked[1:]
    ]


def python(body: str, returns: str = "int", parameters: str = "a") -> Case:
    return case_of(f"def f({parameters}) -> <|{returns}|>:\n{body}\n\nx = 1\n", _LOST)


def script(body: str, returns: str = "number") -> Case:
    text = f"function f(a: A): <|{returns}|> {{\n{body}\n}}\n\ng();\n"
    return case_of(text, _LOST, language="typescript")


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("    b = g(a)\n    c = g(b)", "c"),
        ("    b = []\n    for c in a:\n        b.append(c)\n    h(a)", "b"),
        ("    b = 0\n    for c in a:\n        b += c", "b"),
        ("    if a:\n        b = 1\n    else:\n        b = 2", "b"),
        ("    if (b := g(a)) is None:\n        raise E", "b"),
        ("    b = g(a)\n    c = 1\n    h(f'{c}')", "b"),
        ("    b = g(a)\n    c = 1\n    h(d=c)", "b"),
        ("    c = 1\n    b = g(\n        c=c,\n        d=1,\n    )", "b"),
        (
            "    b = 1\n    c = 0\n    while a:\n        if c:\n            b = a\n        c = 1",
            "b",
        ),
    ],
)
def test_what_is_left_over_is_returned(body: str, left: str) -> None:
    case = python(body)
    assert tried(case)[0] == f"return {left}"
    # An answer of the model that does without it is not taken for one until nothing else helps.
    assert tried(case, "a + 1\n").index("return a + 1") > 0
    assert tried(case, f"g({left})\n")[0] == f"return g({left})"


def test_all_that_is_left_over_is_returned_where_several_values_are_promised() -> None:
    body = "    b, c = g(a)\n    if c == 1:\n        c = 2"
    assert tried(python(body, "tuple[int, int]"), "c, b\n")[:2] == ["return b, c", "return c, b"]
    assert tried(python(body, "tuple[int, ...]"), "c, b\n")[:2] == ["return b, c", "return c, b"]
    assert tried(python(body, "tuple[int, int, int]"), "c, b\n")[0] == "return c, b"
    body = "  const b = 1;\n  const c = 2;\n  g(a);"
    assert tried(script(body, "[number, number]"))[0] == "return [b, c];"


@pytest.mark.parametrize(
    ("case", "value"),
    [
        (python("    if a:\n        return False\n    g(a)", "bool"), "True"),
        (python("    for b in a:\n        if b:\n            return True", "bool"), "False"),
        (python("    g(a)\n    if a:\n        return g(a)", "str | None"), "None"),
        (python("    with a:\n        return g(a)", "Optional[str]"), "None"),
        (python('    a["b"] = g()', "A", "a: A, b: int"), "a"),
        (script("  a.push(1);\n  if (g(a)) {\n    return null;\n  }", "A | null"), "a"),
        (script("  if (a) {\n    return false;\n  }\n  g();", "boolean"), "true"),
        (script("  g();\n  if (a) {\n    return g(a);\n  }", "A | undefined"), "undefined"),
        (script("  g();\n  if (a) {\n    return g(a);\n  }", "A | null"), "null"),
        (
            case_of("class A:\n    def f(self) -> <|A|>:\n        self.g()\n", _LOST),
            "self",
        ),
        (script("  if (a) {\n    return this;\n  }\n  g();", "Base"), "this"),
        (
            case_of(
                "class A {\n  f(): <|this|> {\n    this.g();\n    this.h();\n  }\n}\n",
                _LOST,
                language="typescript",
            ),
            "this",
        ),
    ],
)
def test_what_must_be_returned_is_tried_first(case: Case, value: str) -> None:
    semicolon = ";" if ";" in case.text else ""
    assert tried(case, "odd\n")[0] == f"return {value}{semicolon}"


@pytest.mark.parametrize(
    "case",
    [
        python("    if a:\n        return True\n    if b:\n        return False\n    g()", "bool"),
        python("    if a:\n        return 1\n    g(a)", "int"),
        python("    if a:\n        return 1\n    g(a)", "int | None"),
        python("    a.b = 1", "B", "a: A"),
    ],
)
def test_where_code_does_not_tell_the_model_says_it(case: Case) -> None:
    assert tried(case, "odd\n")[0] == "return odd"


def test_what_is_left_over_may_make_what_is_promised() -> None:
    case = python("    b = g(a)\n    h(a)", "Box[int]")
    assert tried(case, "a\n")[:2] == ["return b", "return Box(b)"]
    assert all("(b)" not in text for text in tried(python("    b = g(a)", "Sequence[int]"), "a\n"))


def test_a_model_is_asked_what_an_object_is_made_of() -> None:
    def answer(step: Ask) -> str:
        if not getattr(step.request, "typed", "").endswith("return Box("):
            return "a\n"
        assert step.enough("1, 2)\n")
        assert not step.enough("1,\n")
        return "1, 2)\n"

    assert "return Box(1, 2)" in tried(python("    g(a)\n    h(a)", '"Box"'), answer)
    known = "  const b = new Box(0);\n  g(b);\n  h(a);"
    case = script(known, "Box")

    def script_answer(step: Ask) -> str:
        typed = getattr(step.request, "typed", "")
        return "1);\n" if typed.endswith("return new Box(") else "a;\n"

    assert "return new Box(1);" in tried(case, script_answer)
    assert all("new" not in text for text in tried(script("  g();\n  h(a);", "Box"), "a;\n"))


def test_a_value_may_take_several_lines() -> None:
    case = python("    g(a)\n    g(a)")
    asked: list[Ask] = []

    def answer(step: Ask) -> str:
        asked.append(step)
        return "A(\n        b=1,\n        c=2,\n    )\n\n\ndef h(): ..."

    assert tried(case, answer)[0] == "return A(\nb=1,\nc=2,\n)"
    assert isinstance(asked[0].request, CompletionRequest)
    assert not asked[0].enough("A(\n        b=1,\n")
    assert asked[0].enough("A(\n        b=1,\n    )\n")
    assert asked[0].enough("A(\n" + "        b(\n" * 10)
