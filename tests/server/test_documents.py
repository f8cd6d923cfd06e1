from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill_server.document import (
    DocumentStore,
    LineTable,
    PositionEncoding,
    Snapshot,
    offset_at,
    position_at,
)

TEXTS = st.text(alphabet="ab\r\n\u2028\x0cé漢😀\ud800", max_size=30)


def lines_of(text: str) -> list[str]:
    table = LineTable.of(text)
    return [text[slice(*table.span(line, text))] for line in range(table.count)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [""]),
        ("a", ["a"]),
        ("a\nb\r\nc\rd", ["a", "b", "c", "d"]),
        ("\n\r\n\r", ["", "", "", ""]),
        ("a\x0cb\u2028c\x85d\x1ce\n", ["a\x0cb\u2028c\x85d\x1ce", ""]),
        ("\r\r\n\n", ["", "", "", ""]),
    ],
)
def test_only_three_line_ends_count(text: str, expected: list[str]) -> None:
    assert lines_of(text) == expected


def answers(table: LineTable, text: str) -> object:
    lines = range(table.count)
    return (
        table.length,
        [(table.start_of(line), table.span(line, text)) for line in lines],
        [table.line_of(offset) for offset in range(len(text) + 1)],
    )


@given(text=TEXTS, edits=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), TEXTS), max_size=8))
def test_edits_give_the_table_that_a_new_scan_gives(
    text: str, edits: list[tuple[float, float, str]]
) -> None:
    snapshot = Snapshot.of(text)
    for one, other, new in edits:
        start, end = sorted(round(part * len(snapshot.text)) for part in (one, other))
        text = snapshot.text[:start] + new + snapshot.text[end:]
        snapshot = snapshot.edited(start, end, new)
        assert snapshot.text == text
        assert answers(snapshot.lines, text) == answers(LineTable.of(text), text)


@pytest.mark.parametrize("cursors", [(4,), (4, 12), (12, 4), (0, 15), (6, 7)])
@pytest.mark.parametrize("typed", ["xyz", "x\n", "\r\n", "\r", "\n\r"])
def test_typing_at_several_places_gives_the_table_that_a_new_scan_gives(
    cursors: tuple[int, ...], typed: str
) -> None:
    snapshot = Snapshot.of("one\ntwo\r\n\rfour\n\n")
    for at in cursors:
        for place, key in enumerate(typed, at):
            snapshot = snapshot.edited(place, place, key)
            expected = answers(LineTable.of(snapshot.text), snapshot.text)
            assert answers(snapshot.lines, snapshot.text) == expected


def test_typing_within_a_line_copies_no_line_starts() -> None:
    first = Snapshot.of("one\ntwo\nthree")
    second = first.edited(5, 5, "x")
    assert second.edited(6, 7, "yz").lines.base is second.lines.base is first.lines.base


@pytest.mark.parametrize(
    ("encoding", "character", "expected"),
    [
        ("utf-16", 0, 0),
        ("utf-16", 1, 1),
        ("utf-16", 2, 1),  # in the middle of a surrogate pair
        ("utf-16", 3, 2),
        ("utf-16", 4, 3),
        ("utf-8", 3, 1),  # in the middle of four bytes
        ("utf-8", 5, 2),
        ("utf-8", 6, 2),  # in the middle of two bytes
        ("utf-8", 7, 3),
        ("utf-32", 2, 2),
        ("utf-16", 99, 4),
        ("utf-8", 99, 4),
        ("utf-32", 99, 4),
    ],
)
def test_positions_in_a_line_with_wide_characters(
    encoding: str, character: int, expected: int
) -> None:
    text = "x\na😀éb\r\n"
    lines = LineTable.of(text)
    assert offset_at(text, lines, 1, character, PositionEncoding(encoding)) == 2 + expected


@pytest.mark.parametrize("encoding", list(PositionEncoding))
def test_a_position_behind_the_end_means_the_end(encoding: PositionEncoding) -> None:
    text = "a\nbc"
    lines = LineTable.of(text)
    assert offset_at(text, lines, 0, 2**31 - 1, encoding) == 1
    assert offset_at(text, lines, 1, 2**31 - 1, encoding) == 4
    assert offset_at(text, lines, 2, 0, encoding) == 4
    assert offset_at(text, lines, 2**31 - 1, 5, encoding) == 4
    assert offset_at("", LineTable.of(""), 0, 0, encoding) == 0


@given(text=TEXTS, encoding=st.sampled_from(list(PositionEncoding)), data=st.data())
def test_offset_and_position_are_inverse(
    text: str, encoding: PositionEncoding, data: st.DataObject
) -> None:
    lines = LineTable.of(text)
    offset = data.draw(st.integers(0, len(text)))
    line, character = position_at(text, lines, offset, encoding)
    back = offset_at(text, lines, line, character, encoding)
    in_line_end = text[offset - 1 : offset + 1] == "\r\n"
    assert back == (offset - 1 if in_line_end else offset)
    content = text[lines.start_of(line) : back].encode("utf-16-le", "surrogatepass")
    if encoding is PositionEncoding.UTF16:
        assert character == len(content) // 2


def test_a_snapshot_outlives_the_edits_after_it() -> None:
    store = DocumentStore()
    first = Snapshot.of("one", uri="u", version=1)
    store.put(first)
    store.put(first.edited(0, 3, "two").with_version(2))
    now = store.get("u")
    assert (first.text, first.version) == ("one", 1)
    assert now is not None
    assert (now.text, now.version) == ("two", 2)
    store.close("u")
    store.close("u")
    assert store.get("u") is None
