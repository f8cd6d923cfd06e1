"""ShellCheck: reads a script from its standard input, and runs nothing of it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from midfill_engine.cancel import CancelToken
from midfill_server.checking.base import CheckFailedError
from midfill_server.checking.finding import Finding, Places
from midfill_server.checking.programs import Grounds
from midfill_server.checking.running import run
from midfill_server.checking.shadow import encoded
from midfill_server.checking.shapes import as_number, as_object, as_objects, as_text, read_json
from midfill_server.document import PositionEncoding

__all__ = ["ShellCheck", "read_shellcheck"]

_SEVERITIES = {"error": "error", "warning": "warning", "info": "information", "style": "hint"}
_SHELLS = {".bash": "bash", ".bats": "bats", ".ksh": "ksh", ".zsh": "bash"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellCheck:
    """``shellcheck --format=json1 -``."""

    program: str
    grounds: Grounds
    name: str = "shellcheck"

    def check(
        self, path: str, text: str, cancel: CancelToken, timeout_s: float
    ) -> tuple[Finding, ...]:
        """Check one script as ``Checker`` says."""
        command = [self.program, "--format=json1", "--color=never"]
        if not text.startswith("#!"):
            shell = next((name for end, name in _SHELLS.items() if path.endswith(end)), "bash")
            command.append(f"--shell={shell}")
        output = run(
            [*command, "-"],
            environment=self.grounds.environment(),
            stdin=encoded(text),
            cancel=cancel,
            timeout_s=timeout_s,
            # Its settings, which are data, are looked for from here.
            cwd=self.grounds.folders[0] if os.path.isdir(self.grounds.folders[0]) else None,
        )
        if output.status not in (0, 1):
            raise CheckFailedError(f"shellcheck failed: {output.stderr.strip()[:500]}")
        return read_shellcheck(output.stdout, text, output.stderr)


def read_shellcheck(stdout: str, text: str, stderr: str = "") -> tuple[Finding, ...]:
    """Return the findings of the format json1. It counts characters from 1."""
    places = Places(text, PositionEncoding.UTF32)
    answer = as_object(read_json(stdout, "shellcheck", stderr))
    if "comments" not in answer:
        raise CheckFailedError("shellcheck says nothing of the script.")
    found: list[Finding] = []
    for one in as_objects(answer["comments"]):
        row, column, last, end = (
            (as_number(one.get(key)) or 1) - 1 for key in ("line", "column", "endLine", "endColumn")
        )
        found.append(
            places.finding(
                (row, column),
                (last, end),
                message=as_text(one.get("message")),
                code=f"SC{as_text(one.get('code'))}",
                source="shellcheck",
                severity=_SEVERITIES.get(as_text(one.get("level")), "warning"),
            )
        )
    return tuple(found)
