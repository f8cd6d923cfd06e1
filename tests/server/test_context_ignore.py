"""Which files of a workspace are looked at, and where nothing is ever completed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from midfill_server.exclusion.ignore import (
    MAX_FILE_BYTES,
    Ignore,
    midfillignore_names,
    repository_of,
)
from tests.server.files import write_files


class _Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def _kept(root: Path, *names: str) -> list[str]:
    """Return which of the files are looked at, and check that the walk's short way agrees."""
    ignore = Ignore([str(root)])
    kept: list[str] = []
    for name in names:
        path = root / name
        is_ignored = ignore.ignored(str(path))
        parents = [parent for parent in path.parents if parent.is_relative_to(root)]
        if not any(ignore.ignored(str(parent), folder=True) for parent in parents):
            short = ignore.ignores_here(str(path), folder=False, size_bytes=path.stat().st_size)
            assert short == is_ignored, name
        if not is_ignored:
            kept.append(name)
    return kept


def _check(root: Path, rules: dict[str, str], kept: str, ignored: str) -> None:
    files = [*kept.split(), *ignored.split()]
    write_files(root, rules | dict.fromkeys(files, "x"))
    assert _kept(root, *files) == kept.split()


def test_rules_of_gitignore(tmp_path: Path) -> None:
    rules = {".gitignore": "*.gen.py\n/top.py\nlogs/\n# no rule\n\ndocs/*.py\n!docs/conf.py\n"}
    _check(
        tmp_path,
        rules,
        kept="a.py sub/top.py sub/logs.py docs/conf.py docs/deep/a.py",
        ignored="a.gen.py sub/b.gen.py top.py logs/a.py sub/logs/a.py docs/a.py",
    )


def test_a_nearer_file_overrules_those_above_it(tmp_path: Path) -> None:
    rules = {".gitignore": "*.sql.py\n", "keep/.gitignore": "!*.sql.py\nown.py\n"}
    _check(
        tmp_path,
        rules,
        kept="keep/a.sql.py keep/below/b.sql.py own.py",
        ignored="a.sql.py other/a.sql.py keep/own.py",
    )


def test_what_lies_in_an_ignored_folder_cannot_be_taken_back(tmp_path: Path) -> None:
    rules = {".gitignore": "private/\n", "private/.gitignore": "!a.py\n"}
    _check(tmp_path, rules, kept="b.py", ignored="private/a.py private/deep/c.py")


def test_midfillignore_counts_more_than_gitignore(tmp_path: Path) -> None:
    rules = {".gitignore": "generated/*\n", ".midfillignore": "!generated/api.py\nsecret.py\n"}
    _check(tmp_path, rules, kept="generated/api.py a.py", ignored="generated/b.py secret.py")


def test_a_root_inside_of_a_repository_obeys_the_files_above_it(tmp_path: Path) -> None:
    write_files(tmp_path, {".git/HEAD": "", ".gitignore": "old.py\n", "part/old.py": "x"})
    assert _kept(tmp_path / "part", "old.py") == []


@pytest.mark.parametrize(
    "name",
    [
        "node_modules/a/index.js",
        "sub/.venv/a.py",
        "__pycache__/a.py",
        "target/debug/a.rs",
        "vendor/a.php",
        ".hidden.py",
        ".github/a.py",
        "a.min.js",
        "logo.png",
    ],
)
def test_what_no_rule_has_to_name(tmp_path: Path, name: str) -> None:
    write_files(tmp_path, {name: "x", "a.py": "x"})
    assert _kept(tmp_path, name, "a.py") == ["a.py"]


def test_huge_files_and_what_lies_outside(tmp_path: Path) -> None:
    large, largest = "x" * MAX_FILE_BYTES, "x" * (MAX_FILE_BYTES + 1)
    write_files(tmp_path, {"in/a.py": large, "in/b.py": largest, "out.py": "x", "inner/c.py": "x"})
    assert _kept(tmp_path / "in", "a.py", "b.py") == ["a.py"]
    ignore = Ignore([str(tmp_path / "in")])
    assert ignore.ignored(str(tmp_path / "out.py"))
    assert ignore.ignored(str(tmp_path / "inner" / "c.py"))


def test_a_root_may_itself_be_called_like_a_folder_of_tools(tmp_path: Path) -> None:
    root = tmp_path / ".config" / "build"
    write_files(root, {"a.py": "x"})
    assert _kept(root, "a.py") == ["a.py"]


def test_a_mistaken_line_does_not_take_the_others_away(tmp_path: Path) -> None:
    _check(tmp_path, {".gitignore": "!\nold.py\n"}, kept="a.py", ignored="old.py")


def test_a_changed_file_counts_a_second_later(tmp_path: Path) -> None:
    clock = _Clock()
    write_files(tmp_path, {"a.py": "x"})
    ignore = Ignore([str(tmp_path)], clock=clock)
    path = str(tmp_path / "a.py")
    assert not ignore.ignored(path)
    write_files(tmp_path, {".gitignore": "a.py\n"})
    assert not ignore.ignored(path)
    clock.now_s = 1.5
    assert ignore.ignored(path)


def test_where_nothing_is_ever_completed(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            ".gitignore": "git.py\n",
            ".midfillignore": "*.key.py\nprivate/\n!open.key.py\n",
            "sub/.midfillignore": "mine.py\n",
        },
    )
    named = [
        name
        for name in (
            "a.py",
            "a.key.py",
            "open.key.py",
            "private/b.py",
            "sub/mine.py",
            "mine.py",
            "git.py",
        )
        if midfillignore_names(str(tmp_path / name), [str(tmp_path)])
    ]
    assert named == ["a.key.py", "private/b.py", "sub/mine.py"]


def test_midfillignore_of_a_file_outside_of_the_workspace(tmp_path: Path) -> None:
    write_files(tmp_path, {".midfillignore": "*.py\n", "sub/a.py": "x"})
    assert midfillignore_names(str(tmp_path / "a.py"), [])
    assert not midfillignore_names(str(tmp_path / "sub" / "a.py"), [])
    (tmp_path / ".git").mkdir()
    assert midfillignore_names(str(tmp_path / "sub" / "a.py"), [])


def test_midfillignore_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = str(tmp_path / "a.py")
    write_files(tmp_path, {".midfillignore": "b.py\n"})
    assert not midfillignore_names(path, [str(tmp_path)])
    write_files(tmp_path, {".midfillignore": "b.py\na.py\n"})
    assert midfillignore_names(path, [str(tmp_path)])


def test_a_path_that_cannot_be_looked_at_is_in_no_repository() -> None:
    assert repository_of(f"{os.sep}{'x' * 5000}") is None
