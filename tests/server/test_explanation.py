from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.server.test_cli import Command


def explained(path: Path, answer: str, place: str, *more: str) -> None:
    assert Command(answer)(f"{path}:{place}", "--explain", *more) == 0


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDFILL_CONFIG", "")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "f.py"
    path.write_text("def f(a):\n    b = 1\n\n    return b\n", encoding="utf-8")
    return path


def test_each_filter_that_acted_is_named_with_its_reason(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    explained(path, "    b = 2\n    return a\n    return b\n", "3:1")
    assert capsys.readouterr().out == (
        "language: python; place of the cursor: statement start\n"
        "wanted: a block, on an empty line\n"
        "the model wrote, and ended with 'stop':\n"
        "  |     b = 2\n  |     return a\n  |     return b\n  |\n"
        "next line: the next line of the file; taken off:\n"
        "  |     return b\n  |\n"
        "joint: what follows goes on well behind an earlier line; taken off:\n"
        "  |\n  |     return a\n  |\n"
        "shown:\n  |     b = 2\n"
    )


def test_a_text_that_stays_as_it_is_says_so(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    explained(path, " + a  # \x1b", "2:10")
    out = capsys.readouterr().out
    assert "no filter took anything off\nshown:\n  |  + a  # \\x1b\n" in out
    explained(path, "", "2:10")
    assert capsys.readouterr().out.endswith("shown:\n  | (nothing)\n")


def test_the_same_as_json(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    explained(path, " + a\nc", "2:10", "--json")
    out = json.loads(capsys.readouterr().out)
    assert out["text"] == " + a"
    told = out["explanation"]
    assert (told["language"], told["extent"]) == ("python", "line")
    assert told["because"] == "in the midst of a line"
    assert [step["filter"] for step in told["steps"]] == ["one line"]
    assert told["steps"][0]["before"] == told["raw"] != told["steps"][0]["after"] == " + a"
