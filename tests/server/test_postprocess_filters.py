from __future__ import annotations

import pytest

from midfill_engine.types import FinishReason, TokenScore
from midfill_server.postprocess import FILTERS, Length, Stage, finish, first_line, truncate
from tests.server.ghost import check_cut, judged, site_at

PYTHON = "def f(a):\n    b = 1\n<|>\n    return b\n"


@pytest.mark.parametrize(
    ("marked", "output", "expected"),
    [
        ("x = <|>", "1", "1"),
        ("<|>\n", "1\ny = 2\n\n\n", "1\ny = 2"),
        ("<|>", "   \n\t\n", ""),
        ("<|>", "", ""),
        ("def f():\n    <|>", "a = 1   \n    return a  ", "a = 1\n    return a"),
    ],
)
def test_plain_text_is_kept_and_blanks_at_the_ends_of_lines_are_not(
    marked: str, output: str, expected: str
) -> None:
    check_cut(marked, output, expected)


@pytest.mark.parametrize(
    ("marked", "output", "expected"),
    [
        # The completion comes to the line that follows anyway, and stops before it.
        ("def f(a):\n    <|>\n    return b\n", "b = a\n    return b\n", "b = a"),
        ("def f(a):\n    <|>\n\n\n    return b", "b = a\n    return b", "b = a"),
        ("if (a) {\n  <|>\n}\n", "while (b) {\n    c();\n  }\n}\n", "while (b) {\n    c();\n  }"),
        # Its only line is that line: nothing is left to suggest.
        ("def f(a):\n    <|>\n    return b\n", "return b\n", ""),
        ("def f(a):\n    <|>\n    return b\n", "return b", ""),
        # It only begins like that line.
        ("def f(a):\n    <|>\n    return b\n", "return b + a", "return b + a"),
        ("a<|>\r\nb\r\n", "\r\nc\r\nb\r\nd", "\r\nc"),
        # Deeper lines are other lines.
        ("f {\n<|>\n}", "  g {\n  }\n}", "  g {\n  }"),
        # Spelled otherwise it is the same line; a sibling is another.
        ("x = 1\n<|>\nprint('a', b);\n", 'y = 2\nprint("a",b)\n', "y = 2"),
        ("x = 1\n<|>\nf(a[i + 1])\n", "f(a[i - 1])\n", "f(a[i - 1])"),
    ],
)
def test_a_completion_stops_before_the_line_that_follows(
    marked: str, output: str, expected: str
) -> None:
    check_cut(marked, output, expected)


def test_a_comment_that_nearly_follows_already_is_not_said_again() -> None:
    marked = "a = 1\n<|>\n# Count the words of all lines.\nb = 2\n"
    check_cut(
        marked, "c = 3\n# Count the words of all lines\nb = 3\n", "c = 3", "python", "next line"
    )


@pytest.mark.parametrize(
    ("marked", "output", "expected"),
    [
        ("x = <|> + y\n", "a\nb = 3\n", "a"),
        ("x = <|> + y\n", "a + y", "a"),
        ("x = <|> + y\n", "a + z", "a + z"),
        ("if <|>:\n", "a == b", "a == b"),
        ("if <|>:\n", "a == b:\n", "a == b"),
        ('s = "<|>"\n', 'text"', "text"),
        ('s = "<|>"\n', "text", "text"),
        ("a <|>b", "and ", "and "),
    ],
)
def test_in_the_middle_of_a_line_it_stays_on_that_line(
    marked: str, output: str, expected: str
) -> None:
    check_cut(marked, output, expected)


@pytest.mark.parametrize(
    ("marked", "output", "expected"),
    [
        ("print(<|>)\n", "a, b)\n", "a, b"),
        ("print(<|>)\n", "f(a), g(b))\nmore", "f(a), g(b)"),
        ("print(<|>)\n", "f(a)", "f(a)"),
        ("x = {<|>}\n", "\n  'a': 1,\n}\ny = 2\n", "\n  'a': 1,"),
        ("foo([<|>]);\n", "1, 2]);\nbar();", "1, 2"),
        # A bracket in a string closes nothing; one that the line has open beyond is closed.
        ("print(<|>)\n", '":)")', '":)"'),
        ("f(g(<|>)\n", "a), b)", "a), b"),
    ],
)
def test_a_bracket_that_is_closed_already_is_not_closed_again(
    marked: str, output: str, expected: str
) -> None:
    check_cut(marked, output, expected)


