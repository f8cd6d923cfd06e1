"""What is in the file once a text was accepted: blanks, line ends and what follows come out right.

A mark stands where the cursor is; "→" is a tab and "¶" a carriage return before a line end.
"""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill_engine.cancel import CancelToken
from midfill_engine.fake import ScriptedEngine
from midfill_server.anchors import fresh
from midfill_server.pipeline import Query, complete
from midfill_server.syntax import SyntaxTree, language_of
from tests.server.conftest import StartServer
from tests.server.desk import Desk, tell

CURSOR = "<|>"


def visible(text: str) -> str:
    return text.replace("\t", "→").replace("\r", "¶")


def real(text: str) -> str:
    return text.replace("→", "\t").replace("¶", "\r")


def accepted(marked: str, output: str, language: str = "python", *, piece: int = 1000) -> str:
    """Return the file after the text at the mark was accepted."""
    marked, output = real(marked), real(output)
    cursor = marked.index(CURSOR)
    text = marked.replace(CURSOR, "", 1)
    known = language_of(language)
    query = Query(
        uri="file:///project/a",
        text=text,
        cursor=cursor,
        language_id=language,
        tree=SyntaxTree.parse(text, known) if known else None,
        invoked=True,
    )
    engine = ScriptedEngine(output, piece=piece)
    shown: list[str] = []
    answer = complete(query, fresh(text, cursor), engine, CancelToken(), shown.append).text
    assert all(answer.startswith(each) for each in shown)
    return visible(text[:cursor] + answer + text[cursor:])


def check(marked: str, output: str, expected: str, language: str = "python") -> None:
    """Assert that the file is as ``expected`` once it was accepted, in whatever pieces it came."""
    for piece in (1, 3, 1000):
        assert accepted(marked, output, language, piece=piece) == expected


# Indentation


def test_spaces_become_tabs_where_the_file_has_tabs() -> None:
    check(
        "def f(a):\n→<|>\n\ndef g():\n→pass\n",
        "if a:\n        return 1\n    return 2",
        "def f(a):\n→if a:\n→→return 1\n→return 2\n\ndef g():\n→pass\n",
    )
    check(
        "func f() {\n→for {\n→→<|>\n→}\n}\n",
        "if ok {\n            return\n        }",
        "func f() {\n→for {\n→→if ok {\n→→→return\n→→}\n→}\n}\n",
        "go",
    )


def test_tabs_become_spaces_where_the_file_has_spaces() -> None:
    check(
        "function f(a) {\n  <|>\n}\nfunction g() {\n  return 1;\n}\n",
        "if (a) {\n→→return 2;\n→}",
        "function f(a) {\n  if (a) {\n    return 2;\n  }\n}\nfunction g() {\n  return 1;\n}\n",
        "javascript",
    )
    check(
        "def f(a):\n    <|>\n\ndef g():\n    pass\n",
        "if a:\n→→return 1\n→return 2",
        "def f(a):\n    if a:\n        return 1\n    return 2\n\ndef g():\n    pass\n",
    )


@pytest.mark.parametrize("unit", ["  ", "    ", "→"])
def test_what_is_spelled_as_the_file_is_stays(unit: str) -> None:
    before = f"class A:\n{unit}def f(self):\n{unit}{unit}pass\n\n{unit}def g(self, b):\n"
    output = f"for c in b:\n{unit * 3}yield c\n{unit * 2}return"
    check(f"{before}{unit * 2}<|>\n", output, f"{before}{unit * 2}{output}\n")


def test_an_indentation_that_is_there_is_not_written_again() -> None:
    check(
        "def f(a):\n    b = a\n    <|>\n",
        "    return b",
        "def f(a):\n    b = a\n    return b\n",
    )
    check("func f() {\n→a()\n→<|>\n}\n", "→b()", "func f() {\n→a()\n→b()\n}\n", "go")


def test_a_block_begins_behind_its_opener() -> None:
    check("def f(a):<|>\n", "\n    return a", "def f(a):\n    return a\n")
    check(
        "def g():\n→pass\n\ndef f(a):<|>\n",
        "\n    return a",
        "def g():\n→pass\n\ndef f(a):\n→return a\n",
    )


def test_tabs_inside_of_a_line_and_of_strings_stay() -> None:
    check(
        "def f():\n    a = 1\n    <|>\n",
        'b = "x→y"  #→here',
        'def f():\n    a = 1\n    b = "x→y"  #→here\n',
    )
    check(
        "all:\n→cc a.c\n→<|>\n", "ld a.o\n→rm a.o", "all:\n→cc a.c\n→ld a.o\n→rm a.o\n", "makefile"
    )


