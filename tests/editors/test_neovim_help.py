""":help midfill mentions everything there is, with the values it has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.editors.neovim import PLUGIN, Neovim, neovim_program

pytestmark = [
    pytest.mark.editors,
    pytest.mark.skipif(neovim_program() is None, reason="no Neovim: run `make test-editors`"),
]

HELP = (PLUGIN / "doc" / "midfill.txt").read_text(encoding="utf-8")
DOCS = Path(__file__).parents[2] / "docs" / "neovim.md"


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neovim]:
    with Neovim(tmp_path_factory.mktemp("neovim"), "{ cmd = { 'no-such-program' } }") as neovim:
        yield neovim


def test_tags_are_made_and_lead_somewhere(editor: Neovim, tmp_path: Path) -> None:
    doc = tmp_path / "doc"
    doc.mkdir()
    (doc / "midfill.txt").write_text(HELP, encoding="utf-8")
    # It raises an error for a tag that is there twice.
    editor.nvim.command(f"helptags {doc}")
    tags = {line.split("\t")[0] for line in (doc / "tags").read_text().splitlines()}
    editor.nvim.command(f"set runtimepath+={tmp_path}")
    editor.nvim.command("help midfill-options")
    assert "OPTIONS" in editor.nvim.current.line
    links = editor.lua(
        "local found = {} for name in (...):gmatch('|([%w:_.()-]+)|') do found[name] = true end"
        " return vim.tbl_keys(found)",
        HELP,
    )
    known = {name for name in links if editor.nvim.funcs.getcompletion(name, "help")}
    assert {link for link in links if link not in tags | known} <= {"vim.lsp.inline_completion"}


def test_every_subcommand_is_there(editor: Neovim) -> None:
    for name in editor.lua("return vim.tbl_keys(require('midfill.command').subcommands)"):
        assert f"*:Midfill-{name}*" in HELP


def test_every_function_is_there(editor: Neovim) -> None:
    for name in editor.lua("return vim.tbl_keys(require('midfill'))"):
        assert f"*midfill.{name}()*" in HELP


def test_the_options_are_those_that_hold_by_default(editor: Neovim) -> None:
    documented = editor.lua(
        "return loadstring('return ' .. (...):match('with their defaults: >lua.-setup%((%b{})'))()",
        HELP,
    )
    held = editor.lua(
        "require('midfill.config').read({}); return require('midfill.config').current()"
    )
    assert documented == held
    for name in [*held, "cmd"]:
        assert f"*midfill-{name}*" in HELP


def test_every_key_is_in_its_table(editor: Neovim) -> None:
    keys = editor.lua("return require('midfill.config').read({}).keymaps")
    for name, key in keys.items():
        row = next(line for line in HELP.splitlines() if line.startswith(f"  {name} "))
        assert row.split()[1] == key
        assert f"`{key}`" in DOCS.read_text(encoding="utf-8")


def test_every_state_is_there(editor: Neovim) -> None:
    for state in ("off", "loading", "ready", "paused", "missing", "failed"):
        assert f"'{state}'" in HELP


def test_lines_fit_a_help_window() -> None:
    for line in HELP.splitlines():
        assert len(line.expandtabs(8)) <= 84, line
