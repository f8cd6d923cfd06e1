"""``:checkhealth midfill`` names what is wrong and what to do; the statusline says it shortly."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.editors.neovim import Neovim, neovim_program, scripted_command

pytestmark = [
    pytest.mark.editors,
    pytest.mark.skipif(neovim_program() is None, reason="no Neovim: run `make test-editors`"),
]

REAL_SETUP = (
    f"{{ cmd = {{ [==[{sys.executable}]==], '-m', 'midfill_server', 'serve', '--stdio' }} }}"
)


def health(editor: Neovim) -> str:
    editor.nvim.command("silent checkhealth midfill")
    return "\n".join(editor.nvim.current.buffer[:])


def without_models(folder: Path) -> dict[str, str]:
    return {"MIDFILL_HOME": str(folder / "home")}


def test_what_is_there_is_told(tmp_path: Path) -> None:
    with Neovim(tmp_path, REAL_SETUP, env=without_models(tmp_path)) as editor:
        report = health(editor)
        assert "Neovim 0.1" in report
        assert "midfill_server serve --stdio" in report
        assert "on Python 3." in report
        assert "log of the server: " in report
        assert "<Tab>: accept" in report
        # There is no model in that folder: the doctor's words for it, and its advice.
        assert "midfill models pull" in report


def test_a_missing_server_comes_with_advice(tmp_path: Path) -> None:
    with Neovim(tmp_path, "{ cmd = { 'no-such-program', 'serve' } }") as editor:
        report = health(editor)
        assert "no-such-program" in report
        assert ":Midfill install" in report


def test_a_broken_server_is_told_from_none(tmp_path: Path) -> None:
    command = f"{{ [==[{sys.executable}]==], '-c', 'raise SystemExit(\"no numpy\")', 'serve' }}"
    with Neovim(tmp_path, f"{{ cmd = {command} }}") as editor:
        report = health(editor)
        assert "code 1" in report
        assert "no numpy" in report


def test_a_running_client_is_told(tmp_path: Path) -> None:
    words = ", ".join(f"[==[{word}]==]" for word in scripted_command(tmp_path))
    with Neovim(tmp_path, f"{{ cmd = {{ {words} }} }}") as editor:
        editor.open("x<|>")
        editor.lua("vim.keymap.set('i', '<Tab>', 'taken', { desc = 'another plugin' })")
        editor.lua("package.loaded['copilot'] = {}; require('midfill').pause('hour')")
        report = health(editor)
        assert "<Tab>, for accept, is mapped to another plugin" in report
        assert "copilot.lua is loaded" in report
        assert "paused (hour)" in report


def test_without_setup_that_is_said(tmp_path: Path) -> None:
    with Neovim(tmp_path) as editor:
        assert "setup() did not run" in health(editor)


# The status is what the server tells; these are what it may tell.
@pytest.mark.parametrize(
    ("told", "line"),
    [
        ("{ state = 'loading', percent = 42 }", "midfill 42%"),
        ("{ state = 'loading', percent = vim.NIL }", "midfill loading"),
        ("{ state = 'ready' }", "midfill"),
        ("{ state = 'ready', working = true }", "midfill …"),
        ("{ state = 'missing' }", "midfill missing"),
        ("{ state = 'failed' }", "midfill error"),
    ],
)
def test_the_statusline_is_short(shared: Neovim, told: str, line: str) -> None:
    shared.lua(f"require('midfill.status').take({told})")
    assert shared.lua("return require('midfill').statusline()") == line


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neovim]:
    with Neovim(tmp_path_factory.mktemp("neovim"), "{ cmd = { 'no-such-program' } }") as editor:
        yield editor


def test_a_pause_shows_and_the_event_tells_of_changes(shared: Neovim) -> None:
    shared.lua("""
        events = {}
        vim.api.nvim_create_autocmd('User', { pattern = 'MidfillStatus', callback = function(event)
          table.insert(events, event.data.state)
        end })
        require('midfill.status').take({ state = 'ready' })
        require('midfill').pause()
    """)
    assert shared.lua("return require('midfill').statusline()") == "midfill paused"
    shared.lua("require('midfill').resume()")
    shared.lua("require('midfill.status').take({ state = 'ready', working = false })")
    shared.until(lambda: shared.lua("return events")[-1:] == ["ready"], "the event")
    # Nothing changed with the last message.
    assert shared.lua("return events").count("paused") == 1
