"""Brackets that are missing are put where indentation and the line show that they belong."""

from __future__ import annotations

import pytest

from midfill_server.fixing import closing, inserting
from midfill_server.fixing.closing import only_closes
from midfill_server.fixing.edits import edits_between
from midfill_server.fixing.sieve import Sieve
from tests.server.fixing_marks import case_of

_END = "'}' expected."


def ends(broken: str, language: str = "typescript") -> list[str]:
    """Return the texts with a block closed for which a parser finds less wrong."""
    case = case_of(f"{broken}<||>", _END, code="1005", language=language)
    sieve = Sieve(case)
    return [idea.text for idea in closing.missing_ends(case) if sieve.keeps(idea.text)]


@pytest.mark.parametrize(
    "text",
    [
        "class A {\n  f() {\n    if (a) {\n      g();\n    «}»\n    h();\n  }\n\n  k() {}\n}\n",
        "class A {\n  f() {\n    g();\n  «}»\n\n  k() {}\n}\nconst x = 1;\n",
        "function f() {\n  g();\n«}»\n\nexport function h() {\n  g();\n}\n",
        "if (a) {\n  g();\n«} »else {\n  h();\n}\n",
        "f(() => {\n  g();\n«}»);\nh();\n",
        "f(() => {\n  g();\n}«)»;\nh();\n",
        "const a = {\n  b: [\n    1,\n  «]»,\n  c: 2,\n};\n",
        "import {\n  a,\n  b,\n«} »from './c';\n\na(b);\n",
        "const f = (\n  a: number,\n«)» => {\n  g(a);\n};\n",
        "function f(\n  a: number,\n«)»: void {\n  g(a);\n}\n",
        "f(a, {\n  b: 1,\n«}»);\n",
    ],
)
def test_a_block_ends_before_what_is_not_indented_as_it_is(text: str) -> None:
    whole = text.replace("«", "").replace("»", "")
    before, _, rest = text.partition("«")
    bracket, _, after = rest.partition("»")
    # Once the bracket alone is gone, and once with its line.
    assert whole.split() in [found.split() for found in ends(before + after)]
    if not before.rstrip(" \t").endswith("\n") or not after.startswith("\n"):
        return
    found = ends(before.rstrip(" \t") + after[1:])
    assert found == [whole]
    assert bracket == "}"


def test_where_indentation_is_right_nothing_is_closed() -> None:
    text = "function f() {\n  // {\n  const a = '{';\n  if (a) {\n    g();\n  }\n}\n"
    assert list(closing.missing_ends(case_of(f"{text}<||>", _END, language="typescript"))) == []


def test_the_lines_of_the_document_end_as_they_did() -> None:
    broken = "function f() {\r\n  g();\r\n\r\nfunction h() {}\r\n"
    assert ends(broken) == ["function f() {\r\n  g();\r\n}\r\n\r\nfunction h() {}\r\n"]


def test_other_languages_have_blocks_as_well() -> None:
    broken = "package a\n\nfunc f() {\n\tif x {\n\t\tg()\n\n\th()\n}\n\nfunc k() {}\n"
    whole = broken.replace("\t\tg()\n", "\t\tg()\n\t}\n")
    assert ends(broken, "go")[0] == whole


def test_only_brackets_may_be_put_in_far_away() -> None:
    old = "f() {\n  g()\n\nh()\n"
    assert only_closes(edits_between(old, "f() {\n  g()\n}\n\nh()\n"))
    assert not only_closes(edits_between(old, "f() {\n  g()\n} // a\n\nh()\n"))
    assert not only_closes(edits_between(old, "f() {\n\n}\nh()\n"))


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("import { a <|from|> './a';\n", "import { a} from './a';\n"),
        (
            "type F = err<|:|> any, b: string) => void;\n",
            "type F = (err: any, b: string) => void;\n",
        ),
        ("f(a<|,|> b]);\n", "f(a, [b]);\n"),
        ("const x = f(g(1, 2)<|;|>\n", "const x = f(g(1, 2));\n"),
    ],
)
def test_the_partner_of_a_bracket_is_put_into_its_line(marked: str, expected: str) -> None:
    case = case_of(marked, "',' expected.", code="1005", language="typescript")
    sieve = Sieve(case)
    texts = [i.text for i in inserting.missing_brackets(case) if sieve.keeps(i.text)]
    assert expected.replace(" ", "") in [text.replace(" ", "") for text in texts]


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("a.map(b  <|b|>(c));\n", "a.map(b => b(c));\n"),
        (
            "a.map((b): b is C  <|typeof|> b === 'c');\n",
            "a.map((b): b is C => typeof b === 'c');\n",
        ),
    ],
)
def test_an_arrow_is_put_behind_parameters_that_are_used(marked: str, expected: str) -> None:
    case = case_of(marked, "',' expected.", code="1005", language="typescript")
    found = [idea.text.replace("  ", " ") for idea in inserting.missing_arrow(case)]
    assert expected in found
    assert list(inserting.missing_arrow(case_of("f(a <|b|>)\n", "',' expected."))) == []


@pytest.mark.parametrize("marked", ["f(a <|b|>);\n", "f(() <|b|>);\n"])
def test_what_is_not_used_behind_a_gap_is_no_parameter(marked: str) -> None:
    case = case_of(marked, "',' expected.", code="1005", language="typescript")
    assert list(inserting.missing_arrow(case)) == []


def test_brackets_in_strings_are_no_brackets() -> None:
    case = case_of("f('(', \"]\") <|b|>;\n", "';' expected.", code="1005", language="typescript")
    assert list(inserting.missing_brackets(case)) == []
