"""What the engine is shown of other files, by way of the protocol and of a real folder."""

from __future__ import annotations

import json
import queue
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic

import pytest

from tests.server.client import Json, LspClient
from tests.server.conftest import StartServer
from tests.server.files import write_files

_SHAPES = "def area_of(shape, unit):\n    return shape.width * shape.height\n"
_MAIN = "from shapes import area_of\n\n\ndef main(shape):\n    print(area_of("
_SECRET = "area_of_secret = area_of(shape, 'hunter2')\n"
_DEADLINE_S = 15.0

Shown = list[tuple[str, str]]


class Project:
    """A folder on disk, and an editor that has its ``main.py`` open."""

    def __init__(self, start: StartServer, root: Path, files: Mapping[str, str]) -> None:
        self.root, self._version = root / "project", 1
        write_files(self.root, files)
        self._log = root / "log"
        self.client: LspClient = start()

    def begin(self, options: Json = None) -> None:
        self.client.initialize({"profile": "eco", **(options or {})}, folders=[self.root.as_uri()])
        self.client.open(self.uri("main.py"), _MAIN, language="python")

    def uri(self, name: str) -> str:
        return (self.root / name).as_uri()

    def ask(self) -> Shown:
        """Ask at the end of ``main.py``; returns what the engine is shown of other files."""
        self._version += 1
        # A new line at the top is far enough from the last question to look around anew.
        text = f"# #tell {self._version}\n{_MAIN}"
        self.client.change(self.uri("main.py"), self._version, {"text": text})
        return self._ask(text)

    def ask_again(self) -> Shown:
        """Ask at the same place, a key later."""
        text = f"# #tell {self._version}\n{_MAIN}s"
        self._version += 1
        self.client.change(self.uri("main.py"), self._version, {"text": text})
        return self._ask(text)

    def _ask(self, text: str) -> Shown:
        line, character = text.count("\n"), len(text) - text.rfind("\n") - 1
        answer = self.client.complete(self.uri("main.py"), line, character).result()
        assert isinstance(answer, dict)
        found = re.findall(r"^shown (.*)$", self._log.read_text(encoding="utf-8"), re.MULTILINE)
        return [(path, text) for path, text in json.loads(found[-1])]

    def ask_until(self, said: str) -> Shown:
        """Ask until something with ``said`` in it is shown: files are read in the background."""
        shown, until_s = Shown(), monotonic() + _DEADLINE_S
        while monotonic() < until_s:
            shown = self.ask()
            if any(said in text for _, text in shown):
                return shown
            with suppress(queue.Empty):
                self.client.wait_for("nothing", timeout_s=0.02)
        raise AssertionError(f"{said!r} is not shown: {shown}")


def test_the_engine_is_shown_what_is_imported_and_no_file_that_is_private(
    start: StartServer, tmp_path: Path
) -> None:
    project = Project(
        start,
        tmp_path,
        {
            "main.py": _MAIN,
            "shapes.py": _SHAPES,
            ".env": _SECRET,
            "hidden.py": _SECRET,
            ".midfillignore": "hidden.py\n",
        },
    )
    project.begin()
    # As near as can be: they are open, and the cursor was there last.
    for name in (".env", "hidden.py"):
        project.client.open(project.uri(name), _SECRET, language="python")
        where = {
            "textDocument": {"uri": project.uri(name)},
            "position": {"line": 0, "character": 0},
        }
        project.client.notify("midfill/didMoveCursor", where)
    shown = project.ask_until("def area_of(shape, unit)")
    assert "shapes.py" in [path for path, _ in shown]
    for _ in range(3):
        shown += project.ask()
    assert not [path for path, text in shown if "hunter2" in text or "secret" in text]


def test_a_file_that_is_saved_is_read_again(start: StartServer, tmp_path: Path) -> None:
    project = Project(start, tmp_path, {"main.py": _MAIN, "shapes.py": _SHAPES})
    project.begin()
    project.ask_until("def area_of(shape, unit)")
    write_files(project.root, {"shapes.py": _SHAPES.replace("unit", "exactness")})
    document = {"textDocument": {"uri": project.uri("shapes.py")}}
    project.client.notify("textDocument/didSave", document)
    project.ask_until("def area_of(shape, exactness)")


def test_a_folder_that_is_added_is_read(start: StartServer, tmp_path: Path) -> None:
    project = Project(start, tmp_path, {"main.py": _MAIN})
    write_files(tmp_path / "more", {"shapes.py": _SHAPES})
    project.begin()
    assert project.ask() == []
    added = [{"uri": (tmp_path / "more").as_uri(), "name": "more"}]
    project.client.notify(
        "workspace/didChangeWorkspaceFolders", {"event": {"added": added, "removed": []}}
    )
    project.ask_until("def area_of(shape, unit)")


def test_what_is_wrong_nearby_is_shown(start: StartServer, tmp_path: Path) -> None:
    project = Project(start, tmp_path, {"main.py": _MAIN})
    project.begin()
    line = 1 + _MAIN.count("\n")
    span = {"start": {"line": line, "character": 10}, "end": {"line": line, "character": 17}}
    wrong = {"range": span, "message": 'Argument missing for parameter "unit"', "severity": 1}
    project.client.notify(
        "midfill/didChangeDiagnostics", {"uri": project.uri("main.py"), "diagnostics": [wrong]}
    )
    assert any('parameter "unit"' in text for _, text in project.ask())


def test_who_wants_no_other_files_shown_has_none_shown(start: StartServer, tmp_path: Path) -> None:
    project = Project(start, tmp_path, {"main.py": _MAIN, "shapes.py": _SHAPES})
    project.begin({"context": {"enabled": False}})
    project.client.open(project.uri("shapes.py"), _SHAPES, language="python")
    assert [project.ask() for _ in range(3)] == [[], [], []]


def test_other_files_are_shown_no_more_once_the_settings_say_so(
    start: StartServer, tmp_path: Path
) -> None:
    project = Project(start, tmp_path, {"main.py": _MAIN, "shapes.py": _SHAPES})
    project.begin()
    project.ask_until("def area_of(shape, unit)")
    settings = {"midfill": {"context": {"enabled": False}}}
    project.client.notify("workspace/didChangeConfiguration", {"settings": settings})
    # At the same place, where a prompt is kept.
    assert project.ask_again() == []


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("midfill/didChangeDiagnostics", None),
        ("midfill/didChangeDiagnostics", {"uri": 3, "diagnostics": [{}]}),
        ("midfill/didChangeDiagnostics", {"uri": "nowhere", "diagnostics": [{"message": 1}]}),
        ("textDocument/didSave", {"textDocument": {"uri": "untitled:nowhere"}}),
    ],
)
def test_news_that_make_no_sense_do_no_harm(
    start: StartServer, method: str, params: object
) -> None:
    client = start()
    client.initialize()
    client.notify(method, params)
    client.open("file:///a.txt", "x")
    (item,) = client.complete("file:///a.txt", 0, 1).result()["items"]
    assert item["insertText"] == "[1|x|]"
    assert client.received == []
    assert client.shutdown() == 0
