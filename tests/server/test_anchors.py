from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from midfill_server import anchors as module
from midfill_server.anchors import Anchors, Split, fresh
from tests.server.desk import CURSOR


@pytest.fixture
def at_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a new anchor lie at the start of the cursor's line, which makes short examples."""
    monkeypatch.setattr(module, "_LINES_ABOVE", 0)


def parts(anchors: Anchors, marked: str, uri: str = "a") -> tuple[str, str, str]:
    split = anchors.split(uri, marked.replace(CURSOR, "", 1), marked.index(CURSOR))
    return split.prefix, split.typed, split.suffix


def test_a_place_is_split_some_lines_above() -> None:
    before = "".join(f"line {number}\n" for number in range(10))
    assert parts(Anchors(), before + "  b <|>c\nd") == (
        before[:42],
        before[42:] + "  b ",
        "c\nd",
    )
    # Not above a line that is long, nor above the start of the file.
    long = "x" * 400
    assert parts(Anchors(), f"a\n{long}\nb\nc<|>") == (f"a\n{long}\n", "b\nc", "")
    assert parts(Anchors(), "a\nb<|>") == ("", "a\nb", "")


@pytest.mark.usefixtures("at_the_line")
def test_a_place_is_split_at_the_start_of_a_line() -> None:
    assert parts(Anchors(), "a\n  b <|>c\nd") == ("a\n", "  b ", "c\nd")
    assert parts(Anchors(), "a\r\n  b <|>c\r\nd") == ("a\r\n", "  b ", "c\r\nd")
    assert parts(Anchors(), "a\r\n<|>") == ("a\r\n", "", "")
    assert parts(Anchors(), "<|>") == ("", "", "")


@pytest.mark.usefixtures("at_the_line")
@pytest.mark.parametrize(
    ("then", "typed"),
    [
        ("a\nb = c<|>\nd", "b = c"),
        ("a\nb<|>\nd", "b"),
        ("a\nb = {\n  c<|>\nd", "b = {\n  c"),
        # What an editor closes by itself is not shown: the model is to write it.
        ("a\nb = (<|>)\nd", "b = ("),
        ("a\nb = ([{'<|>'}])\nd", "b = ([{'"),
    ],
)
def test_typing_and_deleting_leave_the_split_where_it_is(then: str, typed: str) -> None:
    anchors = Anchors()
    parts(anchors, "a\nb = <|>\nd")
    assert parts(anchors, then) == ("a\n", typed, "\nd")


@pytest.mark.parametrize(
    "then",
    [
        "a\n<|>b = \nd",  # the cursor went back
        "a<|>\nb = \nd",
        "x\nb = <|>\nd",
        "aa\nb = <|>\nd",
        "a\nb = <|>\nd and more",
        "a\nb = <|>\nd)",
        "a\nb = <|>)",
        "a\nb = <|>",
        "a\nb = x<|>y\nd",
        "a\nb = <|>)))))))))\nd",  # too many to have come by themselves
    ],
)
def test_another_place_or_an_edit_elsewhere_is_split_anew(then: str) -> None:
    anchors = Anchors()
    parts(anchors, "a\nb = <|>\nd")
    assert parts(anchors, then) == parts(Anchors(), then)


def test_an_end_of_file_that_was_written_on_is_split_anew() -> None:
    anchors = Anchors()
    parts(anchors, "b = <|>\n")
    assert parts(anchors, "b = 1<|>\nimport os\n") == ("", "b = 1", "\nimport os\n")
    parts(anchors, "b = <|>")
    assert parts(anchors, "b = (<|>)") == ("", "b = (", "")
    assert parts(anchors, "b = (<|>)\n") == ("", "b = (", ")\n")


@pytest.mark.usefixtures("at_the_line")
def test_what_was_typed_may_be_only_so_long() -> None:
    anchors = Anchors()
    parts(anchors, "a\n<|>\n")
    line = "x" * module._MAX_TYPED_CHARACTERS
    assert parts(anchors, f"a\n{line}<|>\n") == ("a\n", line, "\n")
    assert parts(anchors, f"a\n{line}x<|>\n") == (f"a\n{line}x", "", "\n")
    assert parts(anchors, f"a\n{line}xy<|>\n") == (f"a\n{line}x", "y", "\n")


