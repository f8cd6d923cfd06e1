"""Which part of a long text is shown, and how long that choice holds while someone types."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_vocabulary import tiny_metadata

from midfill_engine.prompt import render, resolve
from midfill_engine.prompt.window import Window, head_window, tail_window
from midfill_engine.tokenizer import build_tokenizer
from midfill_engine.types import CompletionRequest

# "starcoder" joins a newline to the indentation after it, so lines are not made of whole tokens.
TOKENIZERS = {pre: build_tokenizer(tiny_metadata(pre)) for pre in ("qwen2", "starcoder")}
QWEN = TOKENIZERS["qwen2"]


def numbered(lines: int, end: str = "\n") -> str:
    return "".join(f"    line_{at} = foo({at}, {at * 7}){end}" for at in range(lines))


def shown_by(window: Callable[..., Window], text: str, budget: int, pre: str) -> str:
    """What ``window`` shows of ``text``: within the budget, and what it drops is the rest."""
    tokenizer = TOKENIZERS[pre]
    shown = window(text, budget, tokenizer=tokenizer)
    assert len(shown.tokens) <= budget
    seen = tokenizer.decode(shown.tokens)
    assert len(seen) == len(text) - shown.dropped_chars
    return seen


def check_tail(text: str, budget: int, *, pre: str = "qwen2") -> str:
    """The window at the end of ``text`` is its end, within the budget; return what is shown."""
    seen = shown_by(tail_window, text, budget, pre)
    assert text.endswith(seen)
    return seen


def check_head(text: str, budget: int, *, pre: str = "qwen2") -> str:
    """The window at the start of ``text`` is its start, within the budget; return it."""
    seen = shown_by(head_window, text, budget, pre)
    assert text.startswith(seen)
    return seen


@pytest.mark.parametrize("pre", TOKENIZERS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_whole_lines_are_kept_and_most_of_the_budget_is_used(pre: str, end: str) -> None:
    text = numbered(300, end)
    for cursor in (len(text), len(text) - 9):
        seen = check_tail(text[:cursor], 256, pre=pre)
        assert text[: cursor - len(seen)].endswith("\n")
        assert len(TOKENIZERS[pre].encode(seen)) >= 256 * 0.6
    for cursor in (0, 9):
        seen = check_head(text[cursor:], 256, pre=pre)
        assert seen.endswith("\n")
        assert len(TOKENIZERS[pre].encode(seen)) >= 256 * 0.6


def test_what_fits_is_shown_whole() -> None:
    for text in ("", "x", "x\n", "\n", numbered(9), numbered(9)[:-1]):
        assert check_tail(text, 400) == text
        assert check_head(text, 400) == text


def test_nothing_is_shown_in_no_room() -> None:
    assert check_tail("abc", 0) == check_head("abc", 0) == ""


@pytest.mark.parametrize("line", ["x = foo(1, 2); " * 4000, "漢" * 9000, "🙂" * 9000, " " * 9000])
def test_a_line_longer_than_the_budget_is_cut_inside(line: str) -> None:
    for text in (line, line + "\n", "a\n" + line, line + "\nb"):
        assert len(check_tail(text, 100)) >= 12
    for text in (line, "\n" + line, line + "\na", "b\n" + line):
        assert len(check_head(text, 100)) >= 12


def starts_while_typing(text: str, start: int, step: int) -> list[int]:
    """Where the window starts, each time ``step`` more characters are typed."""
    return [
        tail_window(text[:cursor], 1024, tokenizer=QWEN).dropped_chars
        for cursor in range(start, len(text), step)
    ]


def changes(values: list[int]) -> int:
    return sum(a != b for a, b in pairwise(values))


def test_the_start_holds_still_while_lines_are_typed() -> None:
    text = numbered(400)
    starts = starts_while_typing(text, len(text) // 2, len(text) // 400)
    # A quarter of the budget is about ten such lines.
    assert changes(starts) <= len(starts) / 5
    assert starts == sorted(starts)


def test_the_start_holds_still_inside_a_long_line() -> None:
    starts = starts_while_typing("x = foo(1, 2); " * 700, 8000, 11)
    assert changes(starts) <= len(starts) / 5


def test_the_end_of_the_suffix_holds_still_while_the_cursor_moves_on() -> None:
    text = numbered(400)
    ends = [
        len(text) - head_window(text[cursor:], 1024, tokenizer=QWEN).dropped_chars
        for cursor in range(0, len(text) // 2, len(text) // 400)
    ]
    assert changes(ends) <= len(ends) / 5


def test_earlier_tokens_are_the_same_after_a_line_was_typed() -> None:
    text = numbered(300)
    fim = resolve("qwen2.5-coder", QWEN)
    kept = 0
    previous: tuple[int, ...] = ()
    cursors = range(6000, 7500, len(text) // 300)
    for cursor in cursors:
        request = CompletionRequest(prefix=text[:cursor], suffix=text[cursor:])
        tokens = render(request, tokenizer=QWEN, fim=fim, budget_tokens=400).tokens
        until_suffix = previous[: previous.index(fim.suffix)] if previous else ()
        kept += tokens[: len(until_suffix) - 2] == until_suffix[:-2]
        previous = tokens
    assert kept >= len(cursors) * 0.6


def test_a_huge_file_is_not_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = 0
    encode = QWEN.encode_fragment

    def counting(text: str) -> list[int]:
        nonlocal encoded
        encoded += len(text)
        return encode(text)

    monkeypatch.setattr(QWEN, "encode_fragment", counting)
    for text in (numbered(30_000), "x = 1; " * 150_000):
        encoded = 0
        check_tail(text, 100)
        check_head(text, 100)
        assert encoded < 5000


@given(
    text=st.text(st.sampled_from(list("ab =(\n\n\r\té漢🙂\0")), max_size=900),
    budget=st.integers(1, 200),
    pre=st.sampled_from(sorted(TOKENIZERS)),
)
@settings(deadline=None, max_examples=300)
def test_a_window_is_one_end_of_the_text(text: str, budget: int, pre: str) -> None:
    if pre == "qwen2":
        check_tail(text, budget)
        check_head(text, budget)
    else:
        # A cut before an indented line changes its tokens, and the budget goes first.
        for window in (tail_window, head_window):
            shown = window(text, budget, tokenizer=TOKENIZERS[pre])
            assert len(shown.tokens) <= budget


def test_a_cut_that_makes_more_tokens_stays_in_the_budget() -> None:
    # One token is a newline with the letter after it: cut between them, the letter is one more.
    joined = build_tokenizer(
        {
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": ["\n", "b", "\nb"],
            "tokenizer.ggml.scores": [-1.0, -1.0, -0.5],
        }
    )
    for budget in range(1, 40):
        shown = tail_window("\nb" * 64, budget, tokenizer=joined)
        assert budget // 2 <= len(shown.tokens) <= budget
