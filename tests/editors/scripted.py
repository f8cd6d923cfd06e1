"""What a test has in hand of ``scripted_midfill``: its settings, its calls, its process."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import psutil

from tests.editors.vscode import Json, until

__all__ = ["Scripted"]


class Scripted:
    """Servers that follow a script and tell what they do in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def settings(self, how: str = "works", *more: str) -> dict[str, Json]:
        """Return the editor's settings with which such a server is started; ``more`` arguments."""
        module = ["-m", "tests.editors.scripted_midfill"]
        return {
            "midfill.server.path": sys.executable,
            "midfill.server.args": [*module, "--folder", str(self.folder), "--open", how, *more],
            # All that the script says is to be seen.
            "midfill.completion.eagerness": "always",
            "midfill.completion.length": "block",
        }

    def calls(self) -> list[str]:
        """Return the text before the cursor of each call of the engine so far."""
        return [str(json.loads(line)) for line in self._lines("calls")]

    def checks(self) -> list[str]:
        """Return the texts that the checker has begun to look at so far."""
        return [str(json.loads(line)) for line in self._lines("checks")]

    def heard(self, method: str) -> int:
        """Return how many messages of this method have come from the editor so far."""
        return self._lines("heard").count(method)

    def _lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def pid(self) -> int | None:
        """Return the process that serves, if one has begun to."""
        path = self.folder / "pid"
        written = path.read_text(encoding="utf-8") if path.exists() else ""
        return int(written) if written else None

    def end(self) -> int:
        """End the server as a crash does; returns what process it was."""
        pid = self.pid()
        assert pid is not None
        psutil.Process(pid).kill()
        return pid

    def kill(self) -> None:
        """End the server as a crash does; returns when another one serves."""
        pid = self.end()
        until(lambda: self.pid() not in (None, pid), "another server")

    def close_gate(self) -> None:
        """Let what passes the gate stop after its first line."""
        (self.folder / "open").unlink(missing_ok=True)

    def open_gate(self) -> None:
        """Let it go on."""
        (self.folder / "open").touch()
