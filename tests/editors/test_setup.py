"""Installing the editors: what was cut short is made anew, and what is whole is left alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.editors import setup


class Npm:
    """Notes what it is told to do, and leaves a file where it did it; fails at one step."""

    def __init__(self) -> None:
        self.fails_at: int | None = None
        self.told: list[tuple[str, ...]] = []

    def __call__(self, *arguments: str, folder: Path) -> None:
        if len(self.told) == self.fails_at:
            raise setup.SetupError("cut short")
        self.told.append(arguments)
        (folder / f"left-{len(self.told)}").touch()
        (setup.vscode_folder() / "extensions").mkdir(parents=True, exist_ok=True)


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Npm:
    npm = Npm()
    monkeypatch.setenv("MIDFILL_EDITORS", str(tmp_path))
    monkeypatch.setattr(setup, "npm", npm)
    return npm


def silent(line: str) -> None:
    """Say nothing."""


def test_an_installation_that_was_cut_short_is_made_anew(npm: Npm, tmp_path: Path) -> None:
    npm.fails_at = 2
    with pytest.raises(setup.SetupError, match="cut short"):
        setup.install_code_server(silent)
    assert not setup.code_server_is_here()
    npm.fails_at = None
    said: list[str] = []
    setup.install_code_server(said.append)
    assert setup.code_server_is_here()
    assert said[0].startswith("Removing ")
    assert not list(tmp_path.rglob("left-1"))


def test_what_is_whole_is_left_alone(npm: Npm) -> None:
    setup.install_code_server(silent)
    done = len(npm.told)
    assert done == 4
    setup.install_code_server(silent)
    assert len(npm.told) == done


def test_the_version_is_in_the_name(npm: Npm) -> None:
    setup.install_code_server(silent)
    assert any(setup.CODE_SERVER in part for part in setup.vscode_folder().parts)
    assert (f"code-server@{setup.CODE_SERVER}") in npm.told[0]


def test_where_nothing_can_be_installed_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CHROMIUM", raising=False)
    nothing: Callable[[str], None] = lambda name: None  # noqa: E731 - one line says it
    monkeypatch.setattr(setup.shutil, "which", nothing)
    with pytest.raises(setup.SetupError, match="chromium"):
        setup.install_programs(["chromium"], silent)


@pytest.mark.skipif(sys.platform == "win32", reason="the file names are those of other systems")
def test_a_program_that_fails_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(setup.SetupError, match="what went wrong"):
        setup.run(["/bin/sh", "-c", "echo what went wrong; exit 3"], tmp_path, {})
