"""What filling a text in does to the tree."""

from __future__ import annotations

import pytest

from midfill_server.syntax import breaks, join
from tests.server.syntax_marks import CURSOR, check_end, joined, tree_of

# A block that the text after the cursor closes: what follows the block's end is too much.
SIBLINGS: list[tuple[str, str, str, str]] = [
    ("python", "def f():\n    <|>\n", "return 1\n\n\ndef g():\n    return 2", "return 1"),
    (
        "javascript",
        "function f() {\n  <|>\n}\n",
        "return 1;\n}\n\nfunction g() {\n  return 2;",
        "return 1;",
    ),
    (
        "javascriptreact",
        "const A = () => {\n  <|>\n};\n",
        "return <a />;\n};\n\nconst B = () => {\n  return <b />;",
        "return <a />;",
    ),
    (
        "typescript",
        "function f(): number {\n  <|>\n}\n",
        "return 1;\n}\n\nfunction g(): number {\n  return 2;",
        "return 1;",
    ),
    (
        "typescriptreact",
        "function A(): Node {\n  <|>\n}\n",
        "return <a />;\n}\n\nfunction B(): Node {\n  return <b />;",
        "return <a />;",
    ),
    (
        "java",
        "class A {\n  int f() {\n    <|>\n  }\n}\n",
        "return 1;\n  }\n\n  int g() {\n    return 2;",
        "return 1;",
    ),
    ("c", "int f() {\n  <|>\n}\n", "return 1;\n}\n\nint g() {\n  return 2;", "return 1;"),
    ("cpp", "int f() {\n  <|>\n}\n", "return 1;\n}\n\nint A::g() {\n  return 2;", "return 1;"),
    (
        "csharp",
        "class A {\n  int F() {\n    <|>\n  }\n}\n",
        "return 1;\n  }\n\n  int G() {\n    return 2;",
        "return 1;",
    ),
    (
        "go",
        "func f() int {\n\t<|>\n}\n",
        "return 1\n}\n\nfunc g() int {\n\treturn 2",
        "return 1",
    ),
    ("rust", "fn f() -> i32 {\n    <|>\n}\n", "1\n}\n\nfn g() -> i32 {\n    2", "1"),
    (
        "php",
        "<?php\nfunction f() {\n  <|>\n}\n",
        "return 1;\n}\n\nfunction g() {\n  return 2;",
        "return 1;",
    ),
    ("ruby", "def f\n  <|>\nend\n", "1\nend\n\ndef g\n  2", "1"),
    ("shellscript", "f() {\n  <|>\n}\n", "echo a\n}\n\ng() {\n  echo b", "echo a"),
]


@pytest.mark.parametrize(("language_id", "marked", "middle", "inside"), SIBLINGS)
def test_a_sibling_behind_the_block_is_outside(
    language_id: str, marked: str, middle: str, inside: str
) -> None:
    check_end(language_id, marked, middle, inside)
    check_end(language_id, marked, inside, None)


@pytest.mark.parametrize(("language_id", "marked", "middle", "inside"), SIBLINGS)
def test_a_middle_that_closes_the_block_again_has_errors(
    language_id: str, marked: str, middle: str, inside: str
) -> None:
    right, wrong = joined(language_id, marked, inside), joined(language_id, marked, inside + " (")
    assert right.new_errors <= 0
    assert right.whole
    assert wrong.new_errors > 0
    assert not wrong.whole


def test_what_nothing_else_closes_is_closed_by_the_middle() -> None:
    unclosed = "class A {\n  int f() {\n    <|>\n"
    check_end(
        "java", unclosed, "return 1;\n  }\n\n  int g() {\n    return 2;\n  }\n}", "return 1;\n  }"
    )
    check_end("ruby", "def f\n  <|>\n", "1\nend\n\nputs f", "1\nend")


def test_a_nested_block_ends_where_the_indentation_does() -> None:
    check_end(
        "python",
        "def f():\n    if a:\n        b = <|>\n",
        "1\n        c = 2\n    return 3",
        "1\n        c = 2",
    )


def test_an_else_is_outside_of_the_block_before() -> None:
    check_end("javascript", "if (a) {\n  <|>\n}", "b();\n} else {\n  c();", "b();")


def test_a_comment_behind_the_block_is_no_code() -> None:
    check_end("python", "def f():\n    <|>\n", "x = 1\n    # done\n", None)


def test_offsets_in_the_middle_are_characters() -> None:
    check_end(
        "python", "# 漢字 😀\ndef f():\n    <|>\n", "é = '😀'\n\n\ndef g():\n    pass", "é = '😀'"
    )


def test_errors_elsewhere_do_not_count() -> None:
    found = joined("python", "x = = 1\n\ndef f():\n    <|>\n", "return 1")
    assert found.new_errors == 0
    assert not found.whole


def test_a_middle_fits_if_it_leaves_nothing_wrong() -> None:
    elsewhere = "x = = 1\n\ndef f():\n    y = <|>\n"
    assert joined("python", elsewhere, "(1)").fits
    assert not joined("python", elsewhere, "(1").fits
    assert not joined("python", elsewhere, "").fits
    assert joined("python", "def f():\n    y = <|>\n", "1").fits
    unclosed = "class A {\n  void f() {\n    int x = <|>\n"
    assert joined("java", unclosed, "1;").fits
    assert not joined("java", unclosed, "1 +;").fits


def test_of_a_long_class_the_part_around_the_cursor_tells_what_fits() -> None:
    methods = "".join(f"  int f{index}(int a) {{\n    return a;\n  }}\n\n" for index in range(500))
    marked = f"class A {{\n{methods}  int f() {{\n    int x = {CURSOR};\n  }}\n\n{methods}}}\n"
    assert joined("java", marked, "f(1)").fits
    assert not joined("java", marked, "f(1").fits


def test_what_repairs_the_text_has_fewer_errors() -> None:
    found = joined("python", "x = <|>\n", "1")
    assert found.new_errors < 0
    assert found.whole


@pytest.mark.parametrize("middle", ["", " ", "\n\n", "# only a comment"])
def test_a_middle_without_code_ends_nothing(middle: str) -> None:
    check_end("python", "def f():\n    x = 1\n    <|>\n", middle, None)


def test_in_a_long_file_the_neighbourhood_tells_the_same() -> None:
    others = "".join(f"def f{index}(a):\n    return a + {index}\n\n\n" for index in range(1000))
    marked = f"{others}def f():\n    {CURSOR}\n\n\n{others}"
    check_end("python", marked, "return 1\n\n\ndef g():\n    return 2", "return 1")
    assert joined("python", marked, "return (1").new_errors > 0
    assert joined("python", marked, "return (1)").whole


def test_breaking_is_of_a_text_that_was_whole() -> None:
    whole, broken = tree_of("python", "def f():\n    \n"), tree_of("python", "x = = 1\n\n")
    assert breaks(whole, 13, "return (")
    assert not breaks(whole, 13, "return (1)")
    assert not breaks(broken, 9, "return (")
    assert not breaks(None, 0, "(")


def test_without_a_tree_there_is_nothing_to_join() -> None:
    assert join(None, 0, "x") is None
