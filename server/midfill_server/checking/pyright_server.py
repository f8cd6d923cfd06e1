"""Pyright and basedpyright as language servers: they stay, and answer the next text in no time.

The text is theirs as an open document, so no file changes and no shadow is needed. What they have
read of other files they keep, hence they are told that files changed when they were not asked for
a moment.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from midfill_engine.cancel import CancelToken
from midfill_server.checking.base import Checker, CheckFailedError
from midfill_server.checking.finding import Finding, Places
from midfill_server.checking.programs import Grounds
from midfill_server.checking.pyright import interpreter, read_range
from midfill_server.checking.resident import Resident, Residents
from midfill_server.checking.shapes import Object, as_object, as_objects, as_text
from midfill_server.document import PositionEncoding

__all__ = ["LanguageServer", "PyrightServer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PyrightServer:
    """``pyright-langserver``, one for each folder of the workspace.

    ``rule`` is looked for even if the settings of the project, as far as there are none, do not
    ask for it. ``otherwise`` is asked where the server cannot answer. ``fresh_s`` is how long after
    a question the other files are taken for what they were.
    """

    program: str
    grounds: Grounds
    residents: Residents
    rule: str | None = None
    otherwise: Checker | None = None
    fresh_s: float = 5.0
    name: str = "pyright"

    def check(
        self, path: str, text: str, cancel: CancelToken, timeout_s: float
    ) -> tuple[Finding, ...]:
        """Check one text as ``Checker`` says."""
        deadline_s = time.monotonic() + timeout_s
        try:
            return self._ask(path, text, cancel, deadline_s)
        except CheckFailedError:
            left_s = deadline_s - time.monotonic()
            if self.otherwise is None or cancel.cancelled or left_s <= 0:
                raise
            return self.otherwise.check(path, text, cancel, left_s)

    def _ask(
        self, path: str, text: str, cancel: CancelToken, deadline_s: float
    ) -> tuple[Finding, ...]:
        root = self.grounds.root_of(path)
        settings = self._settings()
        answer: list[Object] = []

        def make() -> LanguageServer:
            environment = self.grounds.environment()
            command = (self.program, "--stdio")
            server = LanguageServer(command, environment, root, settings)
            try:
                server.open(cancel, deadline_s)
            except BaseException:
                server.close()
                raise
            return server

        def ask(server: LanguageServer) -> None:
            answer.extend(server.diagnostics(path, text, self.fresh_s, cancel, deadline_s))

        # Other settings are another server.
        key = (self.program, root, json.dumps(settings, sort_keys=True))
        self.residents.ask(key, make, LanguageServer, ask)
        places = Places(text, PositionEncoding.UTF16)
        return tuple(read_range(places, one, code=_code(one), source=self.name) for one in answer)

    def _settings(self) -> Object:
        """Return what the server asks its editor for; the project's own settings count more."""
        python = interpreter(self.grounds)
        analysis: Object = {
            "diagnosticMode": "openFilesOnly",
            "autoSearchPaths": True,
            "useLibraryCodeForTypes": True,
        }
        if self.grounds.python() is None:
            # The packages of an environment whose interpreter may not be started.
            analysis["extraPaths"] = list(self.grounds.packages())
        if self.rule is not None and self.rule.startswith("report"):
            analysis["diagnosticSeverityOverrides"] = {self.rule: "error"}
        settings: Object = {"python": {"analysis": analysis, "pythonPath": python or ""}}
        settings["basedpyright"] = {"analysis": analysis}
        return settings