@pytest.mark.parametrize(
    ("marked", "output", "expected"),
    [
        ("x = a<|>\n", "[0])", "[0]"),
        ("f(x, <|>\n", "y)", "y)"),
        ("f(\n  x,\n  <|>\n", "y,\n)\n", "y,\n)"),
        ("x = a<|>\n", " + b]", " + b"),
    ],
)
def test_what_nothing_has_opened_is_not_closed(marked: str, output: str, expected: str) -> None:
    check_cut(marked, output, expected)


@pytest.mark.parametrize(
    ("marked", "output", "expected"),
    [
        ("class A:\n    def f(self):\n        <|>\n", "return 1\n\n    def g", "return 1"),
        ("    if a:\n        <|>", "b()\n    c()\n", "b()"),
        ("\tif a {\n\t\t<|>\n\t}\n", "b()\n\t}\n\tc()", "b()"),
        # The file does not close what the cursor is in: the completion may, once.
        ("    f(\n        <|>", "a,\n    )\n    g()", "a,\n    )"),
        # Blank lines and deeper lines leave no block, and at the margin there is none to leave.
        ("    <|>", "if a:\n\n        b()\n    c()", "if a:\n\n        b()\n    c()"),
        ("<|>", "def f():\n    pass\nf()", "def f():\n    pass\nf()"),
        # On an empty line the text says itself how deep the block is.
        ("def f():\n<|>\n", "    a = 1\n    return a\n\nprint(f())\n", "    a = 1\n    return a"),
        # Behind the beginning of a block its inside is wanted.
        ("def f():<|>\n", "\n    return 1\nprint(f())\n", "\n    return 1"),
    ],
)
def test_a_completion_stays_in_the_block_of_the_cursor(
    marked: str, output: str, expected: str
) -> None:
    check_cut(marked, output, expected)


@pytest.mark.parametrize(
    ("marked", "output", "expected"),
    [
        ("x = <|>\n", "1\ny = 2\n", "1"),
        ("def f(<|>", "a):\n    return a\n", "a):"),
        ("    <|>", "a = 1\n    b = 2", "a = 1\n    b = 2"),
        ("x = 1<|>", "\ny = 2\nz = 3\n", "\ny = 2"),
        ("def f(a):<|>", "\n    b = a\n    return b\n", "\n    b = a\n    return b"),
    ],
)
def test_how_much_is_completed_depends_on_the_line(marked: str, output: str, expected: str) -> None:
    check_cut(marked, output, expected)


@pytest.mark.parametrize(
    ("marked", "output", "expected", "language", "by"),
    [
        # What follows is deeper than what is before: a block is to be opened, and no more.
        (
            "def f(a):\n    b = 0\n<|>\n        b += c\n    return b\n",
            "    for c in a:\n        if c:\n            b -= c\n",
            "    for c in a:",
            "python",
            "joint",
        ),
        # Behind a jump nothing of the same block is reached.
        (PYTHON, "    b = 2\n    return a\n", "    b = 2", "python", "joint"),
        # A block has to have something in it, and an "else" has to belong to something.
        (PYTHON, "    b += a\n    if b:\n", "    b += a", "python", "joint"),
        (
            "def f():\n    if a:\n        b()\n<|>\n    else:\n        c()\n",
            "        d()\n    e()\n",
            "        d()",
            "python",
            "joint",
        ),
        (
            "function f(a) {\n  let b = 1;\n<|>\n  return b;\n}\n",
            "  b += a;\n  if (a) {\n    b++;\n",
            "  b += a;",
            "javascript",
            "joint",
        ),
        (
            "int f(int a) {\n  int b = 1;\n<|>\n  return b;\n}\n",
            "  b += a;\n  while (a) {\n    b++;\n",
            "  b += a;",
            "c",
            "joint",
        ),
        (
            "def f(a)\n  b = 1\n<|>\n  b\nend\n",
            "  b += a\n  if a\n    b += 1\n",
            "  b += a",
            "ruby",
            "joint",
        ),
        # What was wrong before is not for the cut to judge.
        ("f(\n<|>\ng[", "  a\n  b(\n", "  a\n  b(", "python", ""),
    ],
)
def test_what_follows_has_to_go_on_well(
    marked: str, output: str, expected: str, language: str, by: str
) -> None:
    check_cut(marked, output, expected, language, by)


