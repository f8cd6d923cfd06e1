"""ESLint: its settings and rules are code of the project, so it runs only where that is trusted."""

from __future__ import annotations

from dataclasses import dataclass

from midfill_engine.cancel import CancelToken
from midfill_server.checking.base import CheckFailedError
from midfill_server.checking.finding import Finding, Places
from midfill_server.checking.programs import Grounds
from midfill_server.checking.running import run
from midfill_server.checking.shadow import encoded
from midfill_server.checking.shapes import as_number, as_objects, as_text, read_json
from midfill_server.document import PositionEncoding

__all__ = ["Eslint", "read_eslint"]

_SETTINGS = tuple(
    f"{name}.{end}"
    for name, ends in (("eslint.config", "js mjs cjs ts mts cts"), (".eslintrc", "js cjs json yml"))
    for end in ends.split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Eslint:
    """``eslint --stdin``. Refuses to run where the workspace is not trusted."""

    program: str
    grounds: Grounds
    name: str = "eslint"

    def check(
        self, path: str, text: str, cancel: CancelToken, timeout_s: float
    ) -> tuple[Finding, ...]:
        """Lint one text as ``Checker`` says."""
        if not self.grounds.trusted:
            raise CheckFailedError("ESLint runs code of the project, which is not trusted.")
        output = run(
            [
                self.program,
                "--stdin",
                f"--stdin-filename={path}",
                "--format=json",
                "--no-color",
                "--no-fix",
            ],
            environment=self.grounds.environment(),
            stdin=encoded(text),
            cancel=cancel,
            timeout_s=timeout_s,
            cwd=self.grounds.nearest(*_SETTINGS) or self.grounds.root_of(path),
        )
        if output.status not in (0, 1):
            said = (output.stderr or output.stdout).strip()[:500]
            raise CheckFailedError(f"eslint failed: {said}")
        return read_eslint(output.stdout, text, output.stderr)


def read_eslint(stdout: str, text: str, stderr: str = "") -> tuple[Finding, ...]:
    """Return the findings of the format JSON. It counts in UTF-16 from 1."""
    places = Places(text, PositionEncoding.UTF16)
    files = as_objects(read_json(stdout, "eslint", stderr))
    found: list[Finding] = []
    for one in [message for file in files for message in as_objects(file.get("messages"))]:
        if as_number(one.get("line")) is None:
            # Of the file as a whole: that its settings leave it out.
            raise CheckFailedError(f"eslint says: {as_text(one.get('message'))[:500]}")
        row, column = (as_number(one.get(key)) or 1 for key in ("line", "column"))
        last, end = (as_number(one.get(key)) for key in ("endLine", "endColumn"))
        found.append(
            places.finding(
                (row - 1, column - 1),
                (last - 1, end - 1) if last is not None and end is not None else None,
                message=as_text(one.get("message")),
                code=as_text(one.get("ruleId")),
                source="eslint",
                severity="error" if one.get("severity") == 2 else "warning",
            )
        )
    return tuple(found)
