"""Ruff: reads the text from its standard input, and the project's settings as data."""

from __future__ import annotations

import re
from dataclasses import dataclass

from midfill_engine.cancel import CancelToken
from midfill_server.checking.base import CheckFailedError
from midfill_server.checking.finding import Finding, Places
from midfill_server.checking.programs import Grounds
from midfill_server.checking.running import run
from midfill_server.checking.shadow import encoded
from midfill_server.checking.shapes import as_number, as_object, as_objects, as_text, read_json
from midfill_server.document import PositionEncoding

__all__ = ["Ruff", "read_ruff"]

_RULE = re.compile(r"[A-Z]{1,5}\d{1,4}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruff:
    """Ruff's linter. ``rule`` is looked for even where the project's settings do not select it."""

    program: str
    grounds: Grounds
    rule: str | None = None
    name: str = "ruff"

    def check(
        self, path: str, text: str, cancel: CancelToken, timeout_s: float
    ) -> tuple[Finding, ...]:
        """Lint one text as ``Checker`` says."""
        wanted = self.rule if self.rule is not None and _RULE.match(self.rule) else None
        command = [
            self.program,
            "check",
            "--no-cache",
            "--no-fix",
            "--no-force-exclude",
            "--output-format=json",
            *([f"--extend-select={wanted}"] if wanted is not None else []),
            f"--stdin-filename={path}",
            "-",
        ]
        output = run(
            command,
            environment=self.grounds.environment(),
            stdin=encoded(text),
            cancel=cancel,
            timeout_s=timeout_s,
        )
        if output.status not in (0, 1):
            raise CheckFailedError(f"ruff failed: {output.stderr.strip()[:500]}")
        return read_ruff(output.stdout, text, output.stderr)


def read_ruff(stdout: str, text: str, stderr: str = "") -> tuple[Finding, ...]:
    """Return the findings of ``ruff check --output-format=json``. It counts characters from 1."""
    places = Places(text, PositionEncoding.UTF32)
    found: list[Finding] = []
    for one in as_objects(read_json(stdout or "[]", "ruff", stderr)):
        code = as_text(one.get("code"))
        found.append(
            places.finding(
                _place(one.get("location")),
                _place(one.get("end_location")),
                message=as_text(one.get("message")),
                code="" if code == "invalid-syntax" else code,
                source="ruff",
                severity="error" if code in ("", "invalid-syntax") else "warning",
            )
        )
    return tuple(found)


def _place(value: object) -> tuple[int, int | None]:
    place = as_object(value)
    row, column = as_number(place.get("row")), as_number(place.get("column"))
    return (row or 1) - 1, column - 1 if column is not None else None