@pytest.mark.parametrize(
    ("marked", "output", "language"),
    [
        # A file in order stays so: nothing is better than what breaks it.
        ("def f():\n    a()\n<|>\n    b()\n", "print(f())\n", "python"),
        ("def f():\n    a()\n<|>\n    b()\n", "    if a:\n", "python"),
        ("int f() {\n  a();\n<|>\n  b();\n}\n", "  if (a) {\n", "c"),
        ("function f() {\n  a();\n<|>\n  b();\n}\n", "  c(\n", "typescript"),
        ("func f() {\n\ta()\n<|>\n\tb()\n}\n", "\tif a {\n", "go"),
        ("fn f() {\n  a();\n<|>\n  b();\n}\n", "  if a {\n", "rust"),
        ("class A {\n  int a;\n<|>\n  int b;\n}\n", "  int c() {\n", "java"),
        ("def f\n  a\n<|>\n  b\nend\n", "  if a\n", "ruby"),
        ("f() {\n  a\n<|>\n  b\n}\n", "  if a; then\n", "shellscript"),
        ("<?php\nfunction f() {\n  a();\n<|>\n  b();\n}\n", "  if ($a) {\n", "php"),
        ("class A {\n  int a;\n<|>\n  int b;\n}\n", "  int C() {\n", "csharp"),
        ("int f() {\n  a();\n<|>\n  b();\n}\n", "  for (;;) {\n", "cpp"),
    ],
)
def test_what_breaks_a_file_that_is_in_order_is_not_shown(
    marked: str, output: str, language: str
) -> None:
    check_cut(marked, output, "", language, "joint")
    # A model that had no time to come to an end has broken nothing.
    assert judged(marked, output, language, reason=FinishReason.LENGTH).text == output.rstrip()


def test_a_text_that_says_what_follows_in_other_words_ends_before_that() -> None:
    check_cut(
        "def f(n):\n    i = 12\n    while n:\n        d = n // a[i]\n<|>\n"
        "        while d:\n            s += b[i]\n            d -= 1\n"
        "        i -= 1\n    return s.lower()\n",
        "        n -= a[i] * d\n        s += b[i] * d\n        i -= 1\n    return s.lower()\n",
        "        n -= a[i] * d",
        "python",
        "lines below",
    )


def test_a_bracket_that_the_file_lacks_is_not_taken_for_the_next() -> None:
    marked = "function f(a) {\n  if (a) {\n    if (b) {\n      c();\n<|>\n  }\n}\n"
    check_cut(marked, "  }\n", "  }", "javascript")
    whole = "function f(a) {\n  if (a) {\n      c();\n<|>\n  }\n}\n"
    check_cut(whole, "  }\n", "", "javascript")


@pytest.mark.parametrize(
    ("marked", "output", "expected", "by"),
    [
        ("<|>\n", "a\na\na\na\na\na\n", "a", "equal lines"),
        ("<|>\n", "a\nb\na\nb\na\nb\n", "a\nb", "equal blocks"),
        ("x = [<|>\n", "1, 2, " * 20, "1, 2,", "period"),
        # Rulers and short repetitions are meant.
        ("# <|>\n", "-" * 60, "-" * 60, ""),
        ("<|>\n", "a\nb\nc\na\nd\n", "a\nb\nc\na\nd", ""),
        ("x = 1\n<|>\n", "x = 1\n", "", "line above"),
        ("}\n<|>\n", "}\n", "", "stray"),
        ("a {\n<|>\n", "}\n", "}", ""),
        ("a\n<|>\n", ";", "", "stray"),
        ("a\n<|>\n", "i\n", "i", ""),
        ("<|>\n", "f(1)\n```\nThis function", "f(1)", "fence"),
        ("```\n<|>\n", "a\n```\nb", "a\n```\nb", ""),
        ("<|>", "a = 1\n\n\nb = 2\n", "a = 1", "next unit"),
        ("<|>\n", "def f():\n  a()\n\ndef g():\n  b()\n", "def f():\n  a()", "next unit"),
        ("<|>\n\none two three four\n", "a\none  two three four\n", "a", "next line"),
        ("<|>\none\ntwo\nthree four", "zero\none\ntwo\nthr", "zero", "next line"),
        ("<|>\n    a = 1;\n    b = 22;\n", "    a = 1\n    b = 2\n    c = 3\n", "", "next line"),
        ("<|>\none two\nthree four\n", "one two\nthree fours\n", "", "next line"),
        ("<|>\none twos\nthree four five six\n", "one two\nthree four five six", "", "follows"),
    ],
)
def test_repetition_is_cut(marked: str, output: str, expected: str, by: str) -> None:
    check_cut(marked, output, expected, by=by)