@pytest.mark.usefixtures("at_the_line")
def test_the_text_around_is_a_window_of_whole_lines() -> None:
    line = "word " * 20 + "\n"
    text = line * 3000
    split = fresh(text, 1500 * len(line) + 4)
    for window in (split.prefix, split.suffix.partition("\n")[2]):
        assert 60_000 < len(window) < 70_000
        assert window.startswith("word ")
        assert window.endswith("\n")
    assert split.typed == "word"


@pytest.mark.usefixtures("at_the_line")
def test_looking_moves_nothing_and_moving_does() -> None:
    anchors = Anchors()
    parts(anchors, "a\nb<|>\n")
    looked = anchors.look("a", "x\nb\nc\n", 5)
    assert looked == fresh("x\nb\nc\n", 5)
    assert parts(anchors, "a\nbb<|>\n") == ("a\n", "bb", "\n")
    anchors.move("a", Split(prefix="a\nbb\n", typed="", suffix="\n", start=5))
    assert parts(anchors, "a\nbb\nc<|>\n") == ("a\nbb\n", "c", "\n")


@pytest.mark.usefixtures("at_the_line")
def test_documents_have_anchors_of_their_own() -> None:
    anchors = Anchors()
    parts(anchors, "a\n<|>", "a")
    parts(anchors, "b\n\n<|>", "b")
    assert parts(anchors, "a\nx\n<|>", "a") == ("a\n", "x\n", "")
    anchors.forget("a")
    anchors.forget("never seen")
    assert parts(anchors, "a\nx\n<|>", "a") == ("a\nx\n", "", "")


@pytest.mark.usefixtures("at_the_line")
def test_the_documents_of_long_ago_are_forgotten() -> None:
    anchors = Anchors()
    for number in range(200):
        parts(anchors, "a\n<|>", str(number))
    assert parts(anchors, "a\nx\n<|>", "199") == ("a\n", "x\n", "")
    assert parts(anchors, "a\nx\n<|>", "0") == ("a\nx\n", "", "")
    anchors.forget_all()
    assert parts(anchors, "a\nx\n<|>", "199") == ("a\nx\n", "", "")


edits = st.lists(
    st.one_of(
        st.tuples(st.just("type"), st.text(alphabet="ab(\n", min_size=1, max_size=4)),
        st.tuples(st.just("close"), st.sampled_from([")", "'}", "\r\n", "zz"])),
        st.tuples(st.just("delete"), st.integers(1, 5)),
        st.tuples(st.just("jump"), st.integers(0, 200)),
        st.tuples(st.just("cut the end"), st.integers(0, 60)),
        st.tuples(st.just("look"), st.integers(0, 200)),
    ),
    max_size=40,
)


@given(text=st.text(alphabet="ab)\n\r", max_size=80), edits=edits)
@example(text="", edits=[("type", "a"), ("close", ")"), ("type", "b"), ("close", "zz")])
def test_a_split_is_always_the_text_around_the_cursor(
    text: str, edits: list[tuple[str, int | str]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_WINDOW_CHARACTERS", 40)
        patch.setattr(module, "_MAX_TYPED_CHARACTERS", 12)
        patch.setattr(module, "_FRESH_CHARACTERS", 8)
        anchors, cursor = Anchors(), len(text) // 2
        for kind, what in edits:
            if kind == "type":
                text = text[:cursor] + str(what) + text[cursor:]
                cursor += len(str(what))
            elif kind == "close":
                text = text[:cursor] + str(what) + text[cursor:]
            elif kind == "delete":
                start = max(cursor - int(what), 0)
                text, cursor = text[:start] + text[cursor:], start
            elif kind == "cut the end":
                text = text[: cursor + int(what)]
            else:
                cursor = int(what) % (len(text) + 1)
            looked = anchors.look("a", text, cursor)
            check(looked, text, cursor)
            if kind != "look":
                assert anchors.split("a", text, cursor) == looked


def check(split: Split, text: str, cursor: int) -> None:
    assert text[split.start : cursor] == split.typed
    assert len(split.typed) <= 12
    assert text[:cursor].endswith(split.prefix + split.typed)
    assert len(split.prefix) == split.start or split.start > 40
    place = next(
        skip
        for skip in range(9)
        if text.startswith(split.suffix, cursor + skip)
        and (len(split.suffix) == len(text) - cursor - skip or len(text) - cursor - skip > 40)
    )
    assert set(text[cursor : cursor + place]) <= set(")]}>'\"`")
    assert len(split.prefix) <= 40
    assert len(split.suffix) <= 40
