"""Neovim's own inline completion (0.12) with our server, as far as an older Neovim can tell.

``_STAND_IN`` is in place of ``vim.lsp.inline_completion``: it asks when the cursor moved, shows the
first item by an extmark, and gives it to ``on_accept``, as that module does.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.editors.neovim import Neovim, neovim_program, scripted_command, stopped
from tests.editors.scripted import Scripted

pytestmark = [
    pytest.mark.editors,
    pytest.mark.skipif(neovim_program() is None, reason="no Neovim: run `make test-editors`"),
]

_STAND_IN = """
local namespace = vim.api.nvim_create_namespace('nvim.lsp.inline_completion')
local items, index, clients = {}, 1, {}
local function hide()
  vim.api.nvim_buf_clear_namespace(0, namespace, 0, -1)
end
local function show()
  hide()
  local item = items[index]
  if item then
    local place = item.range.start
    vim.api.nvim_buf_set_extmark(0, namespace, place.line, place.character, {
      virt_text = { { item.insertText } },
      virt_text_pos = 'inline',
    })
  end
end
local function ask()
  local id = next(clients)
  local client = id and vim.lsp.get_client_by_id(id)
  if client and client.attached_buffers[vim.api.nvim_get_current_buf()] then
    local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
    params.context = { triggerKind = 2 }
    client:request('textDocument/inlineCompletion', params, function(err, result)
      assert(not err, err)
      items, index = result and result.items or {}, 1
      show()
    end, vim.api.nvim_get_current_buf())
  end
end
vim.api.nvim_create_autocmd({ 'InsertEnter', 'CursorMovedI' }, { callback = function()
  vim.schedule(ask)
end })
vim.lsp.inline_completion = {
  enable = function(is_on, filter)
    clients[filter.client_id] = is_on or nil
  end,
  select = function(options)
    index = (index - 1 + options.count) % #items + 1
    show()
  end,
  get = function(options)
    local item = items[index]
    if not item then
      return false
    end
    items = {}
    vim.schedule(function()
      hide()
      options.on_accept({
        client_id = next(clients),
        insert_text = item.insertText,
        command = item.command,
        range = { start = { row = item.range.start.line, col = item.range.start.character } },
      })
    end)
    return true
  end,
}
"""


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neovim]:
    folder = tmp_path_factory.mktemp("neovim")
    words = ", ".join(f"[==[{word}]==]" for word in scripted_command(folder))
    with Neovim(folder, f"{{ cmd = {{ {words} }} }}", script=_STAND_IN) as neovim:
        yield neovim


def shown(editor: Neovim) -> str:
    return editor.lua("""
        local namespace = vim.api.nvim_get_namespaces()['nvim.lsp.inline_completion']
        local mark = vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, { details = true })[1]
        return mark and mark[4].virt_text[1][1] or ''
    """)


def wait_for(editor: Neovim, text: str) -> None:
    editor.until(lambda: shown(editor) == text, lambda: f"{text!r}; shown is {shown(editor)!r}")


def kinds(editor: Neovim) -> list[str]:
    return editor.asked("textDocument/inlineCompletion")


def test_neovim_draws_and_the_keys_accept(editor: Neovim) -> None:
    editor.insert('#text "one two"\nx = <|>')
    wait_for(editor, "one two")
    assert editor.ghost == "", "drawn twice"
    editor.until(lambda: editor.sent("textDocument/didShowCompletion"), "that it was shown is told")
    editor.keys("<Tab>")
    editor.check('#text "one two"\nx = one two<|>')
    editor.until(
        lambda: "complete" in editor.asked("workspace/executeCommand"), "that it was taken is told"
    )


def test_what_was_typed_meanwhile_is_not_inserted_twice(editor: Neovim) -> None:
    editor.insert('#text "one two"\nx = <|>')
    wait_for(editor, "one two")
    # Typed and accepted at once: the answer to the typing is not there yet.
    editor.keys("on<Tab>")
    editor.check('#text "one two"\nx = one two<|>')


def test_a_word(editor: Neovim) -> None:
    editor.insert('#text "one two"\nx = <|>')
    wait_for(editor, "one two")
    editor.keys("<M-Right>")
    editor.check('#text "one two"\nx = one<|>')
    told = editor.sent("textDocument/didPartiallyAcceptCompletion")
    assert [params["acceptedLength"] for params in told] == [3]
    wait_for(editor, " two")


def test_a_pause_is_kept_and_asking_by_hand_works(editor: Neovim) -> None:
    editor.open('#text "one two"\nx = <|>')
    editor.lua("require('midfill').pause('buffer')")
    editor.keys("A")
    editor.until(lambda: editor.mode == "i", "insert mode")
    editor.keys("1")
    editor.check('#text "one two"\nx = 1<|>')
    assert kinds(editor) == []
    editor.lua("require('midfill').trigger()")
    editor.until(lambda: shown(editor) != "", "a suggestion")
    editor.lua("require('midfill').dismiss()")
    wait_for(editor, "")


def test_a_newer_request_gives_the_older_up(editor: Neovim) -> None:
    editor.open('#text "one two"\nx = <|>')
    with stopped(Scripted(editor.folder).pid()):
        editor.keys("i")
        editor.until(lambda: "pending" in kinds(editor), "a request")
        editor.keys("x")
        editor.until(lambda: "cancel" in kinds(editor), "that the first request is given up")


def test_the_plugin_draws_itself_where_it_is_told_to(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("neovim")
    words = ", ".join(f"[==[{word}]==]" for word in scripted_command(folder))
    setup = f"{{ ghost = 'midfill', cmd = {{ {words} }} }}"
    with Neovim(folder, setup, script=_STAND_IN) as neovim:
        neovim.insert('#text "one two"\nx = <|>')
        neovim.wait_for_ghost("one two")
        assert shown(neovim) == ""