@pytest.mark.parametrize(
    ("marked", "output", "language"),
    [
        # Brackets that are no code, or close what is not to be seen, close nothing wrongly.
        ('case "$1" in\n    <|>\nesac\n', "start)\n        run\n        ;;", "shellscript"),
        ("# Title\n\n<|>\n", "1) first\n2) second", "markdown"),
        ("Title\n\n<|>\n", "1) first\n2) second", ""),
        ('def f():\n    """Do.\n\n    <|>\n    """\n', "1) first", "python"),
        ("# from [0, 1<|>\nx = 1\n", ") only", "python"),
        ("const a = <|>\n", "b.replace(/\\)/g, '')", "javascript"),
        ("fn f(c: char) -> bool {\n    <|>\n}\n", "c == ')' || c == ']'", "rust"),
        ("f a = <|>\n", "map (\\(b, c) -> b) a", "haskell"),
        ("x = [\n" + "    1234567,\n" * 500 + "    <|>\n", "2,\n]", "python"),
        ('"""A.\n' + "word " * 900 + '\n"""\n\nf(\n    a,\n    <|>\n', "b,\n)", "python"),
        ("f() {\n  <|>\n}\n", "if [ $# -lt 1 ]; then\n    exit\n  fi", "shellscript"),
        # Lines of a string or for a preprocessor leave no block.
        ("def f():\n    <|>\n    g(a)\n", 'a = """\nSELECT b\nFROM c\n"""', "python"),
        ("function f() {\n  <|>\n  g(a);\n}\n", "a = `\nb\n`;", "javascript"),
        ("int f() {\n    <|>\n    return 1;\n}\n", "b();\n#ifdef X\n    c();\n#endif", "c"),
        # A jump with a condition is passed by.
        ("def f(a)\n<|>\n  b\nend\n", "  return if a.nil?", "ruby"),
        ("def f(a)\n  return if a.nil?\n  <|>\n  c(a)\nend\n", "b(a)", "ruby"),
        (
            'case "$1" in\n  a)\n<|>\n  b)\n    c\n    ;;\nesac\n',
            "    return 1\n    ;;",
            "shellscript",
        ),
        # Lines may go on behind their end, and signs in strings begin no comment.
        ("def f():\n    <|>\n    return a\n", "a = 1 + \\\n        2\n    b = a", "python"),
        ("def f():\n    <|>\n    return a\n", 'if a == " #":\n        b()', "python"),
        ("class A:\n    <|>\n    a = 1\n", "def f(\n        a\n    ):\n        pass", "python"),
        ("# Title\n\n<|>\n", "Install:\n\n```sh\nmake\n```", "markdown"),
        # What closes five blocks is not one line five times.
        ("<|>\n", "<a>\n" + "".join(f"{' ' * i}</b>\n" for i in range(9, 1, -1)) + "</a>", "html"),
        ("def f(a)<|>\n", "\n  b\n  c\nend", "ruby"),
        ('s = "<|>"\n', 'say \\"hi\\"', "python"),
        ("f(a, <|> y)\n", "key", ""),
    ],
)
def test_what_is_right_stays_whole(marked: str, output: str, language: str) -> None:
    check_cut(marked, output + "\n" if "\n" in output else output, output, language)


def test_without_indentation_the_tree_says_where_the_block_ends() -> None:
    check_cut(
        "function f() {\n<|>\nreturn 3;\n}\n",
        "a();\n}\nfunction g() {\nb();\n",
        "a();",
        "javascript",
        "node closes",
    )


def test_what_decorates_a_definition_belongs_to_it() -> None:
    one = "@property\n    def a(self):\n        return 1"
    check_cut(
        "class A:\n    <|>\n", f"{one}\n\n    @property\n    def b", one, "python", "next unit"
    )


def test_a_comment_without_a_word_is_dropped() -> None:
    check_cut("a = 1\n<|>\n", "b = 2\n#\n", "b = 2", "python", "empty comment")
    check_cut("a = 1\n<|>\n", "#\n", "", "python", "empty comment")
    check_cut("a = 1\n<|>\n", "# b\n", "# b", "python")


@pytest.mark.parametrize(
    ("output", "expected"),
    [("a = 1\nb = ", "a = 1"), ("a = ", "a ="), ("\n  b = ", "\n  b ="), ("a\r\nb", "a")],
)
def test_a_line_that_ran_into_the_limit_is_dropped_unless_it_is_the_only_one(
    output: str, expected: str
) -> None:
    assert judged("<|>", output, reason=FinishReason.LENGTH).text == expected
    assert judged("<|>", output).text == output.rstrip().replace("\r\n", "\n")


