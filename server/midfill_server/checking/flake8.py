"""flake8, pycodestyle and pyflakes: each reads the text from its standard input.

Plugins that a project names in the settings of flake8 are code of the project: where that is not
trusted flake8 goes without any settings. The other two have none that could do harm.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from midfill_engine.cancel import CancelToken
from midfill_server.checking.base import CheckFailedError
from midfill_server.checking.finding import Finding, Places
from midfill_server.checking.lines import read_lines
from midfill_server.checking.programs import Grounds
from midfill_server.checking.running import run
from midfill_server.checking.shadow import encoded
from midfill_server.document import PositionEncoding

__all__ = ["Flake8", "read_flake8"]

_LINE = re.compile(
    r".*?:(?P<line>\d+):(?:(?P<column>\d+):)? (?:(?P<code>[A-Z]{1,3}\d{3}) )?(?P<message>.+)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flake8:
    """One of the three, which is called ``name``."""

    program: str
    grounds: Grounds
    name: str = "flake8"

    def check(
        self, path: str, text: str, cancel: CancelToken, timeout_s: float
    ) -> tuple[Finding, ...]:
        """Lint one text as ``Checker`` says."""
        arguments = {
            "flake8": [
                "--format=default",
                "--no-show-source",
                "--color=never",
                *([] if self.grounds.trusted else ["--isolated"]),
                "-",
            ],
            "pycodestyle": ["--format=default", "-"],
        }
        may_be_read = self.grounds.trusted or self.name != "flake8"
        output = run(
            [self.program, *arguments.get(self.name, [])],
            environment=self.grounds.environment(),
            stdin=encoded(text),
            cancel=cancel,
            timeout_s=timeout_s,
            # Settings are looked for from here; those of pycodestyle are data.
            cwd=self.grounds.root_of(path) if may_be_read else None,
        )
        if output.status not in (0, 1) or (output.status == 1 and not output.stdout.strip()):
            # pyflakes says on the other stream that a text is no Python.
            found = read_flake8(output.stderr, text, self.name)
            if found and self.name == "pyflakes":
                return found
            raise CheckFailedError(f"{self.name} failed: {output.stderr.strip()[:500]}")
        return read_flake8(output.stdout, text, self.name)


def read_flake8(stdout: str, text: str, source: str) -> tuple[Finding, ...]:
    """Return the findings of the default format. It counts characters from 1."""
    places = Places(text, PositionEncoding.UTF32)
    return tuple(read_lines(stdout, _LINE, places, source=source, severity="warning"))
