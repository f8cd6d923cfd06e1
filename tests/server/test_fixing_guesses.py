"""The guesses that take no model: which texts are tried for a diagnostic, in order."""

from __future__ import annotations

import pytest

from midfill_engine.types import Sampling
from midfill_server.fixing import Case
from midfill_server.fixing.candidates import candidates
from midfill_server.fixing.case import Ready
from midfill_server.fixing.sieve import Sieve
from tests.server.fixing_marks import Known, case_of, plain


def guesses(case: Case) -> list[str]:
    """Return the texts that take no model, each once, as long as they are within the scope."""
    sieve = Sieve(case)
    return [
        idea.text
        for idea in candidates(case, 0)
        if isinstance(idea, Ready) and sieve.keeps(idea.text)
    ]


def check(
    marked: str,
    message: str,
    expected: str,
    *,
    code: str = "",
    language: str = "python",
    definitions: Known | None = None,
) -> None:
    """Assert that the first guess is this text."""
    case = case_of(marked, message, code=code, language=language, definitions=definitions)
    found = guesses(case)
    assert found, "there is no guess at all"
    assert found[0] == expected


def test_a_name_that_is_nearly_spelled_so_is_taken() -> None:
    check(
        "def f(data):\n    return <|dataa|>\n",
        "Undefined name `dataa`",
        "def f(data):\n    return data\n",
    )


def test_names_of_the_same_function_come_first() -> None:
    text = "colour = 1\n\ndef f(colors):\n    return <|color_|>\n"
    assert guesses(case_of(text, "Undefined name `color_`"))[0].endswith("return colors\n")


def test_what_the_checker_proposes_comes_before_what_is_alike() -> None:
    check(
        "const total = 1;\nconst count = 2;\nconsole.log(<|totl|>);\n",
        "Cannot find name 'totl'. Did you mean 'count'?",
        "const total = 1;\nconst count = 2;\nconsole.log(count);\n",
        language="typescript",
    )


def test_members_are_looked_for_in_the_class() -> None:
    check(
        "class A:\n    def __init__(self):\n        self.lines = []\n\n"
        "    def f(self):\n        return self.<|liines|>\n",
        'Cannot access attribute "liines" for class "A*"',
        "class A:\n    def __init__(self):\n        self.lines = []\n\n"
        "    def f(self):\n        return self.lines\n",
    )


def test_members_are_looked_for_in_classes_of_other_files() -> None:
    known = Known(names={"Box": "/project/box.py"}, members={"Box": ("contents", "label")})
    check(
        "def f(b: Box):\n    return b.<|contnts|>\n",
        'Cannot access attribute "contnts" for class "Box"',
        "def f(b: Box):\n    return b.contents\n",
        definitions=known,
    )


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("x = <|re|>.compile(a)\n", "re", "import re\n\nx = re.compile(a)\n"),
        ("import os\n\nx = <|re|>.a\n", "re", "import os\nimport re\n\nx = re.a\n"),
        ("import sys\n\nx = <|re|>.a\n", "re", "import re\nimport sys\n\nx = re.a\n"),
        (
            '"""About."""\n\nx: <|Any|>\n',
            "Any",
            '"""About."""\n\nfrom typing import Any\n\nx: Any\n',
        ),
        (
            "from typing import List, cast\n\nx: <|Any|>\n",
            "Any",
            "from typing import Any, List, cast\n\nx: Any\n",
        ),
        (
            "from typing import (\n    List,\n    cast,\n)\n\nx: <|Any|>\n",
            "Any",
            "from typing import (\n    Any,\n    List,\n    cast,\n)\n\nx: Any\n",
        ),
        (
            "import os\r\n\r\nx = <|re|>.a\r\n",
            "re",
            "import os\r\nimport re\r\n\r\nx = re.a\r\n",
        ),
        (
            "from .b import c\n\nx = <|Path|>()\n",
            "Path",
            "from pathlib import Path\n\nfrom .b import c\n\nx = Path()\n",
        ),
    ],
)
def test_an_import_of_the_standard_library_is_put_where_it_belongs(
    text: str, name: str, expected: str
) -> None:
    check(text, f"Undefined name `{name}`", expected)