def test_alignment_under_an_opening_bracket_stays() -> None:
    check(
        "def f(a):\n    return (a\n            <|>\n",
        "+ a\n            + a)",
        "def f(a):\n    return (a\n            + a\n            + a)\n",
    )


# Line ends


def test_a_file_with_carriage_returns_gets_them() -> None:
    check(
        "def f(a):¶\n    <|>¶\n¶\nprint(1)¶\n",
        "if a:\n        return 1\n    return 2",
        "def f(a):¶\n    if a:¶\n        return 1¶\n    return 2¶\n¶\nprint(1)¶\n",
    )


@pytest.mark.parametrize("written", ["\n", "¶\n"])
@pytest.mark.parametrize("there", ["\n", "¶\n"])
def test_the_line_ends_are_those_of_the_file_whatever_the_model_writes(
    written: str, there: str
) -> None:
    lines = ["def f(a):", "    b = a", "    c = b", "    return c", ""]
    before, output = lines[:1], "b = a\n    c = b\n    return c".replace("\n", written)
    check(
        there.join([*before, f"    {CURSOR}", ""]),
        output,
        there.join(lines),
    )


def test_a_first_line_end_is_one_of_the_file() -> None:
    check("def f(a):<|>¶\n", "\n    return a", "def f(a):¶\n    return a¶\n")
    check("a = 1¶\nb = 2<|>", "\nc = 3", "a = 1¶\nb = 2¶\nc = 3")


def test_no_carriage_return_is_left_at_the_end() -> None:
    check("a = 1\nb = <|>\n", "2¶\n", "a = 1\nb = 2\n")
    check("a = 1¶\nb = <|>¶\n", "2¶\n", "a = 1¶\nb = 2¶\n")
    check("a = 1¶\nb = <|>¶\n", "2¶", "a = 1¶\nb = 2¶\n")


# What stands on the line already


@pytest.mark.parametrize(
    ("marked", "output", "expected", "language"),
    [
        ("print(<|>)\n", "a)", "print(a)\n", "python"),
        ("print(<|>)\n", "a)\nprint(b)", "print(a)\n", "python"),
        ("x = [<|>]\n", "1, 2]", "x = [1, 2]\n", "python"),
        ('open("<|>")\n', 'a.txt")', 'open("a.txt")\n', "python"),
        ("f(g(<|>))\n", "x))", "f(g(x))\n", "python"),
        ("f(<|>)\n", "g(x)", "f(g(x))\n", "python"),
        ("if (<|>) {\n}\n", "a == b) {", "if (a == b) {\n}\n", "javascript"),
        (
            "const f = () => {<|>}\n",
            " return 1; }",
            "const f = () => { return 1; }\n",
            "javascript",
        ),
        ("int x = <|>;\n", "5;", "int x = 5;\n", "c"),
        ("if <|>:\n    pass\n", "a == b:", "if a == b:\n    pass\n", "python"),
        ("x = <|> + c\n", "a + b + c", "x = a + b + c\n", "python"),
        (
            "for i in <|>:\n    pass\n",
            "range(10):\n    print(i)",
            "for i in range(10):\n    pass\n",
            "python",
        ),
        ("x = d[<|>] + 1\n", "'a'] + 1", "x = d['a'] + 1\n", "python"),
        ('<div class="<|>"></div>\n', 'wide">', '<div class="wide"></div>\n', "html"),
    ],
)
def test_what_follows_the_cursor_is_there_once(
    marked: str, output: str, expected: str, language: str
) -> None:
    check(marked, output, expected, language)


def test_text_on_the_line_stays_behind_what_is_accepted() -> None:
    check("x = f(<|>, 2)\n", "1", "x = f(1, 2)\n")
    check("<|># why\n", "a = 1  ", "a = 1  # why\n")
    check("return <|> or None\n", "a\nb = 2", "return a or None\n")


def test_the_closer_of_a_block_is_there_once() -> None:
    check(
        "function f() {\n  <|>\n}\n",
        "return 1;\n}",
        "function f() {\n  return 1;\n}\n",
        "javascript",
    )
    check("function f() {\n  <|>", "return 1;\n}", "function f() {\n  return 1;\n}", "javascript")
    check("f() {¶\n→<|>¶\n}¶\n", "a\n}", "f() {¶\n→a¶\n}¶\n", "shellscript")


