from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill_server.suggestions import Suggestion, Suggestions
from tests.server.desk import CURSOR


def plain(marked: str) -> tuple[str, int]:
    return marked.replace(CURSOR, "", 1), marked.index(CURSOR)


def made(marked: str, said: str, *, done: bool = True, uri: str = "a") -> Suggestion:
    suggestion = Suggestion.at(uri, *plain(marked))
    suggestion.text, suggestion.done = said, done
    return suggestion


def find(store: Suggestions, marked: str, uri: str = "a") -> str | None:
    suggestion = store.find(uri, *plain(marked))
    return None if suggestion is None else suggestion.rest(*plain(marked))


def rest(marked: str, said: str, then: str, *, done: bool = True) -> str | None:
    return made(marked, said, done=done).rest(*plain(then))


@pytest.mark.parametrize(
    ("then", "expected"),
    [
        ("x = <|>\n", "f(a)"),
        ("x = f<|>\n", "(a)"),
        ("x = f(a)<|>\n", ""),
        ("x = g<|>\n", None),
        ("x = f(a) <|>\n", None),
        ("x =<|>\n", None),
        ("y = f<|>\n", None),
        ("x = f<|>(\n", None),
        ("x = f<|>\nmore", None),
        ("x = f<|>", None),
        (" x = f<|>\n", None),
    ],
)
def test_the_rest_is_right_where_all_else_is_as_it_was(then: str, expected: str | None) -> None:
    assert rest("x = <|>\n", "f(a)", then) == expected


@pytest.mark.parametrize(
    ("said", "then", "expected"),
    [
        ("f(a, b)", "x = f(<|>)\n", "a, b"),
        ("f(a, g(b))", "x = f(<|>)\n", "a, g(b)"),
        ("f(a, g(b))", "x = f(a, g(<|>))\n", "b"),
        ("f(a)(b)", "x = f(<|>)\n", "a"),
        ("[1, 2][0]", "x = [<|>]\n", "1, 2"),
        ("{ a: 1 }", "x = {<|>}\n", " a: 1 "),
        ("{\n  a,\n}", "x = {<|>}\n", "\n  a,"),
        ('"a" + "b"', 'x = "<|>"\n', "a"),
        ('print("a")', 'x = print("<|>")\n', "a"),
        (r'"a\"b" + c', 'x = "<|>"\n', r"a\"b"),
        ("Vec<Vec<u8>>", "x = Vec<<|>>\n", "Vec<u8>"),
        # Not closed in it, or not yet: all of it is right.
        ("f(a,", "x = f(<|>)\n", "a,"),
        # A word is not what an editor puts there.
        ("f(a)", "x = f(<|>end\n", None),
        ("f()", "x = f(<|>)\n", ""),
    ],
)
def test_what_an_editor_closed_is_not_closed_again(
    said: str, then: str, expected: str | None
) -> None:
    assert rest("x = <|>\n", said, then) == expected


def test_brackets_that_were_there_before_are_no_news() -> None:
    assert rest("f(<|>)\n", "g(a)", "f(g(<|>)\n") == "a)"
    assert rest("f(<|>)\n", "g(a)", "f(g(<|>))\n") == "a"
    assert rest("f(<|>)", "a", "f(a<|>)") == ""


@pytest.mark.parametrize(
    ("said", "typed", "expected"),
    [
        ("a\nb", "a\r\n", "b"),
        ("a\r\nb\r\nc", "a\n", "b\r\nc"),
        ("a\r\nb\nc\r\nd", "a\r\nb", "\nc\r\nd"),
        ("a\r\nb", "", "a\r\nb"),
        ("a\nb\nc", "a\r\nb\r\nc", ""),
        ("\r\n\r\n\r\na", "\r\n\r\n", "\r\na"),
        ("a\nb", "a\r\nb\r\nc", None),
    ],
)
def test_line_ends_may_be_written_either_way(said: str, typed: str, expected: str | None) -> None:
    assert rest("<|>\r\nend", said, f"{typed}<|>\r\nend") == expected


