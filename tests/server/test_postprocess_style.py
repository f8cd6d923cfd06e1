from __future__ import annotations

import pytest

from midfill_engine.types import FinishReason
from midfill_server.postprocess import finish, first_line
from tests.server.ghost import check_cut, site_at


@pytest.mark.parametrize(
    ("marked", "output", "expected"),
    [
        # The document has tabs, the model writes spaces.
        ("if a {\n\t<|>\n}\n", "if b {\n        c()\n    }", "if b {\n\t\tc()\n\t}"),
        ("if a {\n<|>\n\tb()\n}\n", "    c()\n", "\tc()"),
        # What lines up with the line above is left over.
        ("f {\n\t<|>\n}\n", "g(a,\n      b)", "g(a,\n\t  b)"),
        # The document has spaces, as many as it has, the model writes tabs.
        ("if (a) {\n  b();\n  <|>\n}\n", "if (c) {\n\t\td();\n\t}", "if (c) {\n    d();\n  }"),
        ("if a:\n    b()\n<|>\n", "\tc()\n", "    c()"),
        # Its own characters are not touched, nor are those inside of a line.
        ("if a:\n    b()\n    <|>\n", "c(1,\t2)\n    d()", "c(1,\t2)\n    d()"),
    ],
)
def test_indentation_is_the_documents(marked: str, output: str, expected: str) -> None:
    check_cut(marked, output, expected)


@pytest.mark.parametrize(
    ("marked", "output", "expected"),
    [
        ("def f():\n    a = 1\n    <|>\n", "    return a", "return a"),
        ("def f():\n    a = 1\n    <|>\n", "    b = a\n    return b", "b = a\n    return b"),
        # A block that is opened above is deeper, and so is what goes on with a line.
        ("def f():\n    if a:\n    <|>\n", "    b()", "    b()"),
        ("def f():\n    a()\n  <|>\n", "  b()", "  b()"),
        ("f(\n    a,\n    <|>\n", "  b)", "  b)"),
    ],
)
def test_the_indentation_of_the_cursor_is_not_written_twice(
    marked: str, output: str, expected: str
) -> None:
    check_cut(marked, output, expected)


@pytest.mark.parametrize(
    ("marked", "output", "expected"),
    [
        ("a\r\n<|>\r\nz\r\n", "b\nc\n", "b\r\nc"),
        ("a\r\n<|>\r\nz\r\n", "b\r\nc\r\n", "b\r\nc"),
        ("a\n<|>\nz\n", "b\r\nc\r\n", "b\nc"),
        ("a\n<|>\nz\n", "b\rc\r", "b\nc"),
        ("<|>", "b\nc", "b\nc"),
        # Half of a line end is none.
        ("a\r\n<|>\r\n", "b\r", "b"),
        ("a\r\nx = <|> + 1\r\n", "b\r", "b"),
    ],
)
def test_line_ends_are_the_documents(marked: str, output: str, expected: str) -> None:
    check_cut(marked, output, expected)


@pytest.mark.parametrize(
    ("marked", "output", "expected"),
    [
        ("<|>\n", "a  \n  \nb\t\n\n", "a\n\nb"),
        # Between words of a line a blank is wanted.
        ("a <|>b\n", "and ", "and "),
        # In a string blanks are characters as others are.
        ('a = """\n<|>\n"""\n', "b  \n\tc  \nd", "b"),
    ],
)
def test_no_line_ends_in_blanks(marked: str, output: str, expected: str) -> None:
    check_cut(marked, output, expected, "python")


@pytest.mark.parametrize(
    ("marked", "output", "expected"),
    [
        ("f(<|>);\n", "a, b);\n", "a, b"),
        ("x = f(<|>) # ok\n", "a) # ok\n", "a"),
        ("x = <|> + y\n", "a + y\n", "a"),
        ('f("<|>");\n', 'a");\ng();\n', "a"),
        ("f(<|>, c)\n", "a, c)\n", "a"),
    ],
)
def test_what_trails_on_the_line_is_kept_and_not_repeated(
    marked: str, output: str, expected: str
) -> None:
    check_cut(marked, output, expected)


def test_the_first_line_is_spelled_as_the_whole_will_be() -> None:
    site = site_at("if a {\r\n\tb()\r\n<|>\r\n}\r\n")
    output = "    if c {\n        d()\n    }\n"
    assert first_line(output, site) == "\tif c {"
    assert finish(output, site, FinishReason.STOP).text == "\tif c {\r\n\t\td()\r\n\t}"


@pytest.mark.parametrize(
    ("marked", "output", "expected", "language"),
    [
        ("all:\n<|>\n", "\tmake a\n\tmake b", "\tmake a\n\tmake b", "makefile"),
        ("A = a \\\n  b\n\nall:\n<|>\n", "\tmake a", "\tmake a", "makefile"),
        ("func f() {\n<|>\n}\n", "    g()", "\tg()", "go"),
    ],
)
def test_some_languages_have_tabs_of_themselves(
    marked: str, output: str, expected: str, language: str
) -> None:
    check_cut(marked, output, expected, language)