def test_no_blanks_are_left_at_the_ends_of_lines() -> None:
    check(
        "def f(a):\n    <|>\n",
        "b = a   \n\n    return b  \n",
        "def f(a):\n    b = a\n\n    return b\n",
    )
    check(
        "def f(a):\n    <|>\n",
        "b = a\n    \n    return b",
        "def f(a):\n    b = a\n\n    return b\n",
    )


# By way of the completer, and of the protocol


def test_a_text_that_is_typed_in_part_and_then_accepted_is_whole() -> None:
    async def story(desk: Desk) -> None:
        before, after = "def f(a):\r\n    ", "\r\nprint(1)\r\n"
        whole = await desk.text(f"{before}<|>{after}")
        assert whole == "b = a\r\n    c = b\r\n    return c"
        for typed in (3, 5, 7, 11, 20):
            # A line end is typed whole.
            rest = await desk.text(f"{before}{whole[:typed]}<|>{after}")
            assert whole[:typed] + rest == whole
        assert desk.calls == 1

    tell(story, "b = a\n    c = b\n    return c")


def offset_of(text: str, line: int, character: int) -> int:
    """Return where a position, which counts UTF-16 units, is in ``text``."""
    start = [0, *(found.end() for found in re.finditer(r"\r\n|\n|\r", text))][line]
    return start + len(text[start:].encode("utf-16-le")[: 2 * character].decode("utf-16-le"))


@pytest.mark.parametrize(
    ("marked", "output", "expected"),
    [
        ('a = "😀" + f(<|>)\n', "b)", 'a = "😀" + f(b)\n'),
        ("é = [¶\n→<|>¶\n]¶\n", "1,\n→2,", "é = [¶\n→1,¶\n→2,¶\n]¶\n"),
        ("if a:\n→😀 = <|>\n→b()\n", "1\n", "if a:\n→😀 = 1\n→b()\n"),
    ],
)
def test_an_editor_that_inserts_at_the_range_has_the_right_file(
    start: StartServer, marked: str, output: str, expected: str
) -> None:
    client = start()
    client.initialize()
    head = f"#text{json.dumps(real(output))}" + ("\r\n" if "¶" in marked else "\n")
    marked = head + real(marked)
    cursor = marked.index(CURSOR)
    text = marked.replace(CURSOR, "", 1)
    client.open("file:///project/a.py", text)
    line = text[:cursor].count("\n")
    character = len(text[text.rfind("\n", 0, cursor) + 1 : cursor].encode("utf-16-le")) // 2
    (item,) = client.complete("file:///project/a.py", line, character).result()["items"]
    first, last = (
        offset_of(text, item["range"][end]["line"], item["range"][end]["character"])
        for end in ("start", "end")
    )
    assert visible(text[:first] + item["insertText"] + text[last:]) == visible(head) + expected


@pytest.mark.parametrize(("name", "line_end"), [("Neovim", "\n"), ("vscode", "\r\n")])
def test_an_editor_gets_the_line_ends_that_it_can_insert(
    start: StartServer, name: str, line_end: str
) -> None:
    client = start()
    client.initialize({"streaming": True}, name=name)
    uri = "file:///project/a.txt"
    said = json.dumps("one = 1\ntwo = 2\nthree = 3")
    client.open(uri, f"#text{said}\r\n\r\n")
    for automatic in (True, False):
        (item,) = client.complete(uri, 1, 0, automatic=automatic).result()["items"]
        assert item["insertText"] == line_end.join(["one = 1", "two = 2", "three = 3"])
    assert [each["text"] for each in client.params_of("midfill/inlineCompletionProgress")] == [
        "one = 1"
    ]


PIECES = st.sampled_from(
    [
        "a",
        " = ",
        "1",
        "(",
        ")",
        "{",
        "}",
        ":",
        '"',
        "\n",
        "\r\n",
        "\t",
        "    ",
        "if b",
        "return",
        "é",
    ]
)
TEXTS = st.lists(PIECES, max_size=12).map("".join)


@given(before=TEXTS, after=TEXTS, output=TEXTS, language=st.sampled_from(["python", "go", ""]))
def test_line_ends_never_mix_in_what_is_accepted(
    before: str, after: str, output: str, language: str
) -> None:
    for line_end in ("\n", "\r\n"):
        marked = re.sub(r"\r?\n", line_end, f"x{line_end}{before}{CURSOR}{after}")
        found = set(re.findall(r"\r\n|\n|\r", real(accepted(marked, output, language))))
        assert found == {line_end}