def test_what_else_is_undefined_comes_from_the_same_module() -> None:
    case = case_of(
        "x: <|Dict|>\ny: Any\nz: Nothing\n",
        "Undefined name `Dict`",
        others=["Undefined name `Any`", "Undefined name `Nothing`"],
    )
    assert guesses(case)[0].startswith("from typing import Any, Dict\n\nx: Dict")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from .a import b\n\nBox()\n", "from .a import b\nfrom .box import Box\n\nBox()\n"),
        ("import os\n\nBox()\n", "import os\n\nfrom box import Box\n\nBox()\n"),
    ],
)
def test_what_the_project_defines_is_imported_as_other_things_are(text: str, expected: str) -> None:
    known = Known(names={"Box": "/project/box.py"})
    check(text.replace("Box", "<|Box|>"), "Undefined name `Box`", expected, definitions=known)


def test_typescript_imports_from_a_relative_path() -> None:
    known = Known(names={"Box": "/project/parts/box.ts"})
    check(
        "import { a } from './a';\n\nnew <|Box|>();\n",
        "Cannot find name 'Box'.",
        "import { a } from './a';\nimport { Box } from './parts/box';\n\nnew Box();\n",
        language="typescript",
        definitions=known,
    )


def test_typescript_imports_from_where_many_names_come_from() -> None:
    known = Known(names={"Box": "/project/parts/box.ts"})
    check(
        "import { a, b, c } from './all';\n\nnew <|Box|>();\n",
        "Cannot find name 'Box'.",
        "import { a, b, c, Box } from './all';\n\nnew Box();\n",
        language="typescript",
        definitions=known,
    )


def test_go_imports_within_the_block() -> None:
    check(
        'package a\n\nimport (\n\t"fmt"\n\t"os"\n)\n\nvar x = <|io|>.EOF\n',
        "undefined: io",
        'package a\n\nimport (\n\t"fmt"\n\t"io"\n\t"os"\n)\n\nvar x = io.EOF\n',
        language="go",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import os\nimport <|re|>\n\nos.x\n", "import os\n\nos.x\n"),
        ("import os, <|re|>\n", "import os\n"),
        ("from a import <|re|>, b\n", "from a import b\n"),
        ("from a import (\n    b,\n    <|re|>,\n)\n", "from a import (\n    b,\n)\n"),
        ("import os\r\nimport <|re|>\r\nos\r\n", "import os\r\nos\r\n"),
    ],
)
def test_an_import_that_is_not_used_goes_alone(text: str, expected: str) -> None:
    check(text, "`re` imported but unused", expected, code="F401")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import { <|re|> } from 'a';\nf();\n", "f();\n"),
        ("import { b, <|re|> } from 'a';\n", "import { b } from 'a';\n"),
        ("import b, { <|re|> } from 'a';\n", "import b from 'a';\n"),
        ("function f() {\n\tconst <|re|> = 1;\n\tg();\n}\n", "function f() {\n\tg();\n}\n"),
        ("function f(<|re|>: number) {}\n", "function f(_re: number) {}\n"),
    ],
)
def test_what_is_not_used_in_typescript(text: str, expected: str) -> None:
    said = "'re' is declared but its value is never read."
    check(text, said, expected, code="6133", language="typescript")


def test_a_variable_that_is_not_used_leaves_what_its_value_does() -> None:
    said = "Local variable `x` is assigned to but never used"
    check("def f():\n    <|x|> = g()\n", said, "def f():\n    g()\n")
    check("def f():\n    <|x|> = 1\n    g()\n", said, "def f():\n    g()\n")
    check(
        "try:\n    f()\nexcept E as <|x|>:\n    pass\n",
        said,
        "try:\n    f()\nexcept E:\n    pass\n",
    )


