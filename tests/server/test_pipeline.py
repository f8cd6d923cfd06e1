from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill_engine.cancel import CancelToken
from midfill_engine.fake import ScriptedEngine
from midfill_engine.types import Cost, FinishReason
from midfill_server.anchors import Split, fresh
from midfill_server.pipeline import Completion, Query, complete, prefetch
from midfill_server.postprocess import whole_lines
from tests.server.ghost import check, ghost


@pytest.mark.parametrize(
    ("marked", "output", "expected"),
    [
        ("x = <|>", "1", "1"),
        ("<|>\n", "1\ny = 2\n\n\n", "1\ny = 2"),
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


def run(text: str, cursor: int, engine: ScriptedEngine, **more: object) -> Completion:
    query = Query(uri="", text=text, cursor=cursor, **more)  # type: ignore[arg-type]
    return complete(query, fresh(text, cursor), engine, CancelToken(), lambda shown: None)


def test_generation_stops_when_the_rest_cannot_matter() -> None:
    taken: list[int] = []
    engine = ScriptedEngine("a = 1\nb = 2\n" * 100, piece=6, before_step=taken.append)
    completion = run("\nb = 2\n", 0, engine)
    assert completion.text == "a = 1"
    assert completion.finish is FinishReason.STOP
    assert completion.timings is not None
    assert len(taken) == 3


def test_the_split_says_what_is_typed_after_the_middle_and_what_stands_around() -> None:
    engine = ScriptedEngine("")
    split = Split(prefix="one\n", typed="  two(", suffix="three)\nfour", start=4)
    query = Query(uri="", text="one\n  two(three)\nfour", cursor=10)
    complete(query, split, engine, CancelToken(), lambda shown: None, ("a hint",))
    (request,) = engine.requests
    assert (request.prefix, request.typed, request.suffix) == ("one\n", "  two(", "three)\nfour")
    assert request.hints == ("a hint",)


@pytest.mark.parametrize(
    ("marked", "output", "expected"),
    [
        # Within a line it is the line that is completed ...
        ("x = <|>\n", "1\ny = 2\n", "1"),
        ("def f(<|>", "a):\n    return a\n", "a):"),
        # ... after its indentation a block ...
        ("    <|>", "a = 1\n    b = 2", "a = 1\n    b = 2"),
        # ... and after the end of a line one more, or what the line opens.
        ("x = 1<|>", "\ny = 2\nz = 3\n", "\ny = 2"),
        ("def f(a):<|>", "\n    b = a\n    return b\n", "\n    b = a\n    return b"),
    ],
)
def test_how_much_is_completed_depends_on_the_line(marked: str, output: str, expected: str) -> None:
    check(marked, output, expected)


def test_only_a_costly_prompt_waits_for_the_next_key() -> None:
    cheap, costly = Cost(prefill_ms=100.0), Cost(prefill_ms=2000.0)
    for cost, patient, waits in (
        (cheap, True, False),
        (costly, True, True),
        (costly, False, False),
    ):
        cancel = CancelToken()
        waited: list[float] = []

        def wait(timeout_s: float, waited: list[float] = waited) -> bool:
            waited.append(timeout_s)
            return True

        engine = ScriptedEngine("text", cost=cost)
        query = Query(uri="", text="", cursor=0, patient=patient)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(CancelToken, "wait", lambda token, timeout_s: wait(timeout_s))
            completion = complete(query, fresh("", 0), engine, cancel, lambda shown: None)
        assert bool(waited) == waits
        # Whoever is cancelled while it waits has not troubled the engine at all.
        assert (completion.finish is FinishReason.CANCELLED) == waits == (not engine.requests)


def test_a_prefetch_computes_the_prompt_and_generates_nothing() -> None:
    engine = ScriptedEngine("text")
    query = Query(uri="", text="a = 1\n", cursor=6)
    assert prefetch(query, fresh(query.text, 6), engine, CancelToken())
    assert [request.max_tokens for request in engine.requests] == [0]
    stopped = CancelToken()
    stopped.cancel()
    assert not prefetch(query, fresh(query.text, 6), ScriptedEngine("text"), stopped)
    assert not engine.requests[0].awaited


@pytest.mark.parametrize("awaited", [True, False])
def test_the_engine_hears_whether_somebody_waits(awaited: bool) -> None:
    engine = ScriptedEngine("text")
    query = Query(uri="a", text="ab", cursor=1, awaited=awaited)
    answer = complete(query, fresh("ab", 1), engine, CancelToken(), lambda text: None)
    assert engine.requests[0].awaited is awaited
    assert not answer.stood_in


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
    assert run(marked.replace("<|>", ""), marked.index("<|>"), engine).text == "ok"
    for text in (engine.requests[0].prefix, engine.requests[0].typed, engine.requests[0].suffix):
        text.encode()


@given(
    before=st.text(alphabet='a ({)}"\n', max_size=12),
    after=st.text(alphabet='a ({)}"\n', max_size=12),
    output=st.text(alphabet='a ({)}"\n', max_size=25),
)
def test_what_is_shown_only_grows(before: str, after: str, output: str) -> None:
    final = ghost(f"{before}<|>{after}", output, piece=1).text
    assert output.startswith(final)
    assert final == "" or final.strip()
