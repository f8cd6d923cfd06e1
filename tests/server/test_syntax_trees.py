"""Trees: kept up from edit to edit, for any text, in code points, bounded."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midfill_server.syntax import (
    SyntaxTree,
    Trees,
    definitions,
    enclosing,
    imports,
    join,
    language_of,
    place_at,
)
from midfill_server.syntax.grammars import GRAMMARS
from midfill_server.syntax.tree import MAX_CHARS
from tests.server.syntax_marks import tree_of

PIECES = st.sampled_from(
    [
        *"(){}[]\"'`#/*\\:;,.<>=$@|&!~?%^+- \t\n",
        *("\r\n", "\r", "\0", "é", "漢", "😀", "\ud800", "\u2028", "\ufeff", "a", "x1", "0"),
        *("def f(a):\n    ", "class A", "if x:\n", "return 1", "import a", "from a import (b)\n"),
        *('"""', "'''", "/**", "*/", "//", "f'{", "`${", "#{", "$(", "<?php\n", "?>", "<<EOF\n"),
        *(
            "function f() {\n  ",
            "fn f() {",
            "func f() {",
            "end\n",
            "fi\n",
            "done",
            "do |x|",
            "then",
        ),
        *("int f(int a) {", "public class A {", "=> {", "let x = ", "foo(", "});\n", "EOF\n"),
        *("#if A\n", "#define A \\\n", 'R"x(', ')x"', 'r#"', '$"', '@"', "case 1:", "<div>"),
    ]
)
TEXTS = st.lists(PIECES, max_size=40).map("".join)
LANGUAGES = st.sampled_from(sorted(GRAMMARS))


@settings(max_examples=300, deadline=None)
@given(language_id=LANGUAGES, before=TEXTS, data=st.data())
def test_an_edited_tree_is_the_tree_of_the_new_text(
    language_id: str, before: str, data: st.DataObject
) -> None:
    tree = tree_of(language_id, before)
    for _ in range(3):
        text = tree.text
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(start + 8, len(text))))
        text = text[:start] + data.draw(TEXTS) + text[end:]
        tree = tree.edited(text)
        assert tree.text == text
    fresh = tree_of(language_id, tree.text)
    assert (tree.errors == 0) == (fresh.errors == 0)
    if fresh.errors == 0:
        # What tree-sitter makes of a wrong text depends on what it knew before.
        assert str(tree.root) == str(fresh.root)


@settings(max_examples=300, deadline=None)
@given(language_id=LANGUAGES, text=TEXTS, middle=TEXTS, data=st.data())
def test_nothing_ever_raises(language_id: str, text: str, middle: str, data: st.DataObject) -> None:
    tree = tree_of(language_id, text)
    cursor = data.draw(st.integers(0, len(text)))
    place_at(tree, text, cursor)
    for unit in (*enclosing(tree, cursor), *imports(tree)):
        assert 0 <= unit.start <= unit.header_end <= unit.end <= len(text)
    for one in definitions(tree):
        assert 0 <= one.start <= one.end <= len(text)
        assert "\n" not in one.signature
        assert one.name
    joined = join(tree, cursor, middle)
    assert joined is not None
    assert joined.whole == (joined.new_errors + tree.errors == 0)
    end = joined.closes_at
    assert end is None or 0 <= end < len(middle)


@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
def test_offsets_and_bytes_lead_to_each_other(text: str) -> None:
    text *= 30
    tree = tree_of("python", text)
    at = 0
    for offset, character in enumerate(text):
        assert tree.byte_of(offset) == at
        assert tree.offset_of(at) == offset
        at += len(character.encode("utf-8", "replace"))
    assert tree.byte_of(len(text)) == at == len(tree.data)
    assert tree.offset_of(at) == len(text)


def ids(tree: SyntaxTree) -> set[int]:
    found: set[int] = set()
    pending = [tree.root]
    while pending:
        node = pending.pop()
        found.add(node.id)
        pending += node.children
    return found


