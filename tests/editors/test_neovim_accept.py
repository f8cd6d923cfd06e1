"""Neovim: accepting all of a suggestion or a part, choosing another, and what keys do otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.editors.neovim import Neovim, lua_list, says, scripted_command

COMPLETE = "textDocument/inlineCompletion"
EXECUTE = "workspace/executeCommand"
PARTLY = "textDocument/didPartiallyAcceptCompletion"
KEYS = "{ accept_word = '<C-w>', accept_line = '<C-l>' }"


@pytest.fixture(scope="module")
def vim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neovim]:
    command = lua_list(scripted_command(tmp_path_factory.mktemp("server")))
    options = f"{{ cmd = {command}, keymaps = {KEYS} }}"
    with Neovim(tmp_path_factory.mktemp("vim"), options) as vim:
        yield vim


def check(vim: Neovim, before: str, text: str, keys: str, after: str) -> None:
    """With ``text`` suggested in ``before``, ``keys`` make ``after`` of it."""
    vim.suggest(text, before)
    vim.keys(keys)
    vim.check(says(text) + after)


def test_tab_accepts_all(vim: Neovim) -> None:
    check(vim, "x = <|>", "one(two)", "<Tab>", "x = one(two)<|>")
    vim.until(lambda: vim.asked(EXECUTE) == ["pending", "complete"], "the server told of it")


def test_what_is_accepted_while_it_grows_is_told(tmp_path: Path) -> None:
    # Who asks by hand is not answered with the first line: it is only told of.
    options = f"{{ auto_trigger = false, cmd = {lua_list(scripted_command(tmp_path))} }}"
    with Neovim(tmp_path, options) as vim:
        vim.insert("#gate\n" + says("one\n  two") + "<|>")
        vim.keys("<M-Bslash>")
        vim.wait_for_ghost("one")
        assert vim.asked(COMPLETE) == ["pending"]
        vim.keys("<Tab>")
        vim.check("#gate\n" + says("one\n  two") + "one<|>")
        vim.until(lambda: vim.asked(EXECUTE) == ["pending", "complete"], "the server told of it")


def test_lines_are_inserted_as_they_are(vim: Neovim) -> None:
    # Neither indentation by itself nor a width of the text changes them.
    vim.nvim.command("set autoindent smartindent textwidth=8 formatoptions+=t")
    check(
        vim,
        "  <|>",
        "if x {\n      one = two three\n  }",
        "<Tab>",
        "  if x {\n      one = two three\n  }<|>",
    )
    vim.nvim.command("set noautoindent nosmartindent textwidth=0")


def test_text_is_inserted_in_a_line(vim: Neovim) -> None:
    check(vim, "世f(<|>)", "é, two", "<Tab>", "世f(é, two<|>)")


def test_a_file_with_crlf_keeps_its_line_ends(vim: Neovim) -> None:
    first = says("one\n  two").replace("\n", "\r\n")
    path = vim.open(first + "<|>")
    vim.keys("i")
    vim.wait_for_ghost("one\n  two")
    vim.keys("<Tab><Esc>:write<CR>")
    vim.until(
        lambda: path.read_bytes() == f"{first}one\r\n  two\r\n".encode(),
        lambda: f"saved: {path.read_bytes()!r}",
    )


def test_words_are_accepted_one_by_one(vim: Neovim) -> None:
    text = "größe = one(😀two)"
    check(vim, "<|>", text, "<C-w>", "größe<|>")
    inserted = "größe"
    for word in (" =", " one", "(", "😀two", ")"):
        vim.wait_for_ghost(text.removeprefix(inserted))
        vim.keys("<C-w>")
        inserted += word
        vim.check(says(text) + inserted + "<|>")


def test_lines_are_accepted_one_by_one(vim: Neovim) -> None:
    check(vim, "<|>", "one(1)\n  two\nthree", "<C-l>", "one(1)<|>")
    vim.wait_for_ghost("\n  two\nthree")
    vim.keys("<C-l>")
    vim.check(says("one(1)\n  two\nthree") + "one(1)\n  two<|>")


def test_what_is_accepted_in_part_is_told_in_utf16(vim: Neovim) -> None:
    check(vim, "<|>", "😀a(b)", "<C-w>", "😀a<|>")
    (told,) = vim.sent(PARTLY)
    assert (told["item"]["insertText"], told["acceptedLength"]) == ("😀a(b)", 3)


def test_a_key_that_comes_before_the_text_is_looked_at_is_not_lost(vim: Neovim) -> None:
    # Both keys are there at once, so nobody is told of the first one in between.
    check(vim, "<|>", "one", "x<Tab>", "x\t<|>")
    check(vim, "<|>", "one", "o<Tab>", "one<|>")


def test_a_mapping_by_an_expression_accepts(vim: Neovim) -> None:
    vim.lua("""
        vim.keymap.set('i', '<F2>', function()
          return require('midfill').accept() and '' or 'nothing'
        end, { expr = true })
    """)
    check(vim, "x<|>", "one", "<F2>", "xone<|>")
    vim.keys("<Esc>")
    vim.lua("require('midfill').pause()")
    vim.keys("A<F2>")
    vim.check(says("one") + "xonenothing<|>")
    vim.lua("require('midfill').resume()")


def test_one_undo_takes_back_one_accepted_text(vim: Neovim) -> None:
    vim.suggest("pha beta")
    vim.type("ph")
    vim.wait_for_ghost("a beta")
    vim.keys("<Tab>")
    vim.check(says("pha beta") + "pha beta<|>")
    vim.keys("!<Esc>u")
    vim.until(lambda: vim.text.replace("<|>", "") == says("pha beta") + "pha beta", "typed undone")
    vim.keys("u")
    vim.until(lambda: vim.text.replace("<|>", "") == says("pha beta") + "ph", "accepted undone")


def test_a_repeated_change_repeats_what_was_typed(vim: Neovim) -> None:
    check(vim, "<|>", "one", "<Tab>", "one<|>")
    vim.keys("xy<Esc>.")
    vim.until(lambda: vim.mode == "n" and "onex" in vim.text, "the change repeated")
    assert vim.text.replace("<|>", "").endswith("onexxyy")


def test_without_a_suggestion_tab_is_a_tab(vim: Neovim) -> None:
    vim.lua("require('midfill').pause()")
    vim.insert("a<|>")
    vim.keys("<Tab>")
    vim.check("a\t<|>")
    vim.lua("require('midfill').resume()")


# Other texts


def test_another_text_is_chosen(vim: Neovim) -> None:
    vim.insert("#choose\n<|>")
    vim.wait_for_ghost("alpha(one)")
    vim.keys("<M-]>")
    vim.until(lambda: vim.ghost not in ("", "alpha(one)"), "another text")
    second = vim.ghost
    vim.keys("<M-[>")
    vim.wait_for_ghost("alpha(one)")
    asked = vim.asked(COMPLETE)
    vim.keys("<M-]>")
    vim.wait_for_ghost(second)
    assert vim.asked(COMPLETE) == asked
    vim.keys("<Tab>")
    vim.check(f"#choose\n{second}<|>")


def test_a_dismissed_text_stays_away_until_a_key(vim: Neovim) -> None:
    vim.suggest("one two")
    vim.keys("<C-]>")
    vim.wait_for_ghost("")
    vim.type("o")
    vim.wait_for_ghost("ne two")


def test_who_asks_is_answered_also_in_a_pause(vim: Neovim) -> None:
    vim.open(says("one") + "<|>")
    vim.lua("require('midfill').pause('buffer')")
    vim.keys("i<M-Bslash>")
    vim.wait_for_ghost("one")
    vim.lua("require('midfill').resume('buffer')")


# Keys that did something before


@pytest.mark.parametrize(
    "mapping",
    [
        "vim.keymap.set('i', '<Tab>', 'old')",
        "vim.keymap.set('i', '<Tab>', function() return 'old' end, { expr = true })",
        "vim.keymap.set('i', '<Tab>', function()"
        " vim.api.nvim_put({ 'old' }, 'c', false, true) end)",
        "vim.cmd([[imap <expr> <Tab> 'o' .. 'ld']])",
        "vim.cmd([[inoremap <Plug>(other) old]]) vim.cmd([[imap <Tab> <Plug>(other)]])",
    ],
)
def test_a_key_without_a_suggestion_does_what_it_did_before(tmp_path: Path, mapping: str) -> None:
    with Neovim(tmp_path, "{ cmd = { 'false' } }", script=mapping) as vim:
        vim.keys("i<Tab>")
        vim.check("old<|>")
        vim.keys("<Esc>")
        vim.lua("require('midfill').setup({ cmd = { 'false' }, keymaps = { accept = false } })")
        vim.keys("A<Tab>")
        vim.check("oldold<|>")
