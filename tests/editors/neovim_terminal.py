"""Neovim in a terminal, as a person sees it: tmux keeps the screen, with its colours."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["Terminal", "has_tmux", "text_in"]

_LOOK_EVERY_S = 0.05


def has_tmux() -> bool:
    """Whether tmux is installed."""
    return shutil.which("tmux") is not None


class Terminal:
    """A program on a screen of its own; leaving ends it."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        env: Mapping[str, str],
        columns: int = 80,
        rows: int = 24,
    ) -> None:
        self.folder = folder
        self._socket = folder / "tmux"
        settings = folder / "tmux.conf"
        settings.write_text(
            "set -g default-terminal tmux-256color\nset -g status off\nset -sg escape-time 0\n",
            encoding="utf-8",
        )
        start = ["-f", str(settings), "new-session", "-d", "-x", str(columns), "-y", str(rows)]
        # A screen of true colours, in which a highlight group can be told from another.
        self._env = {**env, "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"}
        self._tmux(*start, "-c", str(folder), *command)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        subprocess.run(["tmux", "-S", str(self._socket), "kill-server"], check=False)

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", str(self._socket), *arguments]
        done = subprocess.run(command, env=self._env, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stderr.decode()}")
        return done.stdout.decode()

    def type(self, text: str) -> None:
        """Press the keys of ``text``, as they are written."""
        self._tmux("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        """Press keys by their names, as tmux calls them: ``Escape``, ``Tab``, ``C-]``."""
        self._tmux("send-keys", *keys)

    def captured(self) -> str:
        """Return the screen as a terminal is told it: text with the escapes of its colours."""
        return self._tmux("capture-pane", "-p", "-e")

    def screen(self) -> Text:
        """Return the screen with its styles."""
        from rich.text import Text

        return Text.from_ansi(self.captured())

    def wait_until(self, holds: Callable[[Text], bool], *, timeout_s: float = 30) -> Text:
        """Return the screen once something holds of it."""
        end = time.monotonic() + timeout_s
        while not holds(screen := self.screen()):
            assert time.monotonic() < end, f"it never came on the screen:\n{screen.plain}"
            time.sleep(_LOOK_EVERY_S)
        return screen

    def wait_for(self, text: str, *, timeout_s: float = 30) -> Text:
        """Return the screen once it shows ``text``."""
        return self.wait_until(lambda screen: text in screen.plain, timeout_s=timeout_s)

    def wait_until_still(self, *, looks: int = 20) -> Text:
        """Return the screen once it stayed the same for so many looks."""
        seen, same = "", 0
        while same < looks:
            now = self.captured()
            seen, same = now, same + 1 if now == seen else 0
            time.sleep(_LOOK_EVERY_S)
        return self.screen()


def text_in(screen: Text, colour: tuple[int, int, int]) -> str:
    """Return what stands on the screen in this colour, line by line, without its indentation."""
    from rich.console import Console

    console = Console()
    lines: list[str] = []
    for line in screen.split("\n"):
        styles = (line.get_style_at_offset(console, i) for i in range(len(line.plain)))
        triplets = [style.color.get_truecolor() if style.color else None for style in styles]
        found = "".join(c for c, t in zip(line.plain, triplets, strict=True) if t == colour)
        if found.strip():
            lines.append(found.strip())
    return "\n".join(lines)