def test_while_it_grows_it_may_still_come_to_the_cursor() -> None:
    assert rest("<|>", "", "abc<|>", done=False) == ""
    assert rest("<|>", "ab", "abc<|>", done=False) == ""
    assert rest("<|>", "abcd", "abc<|>", done=False) == "d"
    assert rest("<|>", "ax", "abc<|>", done=False) is None
    assert rest("<|>", "ab", "abc<|>") is None


def test_only_what_stands_near_has_to_be_as_it_was() -> None:
    far, near = "a" * 100, "b" * 3000
    suggestion = made(f"{far}{near}<|>{near}{far}", "text")
    assert suggestion.rest(*plain(f"{far.upper()}{near}t<|>{near}changed and longer")) == "ext"
    assert suggestion.rest(*plain(f"{far}{near[:-1]}Xt<|>{near}{far}")) is None
    assert suggestion.rest(*plain(f"{far}{near}t<|>X{near[1:]}{far}")) is None


def test_the_latest_that_has_something_to_say_is_found() -> None:
    store = Suggestions()
    assert find(store, "x<|>") is None
    store.add(made("x<|>", "yz"))
    store.add(made("z<|>", ""))
    store.add(made("x<|>", "y", uri="b"))
    assert find(store, "x<|>") == "yz"
    assert find(store, "z<|>") == ""  # asked for there, and it was nothing
    assert find(store, "zz<|>") is None
    assert find(store, "xyz<|>") is None  # all of it is typed
    store.add(made("x<|>", "y2"))
    assert find(store, "x<|>") == "y2"
    assert find(store, "x<|>", "b") == "y"
    store.forget("b")
    assert find(store, "x<|>", "b") is None
    assert find(store, "x<|>") == "y2"
    store.forget()
    assert find(store, "x<|>") is None


def test_one_whose_rest_is_blank_is_no_answer() -> None:
    store = Suggestions()
    store.add(made("<|>", "a  b"))
    store.add(made("a<|>", "  "))
    assert find(store, "a<|>") == "  b"


def test_the_one_that_was_useful_least_lately_makes_room() -> None:
    store = Suggestions(most=2)
    first, second, third = (made(f"{name}<|>", "text") for name in "abc")
    store.add(first)
    store.add(second)
    assert find(store, "a<|>") == "text"
    store.add(third)
    assert find(store, "b<|>") is None
    assert (find(store, "a<|>"), find(store, "c<|>")) == ("text", "text")
    store.drop(first)
    store.drop(first)
    assert find(store, "a<|>") is None


def test_the_latest_is_of_the_same_document_and_not_behind_the_cursor() -> None:
    store = Suggestions()
    older, newer = made("ab<|>", "1"), made("abc<|>", "2")
    store.add(older)
    store.add(newer)
    assert store.latest("a", 3) is newer
    assert store.latest("a", 2) is older
    assert store.latest("a", 1) is None
    assert store.latest("b", 9) is None


@given(
    said=st.text(alphabet="ab(\n )\"'", max_size=20),
    typed=st.text(alphabet="ab(\n )\"'", max_size=20),
    closers=st.text(alphabet=")\"'", max_size=3),
    along=st.integers(0, 20),
)
def test_typed_and_rest_are_always_a_beginning_of_what_was_said(
    said: str, typed: str, closers: str, along: int
) -> None:
    for keys in (typed, said[:along], said[:along] + typed):
        found = rest("f(<|>)\n", said, f"f({keys}<|>{closers})\n")
        if found is not None:
            assert said.startswith(keys + found)
        elif not closers:
            assert not said.startswith(keys)


def test_a_growing_text_is_shown_as_one_that_grows() -> None:
    generator = random.Random(1)
    for _ in range(300):
        said = "".join(generator.choices("ab(\n )", k=12))
        typed = said[: generator.randrange(12)]
        shown = ""
        for size in range(13):
            now = rest("<|>", said[:size], f"{typed}<|>)", done=False)
            assert now is not None
            assert now.startswith(shown.rstrip("\n")), (said, typed)
            shown = now
