"""The shadow of a project: one file differs, and the project never does."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from midfill_server.checking import shadow as shadows
from midfill_server.checking.base import CheckFailedError
from midfill_server.checking.shadow import make_scratch, remove, scratch, shadow_of, sweep


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name in ("settings.toml", "app/one.py", "app/inner/two.py", "other/three.py", ".git/HEAD"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


def test_one_file_differs(project: Path, temporary: Path) -> None:
    path = project / "app/inner/two.py"
    with shadow_of(str(project), str(path), "new \ud800 é\r\n") as shadow:
        top = Path(shadow.folder)
        assert top.name == "project"
        assert Path(shadow.path) == top / "app/inner/two.py"
        assert Path(shadow.path).read_bytes() == "new ? é\r\n".encode()
        assert not Path(shadow.path).is_symlink()
        for name in ("settings.toml", "app/one.py", "other/three.py"):
            assert (top / name).read_text() == name
        # Real folders are those on the way, and no others.
        assert not (top / "app/inner").is_symlink()
        assert (top / "app/one.py").resolve() == (project / "app/one.py").resolve()
        assert not (top / ".git").exists()
    assert path.read_text() == "app/inner/two.py"
    assert (project / "other/three.py").exists()
    assert list(temporary.iterdir()) == []


def test_a_new_file_in_a_new_folder(project: Path) -> None:
    path = project / "new/folder/odd name ü'\".py"
    with shadow_of(str(project), str(path), "text") as shadow:
        assert Path(shadow.path).read_text() == "text"
        assert (Path(shadow.folder) / "app/one.py").exists()
    assert not (project / "new").exists()


def test_a_folder_on_the_way_may_be_a_link(project: Path) -> None:
    (project / "linked").symlink_to(project / "app", target_is_directory=True)
    path = project / "linked/one.py"
    with shadow_of(str(project), str(path), "new") as shadow:
        assert Path(shadow.path).read_text() == "new"
        assert (Path(shadow.folder) / "linked/inner/two.py").exists()
    assert (project / "app/one.py").read_text() == "app/one.py"


def test_a_file_that_is_a_link_is_not_followed(project: Path) -> None:
    (project / "link.py").symlink_to(project / "app/one.py")
    with shadow_of(str(project), str(project / "link.py"), "new") as shadow:
        assert Path(shadow.path).read_text() == "new"
    assert (project / "app/one.py").read_text() == "app/one.py"


def test_what_a_tool_writes_to_is_copied(project: Path) -> None:
    (project / "lock").write_text("locked")
    (project / "kept").mkdir()
    (project / "kept/state").write_text("state")
    path = str(project / "app/one.py")
    with shadow_of(str(project), path, "new", copied=("lock", "kept")) as shadow:
        (Path(shadow.folder) / "lock").write_text("changed")
        (Path(shadow.folder) / "kept/state").write_text("changed")
    assert (project / "lock").read_text() == "locked"
    assert (project / "kept/state").read_text() == "state"


def test_it_is_gone_after_a_failure_too(project: Path, temporary: Path) -> None:
    def fail() -> None:
        with shadow_of(str(project), str(project / "app/one.py"), "new"):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(temporary.iterdir()) == []


def test_a_folder_of_too_many_files_has_no_shadow(
    project: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadows, "MAX_ENTRIES", 10)
    for number in range(20):
        (project / f"other/{number}").touch()

    def shade(name: str) -> None:
        with shadow_of(str(project), str(project / name), "new"):
            pass

    # Beside the way there may be any number.
    shade("app/one.py")
    with pytest.raises(CheckFailedError, match="too many"):
        shade("other/three.py")
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("path", ["../elsewhere.py", "."])
def test_a_path_outside_has_no_shadow(project: Path, path: str) -> None:
    with (
        pytest.raises(CheckFailedError, match="does not lie in"),
        shadow_of(str(project), str(project / path), "new"),
    ):
        pass


def test_what_a_killed_server_left_is_swept(temporary: Path) -> None:
    program = (
        "import os, signal, sys, tempfile\n"
        "from midfill_server.checking.shadow import make_scratch\n"
        "tempfile.tempdir = sys.argv[1]\n"
        "open(os.path.join(make_scratch(), 'left'), 'w')\n"
        "os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(temporary)]).returncode == 9
    (left,) = temporary.iterdir()
    (temporary / "midfill-check-nobody").mkdir()
    (temporary / "someone else's").mkdir()
    target = temporary / "target"
    target.mkdir()
    (target / "file").touch()
    # A link that is called as ours are leads nowhere.
    left.with_name(left.name[:-3] + "xyz").symlink_to(target, target_is_directory=True)
    with scratch() as living:
        assert sweep() == 0, "another container's may look dead, so it is left for a while"
        assert sweep(older_than_s=0.0) == 1
        assert os.path.isdir(living)
    assert not left.exists()
    assert (target / "file").exists()
    assert (temporary / "midfill-check-nobody").exists()


def test_links_in_what_is_removed_lead_to_what_stays(project: Path) -> None:
    folder = make_scratch()
    os.symlink(project, os.path.join(folder, "link"), target_is_directory=True)
    remove(folder)
    assert not os.path.exists(folder)
    assert (project / "app/one.py").exists()
