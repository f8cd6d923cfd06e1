"""TypeScript by its own server: it stays, and answers the next text in no time.

It gives what editors show, as most of them ask the same server. It fetches no types from the net,
as it is told, and loads no plugins from a project: those that settings name are looked for beside
TypeScript itself.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass

from midfill_engine.cancel import CancelToken
from midfill_server.checking.base import CheckFailedError
from midfill_server.checking.finding import Finding, Places
from midfill_server.checking.programs import Grounds
from midfill_server.checking.resident import Resident, Residents
from midfill_server.checking.shapes import Object, as_number, as_object, as_objects, as_text
from midfill_server.document import PositionEncoding

__all__ = ["TsServer", "loads_only_its_own"]

_ARGUMENTS = (
    "--disableAutomaticTypingAcquisition",
    "--suppressDiagnosticEvents",
    "--useInferredProjectPerProjectRoot",
    "--noGetErrOnBackgroundUpdate",
    "--locale",
    "en",
)
_KINDS = {".ts": "TS", ".mts": "TS", ".cts": "TS", ".tsx": "TSX", ".jsx": "JSX"}
_COMMANDS = ("syntacticDiagnosticsSync", "semanticDiagnosticsSync", "suggestionDiagnosticsSync")
_SEVERITIES = {"error": "error", "warning": "warning", "suggestion": "hint"}
# Before this one a name with ".." in it led a plugin out of where plugins are.
_FIRST_SAFE = 5
_VERSION = re.compile(r'"version"\s*:\s*"(\d+)\.')


@dataclass(frozen=True, slots=True, kw_only=True)
class TsServer:
    """``tsserver``, one for each folder of the workspace."""

    program: str
    grounds: Grounds
    residents: Residents
    name: str = "tsc"

    def check(
        self, path: str, text: str, cancel: CancelToken, timeout_s: float
    ) -> tuple[Finding, ...]:
        """Check one text as ``Checker`` says."""
        deadline_s = time.monotonic() + timeout_s
        root = self.grounds.root_of(path)
        answer: list[Object] = []

        def make() -> _Server:
            return _Server((self.program, *_ARGUMENTS), self.grounds.environment())

        def ask(server: _Server) -> None:
            answer.extend(server.diagnostics(path, text, root, cancel, deadline_s))

        self.residents.ask((self.program, root), make, _Server, ask)
        places = Places(text, PositionEncoding.UTF16)
        return tuple(_finding(places, one) for one in answer)


def loads_only_its_own(program: str) -> bool:
    """Return whether no settings of a project can lead this server to code of the project."""
    package = os.path.join(os.path.dirname(os.path.realpath(program)), "..", "package.json")
    try:
        with open(package, encoding="utf-8") as file:
            version = _VERSION.search(file.read(64 * 1024))
    except (OSError, ValueError):
        return False
    return version is not None and int(version[1]) >= _FIRST_SAFE


class _Server(Resident):
    _last_seq = 0
    _opened: str | None = None

    def diagnostics(
        self, path: str, text: str, root: str, cancel: CancelToken, deadline_s: float
    ) -> list[Object]:
        """Return what is wrong with a text."""
        path = os.path.abspath(path).replace("\\", "/")
        if self._opened is not None and self._opened != path:
            self._send("close", {"file": self._opened})
        kind = _KINDS.get(os.path.splitext(path)[1].lower(), "JS")
        content = text.encode("utf-8", "replace").decode("utf-8")
        opened: Object = {"file": path, "fileContent": content, "scriptKindName": kind}
        self._send("open", {**opened, "projectRootPath": root.replace("\\", "/")})
        self._opened = path
        found: list[Object] = []
        for command in _COMMANDS:
            found += self._ask(command, {"file": path}, cancel, deadline_s)
        return found

    def _ask(
        self, command: str, arguments: Object, cancel: CancelToken, deadline_s: float
    ) -> list[Object]:
        number = self._send(command, arguments)
        while True:
            message = self.next_message(cancel, deadline_s)
            if message.get("type") != "response" or message.get("request_seq") != number:
                continue
            if message.get("success") is not True:
                said = as_text(message.get("message"))[:500]
                raise CheckFailedError(f"TypeScript's server says: {said}")
            return as_objects(message.get("body"))

    def _send(self, command: str, arguments: Object) -> int:
        self._last_seq += 1
        request = {
            "seq": self._last_seq,
            "type": "request",
            "command": command,
            "arguments": arguments,
        }
        self.write(json.dumps(request).encode() + b"\n")
        return self._last_seq


def _finding(places: Places, one: Object) -> Finding:
    return places.finding(
        _place(one.get("start")),
        _place(one.get("end")),
        message=as_text(one.get("text")),
        code=as_text(one.get("code")),
        source="ts",
        severity=_SEVERITIES.get(as_text(one.get("category")), "error"),
    )


def _place(value: object) -> tuple[int, int | None]:
    place = as_object(value)
    return (as_number(place.get("line")) or 1) - 1, (as_number(place.get("offset")) or 1) - 1
