from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill_engine.cancel import CancelToken
from midfill_engine.fake import ScriptedEngine
from midfill_engine.types import Cost, FinishReason
from midfill_server.anchors import Split, fresh
from midfill_server.pipeline import Completion, Query, complete, prefetch
from tests.server.ghost import check, ghost


@pytest.mark.parametrize(
    ("marked", "output", "expected"),
    [
        ("x = <|>", "1", "1"),
        ("<|>", "   \n\t\n", ""),
        ("def f(a):\n    <|>\n    return b\n", "b = a\n    return b\n", "b = a"),
        ("if <|>:\n", "a == b:\n", "a == b"),
        ("f(<|>)\r\n", "a,\n  b)\n", "a,"),
        ("a\r\n<|>\r\n", "b\n  c\n", "b\r\n  c"),
    ],
)
def test_what_is_shown_went_through_the_filters(marked: str, output: str, expected: str) -> None:
    check(marked, output, expected)


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
    # Blanks at the ends of lines are not shown.
    assert "".join(output.split()).startswith("".join(final.split()))
    assert final == "" or final.strip()