class LanguageServer(Resident):
    """A language server, as far as one needs it to ask what is wrong in a text."""

    def __init__(
        self,
        command: tuple[str, ...],
        environment: Mapping[str, str],
        root: str,
        settings: Object,
    ) -> None:
        super().__init__(command, environment)
        self._root = root
        self._settings = settings
        self._last_id = 0
        self._version = 0
        self._opened: str | None = None
        self._asked_s = 0.0

    def open(self, cancel: CancelToken, deadline_s: float) -> None:
        """Shake hands."""
        uri = Path(self._root).as_uri()
        capabilities: Object = {
            "workspace": {
                "configuration": True,
                "workspaceFolders": True,
                # Said so that it leaves it to us to watch the files of the project.
                "didChangeWatchedFiles": {"dynamicRegistration": True},
            },
            "textDocument": {
                "synchronization": {},
                # Without this it sends what it finds whenever it likes, and cannot be asked.
                "diagnostic": {"dynamicRegistration": True},
                "publishDiagnostics": {"versionSupport": True, "tagSupport": {"valueSet": [1, 2]}},
            },
            "general": {"positionEncodings": ["utf-16"]},
        }
        parameters: Object = {
            "processId": os.getpid(),
            "rootUri": uri,
            "workspaceFolders": [{"uri": uri, "name": os.path.basename(self._root)}],
            "capabilities": capabilities,
        }
        self._request("initialize", parameters, cancel, deadline_s)
        self._notify("initialized", {})
        self._notify("workspace/didChangeConfiguration", {"settings": {}})

    def diagnostics(
        self, path: str, text: str, fresh_s: float, cancel: CancelToken, deadline_s: float
    ) -> list[Object]:
        """Return the diagnostics of one text."""
        uri = Path(os.path.abspath(path)).as_uri()
        if self._opened is not None and time.monotonic() - self._asked_s >= fresh_s:
            self._look_anew(path)
        self._show(uri, text)
        answer = self._request(
            "textDocument/diagnostic", {"textDocument": {"uri": uri}}, cancel, deadline_s
        )
        self._asked_s = time.monotonic()
        report = as_object(answer)
        if report.get("kind") != "full":
            raise CheckFailedError("The language server says nothing of the file.")
        return as_objects(report.get("items"))

    def _look_anew(self, path: str) -> None:
        """Let the server read other files again."""
        # That a file came to be makes it do so, if the file is there; else its settings do.
        file, kind = (path, 1) if os.path.isfile(path) else ("pyrightconfig.json", 2)
        uri = Path(self._root, file).as_uri()
        changes: Object = {"changes": [{"uri": uri, "type": kind}]}
        self._notify("workspace/didChangeWatchedFiles", changes)

    def _show(self, uri: str, text: str) -> None:
        """Let the server have the text, and no other."""
        self._version += 1
        if self._opened != uri:
            if self._opened is not None:
                self._notify("textDocument/didClose", {"textDocument": {"uri": self._opened}})
            document = {
                "uri": uri,
                "languageId": "python",
                "version": self._version,
                "text": _sendable(text),
            }
            self._notify("textDocument/didOpen", {"textDocument": document})
            self._opened = uri
            return
        changed: Object = {
            "textDocument": {"uri": uri, "version": self._version},
            "contentChanges": [{"text": _sendable(text)}],
        }
        self._notify("textDocument/didChange", changed)

    def _request(
        self, method: str, parameters: Object, cancel: CancelToken, deadline_s: float
    ) -> object:
        self._last_id += 1
        number = self._last_id
        self._send({"id": number, "method": method, "params": parameters})
        while True:
            message = self.next_message(cancel, deadline_s)
            if "method" in message:
                if "id" in message:
                    self._reply(message)
                continue
            if message.get("id") != number:
                continue
            if "error" in message:
                said = as_text(as_object(message["error"]).get("message"))
                raise CheckFailedError(f"The language server says: {said}")
            return message.get("result")

    def _reply(self, message: Object) -> None:
        """Answer what it asks: its settings; all else is taken note of."""
        result: object = None
        if message["method"] == "workspace/configuration":
            items = as_objects(as_object(message.get("params")).get("items"))
            result = [self._section(as_text(item.get("section"))) for item in items]
        self._send({"id": message["id"], "result": result})

    def _section(self, name: str) -> object:
        found: object = self._settings
        for part in name.split(".") if name else ():
            found = as_object(found).get(part)
        return found

    def _notify(self, method: str, parameters: Object) -> None:
        self._send({"method": method, "params": parameters})

    def _send(self, message: Object) -> None:
        data = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.write(b"Content-Length: %d\r\n\r\n" % len(data) + data)


def _sendable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _code(one: Object) -> str:
    code = one.get("code")
    return as_text(code) or as_text(as_object(code).get("value"))
