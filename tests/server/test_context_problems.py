"""Which diagnostics are told, and that none is about a text that has changed since."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from midfill_server.context.edits import Edit
from midfill_server.context.problems import Problem, Problems


def _problem(line: int, message: str = "wrong", *, severity: int = 1, lines: int = 1) -> Problem:
    return Problem(first_line=line, last_line=line + lines - 1, message=message, severity=severity)


def _typed(line: int, more: int = 0) -> Edit:
    return Edit(first=line, old_last=line, new_last=line + more)


def check(problems: list[Problem], line: int, *expected: str) -> Problems:
    """Assert what is told near a line."""
    known = Problems()
    known.told("a", problems)
    assert known.near("a", line) == expected
    return known


def test_the_nearest_are_told_in_the_order_of_the_text() -> None:
    far = [_problem(line, f"at {line}") for line in (0, 3, 9, 12, 40)]
    check(far, 10, "error: at 3", "error: at 9", "error: at 12")
    check(far, 60)


def test_errors_count_more_than_warnings_and_hints_nothing() -> None:
    found = [_problem(5, "hint", severity=4), _problem(5, "odd", severity=2), _problem(9, "bad")]
    check(found, 5, "warning: odd", "error: bad")


def test_a_message_is_one_line_and_said_once() -> None:
    found = [_problem(1, "two\n  lines " + "x" * 500), _problem(1, "same"), _problem(2, "same")]
    (long, same) = check(found, 1, *_near(found)).near("a", 1)
    assert long.startswith("error: two lines xx")
    assert len(long) < 200
    assert same == "error: same"


def _near(problems: list[Problem]) -> tuple[str, ...]:
    known = Problems()
    known.told("a", problems)
    return known.near("a", 1)


def test_a_code_is_told() -> None:
    found = Problem(first_line=0, last_line=0, message="no", code="E1")
    check([found], 0, "error: no (E1)")


def test_what_is_edited_is_not_wrong_any_more_and_the_rest_moves() -> None:
    known = check([_problem(2, "a"), _problem(5, "b")], 5, "error: a", "error: b")
    known.changed("a", _typed(2, more=20), 1)
    assert known.near("a", 25) == ("error: b",)
    assert known.near("a", 5) == ()


def test_an_edit_inside_of_a_problem_touches_it() -> None:
    known = check([_problem(2, "a", lines=5)], 4, "error: a")
    known.changed("a", _typed(4), 1)
    assert known.near("a", 4) == ()


def test_a_report_about_an_older_text_is_brought_up_to_date() -> None:
    known = Problems()
    known.changed("a", _typed(2), 1)
    known.changed("a", _typed(0, more=1), 2)
    known.told("a", [_problem(2, "a"), _problem(4, "b")], version=0)
    assert known.near("a", 5) == ("error: b",)
    known.told("a", [_problem(3, "c")], version=2)
    assert known.near("a", 3) == ("error: c",)


def test_a_report_that_is_far_too_old_is_ignored() -> None:
    known = Problems()
    for version in range(1, 200):
        known.changed("a", _typed(50), version)
    known.told("a", [_problem(2)], version=3)
    assert known.near("a", 2) == ()
    known.told("a", [_problem(2)], version=199)
    assert known.near("a", 2) == ("error: wrong",)


def test_a_newer_report_takes_the_place_and_documents_are_bounded() -> None:
    known = check([_problem(2)], 2, "error: wrong")
    known.told("a", [])
    assert known.near("a", 2) == ()
    for number in range(100):
        known.told(str(number), [_problem(0)])
    assert known.near("0", 0) == ()
    assert known.near("99", 0) == ("error: wrong",)
    known.forget("99")
    assert known.near("99", 0) == ()


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3), st.integers(0, 3)), max_size=20))
def test_what_is_left_lies_in_the_text(edits: list[tuple[int, int, int]]) -> None:
    known = Problems()
    known.told("a", [_problem(line, str(line)) for line in range(30)])
    lines = [str(line) for line in range(40)]
    for version, (first, old, new) in enumerate(edits):
        known.changed("a", Edit(first=first, old_last=first + old, new_last=first + new), version)
        lines[first : first + old + 1] = [""] * (new + 1)
    for at, line in enumerate(lines):
        if line and int(line) < 30:
            assert f"error: {line}" in known.near("a", at)
