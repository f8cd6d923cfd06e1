"""llama.vim as the benchmark of keystrokes plays it: when it asks, and what it shows."""

from __future__ import annotations

import threading

import pytest

from benchmarks.llama_typist import LlamaAnswer, Plugin
from benchmarks.llama_vim import (
    MAX_KEYS,
    Around,
    Entry,
    LlamaVimCache,
    around,
    as_accepted,
    rendered,
    request_body,
)
from benchmarks.typing_scripts import Script, typing


def split(marked: str) -> tuple[str, int]:
    """Return the text without its mark, and where that was."""
    before, behind = marked.split("<|>")
    return before + behind, len(before)


def test_the_peers_window() -> None:
    place = around(*split("a\nb\n    ret<|>x\nc\nd"))
    assert (place.prefix, place.middle, place.suffix) == ("a\nb\n", "    ret", "x\nc\nd\n")
    assert (place.indent, place.is_asked) == (4, True)
    assert not around(*split("a<|>123456789\n")).is_asked
    many = "x\n" * 300 + "<|>\n" + "y\n" * 100
    place = around(*split(many))
    assert (place.prefix.count("\n"), place.suffix.count("\n")) == (256, 65)


def test_a_blank_line_is_asked_for_from_its_first_column_on() -> None:
    place = around(*split("a\n    <|>  \nb"))
    assert (place.middle, place.suffix, place.indent) == ("", "\nb\n", 0)
    assert rendered("    return 1\n", place) == "return 1"
    assert rendered("  return 1", place) == "return 1"


def filled(marked: str, content: str) -> LlamaVimCache:
    cache = LlamaVimCache()
    cache.put(around(*split(marked)), Entry(content=content))
    return cache


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("a\nx = <|>\nb", "compute(1)\nc"),
        ("a\nx = com<|>\nb", "pute(1)\nc"),
        ("a\nx = cot<|>\nb", None),
        ("a\nx = compute(1)\nc<|>\nb", None),
        ("a\nx = com<|>\nq", None),
        ("a\nx =<|>\nb", None),
    ],
)
def test_an_answer_serves_as_long_as_what_is_typed_begins_it(
    marked: str, expected: str | None
) -> None:
    assert filled("a\nx = <|>\nb", "compute(1)\nc").get(around(*split(marked))) == expected


def test_an_answer_serves_when_the_window_has_moved_down_a_little() -> None:
    lines = [f"line {number}\n" for number in range(400)]
    cache = filled("".join(lines) + "<|>", "one\ntwo\nthree\nfour\nfive\n")
    for typed, serves in (("one\ntwo\nthree\n", True), ("one\ntwo\nthree\nfour\n", False)):
        found = cache.get(around(*split("".join(lines) + typed + "<|>")))
        assert (found is not None) == serves


def test_the_longest_rest_of_several_answers_is_shown() -> None:
    cache = filled("x<|>", "yz")
    cache.put(around(*split("xy<|>")), Entry(content="zzz"))
    assert cache.get(around(*split("xyz<|>"))) == "zz"


def test_the_answer_used_least_recently_goes_first() -> None:
    # One line above: each answer has a single key.
    cache = filled("first <|>", "answer")
    for number in range(MAX_KEYS - 1):
        cache.put(around(*split(f"{number} <|>")), Entry(content="x"))
    assert cache.get(around(*split("first <|>"))) == "answer"
    cache.put(around(*split("one more <|>")), Entry(content="x"))
    assert cache.get(around(*split("first <|>"))) == "answer"
    assert cache.get(around(*split("0 <|>"))) is None


@pytest.mark.parametrize(
    ("marked", "content", "expected"),
    [
        ("x = <|>\ny", "1\n\n", "1"),
        ("f(<|>)\ny", ")", ""),
        ("a\n<|>\nb\nc", "\nb", ""),
        ("a<|>\n\nabc\nd", "bc", ""),
        ("a<|>\nabc\ndef", "bc\nde", ""),
        ("a<|>\nabc\ndef", "bc\nxy", "bc\nxy"),
        ("a<|>\nabc\ndef\nghi", "bc\ndef\nghi", ""),
        ("x = <|>\ny", "  \n ", ""),
    ],
)
def test_what_the_peer_shows_of_an_answer(marked: str, content: str, expected: str) -> None:
    assert rendered(content, around(*split(marked))) == expected


def test_what_the_peer_computes_ahead() -> None:
    place = around(*split("a\n  x = <|>\nb"))
    one = as_accepted(place, "1")
    assert (one.prefix, one.middle, one.suffix, one.indent) == ("a\n", "  x = 1", "\nb\n", 2)
    many = as_accepted(place, "f(\n    1,\n  )")
    assert (many.prefix, many.middle) == ("a\n  x = f(\n    1,\n", "  )")


def test_what_the_peer_asks_for() -> None:
    body = request_body(around(*split("a\n  x = <|>\nb")), 250)
    assert (body["input_prefix"], body["prompt"], body["input_suffix"]) == (
        "a\n",
        "  x = ",
        "\nb\n",
    )
    assert (body["n_predict"], body["n_indent"]) == (128, 2)
    assert (body["t_max_prompt_ms"], body["t_max_predict_ms"]) == (500, 250)


def test_the_peer_that_does_not_wait_asks_one_thing_at_a_time() -> None:
    line, running, asked = "value = compute(1)", threading.Semaphore(), []

    def ask(place: Around, predict_ms: int) -> LlamaAnswer:
        assert running.acquire(blocking=False), "a request while another was under way"
        asked.append((place.middle, predict_ms))
        content = line.removeprefix(place.middle) if line.startswith(place.middle) else ""
        running.release()
        return LlamaAnswer(content=content, prompt_tokens=1, prefilled_tokens=1, generated_tokens=1)

    script = Script(
        part="paced", name="a", language_id="python", text="a\n\nb\n", turns=(typing(2, line[:9]),)
    )
    keys = Plugin(ask, LlamaVimCache()).run(script, pace_s=0.0)
    assert len(keys) == 9
    # However late the answer to an early key is, it serves the last one.
    assert keys[-1].complete_ms is not None
    assert asked[0] == ("v", 250)
    # What is on the screen is followed by a request for what comes after it.
    assert (line, 1000) in asked
