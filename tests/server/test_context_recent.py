"""Where somebody worked lately: the places move with the text, and are few."""

from __future__ import annotations

import gc
import random

from hypothesis import given
from hypothesis import strategies as st

from midfill_server.context.edits import Edit, edit_between
from midfill_server.context.passages import MAX_LINES
from midfill_server.context.recent import RecentPlace, RecentPlaces
from midfill_server.document import Snapshot


class _Clock:
    now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1
        return self.now_s


def _snapshot(text: str, uri: str = "a") -> Snapshot:
    return Snapshot.of(text, uri=uri, language_id="python")


def _file(*functions: str) -> str:
    return "".join(f"def {name}():\n    x = 1\n    return '{name}'\n\n\n" for name in functions)


def _opened(*files: tuple[str, str]) -> RecentPlaces:
    recent = RecentPlaces(_Clock())
    for uri, text in files:
        recent.opened(_snapshot(text, uri))
    return recent


def _texts(recent: RecentPlaces, *, without: str = "") -> list[str]:
    return [place.text for place in recent.places(without=without)]


def check(before: str, after: str, expected: tuple[int, int, int]) -> None:
    """Assert which lines an edit replaced: the first, the last of before, the last of after."""
    edit = edit_between(_snapshot(before), _snapshot(after))
    assert edit is not None
    assert (edit.first, edit.old_last, edit.new_last) == expected


def test_which_lines_an_edit_replaced() -> None:
    check("a\nb\nc\n", "a\nbx\nc\n", (1, 1, 1))
    check("a\nb\nc\n", "a\nb\nx\nc\n", (2, 2, 3))
    check("a\nb\nc\n", "a\nc\n", (1, 2, 1))
    check("", "a\nb", (0, 0, 1))
    check("a\r\nb", "a\r\nbb", (1, 1, 1))
    assert edit_between(_snapshot("a"), _snapshot("a")) is None


@given(st.text("ab\n", max_size=30), st.integers(0, 30), st.integers(0, 5), st.text("ab\n"))
def test_untouched_lines_stay_what_they_were(text: str, at: int, cut: int, new: str) -> None:
    after = text[:at] + new + text[at + cut :]
    edit = edit_between(_snapshot(text), _snapshot(after))
    if edit is None:
        assert text == after
        return
    old, now = text.split("\n"), after.split("\n")
    for line, content in enumerate(old):
        moved = edit.moved(line)
        if moved is not None:
            assert now[moved] == content
        else:
            assert edit.first <= line <= edit.old_last


def test_an_edit_makes_a_place_of_the_block_around_it() -> None:
    text = _file("one", "two", "three")
    recent = _opened(("a", text))
    edit = recent.changed(_snapshot(text.replace("'two'", "'TWO'")))
    assert edit == Edit(first=7, old_last=7, new_last=7)
    (place,) = recent.places()
    assert place.text == "def two():\n    x = 1\n    return 'TWO'\n"
    assert (place.text_line, place.first_line, place.edited) == (5, 7, True)


def test_the_latest_comes_first_and_the_own_file_not_at_all() -> None:
    text = _file("one")
    recent = _opened(("a", text), ("b", text), ("c", text))
    for uri in "abc":
        recent.changed(_snapshot(text.replace("1", "2"), uri))
    recent.changed(_snapshot(text.replace("1", "3"), "a"))
    assert [place.uri for place in recent.places()] == ["a", "c", "b"]
    assert [place.uri for place in recent.places(without="c")] == ["a", "b"]


def test_a_place_moves_with_what_is_edited_above_and_shows_the_text_of_now() -> None:
    text = _file(*(f"f{n}" for n in range(20)))
    recent = _opened(("a", text))
    recent.visited("a", text[: text.index("def f15")].count("\n"))
    after = "import a\nimport b\n\n" + text.replace("'f15'", "'here'")
    recent.changed(_snapshot("import a\nimport b\n\n" + text))
    recent.changed(_snapshot(after))
    assert "def f15():\n    x = 1\n    return 'here'\n" in _texts(recent)


def test_places_near_each_other_are_one() -> None:
    text = _file("one", "two")
    recent = _opened(("a", text))
    for end in range(1, 5):
        recent.changed(_snapshot(text.replace("x = 1", "x = 1" * end)))
    recent.visited("a", 1)
    assert len(_texts(recent)) == 1


def test_a_look_does_not_make_an_edit_a_look() -> None:
    text = _file("one")
    recent = _opened(("a", text))
    recent.changed(_snapshot(text.replace("1", "2")))
    recent.visited("a", 1)
    assert [place.edited for place in recent.places()] == [True]


def test_a_closed_document_is_kept_if_somebody_was_there() -> None:
    recent = _opened(("a", _file("one")), ("b", _file("two")))
    recent.visited("a", 0)
    recent.closed("a")
    recent.closed("b")
    assert _texts(recent) == ["def one():\n    x = 1\n    return 'one'\n"]
    assert recent.snapshots() == ()


def test_what_is_not_open_is_nowhere() -> None:
    recent = _opened()
    recent.visited("a", 3)
    recent.closed("a")
    assert recent.changed(_snapshot("x")) is None
    assert _texts(recent) == []


def test_places_and_texts_are_bounded() -> None:
    chance = random.Random(1)
    recent = _opened()
    long = "def f():\n" + "    x = 1\n" * 500
    for number in range(100):
        uri = f"f{number}"
        recent.opened(_snapshot(long, uri))
        for line in range(0, 500, 50):
            recent.visited(uri, line)
        if chance.random() < 0.8:
            recent.closed(uri)
    found = list(recent.places())
    assert 0 < len(found) <= 24
    assert all(place.text.count("\n") <= MAX_LINES for place in found)


def test_a_line_behind_the_end_is_the_last_one() -> None:
    recent = _opened(("a", "x = 1\ny = 2\n"))
    recent.visited("a", 99)
    assert [type(place) for place in recent.places()] == [RecentPlace]


def test_old_texts_are_given_back_also_where_only_some_places_are_looked_at() -> None:
    recent = RecentPlaces(_Clock())
    for number in range(400):
        recent.opened(_snapshot(f"x = {number}\n", f"old{number % 20}"))
        recent.changed(_snapshot(f"x = {number}!\n", f"old{number % 20}"))
        next(recent.places())
    # What is only waiting to be collected is not held.
    gc.collect()
    # Some libraries' objects warn when they are asked what they are an instance of.
    held = [each for each in gc.get_objects() if type(each) is Snapshot]
    assert sum(each.uri.startswith("old") for each in held) < 200