def test_lines_that_the_model_was_not_sure_of_are_not_shown() -> None:
    output = "a = 1\nb = 2\nc = 3\n"

    def scores(*lines: float) -> tuple[TokenScore, ...]:
        return tuple(
            TokenScore(
                at=6 * index, logprob=line, stop_logprob=-9.0, runner_up="", runner_up_logprob=-9.0
            )
            for index, line in enumerate(lines)
        )

    for given, expected in (
        (scores(-0.1, -0.1, -0.1), "a = 1\nb = 2\nc = 3"),
        # What counts is how probable all of the text is, up to the end of a line.
        (scores(-3.9, -4.0, -4.0), "a = 1\nb = 2\nc = 3"),
        (scores(-4.1, -4.0, -4.0), "a = 1\nb = 2"),
        (scores(-0.1, -13.0, -0.1), "a = 1"),
        # Whether anything is shown at all is decided elsewhere.
        (scores(-13.0, -0.1, -0.1), "a = 1"),
        ((), "a = 1\nb = 2\nc = 3"),
    ):
        assert judged("<|>\n", output, scores=given).text == expected


def test_each_step_says_what_it_did_and_why() -> None:
    outcome = judged(PYTHON, "    b = 2\n    return a\n    return b\n", "python")
    assert [step.name for step in outcome.steps] == ["next line", "joint"]
    assert outcome.steps[0].before.endswith("return b\n")
    assert outcome.steps[0].after == outcome.steps[1].before == "    b = 2\n    return a\n"
    assert outcome.steps[-1].after == outcome.text
    assert all(step.reason for step in outcome.steps)


def test_names_and_reasons_tell_filters_apart() -> None:
    assert len({each.name for each in FILTERS}) == len({each.reason for each in FILTERS})
    assert {each.stage for each in FILTERS} == set(Stage)


@pytest.mark.parametrize(
    ("marked", "output", "expected"),
    [
        ("<|>\n", "a = 1", ""),
        ("<|>\n", "a = 1\nb", "a = 1"),
        ("x<|>\n", "\n  a = 1\nb", "\n  a = 1"),
        ("x = <|>\n", "1\n", "1"),
        ("f(<|>)\n", "a)", "a"),
        # What will not be shown in the end is not shown first.
        ("a\n<|>\nnext line\n", "next line\nb", ""),
        ("x = 1\n<|>\n", "x = 1\nb", ""),
    ],
)
def test_the_first_line_is_there_once_it_is_whole(marked: str, output: str, expected: str) -> None:
    site = site_at(marked)
    assert first_line(output, site) == expected
    final = finish(output + " = 0 # and more", site, FinishReason.LENGTH, shown=True)
    assert final.text.startswith(expected)


def test_a_line_that_is_on_the_screen_stays() -> None:
    site = site_at("one twos\n<|>\none twos\nthree four five six\n")
    output = "one two\nthree four five six"
    assert first_line(output, site) == "one two"
    assert finish(output, site, FinishReason.STOP).text == ""
    assert finish(output, site, FinishReason.STOP, shown=True).text == "one two"


def test_generation_may_stop_where_the_rest_cannot_matter() -> None:
    site = site_at("a\n<|>\nb = 2\n")
    assert not truncate("a = 1\nb = 2", site).settled
    cut = truncate("a = 1\nb = 2\n", site)
    assert (cut.text, cut.settled, cut.by and cut.by.name) == ("a = 1\n", True, "next line")


@pytest.mark.parametrize(
    ("marked", "length", "expected"),
    [
        ("    <|>\n", Length.LINE, "a = b(\n"),
        ("    <|>\n", Length.AUTO, "a = b(\n        c)\n    d = a"),
        ("x = <|>\n", Length.AUTO, "a = b(\n"),
        ("x = <|>\n", Length.BLOCK, "a = b(\n        c)\n    d = a"),
        ("x = <|> + 1\n", Length.BLOCK, "a = b(\n"),
    ],
)
def test_a_setting_says_how_much_is_wanted(marked: str, length: Length, expected: str) -> None:
    outcome = finish(
        "a = b(\n        c)\n    d = a\n", site_at(marked, length=length), FinishReason.STOP
    )
    assert outcome.text == expected.strip()


def test_a_function_like_the_next_one_is_written_whole() -> None:
    loop = "\tfor _, each := range all {\n\t\tuse(each)\n\t}\n"
    marked = f"package a\n\nfunc First() {{\n\t<|>\n}}\n\nfunc Second() {{\n{loop}\treturn\n}}\n"
    written = f"var found []int\n{loop}\treturn"
    check_cut(marked, f"{written}\n}}\n", written, "go")
