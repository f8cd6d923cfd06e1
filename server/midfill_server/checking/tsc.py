"""TypeScript's compiler by its command line, on the shadow of a project: slow but simple.

It runs nothing of a project; the plugins that its settings may name are for editors' servers.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from midfill_engine.cancel import CancelToken
from midfill_server.checking.base import CheckFailedError
from midfill_server.checking.finding import Finding, Places
from midfill_server.checking.lines import read_lines
from midfill_server.checking.programs import Grounds
from midfill_server.checking.running import run
from midfill_server.checking.shadow import shadow_of
from midfill_server.checking.shapes import Object
from midfill_server.document import PositionEncoding

__all__ = ["Tsc", "read_tsc"]

_LINE = re.compile(
    r"(?P<path>.+?)\((?P<line>\d+),(?P<column>\d+)\): (?P<severity>error|warning) "
    r"TS(?P<code>\d+): (?P<message>.*)"
)
_SETTINGS = ("tsconfig.json", "jsconfig.json")
_OWN = "midfill.tsconfig.json"
# As editors take files that no settings are for.
_LOOSE: Object = {
    "module": "esnext",
    "moduleResolution": "bundler",
    "target": "esnext",
    "jsx": "preserve",
    "skipLibCheck": True,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tsc:
    """``tsc --noEmit`` with settings that extend the project's."""

    program: str
    grounds: Grounds
    name: str = "tsc"

    def check(
        self, path: str, text: str, cancel: CancelToken, timeout_s: float
    ) -> tuple[Finding, ...]:
        """Check one text as ``Checker`` says."""
        root = self.grounds.root_of(path)
        settings = self.grounds.nearest(*_SETTINGS)
        with shadow_of(root, path, text) as shadow:
            where = os.path.relpath(settings or root, root)
            folder = os.path.normpath(os.path.join(shadow.folder, where))
            own = os.path.join(folder, _OWN)
            with open(own, "x", encoding="utf-8") as file:
                json.dump(_settings(settings, os.path.relpath(shadow.path, folder)), file)
            output = run(
                [self.program, "--project", own, "--pretty", "false", "--locale", "en"],
                environment=self.grounds.environment(),
                cancel=cancel,
                timeout_s=timeout_s,
                cwd=folder,
            )
            if output.status != 0 and not _LINE.search(output.stdout):
                said = (output.stdout or output.stderr).strip()[:500]
                raise CheckFailedError(f"tsc failed: {said}")
            found = read_tsc(output.stdout, shadow.path, text, folder)
            return tuple(shadow.unshadowed(one) for one in found)


def read_tsc(stdout: str, path: str, text: str, folder: str) -> tuple[Finding, ...]:
    """Return what ``--pretty false`` says of ``path``. It counts in UTF-16 from 1."""
    places = Places(text, PositionEncoding.UTF16)
    own = os.path.realpath(path)
    return tuple(
        read_lines(
            "\n".join(_joined(stdout)),
            _LINE,
            places,
            source="ts",
            is_own=lambda name: os.path.realpath(os.path.join(folder, name)) == own,
        )
    )


def _settings(settings: str | None, path: str) -> Object:
    options: Object = {
        "noEmit": True,
        "incremental": False,
        "composite": False,
        # Or what a shadow links to would be taken for other files than those in it.
        "preserveSymlinks": True,
    }
    found: Object = {"files": [path.replace(os.sep, "/")]}
    if path.lower().endswith((".js", ".jsx", ".mjs", ".cjs")):
        options["allowJs"] = True
    if settings is None:
        return {**found, "compilerOptions": {**_LOOSE, **options}}
    name = next(one for one in _SETTINGS if os.path.lexists(os.path.join(settings, one)))
    return {**found, "extends": f"./{name}", "compilerOptions": options}


def _joined(stdout: str) -> Iterator[str]:
    """Yield the messages, each in one line: what belongs to one goes on in indented lines."""
    message = ""
    for line in stdout.splitlines():
        if line.startswith(" ") and message:
            message += " " + line.strip()
        else:
            yield message
            message = line
    yield message
