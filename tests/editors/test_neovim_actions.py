"""Hover, fixes, explanations and code for a comment, in Neovim, by Neovim's ways and by ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.editors.neovim import Neovim, lua_list, neovim_program, scripted_command
from tests.server.scripted_server import CHATTED

pytestmark = [
    pytest.mark.editors,
    pytest.mark.skipif(neovim_program() is None, reason="no Neovim: run `make test-editors`"),
]

# What is offered is written down, and what is chosen is the first that contains `wanted`.
_SCRIPT = """
vim.o.lines, vim.o.columns = 40, 100
_G.offered, _G.wanted = {}, ''
vim.ui.select = function(items, options, done)
  offered = vim.tbl_map(options.format_item or tostring, items)
  for index, title in ipairs(offered) do
    if title:find(wanted, 1, true) then
      return done(items[index], index)
    end
  end
  done(nil)
end
-- As nvim-lint does, or a plugin that runs tests.
function _G.find_bad(code)
  local found = {}
  for row, line in ipairs(vim.api.nvim_buf_get_lines(0, 0, -1, true)) do
    local first, last = line:match('^[^#]-()bad%w*()')
    if first then
      table.insert(found, { lnum = row - 1, col = first - 1, end_lnum = row - 1,
        end_col = last - 1, message = "'bad' is bad", code = code or 'B1', source = 'fake' })
    end
  end
  vim.diagnostic.set(vim.api.nvim_create_namespace('fake'), 0, found)
end
function _G.explained()
  local buffer = vim.api.nvim_get_current_buf()
  if vim.bo[buffer].filetype ~= 'markdown' then
    return nil
  end
  return table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, true), '\\n')
