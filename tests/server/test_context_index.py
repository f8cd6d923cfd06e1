"""What the index knows of a workspace, when it learns it, and how much of it it keeps."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill_server.context.entries import FileEntry, Signature
from midfill_server.context.index import WorkspaceIndex
from midfill_server.context.pace import Pace, StoppedError
from midfill_server.context.reader import Reader, ReaderDiedError
from midfill_server.context.table import EntryTable
from tests.server.files import write_files

_ROOM = 1024 * 1024


class _Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def _settle(index: WorkspaceIndex) -> None:
    while index.step():
        pass


def _index(root: Path, *near: str, max_files: int = 100, max_bytes: int = _ROOM) -> WorkspaceIndex:
    index = WorkspaceIndex(max_files=max_files, max_bytes=max_bytes)
    index.open([str(root)], [str(root / name) for name in near])
    _settle(index)
    return index


def _read(root: Path, index: WorkspaceIndex) -> list[str]:
    """Return which of the files below the root are in the index, without using them."""
    paths = [path for path in root.rglob("*") if path.is_file()]
    return sorted(path.name for path in paths if index.file(str(path)) is not None)


def _rewrite(path: Path, text: str) -> None:
    """Write a file so that its time says so, however coarse the clock of the disk is."""
    before_ns = path.stat().st_mtime_ns
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(before_ns + 10**9, before_ns + 10**9))


def test_a_file_is_known_by_its_path(tmp_path: Path) -> None:
    text = "class Cart:\n    def add(self, item: str) -> None:\n        self.items.append(item)\n"
    write_files(tmp_path, {"shop/cart.py": text})
    entry = _index(tmp_path).file(str(tmp_path / "shop" / "cart.py"))
    assert entry is not None
    assert entry.language_id == "python"
    assert [(one.name, one.container) for one in entry.definitions] == [
        ("Cart", ""),
        ("add", "Cart"),
    ]
    assert "item: str" in entry.definitions[1].text
    assert {"Cart", "item", "items", "append"} <= entry.identifiers
    assert "class" not in entry.identifiers


def test_definitions_are_known_by_their_name(tmp_path: Path) -> None:
    write_files(
        tmp_path, {"a.py": "def run(): ...\n", "b.py": "def run(x): ...\ndef rerun(): ...\n"}
    )
    found = _index(tmp_path).definitions_named("run")
    assert sorted(Path(one.path).name for one in found) == ["a.py", "b.py"]
    assert {one.name for one in found} == {"run"}
    assert _index(tmp_path).definitions_named("missing") == ()


def test_only_text_in_a_known_language_is_read(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.py": "x = 1\n", "b.unknown": "x", "c.py": "x = 1\0\n", ".d.py": "x"})
    (tmp_path / "e.py").write_bytes(b"\xef\xbb\xbfname = '\xff'\n")
    assert _read(tmp_path, _index(tmp_path)) == ["a.py", "e.py"]


def test_files_are_found_by_the_end_of_their_path(tmp_path: Path) -> None:
    write_files(tmp_path, dict.fromkeys(("a/b.py", "c/a/b.py", "c/ba/b.py", "d.py"), ""))
    index = _index(tmp_path)
    found = [Path(path).relative_to(tmp_path).as_posix() for path in index.files_ending("a/b.py")]
    assert found == ["a/b.py", "c/a/b.py"]
    assert index.files_in(str(tmp_path / "c" / "a")) == (str(tmp_path / "c" / "a" / "b.py"),)
    assert index.files_in(str(tmp_path / "missing")) == ()


def test_a_step_is_one_piece_and_what_is_known_can_be_used_meanwhile(tmp_path: Path) -> None:
    write_files(tmp_path, {"near/open.py": "def here(): ...\n", "far/a.py": "def far(): ...\n"})
    index = WorkspaceIndex()
    index.open([str(tmp_path)], [str(tmp_path / "near" / "open.py")])
    assert index.state.found == 0
    while not index.state.files:
        assert index.step()
    assert index.definitions_named("here")
    assert not index.definitions_named("far")
    assert not index.state.complete
    _settle(index)
    assert index.definitions_named("far")
    assert index.state.complete


def test_a_changed_file_is_read_again_when_somebody_says_so(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.py": "def old(): ...\n"})
    index = _index(tmp_path)
    _rewrite(tmp_path / "a.py", "def new(): ...\n")
    assert index.definitions_named("old")
    index.update(str(tmp_path / "a.py"))
    _settle(index)
    assert not index.definitions_named("old")
    assert index.definitions_named("new")


def test_files_that_are_made_and_deleted(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.py": "def a(): ...\n", ".gitignore": "private.py\n"})
    index = _index(tmp_path)
    version = index.version
    write_files(tmp_path, {"b.py": "def b(): ...\n", "private.py": "def private(): ...\n"})
    (tmp_path / "a.py").unlink()
    for name in ("a.py", "b.py", "private.py"):
        index.update(str(tmp_path / name))
    _settle(index)
    assert not index.definitions_named("a")
    assert index.definitions_named("b")
    assert not index.definitions_named("private")
    assert index.version > version


def test_what_nobody_tells_is_found_by_walking_again(tmp_path: Path) -> None:
    clock = _Clock()
    write_files(tmp_path, {"a.py": "def old(): ...\n", "gone.py": "def gone(): ...\n"})
    index = WorkspaceIndex(clock=clock)
    index.open([str(tmp_path)])
    _settle(index)
    assert index.definitions_named("gone")
    _rewrite(tmp_path / "a.py", "def new(): ...\n")
    write_files(tmp_path, {"b.py": "def b(): ...\n"})
    (tmp_path / "gone.py").unlink()
    _settle(index)
    assert index.definitions_named("old")
    clock.now_s = 1000.0
    _settle(index)
    assert not index.definitions_named("gone")
    assert not index.definitions_named("old")
    assert index.definitions_named("new")
    assert index.definitions_named("b")


def test_without_questions_the_disk_is_left_alone(tmp_path: Path) -> None:
    clock = _Clock()
    write_files(tmp_path, {"a.py": ""})
    index = WorkspaceIndex(clock=clock)
    index.open([str(tmp_path)])
    _settle(index)
    clock.now_s = 1000.0
    assert not index.step()
    index.file(str(tmp_path / "a.py"))
    assert index.step()


def test_no_more_than_so_many_files_and_the_near_ones(tmp_path: Path) -> None:
    names = [f"{folder}/{number}.py" for folder in "abc" for number in range(3)]
    write_files(tmp_path, {name: "" for name in names})
    index = _index(tmp_path, "b/0.py", max_files=4)
    assert index.state.found == 4
    assert len(index.files_in(str(tmp_path / "b"))) == 3


def test_memory_is_bounded_and_the_near_files_stay(tmp_path: Path) -> None:
    text = "".join(f"def function_{number}(): ...\n" for number in range(20))
    write_files(tmp_path, {f"{folder}/{n}.py": text for folder in "abc" for n in range(4)})
    whole = _index(tmp_path).state
    index = _index(tmp_path, "b/0.py", max_bytes=whole.bytes // 2)
    assert 5 <= index.state.files <= 6
    assert index.state.bytes <= whole.bytes // 2
    assert index.state.complete
    for number in range(4):
        assert index.file(str(tmp_path / "b" / f"{number}.py"))


def test_a_file_that_is_asked_for_makes_another_go(tmp_path: Path) -> None:
    text = "".join(f"def function_{number}(): ...\n" for number in range(20))
    write_files(tmp_path, {f"in/{n}.py": text for n in range(4)} | {"ex/l.py": text})
    whole = _index(tmp_path / "in").state
    index = _index(tmp_path / "in", max_bytes=whole.bytes)
    index.file(str(tmp_path / "in" / "3.py"))
    assert index.read(str(tmp_path / "ex" / "l.py")) is not None
    assert index.state.bytes <= whole.bytes
    assert index.file(str(tmp_path / "ex" / "l.py"))
    assert index.file(str(tmp_path / "in" / "3.py"))
    assert index.state.files == 4


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.integers(0, 40), st.booleans(), st.booleans()),
        max_size=30,
    )
)
def test_the_table_never_loses_count(steps: list[tuple[str, int, bool, bool]]) -> None:
    table = EntryTable(20_000)
    kept: dict[str, FileEntry] = {}
    for path, size, asked_for, remove in steps:
        if remove:
            table.remove(path)
            continue
        names = [f"n{number}" for number in range(size)]
        entry = FileEntry.packed(
            path=path,
            language_id="python",
            changed_ns=0,
            definitions=[
                Signature(name=name, kind="function", container="", text="def", path=path)
                for name in names
            ],
            identifiers=[],
        )
        if table.put(entry, asked_for=asked_for):
            kept[path] = entry
    present = [entry for path, entry in kept.items() if table.get(path) is entry]
    assert table.count == len(table.paths()) == len(present)
    assert table.bytes == sum(entry.cost_bytes for entry in present) <= 20_000
    for number in range(41):
        expected = {entry.path for entry in present if f"n{number}" in entry.names}
        assert {one.path for one in table.named(f"n{number}")} == expected


def test_a_job_comes_before_all_else(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.py": ""})
    index = WorkspaceIndex()
    index.open([str(tmp_path)])
    seen: list[int] = []
    index.later(lambda: seen.append(index.state.found))
    _settle(index)
    assert seen == [0]


def _wait_until_complete(index: WorkspaceIndex) -> None:
    """Wait without asking all the time: a job is done between two files."""
    while not index.state.complete:
        turn = threading.Event()
        index.later(turn.set)
        assert turn.wait(30)


def test_many_files_are_read_by_another_process(tmp_path: Path) -> None:
    files = {f"{n}.py": f"class C{n}:\n    def run_{n}(self): ...\n" for n in range(60)}
    write_files(tmp_path, files | {"bad.py": "\0"})
    here = _index(tmp_path)
    index = WorkspaceIndex()
    index.start([str(tmp_path)])
    try:
        _wait_until_complete(index)
    finally:
        index.stop()
    assert index.state == here.state
    for name in files:
        path = str(tmp_path / name)
        assert index.file(path) == here.file(path)


def test_without_a_process_the_thread_reads_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path, {f"{n}.py": f"def run_{n}(): ...\n" for n in range(60)})
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    index = WorkspaceIndex()
    index.start([str(tmp_path)])
    try:
        _wait_until_complete(index)
    finally:
        index.stop()
    assert index.state.files == 60


def test_a_process_that_ends_says_so(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.py": "def a(): ...\n"})
    reader = Reader()
    try:
        entry = reader.read(str(tmp_path / "a.py"))
        assert entry is not None
        assert entry.names == {"a"}
        assert reader.read(str(tmp_path / "missing.py")) is None
        reader.kill()
        with pytest.raises(ReaderDiedError):
            reader.read(str(tmp_path / "a.py"))
    finally:
        reader.release()


class _Fragile(Reader):
    """A process that dies of files with a certain name."""

    def read(self, path: str) -> FileEntry | None:
        if os.path.basename(path).startswith("deadly"):
            self.kill()
        return super().read(path)


def test_what_a_process_died_of_is_never_read_by_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{n}.py": f"def run_{n}(): ...\n" for n in range(60)}
    write_files(tmp_path, files | {"deadly.py": "def deadly(): ...\n"})
    monkeypatch.setattr("midfill_server.context.index.Reader", _Fragile)
    deadly = str(tmp_path / "deadly.py")
    index = WorkspaceIndex()
    index.start([str(tmp_path)])
    try:
        _wait_until_complete(index)
        asked = threading.Event()

        def ask() -> None:
            index.read(deadly)
            index.update(deadly)
            asked.set()

        index.later(ask)
        assert asked.wait(10)
        _wait_until_complete(index)
    finally:
        index.stop()
    while index.step():
        pass
    assert index.state.files == 60
    assert index.file(deadly) is None


@pytest.mark.parametrize(
    ("name", "start", "member", "end"),
    [
        ("a.py", "class Long:\n", "    def member_{n}(self):\n        return {n}\n\n", ""),
        ("a.java", "public class Long {\n", "    int member_{n}() {{ return {n}; }}\n\n", "}\n"),
        ("a.php", "<?php\nclass Long {\n", "    function member_{n}() {{ return 1; }}\n\n", "}\n"),
    ],
)
def test_long_files_are_read_in_pieces(
    tmp_path: Path, name: str, start: str, member: str, end: str
) -> None:
    padding = "x" * 200
    members = "".join(
        member.format(n=n).replace("\n\n", f"\n    {'#' if end == '' else '//'} {padding}\n\n")
        for n in range(280)
    )
    write_files(tmp_path, {name: start + members + end})
    (entry,) = [_index(tmp_path).file(str(tmp_path / name))]
    assert entry is not None
    found = [(one.name, one.container) for one in entry.definitions]
    assert found == [("Long", ""), *((f"member_{n}", "Long") for n in range(280))]


def test_the_thread_reads_and_a_broken_piece_does_not_end_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_files(tmp_path, {"a.py": "def a(): ...\n"})
    index = WorkspaceIndex()
    done = threading.Event()

    def break_down() -> None:
        raise RuntimeError("broken")

    index.later(break_down)
    index.start([str(tmp_path)])
    try:
        index.later(done.set)
        assert done.wait(10)
        _wait_until_complete(index)
        assert index.definitions_named("a")
    finally:
        index.stop()
    assert "could not be read" in caplog.text
    assert not any(thread.name == "midfill-index" for thread in threading.enumerate())


def test_a_pause_holds_the_thread_and_stop_ends_it_nevertheless(tmp_path: Path) -> None:
    index = WorkspaceIndex()
    index.start([str(tmp_path)])
    ran = threading.Event()
    index.pause()
    index.stop()
    index.later(ran.set)
    assert not ran.is_set()
    assert index.step()
    assert ran.is_set()


def test_pace_rests_after_a_while_and_while_others_are_busy() -> None:
    clock = _Clock()
    pace = Pace(clock)
    pace.rest()
    pace.stop()
    with pytest.raises(StoppedError):
        pace.rest()
