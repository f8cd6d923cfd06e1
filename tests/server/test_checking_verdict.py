"""Verdicts on fixes, from findings that are written down here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from midfill_server.checking.finding import Finding, Places
from midfill_server.checking.verdict import LineEdit, is_apart, line_edits, reproduced, verdict
from midfill_server.document import PositionEncoding


def finding(
    line: int, message: str, code: str = "F821", *, severity: str = "error", source: str = "ruff"
) -> Finding:
    return Finding(
        first_line=line,
        first_column=0,
        last_line=line,
        last_column=3,
        message=message,
        code=code,
        source=source,
        severity=severity,
    )


def edit(first: int, last: int, new_first: int, new_last: int) -> LineEdit:
    return LineEdit(first=first, last=last, new_first=new_first, new_last=new_last)


A, B = finding(3, "undefined name `a`"), finding(5, "undefined name `b`")


def test_what_is_gone_is_removed() -> None:
    said = verdict([A, B], [B], A, (edit(3, 4, 3, 4),))
    assert said.is_good


def test_lines_that_moved_are_the_same_lines() -> None:
    moved = finding(9, B.message)
    assert verdict([A, B], [moved], A, (edit(0, 0, 0, 4),)).is_good


def test_what_is_still_there_is_not_removed() -> None:
    assert not verdict([A, B], [A, B], A, (edit(3, 4, 3, 4),)).removed
    # Nor if it only stands in another line now.
    assert not verdict([A, B], [finding(4, A.message), B], A, (edit(3, 3, 3, 4),)).removed
    assert not verdict([A, B], [finding(12, A.message), B], A, ()).is_good


def test_the_same_problem_elsewhere_does_not_stand_for_this_one() -> None:
    twin = finding(20, A.message)
    edits = (edit(3, 4, 3, 4),)
    assert verdict([A, twin], [twin], A, edits).is_good
    assert not verdict([A, twin], [A], A, edits).is_good
    assert not verdict([A, A], [A], A, edits).is_good


def test_what_is_new_is_added() -> None:
    new = finding(3, "undefined name `c`")
    said = verdict([A, B], [B, new], A, (edit(3, 4, 3, 4),))
    assert said.removed
    assert said.added == (new,)
    assert not said.is_good
    twice = finding(6, B.message)
    assert verdict([A, B], [B, twice], A, ()).added == (twice,)


def test_hints_are_no_reason_against_a_fix() -> None:
    hint = finding(3, "`x` is not accessed", severity="hint")
    assert verdict([A], [hint], A, ()).is_good


def test_what_was_never_found_cannot_be_removed() -> None:
    assert not verdict([B], [B], A, ()).removed


def test_what_an_editor_shows_is_found_again() -> None:
    shown = finding(4, "Undefined name `b`.", source="Ruff")
    assert reproduced([A, B], shown) == B
    # Another kind of blanks, and more than the tool says itself.
    long = finding(3, "undefined name `a`\n\xa0\xa0nothing of that name\xa0was imported")
    assert reproduced([A, B], long) == A
    # The same message far away is another one, as is another name at the same place.
    assert reproduced([A], finding(30, A.message)) is None
    assert reproduced([A], finding(3, "undefined name `z`")) is None
    assert reproduced([A], finding(3, "something else entirely", code="E501")) is None
    assert reproduced([], shown) is None


def test_of_two_that_say_the_same_the_nearer_one_is_meant() -> None:
    near = finding(6, A.message)
    assert reproduced([A, near], finding(5, A.message)) == near


@pytest.mark.parametrize(
    ("line", "message", "apart"),
    [
        (0, "`os` imported but unused", True),
        (3, "Trailing whitespace", True),
        # In a line that was edited, or about a name of one, old or new.
        (2, "Trailing whitespace", False),
        (0, "`total` imported but unused", False),
        (3, "undefined name `count`", False),
        (3, "undefined name `counts`", True),
    ],
)
def test_what_is_in_other_lines_and_about_other_names_is_apart(
    line: int, message: str, apart: bool
) -> None:
    old = "import os\n\nif count\n    f()\n"
    new = "import os\n\nif total:\n    f()\n"
    assert is_apart(finding(line, message), line_edits(old, new), old, new) is apart


def test_what_reaches_into_an_edited_line_is_not_apart() -> None:
    old, new = "a\nb\nc\n", "a\nB\nc\n"
    long = replace(finding(0, "too long"), last_line=1)
    assert not is_apart(long, line_edits(old, new), old, new)
    # Where lines went, the one that stands there now counts.
    assert not is_apart(finding(1, "odd"), line_edits("a\nb\nc\n", "a\nc\n"), "a\nb\nc\n", "a\nc\n")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("a\nb\nc\n", "a\nb\nc\n", ()),
        ("a\nb\nc\n", "a\nX\nc\n", (edit(1, 2, 1, 2),)),
        ("a\r\nb\r\nc", "a\r\nc", (edit(1, 2, 1, 1),)),
        ("a\nb\nc\nd\n", "new\na\nb\nX\nd\n", (edit(0, 0, 0, 1), edit(2, 3, 3, 4))),
        ("", "a\n", (edit(0, 0, 0, 1),)),
    ],
)
def test_line_edits(old: str, new: str, expected: tuple[LineEdit, ...]) -> None:
    assert line_edits(old, new) == expected


def test_places_of_every_encoding_become_columns() -> None:
    text = "é🙂x = 1\r\n"
    for encoding, column in (
        (PositionEncoding.UTF8, 6),
        (PositionEncoding.UTF16, 3),
        (PositionEncoding.UTF32, 2),
    ):
        one = Places(text, encoding).finding((0, column), None, message="m", code="", source="s")
        assert one.first_column == 2
    # Behind the end, and in front of the start.
    places = Places(text, PositionEncoding.UTF8)
    behind = places.finding((9, 9), (0, 0), message="m", code="", source="s")
    assert (behind.first_line, behind.first_column, behind.last_line) == (1, None, 1)
    assert places.finding((-1, -1), None, message="m", code="", source="s").first_line == 0