end
"""

_NICE = f"#text{json.dumps('nice')}\n"
_FUNCTION = '''\
def add(a, b):
    """Return the sum."""
    return a + b


total = a<|>dd(1, 2)'''


# A server in Lua that knows one hover and one action.
_OTHER_SERVER = """
local answers = {
  initialize = { capabilities = { hoverProvider = true, codeActionProvider = true } },
  ['textDocument/hover'] = { contents = { kind = 'markdown', value = 'other says' } },
  ['textDocument/codeAction'] = { { title = 'Other action' } },
}
other = vim.lsp.start({ name = 'other', cmd = function()
  return {
    request = function(method, params, callback)
      if method == 'textDocument/codeAction' then
        other_asked = params.context.diagnostics
      end
      vim.schedule(function() callback(nil, answers[method]) end)
      return true, 1
    end,
    notify = function() return true end,
    is_closing = function() return false end,
    terminate = function() end,
  }
end }, { bufnr = 0 })
"""
_TOLD = {"message": "as it said it"}
_FOUND = {
    "lnum": 7,
    "col": 4,
    "end_lnum": 7,
    "end_col": 7,
    "message": "'bad' is bad",
    "code": "B1",
    "source": "fake",
    "user_data": {"lsp": _TOLD},
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neovim]:
    folder = tmp_path_factory.mktemp("neovim")
    command = lua_list(scripted_command(folder))
    # Nothing is computed that was not asked for.
    setup = f"{{ cmd = {command}, auto_trigger = false, settings = {{ profile = 'eco' }} }}"
    with Neovim(folder, setup, script=_SCRIPT) as neovim:
        yield neovim


@pytest.fixture
def editor(shared: Neovim) -> Iterator[Neovim]:
    """An editor in which nothing is open but a file."""
    shared.nvim.command("silent! only!")
    shared.lua("offered, wanted = {}, ''")
    shared.open("#nothing<|>", name="nothing.py")
    shared.until(
        lambda: shared.lua("return require('midfill').status().state") == "ready", "a server"
    )
    yield shared
    shared.keys("<Esc><Esc>")
    shared.lua("require('midfill.explanation').close(); require('midfill').cancel()")


def explained(editor: Neovim) -> str | None:
    return editor.lua("return explained()")


def wait_for_explanation(editor: Neovim, words: str) -> None:
    editor.until(
        lambda: words in (explained(editor) or ""), lambda: f"{words}; it is {explained(editor)}"
    )


def note_requests(editor: Neovim, command: str) -> None:
    """Have the requests of a command noted, the last of which ``noted`` returns."""
    editor.lua(
        """
        local command = ...
        local client = require('midfill.client')
        local request = client.request
        client.request = function(method, params, ...)
          if params.command == command then noted = params.arguments[1] end
          return request(method, params, ...)
        end
        """,
        command,
    )


def noted(editor: Neovim) -> Any:
    return editor.lua("return noted")


# What Neovim itself does


def floating(editor: Neovim) -> str:
    windows = [one for one in editor.nvim.windows if one.api.get_config()["relative"]]
    return "\n".join(windows[0].buffer[:]) if windows else ""


def test_k_tells_what_a_name_is(editor: Neovim) -> None:
    editor.open(_FUNCTION, name="hover.py")
    editor.keys("K")
    editor.until(lambda: "def add(a, b)" in floating(editor), lambda: floating(editor))
    assert "Return the sum." in floating(editor)


def test_another_server_is_heard_as_well(editor: Neovim) -> None:
    editor.open(f"{_NICE}{_FUNCTION}\nx = bad(1)", name="both.py")
    editor.lua(_OTHER_SERVER)
    editor.until(
        lambda: editor.lua("return vim.lsp.get_client_by_id(other).initialized"), "the other server"
    )
    editor.keys("K")
    editor.until(lambda: "other says" in floating(editor), lambda: floating(editor))
    assert "def add(a, b)" in floating(editor)
    editor.nvim.command("normal! G")
    editor.lua("vim.diagnostic.set(vim.lsp.diagnostic.get_namespace(other), 0, ...)", [_FOUND])
    editor.lua("wanted = 'Fix'; vim.lsp.buf.code_action()")
    editor.until(lambda: "x = nice" in editor.text, "what the other server found to be fixed")
    assert "Other action [other]" in editor.lua("return offered")
    # It is told what it found, and nothing else.
    assert editor.lua("return other_asked") == [_TOLD]


def test_neovim_s_own_menu_fixes_what_others_found(editor: Neovim) -> None:
    path = editor.open(f"{_NICE}x<|> = bad(1)", name="menu.py")
    editor.lua("find_bad(); wanted = 'Fix'")
    editor.lua("vim.lsp.buf.code_action()")
    editor.check(f"{_NICE}x<|> = nice(1)")
    assert editor.said == []
    editor.nvim.command("write")
    assert path.read_text(encoding="utf-8") == f"{_NICE}x = nice(1)\n"
    # It is one step of undo.
    editor.keys("u")
    editor.until(lambda: "bad(1)" in editor.text, "the text before")


def test_neovim_s_own_menu_explains(editor: Neovim) -> None:
    editor.open("x = b<|>ad(1)", name="menu-explains.py")
    editor.lua("find_bad(); wanted = 'Explain: '")
    editor.lua("vim.lsp.buf.code_action()")
    wait_for_explanation(editor, CHATTED)
    assert editor.said == []


def test_what_a_menu_is_given_by_hand_stays(editor: Neovim) -> None:
    editor.open("x = bad(1)<|>", name="given.py")
    given = editor.lua(
        """
        find_bad()
        local asked
        local lsp = require('midfill.client').get()
        local params = vim.lsp.util.make_range_params(0, lsp.offset_encoding)
        params.context = { diagnostics = { { range = params.range, message = 'mine' } } }
        local client = { id = lsp.id, offset_encoding = 'utf-16',
          request = function(_, _, told) asked = told end }
        require('midfill.actions').watch(client)
        client:request('textDocument/codeAction', params, nil, 0)
        return asked.context.diagnostics[1].message
        """
    )
    assert given == "mine"


# Fixes


@pytest.mark.parametrize("line", ["Midfill fix", "lua require('midfill').fix()"])
def test_a_fix_is_chosen_from_a_list(editor: Neovim, line: str) -> None:
    editor.open(f"{_NICE}<|>x = bad(1)", name=f"fix{len(line)}.py")
    editor.lua("find_bad(); wanted = 'Fix'")
    editor.nvim.command(line)
    editor.check(f"{_NICE}<|>x = nice(1)")
    offered = editor.lua("return offered")
    assert offered[0].startswith("Fix")
    assert any(title.startswith("Explain: ") for title in offered)


def test_columns_are_counted_as_the_server_does(editor: Neovim) -> None:
    editor.open(f"{_NICE}<|>word = '\U0001f600é', bad(1)", name="wide.py")
    editor.lua("find_bad(); wanted = 'Fix'")
    editor.nvim.command("Midfill fix")
    editor.check(f"{_NICE}<|>word = '\U0001f600é', nice(1)")


def test_a_fix_for_selected_lines(editor: Neovim) -> None:
    editor.open(f"<|>{_NICE}y = 1\nx = bad(1)", name="selected.py")
    editor.lua("find_bad(); wanted = 'Fix'")
    editor.keys("VG:Midfill fix<CR>")
    editor.until(lambda: "x = nice(1)" in editor.text, "the fix")


def test_where_nothing_is_wrong_that_is_said(editor: Neovim) -> None:
    editor.open("x = 1<|>", name="fine.py")
    editor.nvim.command("Midfill fix")
    editor.until(lambda: editor.said, "a message")
    assert editor.said == ["midfill: nothing was found wrong here that could be fixed"]
    editor.nvim.command("Midfill fixall")
    assert editor.said[1:] == ["midfill: nothing was found wrong in this file that could be fixed"]


def test_all_of_a_kind_are_fixed_at_once(editor: Neovim) -> None:
    editor.open(f"{_NICE}x = bad(1)\ny = bad(2)\n<|>", name="all.py")
    editor.lua("find_bad()")
    editor.nvim.command("Midfill fixall")
    editor.check(f"{_NICE}x = nice(1)\ny = nice(2)\n<|>")
    editor.until(lambda: editor.said, "a message")
    assert editor.said == ["midfill: fixed 2 of 2 (B1)."]
    editor.keys("u")
    editor.until(lambda: editor.text.count("bad") == 2, "the text before, by one step of undo")


def test_of_several_kinds_one_is_chosen(editor: Neovim) -> None:
    editor.open(f"{_NICE}x = bad(1)\n<|>", name="kinds.py")
    editor.lua("find_bad()")
    editor.lua(
        "vim.diagnostic.set(vim.api.nvim_create_namespace('other'), 0,"
        " { { lnum = 1, col = 0, message = 'other', source = 'other', code = 7 } })"
    )
    editor.lua("wanted = 'none of them'")
    editor.nvim.command("Midfill fixall")
    assert sorted(editor.lua("return offered")) == [
        "fake B1 (1): 'bad' is bad",
        "other 7 (1): other",
    ]


def test_what_takes_long_is_given_up(editor: Neovim) -> None:
    editor.open("#hang\nx = b<|>ad(1)", name="hang.py")
    editor.lua("find_bad()")
    editor.nvim.command("Midfill fixall")
    command = "workspace/executeCommand"
    editor.until(lambda: "pending" in editor.asked(command), "the request")
    editor.nvim.command("Midfill cancel")
    editor.until(lambda: "complete" in editor.asked(command), "the answer")
    assert "cancel" in editor.asked(command)
    assert editor.text == "#hang\nx = b<|>ad(1)"
    assert editor.said == []


# Explanations


@pytest.mark.parametrize("line", ["Midfill explain", "lua require('midfill').explain()"])
def test_a_name_is_explained_in_a_window(editor: Neovim, line: str) -> None:
    editor.open(_FUNCTION, name=f"explain{len(line)}.py")
    origin = editor.nvim.current.window
    editor.nvim.command(line)
    wait_for_explanation(editor, CHATTED)
    buffer = editor.nvim.current.buffer
    assert buffer.options["buftype"] == "nofile"
    assert not buffer.options["modifiable"]
    editor.until(
        lambda: "Explanation by" in editor.nvim.current.window.options["winbar"], "by whom"
    )
    editor.keys("q")
    editor.until(lambda: not buffer.valid, "the window to close")
    assert editor.nvim.current.window == origin
    assert len(editor.nvim.windows) == 1


def test_an_explanation_grows_and_closing_it_gives_it_up(editor: Neovim) -> None:
    editor.open("#slow\nx<|> = 1", name="slow.py")
    editor.nvim.command("1,2Midfill explain long")
    wait_for_explanation(editor, "It is slow.")
    seen = explained(editor) or ""
    editor.until(lambda: len(explained(editor) or "") > len(seen), "more of it")
    command = "workspace/executeCommand"
    assert "complete" not in editor.asked(command)
    editor.keys("q")
    editor.until(lambda: "cancel" in editor.asked(command), "a cancel")
    editor.until(lambda: "complete" in editor.asked(command), "the answer")
    assert len(editor.nvim.windows) == 1
    assert editor.said == []


def test_another_explanation_takes_the_window(editor: Neovim) -> None:
    editor.open("#slow\nx<|> = 1", name="first.py")
    editor.nvim.command("1,2Midfill explain")
    wait_for_explanation(editor, "It is slow.")
    editor.keys("<C-w>p")
    editor.open(_FUNCTION, name="second.py")
    editor.nvim.command("Midfill explain")
    wait_for_explanation(editor, CHATTED)
    assert len(editor.nvim.windows) == 2


_LINES = ["é = f(1)", "yé = 2"]


def between(place: Any, encoding: str) -> str:
    """Return what of these lines is in a range of the protocol."""
    assert encoding in ("utf-8", "utf-16")
    units = 1 if encoding == "utf-8" else 2
    unit_encoding = "utf-8" if units == 1 else "utf-16-le"

    def offset(at: dict[str, int]) -> int:
        line = _LINES[at["line"]].encode(unit_encoding)
        before = line[: at["character"] * units].decode(unit_encoding)
        return sum(len(one) + 1 for one in _LINES[: at["line"]]) + len(before)

    return "\n".join(_LINES)[offset(place["start"]) : offset(place["end"])]


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ("vj0l:Midfill explain<CR>", "f(1)\nyé"),
        ("vj0l<Cmd>Midfill explain<CR>", "f(1)\nyé"),
        ("v0<Cmd>Midfill explain<CR>", "é = f"),
        ("v$<Cmd>Midfill explain<CR>", "f(1)"),
        ("Vj<Cmd>Midfill explain<CR>", "é = f(1)\nyé = 2"),
        ("Vj:Midfill explain<CR>", "é = f(1)\nyé = 2"),
        (":2,2Midfill explain short<CR>", "yé = 2"),
        ("<Cmd>Midfill explain<CR>", ""),
    ],
)
def test_what_is_selected_is_explained(editor: Neovim, keys: str, text: str) -> None:
    before, after = _LINES[0].split("f")
    editor.open(f"{before}<|>f{after}\n{_LINES[1]}", name="selection.py")
    editor.lua("noted = nil")
    note_requests(editor, "midfill.explain")
    editor.keys(keys)
    editor.until(lambda: noted(editor) is not None, "the request")
    encoding = editor.lua("return require('midfill.client').get().offset_encoding")
    assert between(noted(editor)["range"], encoding) == text
    editor.until(lambda: editor.mode == "n", "normal mode")


def test_what_cannot_be_explained_is_said(editor: Neovim) -> None:
    editor.open("x<|> = 1", name=".env")
    editor.nvim.command("Midfill explain")
    editor.until(lambda: editor.said, "a message")
    assert editor.said[0].startswith("midfill: No model is shown this")
    assert len(editor.nvim.windows) == 1


# Code for a comment


@pytest.mark.parametrize("line", ["Midfill generate", "lua require('midfill').generate()"])
def test_code_is_written_below_a_comment(editor: Neovim, line: str) -> None:
    text = f"#text{json.dumps('x = 1')}"
    editor.open(f"{text}<|>\ny = 2", name=f"generate{len(line)}.py")
    editor.nvim.command(line)
    editor.until(lambda: "x = 1\ny = 2" in editor.text.replace("<|>", ""), lambda: editor.text)
    assert editor.said == []


def test_without_a_comment_nothing_is_written(editor: Neovim) -> None:
    editor.open("x = 1<|>", name="no-comment.py")
    editor.nvim.command("Midfill generate")
    editor.until(lambda: editor.said, "a message")
    assert editor.said[0].startswith("midfill: There is nothing here that says what is wanted")


# The command


def test_only_some_subcommands_take_lines(editor: Neovim) -> None:
    editor.nvim.command("1,1Midfill pause")
    assert editor.said == ["midfill: `:Midfill pause` takes no range"]
    assert editor.nvim.funcs.getcompletion("Midfill explain ", "cmdline") == [
        "short",
        "medium",
        "long",
    ]


def test_a_buffer_that_the_server_does_not_know(editor: Neovim) -> None:
    editor.nvim.command("new")
    for line in ("fix", "generate", "explain"):
        editor.nvim.command(f"Midfill {line}")
        assert "does not know this buffer" in editor.said[-1]


# Trust


@pytest.mark.parametrize(
    ("option", "answer"),
    [
        ("", False),
        ("trusted = true,", True),
        ("trusted = function(root) return vim.endswith(root, '/good') end,", True),
        ("trusted = function(root) return vim.endswith(root, '/goo') end,", False),
        ("trusted = function() return 'yes' end,", False),
        ("trusted = function() error('no') end,", False),
    ],
)
def test_the_server_is_told_what_the_user_trusts(tmp_path: Path, option: str, answer: bool) -> None:
    (tmp_path / "good" / ".git").mkdir(parents=True)
    setup = f"{{ {option} cmd = {lua_list(scripted_command(tmp_path))} }}"
    with Neovim(tmp_path, setup) as editor:
        editor.open("x<|>", name="good/a.py")
        told = editor.lua("return require('midfill.client').get().config.init_options.trusted")
        assert told is answer
        assert editor.sent("midfill/didChangeTrust") == []


def test_another_project_that_is_not_trusted_ends_it(tmp_path: Path) -> None:
    for name in ("good", "fine", "evil"):
        (tmp_path / name / ".git").mkdir(parents=True)
    option = "trusted = function(root) return not root:find('evil') end"
    setup = f"{{ {option}, cmd = {lua_list(scripted_command(tmp_path))} }}"
    script = "_G.told = {}\n" + (
        "vim.api.nvim_create_autocmd('LspNotify', { callback = function(event)"
        " if event.data.method == 'midfill/didChangeTrust' then"
        " table.insert(told, event.data.params) end end })\n"
    )
    with Neovim(tmp_path, setup, script=script) as editor:
        editor.open("x<|>", name="good/a.py")
        editor.open("x<|>", name="fine/a.py")
        assert editor.lua("return told") == []
        editor.open("x<|>", name="evil/a.py")
        assert editor.lua("return told") == [{"trusted": False}]
        # It does not come back by itself.
        editor.open("x<|>", name="good/b.py")
        assert editor.lua("return told") == [{"trusted": False}]
