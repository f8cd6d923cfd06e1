"""Which folders a walk meets, in which order."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from midfill_server.context.walk import walk
from midfill_server.exclusion.ignore import Ignore
from tests.server.files import write_files


def _walked(root: Path, *near: str) -> list[str]:
    """Return the files of a walk by their paths below the root, in its order."""
    folders = walk([str(root)], Ignore([str(root)]), [str(root / name) for name in near])
    return [
        Path(file.path).relative_to(root).as_posix() for folder in folders for file in folder.files
    ]


def test_every_file_once_the_upper_folders_first(tmp_path: Path) -> None:
    write_files(tmp_path, dict.fromkeys(("b.py", "a.py", "z/deep/e.py", "z/d.py", "c/f.py"), "x"))
    assert _walked(tmp_path) == ["a.py", "b.py", "c/f.py", "z/d.py", "z/deep/e.py"]


def test_what_is_near_the_open_files_comes_first(tmp_path: Path) -> None:
    names = ("a/a.py", "z/one/x.py", "z/two/y.py", "top.py")
    write_files(tmp_path, dict.fromkeys(names, "x"))
    expected = ["z/two/y.py", "z/one/x.py", "top.py", "a/a.py"]
    assert _walked(tmp_path, "z/two/open.py") == expected


def test_ignored_folders_are_not_entered(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            ".gitignore": "private/\n",
            "private/a.py": "x",
            "node_modules/m/b.js": "x",
            "strange/pyvenv.cfg": "",
            "strange/lib/c.py": "x",
            "kept/d.py": "x",
        },
    )
    assert _walked(tmp_path) == ["kept/d.py"]
    # Not even where a file in there is open.
    assert _walked(tmp_path, "node_modules/m/b.js", "private/a.py") == ["kept/d.py"]


@pytest.mark.skipif(sys.platform == "win32", reason="making links needs a privilege there")
def test_links_in_circles_end(tmp_path: Path) -> None:
    write_files(tmp_path, {"a/b.py": "x"})
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "again").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "nowhere.py").symlink_to(tmp_path / "missing.py")
    assert _walked(tmp_path) == ["a/b.py"]


def test_roots_that_are_missing_or_hold_each_other(tmp_path: Path) -> None:
    write_files(tmp_path, {"a/b.py": "x", "c.py": "x"})
    roots = [str(tmp_path / "a"), str(tmp_path), str(tmp_path / "missing")]
    folders = list(walk(roots, Ignore(roots)))
    assert [Path(file.path).name for folder in folders for file in folder.files] == ["b.py", "c.py"]


def test_a_found_file_has_the_time_of_its_last_change(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.py": "four"})
    (folder,) = walk([str(tmp_path)], Ignore([str(tmp_path)]))
    (found,) = folder.files
    assert found.changed_ns == (tmp_path / "a.py").stat().st_mtime_ns


def test_a_walk_rests_at_every_file(tmp_path: Path) -> None:
    write_files(tmp_path, dict.fromkeys(("a.py", "b.py", "c/d.py"), "x"))
    rests: list[None] = []
    list(walk([str(tmp_path)], Ignore([str(tmp_path)]), rest=lambda: rests.append(None)))
    assert len(rests) >= 4


def test_only_what_is_wanted_is_found(tmp_path: Path) -> None:
    write_files(tmp_path, dict.fromkeys(("a.py", "b.csv", "c/d.csv"), "x"))
    folders = walk([str(tmp_path)], Ignore([str(tmp_path)]), wants=lambda path: path.endswith("y"))
    assert [[Path(file.path).name for file in folder.files] for folder in folders] == [["a.py"], []]


def test_there_is_an_end_to_many_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, {f"a/{n}/b.py": "x" for n in range(20)} | {"z/near.py": "x"})
    monkeypatch.setattr("midfill_server.context.walk._MAX_FOLDERS", 5)
    found = _walked(tmp_path, "z/open.py")
    assert found[0] == "z/near.py"
    assert len(found) < 5


def test_the_root_of_a_disk_is_walked_from_the_open_file_on(tmp_path: Path) -> None:
    write_files(tmp_path, {"a/b.py": "x"})
    folders = walk([tmp_path.anchor], Ignore([tmp_path.anchor]), [str(tmp_path / "a" / "b.py")])
    assert next(folders).path == str(tmp_path / "a")
