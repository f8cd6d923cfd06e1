"""The least edits between two texts make the one of the other, and touch nothing else."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill_server.fixing.edits import TextEdit, applied, edits_between, hunks, summary

_TEXTS = st.lists(
    st.sampled_from(["a", "b", "\n", "\r\n", "\r", "\t", " ", "é", "\U0001d538"])
).map("".join)


@given(_TEXTS, _TEXTS)
def test_edits_make_the_new_text(old: str, new: str) -> None:
    edits = edits_between(old, new)
    assert applied(old, edits) == new
    assert applied(old, hunks(old, new)) == new
    assert all(one.end <= other.start for one, other in pairwise(edits))


@given(_TEXTS)
def test_equal_texts_need_no_edit(text: str) -> None:
    assert edits_between(text, text) == ()


def test_only_what_differs_is_touched() -> None:
    old = "a\nb = colr(1)\nc\nd\n"
    new = "a\nb = color(1)\nc\ndd\n"
    assert edits_between(old, new) == (
        TextEdit(start=9, end=9, new="o"),
        TextEdit(start=17, end=17, new="d"),
    )


@pytest.mark.parametrize(
    ("old", "new"), [("a\r\nb\r\n", "a\r\nb\r\nc\r\n"), ("a\r\nb", "a\nb"), ("a\nb", "a\r\nb")]
)
def test_line_ends_of_two_characters_stay_whole(old: str, new: str) -> None:
    for edit in edits_between(old, new):
        for at in (edit.start, edit.end):
            assert old[at - 1 : at + 1] != "\r\n"


@pytest.mark.parametrize(
    ("old", "new", "title"),
    [
        ("return dataa\n", "return data\n", "dataa → data"),
        ("a\n", "import re\na\n", "insert import re"),
        ("import re\na\n", "a\n", "remove import re"),
        ("a\nb\nc\n", "aa\nb\ncc\n", "a → aa and 1 more"),
    ],
)
def test_titles_say_what_is_changed(old: str, new: str, title: str) -> None:
    edits = edits_between(old, new)
    assert summary(old, edits) == title


def test_a_title_is_one_short_line_of_what_can_be_printed() -> None:
    said = summary("x\n", edits_between("x\n", "\x1b[31m\u202e" + "y\n" * 80 + "x\n"))
    assert "\x1b" not in said
    assert "\n" not in said
    assert "\u202e" not in said
    assert len(said) < 100