def test_a_result_that_is_not_used_may_be_what_should_be_returned() -> None:
    check(
        "def f() -> int:\n    <|x|> = g()\n",
        "Local variable `x` is assigned to but never used",
        "def f() -> int:\n    x = g()\n    return x\n",
    )


def test_arguments_that_are_too_many_go() -> None:
    said = "Expected 1 positional argument"
    check("f(a, <|None|>, None)\n", said, "f(a)\n")
    check("f(a, <|None|>, k=1)\n", said, "f(a, k=1)\n")
    check("<|f(a, b, None)|>\n", 'No overloads for "f" match the arguments', "f(a, b)\n")


@pytest.mark.parametrize(
    ("text", "message", "expected"),
    [
        ("if a<|\n|>    b()\n", "Expected `:`, found newline", "if a:\n    b()\n"),
        ("if a  # why<|\n|>    b()\n", 'Expected ":"', "if a:  # why\n    b()\n"),
        ("f(a<|\n|>", "'(' was never closed", "f(a)\n"),
    ],
)
def test_what_the_syntax_lacks_is_put_in(text: str, message: str, expected: str) -> None:
    assert expected in guesses(case_of(text, message))


def test_a_line_is_indented_as_those_around_it() -> None:
    text = "def f():\n    a()\n     <|b()|>\n    c()\n"
    assert guesses(case_of(text, "Unexpected indentation"))[0] == plain(text).replace(
        "     b", "    b"
    )


def test_tabs_stay_tabs() -> None:
    text = "def f():\n\tif a:\n\t<|b()|>\n"
    assert "def f():\n\tif a:\n\t\tb()\n" in guesses(case_of(text, "Expected indented block"))


def test_a_value_is_taken_out_of_what_made_it_another_type() -> None:
    said = 'Argument of type "bytes" cannot be assigned to parameter "a" of type "str"'
    check("f(<|b'a'|>)\n", said, "f('a')\n")
    check("f(<|[a]|>)\n", said, "f(a)\n")
    check("f(<|a + b'c'|>)\n", said, "f(a + 'c')\n")


def test_guesses_come_before_questions_and_greedy_answers_before_samples() -> None:
    case = case_of("def f(data):\n    return <|dataa|>\n", "Undefined name `dataa`")
    ideas = list(candidates(case, 2))
    asked = [n for n, idea in enumerate(ideas) if not isinstance(idea, Ready)]
    assert asked == list(range(asked[0], len(ideas)))
    samplings = [idea.request.sampling for idea in ideas if not isinstance(idea, Ready)]
    greedy = samplings.count(Sampling())
    assert all(one == Sampling() for one in samplings[:greedy])
    seeds = [one.seed for one in samplings[greedy:]]
    assert seeds == sorted(seeds, key=lambda seed: seed or 0)
    assert set(seeds) == {0, 1}


@pytest.mark.parametrize(
    ("text", "message", "expected"),
    [
        ("f(a, <|'|>, {}, b)\n", '"(" was not closed', "f(a, '', {}, b)\n"),
        ('f(<|"a|>, b)\n', "missing closing quote in string literal", 'f("a", b)\n'),
        ("x = f(<|a|>, b | c 0, d)\n", '"(" was not closed', "x = f(a, b | c, 0, d)\n"),
        ("x = [\n    a\n    <|b|>,\n]\n", "Expected `]`, found name", "x = [\n    a,\n    b,\n]\n"),
        (
            "x = {\n    1: (a, b,\n    2: (c, d),\n<|}|>\n",
            '"(" was not closed',
            "x = {\n    1: (a, b),\n    2: (c, d),\n}\n",
        ),
    ],
)
def test_quotes_commas_and_brackets_are_put_where_they_lack(
    text: str, message: str, expected: str
) -> None:
    assert expected in guesses(case_of(text, message))
