"""Neovim: options, the server's life, and what it is told besides the text."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.editors.neovim import Neovim, lua_list, scripted_command
from tests.editors.scripted import Scripted


@pytest.fixture
def server(tmp_path: Path) -> Scripted:
    (tmp_path / "server").mkdir()
    return Scripted(tmp_path / "server")


@pytest.fixture
def vim(server: Scripted, tmp_path: Path) -> Iterator[Neovim]:
    with Neovim(tmp_path, options(server)) as vim:
        yield vim


def options(server: Scripted, more: str = "") -> str:
    return f"{{ cmd = {lua_list(scripted_command(server.folder))}, {more} }}"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neovim]:
    """A Neovim in which nothing is set up."""
    with Neovim(tmp_path_factory.mktemp("vim")) as vim:
        yield vim


# Options


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("{ setting = {} }", 'there is no option "setting"; do you mean "settings"?'),
        ("{ keymaps = { acept = '' } }", 'no option "keymaps.acept"; do you mean "keymaps.accept"'),
        ("{ cmd = 'midfill' }", "\"cmd\" must be a list, as { 'midfill', 'serve', '--stdio' }"),
        ("{ ghost = 'both' }", "\"ghost\" must be 'auto', 'native' or 'midfill', not \"both\""),
        ("{ filetypes = { 'lua' } }", '"filetypes" must be a table of booleans by filetype'),
        ("{ keymaps = { next = true } }", '"keymaps.next" must be a key, or false for none'),
        ("'midfill'", "setup takes a table of options"),
    ],
)
def test_a_wrong_option_is_named(bare: Neovim, wrong: str, message: str) -> None:
    said = bare.lua(f"local _, said = pcall(require('midfill').setup, {wrong}) return said")
    assert message in said
    assert said.startswith("midfill: ")


def test_nothing_is_loaded_before_it_is_used(tmp_path: Path) -> None:
    loaded = """
        return vim.iter(vim.tbl_keys(package.loaded)):any(function(name)
          return vim.startswith(name, 'midfill')
        end)
    """
    with Neovim(tmp_path) as vim:
        assert vim.nvim.funcs.exists(":Midfill") == 2
        assert not vim.lua(loaded)
        vim.nvim.command("Midfill status")
        assert vim.lua(loaded)
        assert "setup() did not run" in vim.said[-1]


@pytest.mark.parametrize(
    ("chosen", "is_wanted"),
    [
        ("", True),
        ("filetypes = { lua = false }", False),
        ("filetypes = { ['*'] = false }", False),
        ("filetypes = { ['*'] = false, lua = true }", True),
        ("enabled = false", False),
        ("enabled = function(bufnr) return vim.bo[bufnr].filetype == 'lua' end", True),
        ("enabled = function(bufnr) return vim.bo[bufnr].filetype ~= 'lua' end", False),
    ],
)
def test_files_are_chosen(bare: Neovim, chosen: str, is_wanted: bool) -> None:
    found = bare.lua(
        f"require('midfill.config').read({{ {chosen} }})"
        " vim.cmd('edit! x.lua | setlocal filetype=lua')"
        " return require('midfill.places').may_attach(0)"
    )
    assert found is is_wanted


def test_the_highlight_group_links_to_what_the_user_chose(tmp_path: Path) -> None:
    with Neovim(tmp_path, "{ cmd = { 'false' }, highlight = 'NonText' }") as vim:
        link = "return vim.api.nvim_get_hl(0, { name = 'MidfillSuggestion' }).link"
        assert vim.lua(link) == "NonText"
        vim.nvim.command("colorscheme habamax")
        assert vim.lua(link) == "NonText"


# The server


def test_a_server_that_is_not_there_is_told_once(tmp_path: Path) -> None:
    with Neovim(tmp_path, env={"PATH": ""}) as vim:
        vim.lua("require('midfill').setup()")
        for name in ("one.txt", "two.txt"):
            vim.nvim.command(f"edit {name}")
            vim.until(lambda: vim.said, "a message")
        assert vim.said == [
            "midfill: the server `midfill` is not installed: see :checkhealth midfill"
        ]
        assert vim.lua("return require('midfill').status().state") == "missing"


def test_settings_reach_the_server(server: Scripted, tmp_path: Path) -> None:
    more = "settings = { completion = { eagerness = 'quiet' } }"
    with Neovim(tmp_path, options(server, more)) as vim:
        vim.insert("#doubt\n<|>")
        vim.until(lambda: vim.asked("textDocument/inlineCompletion")[-1:] == ["complete"], "an end")
        assert vim.ghost == ""
        vim.lua("require('midfill.client').configure({ completion = { eagerness = 'always' } })")
        vim.until(lambda: vim.type("x") or vim.ghost == "perhaps(1)", "text")


def test_one_server_knows_all_projects(vim: Neovim, server: Scripted, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / ".git").mkdir(parents=True)
        vim.open("<|>", name=f"{name}/file.txt")
    folders = vim.lua("return require('midfill.client').get().workspace_folders")
    assert {Path(folder["name"]).name for folder in folders} == {"one", "two"}
    assert vim.lua("return #vim.lsp.get_clients()") == 1


def test_a_crashed_server_is_started_again(vim: Neovim, server: Scripted) -> None:
    vim.insert("x<|>")
    vim.until(lambda: "|x|" in vim.ghost, "text")
    server.kill()
    # Nobody has to press a key for that.
    vim.lua("require('midfill').dismiss()")
    vim.until(lambda: "|x|" in vim.ghost, "text of the new server")


def test_a_server_that_crashes_again_and_again_is_given_up(tmp_path: Path) -> None:
    with Neovim(tmp_path, script="vim.cmd.edit('x.txt')") as vim:
        # Waiting takes longer each time; that it does is not what takes time here.
        vim.lua("local defer = vim.defer_fn vim.defer_fn = function(f) return defer(f, 1) end")
        broken = lua_list([sys.executable, "-c", "raise SystemExit(1)"])
        vim.lua(f"require('midfill').setup({{ cmd = {broken} }})")
        vim.until(lambda: any("ended 6 times" in said for said in vim.said), "a message")
        assert vim.lua("return require('midfill').status().state") == "failed"


def test_a_stopped_server_stays_away(vim: Neovim, server: Scripted) -> None:
    vim.open("<|>")
    vim.lua("vim.lsp.stop_client(vim.lsp.get_clients())")
    vim.until(lambda: vim.lua("return require('midfill').status().state") == "off", "no server")
    assert vim.lua("return #vim.lsp.get_clients()") == 0


def test_the_server_leaves_with_the_editor(server: Scripted, tmp_path: Path) -> None:
    with Neovim(tmp_path, options(server)) as vim:
        vim.open("<|>")
        pid = server.pid()
        assert pid is not None
    with pytest.raises(ProcessLookupError):
        vim.until(lambda: os.kill(pid, 0), "no server")


# What the server is told


def test_the_server_hears_where_the_cursor_is(vim: Neovim) -> None:
    vim.open("one\n<|>two\n😀x")
    vim.keys("jl")
    vim.until(
        lambda: (
            [
                sent["position"]
                for sent in vim.sent("midfill/didMoveCursor")
                if sent["textDocument"]["uri"] == vim.lua("return vim.uri_from_bufnr(0)")
            ][-1:]
            == [{"line": 2, "character": 4}]
        ),
        lambda: f"the place: {vim.sent('midfill/didMoveCursor')}",
    )


def test_the_server_hears_what_others_found_wrong(vim: Neovim) -> None:
    vim.open("<|>one\ntwo")
    vim.lua("""
        local many = {}
        for _ = 1, 200 do
          table.insert(many, { lnum = 0, col = 0, message = 'hint', severity = 4 })
        end
        table.insert(many, { lnum = 1, col = 1, end_col = 3, message = 'wrong', severity = 1,
          code = 'E1', source = 'tool' })
        vim.diagnostic.set(vim.api.nvim_create_namespace('tool'), 0, many)
    """)
    vim.until(lambda: vim.sent("midfill/didChangeDiagnostics"), "diagnostics")
    (told,) = vim.sent("midfill/didChangeDiagnostics")
    assert told["uri"] == vim.lua("return vim.uri_from_bufnr(0)")
    assert len(told["diagnostics"]) == 100
    assert told["diagnostics"][0] == {
        "range": {"start": {"line": 1, "character": 1}, "end": {"line": 1, "character": 3}},
        "severity": 1,
        "message": "wrong",
        "code": "E1",
        "source": "tool",
    }


# Pauses


def test_pauses_hold_where_they_are_made(bare: Neovim) -> None:
    def paused(scope: str, where: str) -> bool:
        return bool(
            bare.lua(
                "vim.cmd('silent edit! one.x | setlocal filetype=x')"
                f" require('midfill').pause('{scope}')"
                f" vim.cmd('silent edit! {where}')"
                " local is_paused = require('midfill.pause').is_paused(0)"
                " vim.cmd('silent edit! one.x')"
                f" require('midfill').resume('{scope}')"
                " return is_paused"
            )
        )

    here = "one.x | setlocal filetype=x"
    like_it, other = "two.x | setlocal filetype=x", "three.y | setlocal filetype=y"
    assert [paused("buffer", where) for where in (here, like_it, other)] == [True, False, False]
    assert [paused("filetype", where) for where in (here, like_it, other)] == [True, True, False]
    assert [paused("all", where) for where in (here, like_it, other)] == [True, True, True]
    assert [paused("hour", where) for where in (here, like_it, other)] == [True, True, True]


def test_a_pause_is_taken_back_by_the_same_word(bare: Neovim) -> None:
    for scope in ("buffer", "filetype", "all", "hour"):
        paused = [
            bare.lua(
                f"require('midfill').toggle('{scope}') return require('midfill.pause').scope(0)"
            )
            for _ in range(2)
        ]
        assert paused == [scope, None]
