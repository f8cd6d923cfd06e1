"""Which lines of a document are kept for a long prompt, and where what follows may be cut."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from midfill_server.landmarks import breaks, landmarks
from midfill_server.syntax import SyntaxTree, language_of

PYTHON = '''\
import os
from sys import (
    argv,
    path,
)

LIMIT = 3


@dataclass
class Table(Base):
    """All rows."""

    rows: list[str]

    def size(self) -> int:
        return len(self.rows)

    @override
    def draw(
        self,
        to: Screen,
    ) -> None:
        for row in self.rows:
            to.<|>put(row)
        to.show()

    def clear(self) -> None:
        self.rows = []


def main():
    Table().draw(screen)
'''
TYPESCRIPT = """\
import { a } from "./a";
import b from "b";

export class Table extends Base {
  rows: string[] = [];

  draw(to: Screen): void {
    for (const row of this.rows) {
      to.<|>put(row);
    }
  }

  clear(): void {
    this.rows = [];
  }
}
"""
GO = """\
package main

import "fmt"

type Table struct {
	rows []string
}

func (t *Table) Draw(to Screen) {
	for _, row := range t.rows {
		to.<|>Put(row)
	}
}

func main() {
	fmt.Println(1)
}
"""


def parsed(marked: str, language: str) -> tuple[SyntaxTree | None, str, int]:
    """The tree and text of ``before<|>after``, and where the cursor is."""
    text = marked.replace("<|>", "")
    return SyntaxTree.parse(text, language_of(language)), text, marked.index("<|>")


def check(marked: str, language: str, *expected: str) -> None:
    """The landmarks at the cursor are ``expected``, in this order."""
    tree, text, cursor = parsed(marked, language)
    for prefix_start in (0, 5):
        found = landmarks(tree, prefix_start, cursor)
        shown = [text[prefix_start + mark.start : prefix_start + mark.end] for mark in found]
        kept = [line for line in expected if text.index(line) >= prefix_start]
        assert [part.rstrip() for part in shown] == kept


def check_breaks(marked: str, language: str, *expected: str) -> None:
    """Units end right after each of ``expected``, and nowhere else."""
    tree, text, cursor = parsed(marked, language)
    suffix = text[cursor:]
    ends = breaks(tree, cursor, len(suffix))
    assert list(ends) == [suffix.index(line) + len(line) for line in expected]
    assert breaks(tree, cursor, ends[0]) == ends[:1]


def test_headers_around_the_cursor_come_first_and_then_imports() -> None:
    check(
        PYTHON,
        "python",
        "@override\n    def draw(\n        self,\n        to: Screen,\n    ) -> None:",
        "@dataclass\nclass Table(Base):",
        "import os",
        "from sys import (\n    argv,\n    path,\n)",
    )
    check(
        TYPESCRIPT,
        "typescript",
        "draw(to: Screen): void {",
        "export class Table extends Base {",
        'import { a } from "./a";',
        'import b from "b";',
    )
    check(GO, "go", "func (t *Table) Draw(to Screen) {", 'import "fmt"')


def test_units_behind_the_cursor_end_where_they_end() -> None:
    check_breaks(PYTHON, "python", "to.show()", "self.rows = []", "draw(screen)")
    check_breaks(TYPESCRIPT, "typescript", "    }\n  }", "= [];\n  }", "}\n}")
    check_breaks(GO, "go", "\t}\n}", "Println(1)\n}")


def test_without_a_tree_nothing_is_known() -> None:
    assert landmarks(None, 0, 10) == ()
    assert breaks(None, 5, 10) == ()
    check("a = <|>1", "python")


@given(
    text=st.lists(
        st.sampled_from([*PYTHON.split("\n"), "\N{PILE OF POO}", "\0", "\r"]), max_size=40
    ).map("\n".join),
    data=st.data(),
)
@settings(deadline=None, max_examples=100)
def test_any_text_gives_places_within_it(text: str, data: st.DataObject) -> None:
    tree = SyntaxTree.parse(text, language_of("python"))
    cursor = data.draw(st.integers(0, len(text)))
    prefix_start = data.draw(st.integers(0, cursor))
    for mark in landmarks(tree, prefix_start, cursor):
        assert 0 <= mark.start < mark.end <= cursor - prefix_start
    ends = breaks(tree, cursor, len(text) - cursor)
    assert list(ends) == sorted({end for end in ends if 0 < end <= len(text) - cursor})
