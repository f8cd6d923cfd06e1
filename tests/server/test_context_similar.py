"""How files are cut into passages, and which of them are like the surroundings of a cursor."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill_server.context.passages import (
    MAX_LINES,
    Lines,
    Passage,
    block_around,
    passages,
    words_of,
)
from midfill_server.context.similar import Pool, distinct
from midfill_server.syntax import SyntaxTree, language_of

_PYTHON = language_of("python")


def _passage(text: str, path: str = "a.py", line: int = 0) -> Passage:
    return Passage(path=path, line=line, text=text, words=words_of(text, _PYTHON))


def _ranked(query: str, *texts: str, without: str = "") -> list[str]:
    pool = Pool()
    for number, text in enumerate(texts):
        pool.put(f"{number}.py", (_passage(text, f"{number}.py"),))
    words = dict.fromkeys(words_of(query, _PYTHON), 1.0)
    return [one.passage.text for one in pool.rank(words, without=without)]


def check(query: str, expected: list[str], *texts: str) -> None:
    """Assert which of the texts share something with the query, the most alike first."""
    assert _ranked(query, *texts) == expected


def test_what_shares_more_is_more_alike() -> None:
    check("one two three", ["one two three", "one two", "one"], "one", "one two three", "one two")
    check("one two", [], "three four")


def test_what_says_much_else_is_less_alike() -> None:
    check("one two", ["one two", "one two aaa bbb ccc"], "one two aaa bbb ccc", "one two")


def test_a_rare_name_says_more_than_a_usual_one() -> None:
    usual = [f"usual name{n}" for n in range(6)]
    assert _ranked("usual rare", *usual, "rare name9")[0] == "rare name9"


def test_what_weighs_more_counts_more() -> None:
    pool = Pool()
    pool.put("a", (_passage("one aaa", "a"),))
    pool.put("b", (_passage("two bbb", "b"),))
    for heavy in ("one", "two"):
        words = {"one": 1.0, "two": 1.0, heavy: 3.0}
        assert heavy in pool.rank(words)[0].passage.words


def test_the_file_itself_is_left_out_and_a_removed_one_forgotten() -> None:
    assert _ranked("one", "one", without="0.py") == []
    pool = Pool()
    pool.put("a", (_passage("one"),))
    pool.put("a", (_passage("two"),))
    assert [one.passage.text for one in pool.rank({"one": 1.0, "two": 1.0})] == ["two"]
    pool.remove("a")
    pool.remove("a")
    assert pool.rank({"two": 1.0}) == []
    assert pool.paths == frozenset()


def test_a_passage_that_is_in_no_pool_can_be_compared() -> None:
    (one,) = Pool().score({"one": 1.0, "two": 1.0}, [_passage("one two")])
    assert one.score == pytest.approx(1)
    (one,) = Pool().score({"one": 1.0}, [_passage("two")])
    assert one.score == 0


def test_of_near_duplicates_one_is_enough() -> None:
    words = " ".join(f"name{n}" for n in range(30))
    pool = Pool()
    pool.put("a", (_passage(words, "a"), _passage(words + " more", "a", 9), _passage("name1", "a")))
    ranked = pool.rank({f"name{n}": 1.0 for n in range(30)})
    assert [one.passage.text for one in distinct(ranked, 5)] == [words, "name1"]
    assert len(distinct(ranked, 1)) == 1


_SOURCE = '''\
import os


class A:
    """Text."""

    def one(self):
        return 1

    def two(self):

        return 2


def three():
    return 3
'''


def _cut(text: str, *, parsed: bool = True) -> list[str]:
    tree = SyntaxTree.parse(text, _PYTHON) if parsed else None
    return [one.text for one in passages("a.py", text, tree, _PYTHON)]


def test_a_small_file_is_one_passage() -> None:
    assert _cut(_SOURCE) == [_SOURCE]


def test_a_large_file_is_cut_where_definitions_begin() -> None:
    found = _cut("".join(_SOURCE.replace("three", f"f{n}") for n in range(8)))
    assert len(found) > 3
    starts = [text.split("\n")[0].split()[0] for text in found]
    assert set(starts) <= {"import", "class", "def"}
    assert all(text.endswith("\n") and not text.startswith("\n") for text in found)


@pytest.mark.parametrize("parsed", [True, False])
def test_no_passage_is_long(parsed: bool) -> None:
    found = _cut("def f():\n" + "    name = 1\n" * 500, parsed=parsed)
    assert sum(text.count("\n") for text in found) == 501
    assert max(text.count("\n") for text in found) <= MAX_LINES


@given(st.text("ab1 \n\t(", max_size=200))
def test_every_line_with_a_name_is_in_one_passage(text: str) -> None:
    text += "\nname"
    found = passages("a.py", text, None, _PYTHON)
    lines = text.split("\n")
    covered = [n for one in found for n in range(one.line, one.line + one.text.count("\n"))]
    assert len(covered) == len(set(covered))
    assert all(one.text.strip("\n").split("\n")[0] in lines for one in found)
    assert any("name" in one.words for one in found)


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (7, "    def one(self):\n        return 1\n"),
        (16, "def three():\n    return 3\n"),
        (0, "import os\n"),
    ],
)
def test_the_block_around_a_line(first: int, expected: str) -> None:
    lines = Lines.of(_SOURCE)
    block = block_around(lines, first, first)
    assert expected in lines.text(block.start, block.stop)
    assert first in block


@given(st.text("a \n}\t", max_size=300), st.integers(0, 80), st.integers(0, 80))
def test_a_block_is_never_long(text: str, first: int, last: int) -> None:
    lines = Lines.of(text)
    block = block_around(lines, first, max(first, last))
    assert 0 <= block.start < block.stop <= len(lines.lines)
    assert len(block) <= max(MAX_LINES, 0)


def test_comparing_twenty_files_takes_little_time() -> None:
    pool = Pool()
    for file in range(20):
        texts = [" ".join(f"word{(file * 7 + n * k) % 900}" for n in range(60)) for k in range(10)]
        found = [_passage(text, str(file), line) for line, text in enumerate(texts)]
        pool.put(str(file), found)
    words = {f"word{n}": 1.0 for n in range(60)}
    took_s: list[float] = []
    for _ in range(10):
        began_s = time.process_time()
        assert pool.rank(words)
        took_s.append(time.process_time() - began_s)
    # A few times what it takes, since machines differ.
    assert min(took_s) < 0.005
