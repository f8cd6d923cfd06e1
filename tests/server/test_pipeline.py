from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill_engine.cancel import CancelToken
from midfill_engine.fake import ScriptedEngine
from midfill_engine.types import FinishReason
from midfill_server.document import Snapshot
from midfill_server.pipeline import Query, complete
from midfill_server.postprocess import whole_lines
from tests.server.ghost import check, ghost


@pytest.mark.parametrize(
    ("marked", "output", "expected"),
    [
        ("x = <|>", "1", "1"),
        ("x = <|>\n", "1\ny = 2\n\n\n", "1\ny = 2"),
        ("<|>", "   \n\t\n", ""),
        ("<|>", "", ""),
        ("def f():\n    <|>", "a = 1   \n    return a  ", "a = 1   \n    return a"),
    ],
)
def test_plain_text_is_kept_and_blanks_at_its_end_are_not(
    marked: str, output: str, expected: str
) -> None:
    check(marked, output, expected)


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
    ],
)
def test_a_completion_stops_before_the_line_that_follows(
    marked: str, output: str, expected: str
) -> None:
    check(marked, output, expected)


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
    check(marked, output, expected)


@pytest.mark.parametrize(
    ("marked", "output", "expected"),
    [
        ("print(<|>)\n", "a, b)\n", "a, b"),
        ("print(<|>)\n", "f(a), g(b))\nmore", "f(a), g(b)"),
        ("print(<|>)\n", "f(a)", "f(a)"),
        ("x = {<|>}\n", "\n  'a': 1,\n}\ny = 2\n", "\n  'a': 1,"),
        ("foo([<|>]);\n", "1, 2]);\nbar();", "1, 2"),
    ],
)
def test_a_bracket_that_is_closed_already_is_not_closed_again(
    marked: str, output: str, expected: str
) -> None:
    check(marked, output, expected)


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
    ],
)
def test_a_completion_stays_in_the_block_of_the_cursor(
    marked: str, output: str, expected: str
) -> None:
    check(marked, output, expected)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [("a = 1\nb = ", "a = 1"), ("a = ", "a = "), ("\n  b = ", "\n  b = "), ("a\r\nb", "a\r")],
)
def test_a_line_that_ran_into_the_limit_is_dropped_unless_it_is_the_only_one(
    raw: str, expected: str
) -> None:
    assert whole_lines(raw) == expected


def test_generation_stops_when_the_rest_cannot_matter() -> None:
    taken: list[int] = []
    engine = ScriptedEngine("a = 1\nb = 2\n" * 100, piece=6, before_step=taken.append)
    snapshot = Snapshot.of("x\nb = 2\n")
    query = Query(snapshot=snapshot, start=1, end=1)
    completion = complete(query, engine, CancelToken(), lambda text: None)
    assert completion.text == "a = 1"
    assert completion.finish is FinishReason.STOP
    assert completion.timings is not None
    assert len(taken) == 3


def test_the_popup_entry_begins_the_completion_and_replaces_its_range() -> None:
    engine = ScriptedEngine("(1)")
    query = Query(snapshot=Snapshot.of("a.pri\nb"), start=2, end=5, selected="print")
    shown: list[str] = []
    completion = complete(query, engine, CancelToken(), shown.append)
    assert engine.requests[0].prefix == "a.print"
    assert engine.requests[0].suffix == "\nb"
    assert completion.text == "print(1)"
    assert shown == ["print(1)"]
    nothing = complete(query, ScriptedEngine(" \n"), CancelToken(), shown.append)
    assert nothing.text == ""


def test_only_text_near_the_cursor_is_handed_on_in_whole_lines() -> None:
    text = "".join(f"line {number}\n" for number in range(100_000))
    middle = text.index("line 50000\n") + 4
    engine = ScriptedEngine("")
    query = Query(snapshot=Snapshot.of(text), start=middle, end=middle)
    complete(query, engine, CancelToken(), lambda text: None)
    (request,) = engine.requests
    assert text[:middle].endswith("\n" + request.prefix)
    assert text[middle:].startswith(request.suffix)
    assert request.suffix.endswith("\n")
    assert 60_000 < len(request.prefix) <= 65_536
    assert 60_000 < len(request.suffix) <= 65_536


@pytest.mark.parametrize(
    "marked",
    [
        "<|>",
        "<|>a",
        "a<|>",
        "\0\0<|>\0",
        "x" * 100_000 + "<|>" + "y" * 100_000,
        "\ud83d<|>\ude00",
        "\ufffd<|>",
    ],
)
def test_odd_files_get_an_answer(marked: str) -> None:
    engine = ScriptedEngine("ok")
    offset = marked.index("<|>")
    query = Query(snapshot=Snapshot.of(marked.replace("<|>", "")), start=offset, end=offset)
    assert complete(query, engine, CancelToken(), lambda text: None).text == "ok"
    engine.requests[0].prefix.encode()
    engine.requests[0].suffix.encode()


@given(
    before=st.text(alphabet='a ({)}"\n', max_size=12),
    after=st.text(alphabet='a ({)}"\n', max_size=12),
    output=st.text(alphabet='a ({)}"\n', max_size=25),
)
def test_what_is_shown_only_grows(before: str, after: str, output: str) -> None:
    final = ghost(f"{before}<|>{after}", output, piece=1).text
    assert output.startswith(final)
    assert final == "" or final.strip()