@pytest.mark.parametrize(
    ("language_id", "definition"),
    [
        ("python", "def f{}(a):\n    return a + 1\n\n\n"),
        ("javascript", "function f{}(a) {{\n  return a + 1;\n}}\n\n"),
        ("go", "func f{}(a int) int {{\n\treturn a + 1\n}}\n\n"),
    ],
)
def test_most_of_what_an_edit_does_not_touch_is_not_parsed_again(
    language_id: str, definition: str
) -> None:
    text = "".join(map(definition.format, range(200)))
    at = text.index("a + 1", len(text) // 2)
    tree = tree_of(language_id, text)
    before = ids(tree)
    edited = tree.edited(text[:at] + "b + " + text[at:])
    # A node that was taken over lies in both trees at the same place in memory.
    assert len(before & ids(edited)) > len(before) / 2
    assert tree.text == text


def test_the_same_text_is_the_same_tree() -> None:
    tree = tree_of("python", "x = 1")
    assert tree.edited("x = 1") is tree


def test_a_tree_lasts_while_other_threads_read_it() -> None:
    tree = tree_of("python", "def f():\n    return 1\n" * 100)
    found: list[int] = []

    def read() -> None:
        found.append(len(definitions(tree)))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for index in range(20):
        tree.edited(tree.text + f"x{index} = (")
    for thread in threads:
        thread.join()
    assert found == [100] * 4


@pytest.mark.parametrize("language_id", ["plaintext", "lua", "markdown", "", "yaml"])
def test_without_a_grammar_there_is_no_tree(language_id: str) -> None:
    assert SyntaxTree.parse("x = 1", language_of(language_id)) is None
    assert Trees().tree("file:///x", language_id, "x = 1") is None


def test_a_text_of_any_length_is_no_reason_to_wait() -> None:
    trees = Trees()
    assert trees.tree("file:///a.py", "python", "x" * (MAX_CHARS + 1)) is None
    assert trees.tree("file:///a.py", "python", "x = 1") is not None
    assert trees.tree("file:///a.py", "python", "x" * (MAX_CHARS + 1)) is None


def test_a_text_that_takes_too_long_is_given_up_until_it_is_another() -> None:
    trees = Trees(limit_s=0.0)
    text = "x = 1\n" * 20_000
    assert trees.tree("file:///a.py", "python", text) is None
    assert trees.tree("file:///a.py", "python", "x = 1") is not None
    patient = Trees()
    assert patient.tree("file:///a.py", "python", text) is not None


def test_an_edit_that_takes_too_long_is_given_up_as_well() -> None:
    trees = Trees(limit_s=0.0)
    text = "x = 1\n" * 20_000
    assert trees.tree("file:///a.py", "python", "x = 1") is not None
    assert trees.tree("file:///a.py", "python", text) is None
    assert trees.tree("file:///a.py", "python", text + "y") is None
    assert trees.tree("file:///a.py", "python", "x = 1") is not None


def test_with_a_limit_the_tree_is_the_same() -> None:
    text = "def f():\n    return 'é😀'\n" * 9000
    whole = SyntaxTree.parse(text, language_of("python"))
    within = SyntaxTree.parse(text, language_of("python"), limit_s=600)
    assert whole is not None
    assert within is not None
    assert str(within.root) == str(whole.root)
    new = text.replace("return", "yield", 1)
    edited = within.edited_within(new, limit_s=600)
    assert edited is not None
    assert str(edited.root) == str(whole.edited(new).root)


def test_few_documents_are_kept() -> None:
    trees = Trees(limit=2)
    first = trees.tree("file:///1.py", "python", "x = 1")
    assert trees.tree("file:///1.py", "python", "x = 1") is first
    trees.tree("file:///2.py", "python", "x = 1")
    trees.tree("file:///3.py", "python", "x = 1")
    assert trees.tree("file:///1.py", "python", "x = 1") is not first


def test_a_closed_document_is_forgotten_and_another_language_is_another_tree() -> None:
    trees = Trees()
    first = trees.tree("file:///a", "python", "x = 1")
    assert first is not None
    other = trees.tree("file:///a", "go", "x = 1")
    assert other is not None
    assert other.language.id == "go"
    trees.forget("file:///a")
    assert trees.tree("file:///a", "go", "x = 1") is not other


def test_of_a_long_text_only_the_part_around_the_cursor_is_tried_out() -> None:
    text = "".join(f"def f{index}(a):\n    return a + {index}\n\n\n" for index in range(2000))
    tree = tree_of("python", text)
    cursor = text.index("a + 1000")
    part, at = tree.near(cursor)
    assert len(part.text) < 20_000
    assert part.text[at:].startswith("a + 1000\n")
    assert part.errors == 0
    assert part.text.startswith("def ")
    assert tree.near(cursor)[0] is part


def test_a_part_of_a_file_is_parsed_as_what_it_is() -> None:
    text = "<?php\n" + "".join(
        f"function f{index}($a) {{\n  return $a + {index};\n}}\n\n" for index in range(2000)
    )
    part, at = tree_of("php", text).near(text.index("$a + 1000"))
    assert part.errors == 0
    assert part.text[at:].startswith("$a + 1000;\n")


def test_a_part_does_not_begin_within_a_string() -> None:
    prose = "Some words of prose (and an open bracket\n" * 400
    text = f'def f():\n    """Doc.\n\n{prose}"""\n    return 1\n'
    tree = tree_of("python", text)
    part, _ = tree.near(text.index("return 1"))
    assert len(part.text) < len(text)
    assert "return 1" in part.text


def test_a_character_that_a_grammar_has_no_place_for_does_not_end_the_process() -> None:
    for language in GRAMMARS:
        known = language_of(language)
        for first in range(0x80, 0x110000, 0x1000):
            if 0xD800 <= first < 0xE000:
                continue
            text = f"{{{chr(first)}..{chr(first)}}}\n"
            assert SyntaxTree.parse(text, known) is not None
    script = SyntaxTree.parse("f() {\n  echo é😀\n}\n", language_of("shellscript"))
    assert script is not None
    assert [unit.name for unit in enclosing(script, 10)] == ["f"]
    assert script.errors == 0
