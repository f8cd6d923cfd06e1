"""Neovim: what is drawn at the cursor, when the server is asked, and when it is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.editors.neovim import Neovim, lua_list, says, scripted_command, stopped
from tests.editors.scripted import Scripted

COMPLETE = "textDocument/inlineCompletion"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Scripted:
    return Scripted(tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def vim(server: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neovim]:
    options = f"{{ cmd = {lua_list(scripted_command(server.folder))} }}"
    with Neovim(tmp_path_factory.mktemp("vim"), options) as vim:
        yield vim


def begin(vim: Neovim, server: Scripted, text: str) -> None:
    """Have a text suggested that stops behind its first line."""
    server.close_gate()
    vim.insert("#gate\n" + says(text) + "<|>")
    vim.wait_for_ghost(text.partition("\n")[0])


@pytest.mark.parametrize(
    ("marked", "text", "drawn", "place"),
    [
        ("x = <|>", "one\n  two\n\nthree", "one\n  two\n \nthree", "inline"),
        ("f(<|>)", "one, two", "one, two", "inline"),
        # The end of the line is covered where it is, and drawn where it will be.
        ("f(<|>) + 10", "one,\n  two", "one,  \n  two) + 10", "overlay"),
        # What is wide takes two columns, and a tab goes on to the next fourth.
        ("世é<|>", "\tb\n\t\tc", " b\n        c", "inline"),
        ("\tx<|>", "世\t.", "世 .", "inline"),
    ],
)
def test_text_is_drawn_as_it_will_stand(
    vim: Neovim, marked: str, text: str, drawn: str, place: str
) -> None:
    vim.open(marked, options="tabstop=4")
    column = len(marked.partition("<|>")[0].encode())
    vim.lua("require('midfill.ghost').show(0, 0, ...)", column, text)
    (mark,) = vim.marks
    vim.lua("require('midfill.ghost').clear()")
    assert mark == {
        "row": 0,
        "column": column,
        "text": drawn,
        "place": place,
        "group": "MidfillSuggestion",
    }


def test_text_comes_by_itself_when_insert_mode_is_entered(vim: Neovim) -> None:
    vim.suggest("one", "世é <|>")
    assert [(mark["row"], mark["column"]) for mark in vim.marks] == [(1, 6)]


def test_typing_along_shortens_the_text_at_once_and_tells_the_server(
    vim: Neovim, server: Scripted
) -> None:
    vim.suggest("alpha(beta)")
    with stopped(server.pid()):
        vim.type("alp")
        assert vim.ghost == "ha(beta)"
        assert vim.asked(COMPLETE)[-1] == "pending"
        vim.keys("<BS>")
        vim.wait_for_ghost("pha(beta)")
        vim.type("X")
        assert vim.ghost == ""


def test_what_a_plugin_closes_behind_the_cursor_is_no_new_text(
    vim: Neovim, server: Scripted
) -> None:
    vim.suggest("f(x)")
    vim.nvim.command("inoremap ( ()<Left>")
    with stopped(server.pid()):
        vim.type("f(")
        assert vim.ghost == "x"
        vim.keys("<Tab>")
        vim.check(says("f(x)") + "f(x<|>)")
    vim.nvim.command("iunmap (")


def test_the_server_is_told_what_nobody_waits_for_any_more(vim: Neovim, server: Scripted) -> None:
    begin(vim, server, "one\n  two")
    vim.type("o")
    asked = [what for what in vim.asked(COMPLETE) if what != "complete"]
    assert asked[-2:] == ["cancel", "pending"]
    before = vim.asked(COMPLETE).count("cancel")
    vim.keys("<Esc>")
    vim.until(lambda: vim.asked(COMPLETE).count("cancel") > before, "a cancel")
    server.open_gate()


def test_text_grows_while_it_is_written(vim: Neovim, server: Scripted) -> None:
    begin(vim, server, "one\n  two\n  three")
    with_first_line = vim.marks
    vim.type("o")
    assert vim.ghost == "ne"
    server.open_gate()
    vim.wait_for_ghost("ne\n  two\n  three")
    assert len(with_first_line) == len(vim.marks) == 1


def test_a_text_that_grew_is_not_told_again(vim: Neovim, server: Scripted) -> None:
    begin(vim, server, "one\n  two")
    vim.type("o")
    assert vim.ghost == "ne"
    server.open_gate()
    vim.wait_for_ghost("ne\n  two")
    assert len(vim.sent("textDocument/didShowCompletion")) == 1


def test_what_is_shown_is_told_once(vim: Neovim) -> None:
    vim.suggest("shown")
    (told,) = vim.sent("textDocument/didShowCompletion")
    assert told["item"]["insertText"] == "shown"
    assert told["item"]["command"]["command"] == "midfill.didAccept"


def test_leaving_insert_mode_hides_the_text(vim: Neovim) -> None:
    vim.suggest("hidden")
    vim.keys("<Esc>")
    vim.wait_for_ghost("")


def test_moving_the_cursor_away_hides_the_text(vim: Neovim) -> None:
    vim.suggest("here", "x<|>")
    vim.lua("vim.b.midfill_enabled = false")
    vim.keys("<Left>")
    vim.wait_for_ghost("")


@pytest.mark.parametrize(
    ("before", "keys"),
    [
        ("setlocal readonly", "i"),
        ("let b:midfill_enabled = v:false", "i"),
        ("", "R"),
        ("", "qqi"),
        ("lua require('midfill').pause('filetype')", "i"),
        ("lua require('midfill').pause('hour')", "i"),
    ],
)
def test_nothing_is_asked_where_nothing_is_wanted(vim: Neovim, before: str, keys: str) -> None:
    vim.open("one\ntw<|>o\n")
    vim.nvim.command(before)
    vim.keys(keys)
    vim.type("x")
    if vim.lua("return vim.fn.reg_recording()"):
        vim.keys("<Esc>q")
    vim.keys("<Esc>")
    asked = vim.asked(COMPLETE)
    vim.lua("require('midfill').resume()")
    assert (asked, vim.ghost) == ([], "")


def test_a_special_buffer_is_left_alone(vim: Neovim) -> None:
    vim.open("<|>")
    vim.nvim.command("enew | setlocal buftype=nofile")
    vim.keys("i")
    vim.type("x")
    assert vim.asked(COMPLETE) == []


# The popup menu


def menu(vim: Neovim, completeopt: str) -> None:
    """Open a menu of two words behind ``pri``."""
    vim.nvim.command(f"set completeopt={completeopt}")
    vim.insert(says("_it(1)") + "pri<|>")
    vim.lua("vim.schedule(function() vim.fn.complete(1, { 'print', 'private' }) end)")
    vim.until(lambda: vim.nvim.funcs.pumvisible(), "a menu")


def test_a_menu_with_nothing_selected_hides_the_text(vim: Neovim) -> None:
    menu(vim, "menuone,noselect,noinsert")
    vim.wait_for_ghost("")
    vim.keys("<C-e>")
    vim.wait_for_ghost("_it(1)")


def test_a_text_beside_a_menu_begins_with_the_selected_entry(vim: Neovim) -> None:
    menu(vim, "menuone,noinsert")
    vim.wait_for_ghost("nt_it(1)")
    vim.keys("<Down>")
    vim.wait_for_ghost("vate_it(1)")
    vim.keys("<Tab>")
    vim.check(says("_it(1)") + "private_it(1)<|>")
    assert not vim.nvim.funcs.pumvisible()
