"""Pyright and basedpyright by their command line: on the shadow of a project, slow but simple.

Neither runs any of the project's code: what they read of it is text and settings. They start an
interpreter to ask where its packages are, so they are told which: one of the workspace only where
that is trusted.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from midfill_engine.cancel import CancelToken
from midfill_server.checking.base import CheckFailedError
from midfill_server.checking.finding import Finding, Places
from midfill_server.checking.programs import Grounds
from midfill_server.checking.running import run
from midfill_server.checking.shadow import shadow_of
from midfill_server.checking.shapes import (
    Object,
    as_number,
    as_object,
    as_objects,
    as_text,
    read_json,
)
from midfill_server.document import PositionEncoding

__all__ = ["SEVERITIES", "PyrightCommand", "interpreter", "read_pyright", "read_range"]

SEVERITIES = {1: "error", 2: "warning", 3: "information", 4: "hint"}
"""How LSP counts severities."""

# basedpyright writes its record of known errors anew when there are fewer.
_COPIED = (".basedpyright",)


@dataclass(frozen=True, slots=True, kw_only=True)
class PyrightCommand:
    """``pyright --outputjson`` on one file of a shadow."""

    program: str
    grounds: Grounds
    name: str = "pyright"

    def check(
        self, path: str, text: str, cancel: CancelToken, timeout_s: float
    ) -> tuple[Finding, ...]:
        """Check one text as ``Checker`` says."""
        python = interpreter(self.grounds)
        with shadow_of(self.grounds.root_of(path), path, text, copied=_COPIED) as shadow:
            output = run(
                [
                    self.program,
                    "--outputjson",
                    *([] if python is None else ["--pythonpath", python]),
                    shadow.path,
                ],
                environment=self.grounds.environment(),
                cancel=cancel,
                timeout_s=timeout_s,
                cwd=shadow.folder,
            )
            # 0 and 1 are findings or none; above that something is wrong with it or its settings.
            if output.status not in (0, 1):
                said = (output.stderr or output.stdout).strip()[:500]
                raise CheckFailedError(f"{self.name} failed: {said}")
            found = read_pyright(output.stdout, shadow.path, text, self.name, output.stderr)
            return tuple(shadow.unshadowed(one) for one in found)


def interpreter(grounds: Grounds) -> str | None:
    """Return the Python whose packages a project uses, of those that may be started."""
    return grounds.python() or grounds.program("python3", "python")


def read_pyright(
    stdout: str, path: str, text: str, source: str, stderr: str = ""
) -> tuple[Finding, ...]:
    """Return what ``--outputjson`` says of the file ``path``. It counts in UTF-16 from 0."""
    places = Places(text, PositionEncoding.UTF16)
    answer = as_object(read_json(stdout, source, stderr))
    if "generalDiagnostics" not in answer:
        raise CheckFailedError(f"{source} says nothing of the file.")
    return tuple(
        read_range(places, one, code=as_text(one.get("rule")), source=source)
        for one in as_objects(answer["generalDiagnostics"])
        if _is_same(as_text(one.get("file")), path)
    )


def read_range(places: Places, one: Object, *, code: str, source: str) -> Finding:
    """Return a finding from an object with ``range``, ``message`` and ``severity`` as in LSP."""
    value = as_object(one.get("range"))
    ends: list[tuple[int, int | None]] = []
    for end in (as_object(value.get("start")), as_object(value.get("end"))):
        ends.append((as_number(end.get("line")) or 0, as_number(end.get("character")) or 0))
    number = as_number(one.get("severity"))
    severity = as_text(one.get("severity")) if number is None else SEVERITIES.get(number, "error")
    return places.finding(
        ends[0],
        ends[1],
        message=as_text(one.get("message")),
        code=code,
        source=source,
        severity=severity or "error",
    )


def _is_same(one: str, other: str) -> bool:
    names: Sequence[str] = [os.path.normcase(os.path.realpath(name)) for name in (one, other)]
    return names[0] == names[1]
