"""Go: the compiler's errors and ``go vet``, on the shadow of a project.

Neither runs any of the project: no generators, no tests, no C compiler, no other toolchain than
the installed one, and nothing from the net.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from midfill_engine.cancel import CancelToken
from midfill_server.checking.base import CheckFailedError
from midfill_server.checking.finding import Finding, Places
from midfill_server.checking.lines import read_lines
from midfill_server.checking.programs import Grounds
from midfill_server.checking.running import run
from midfill_server.checking.shadow import encoded, scratch, shadow_of
from midfill_server.document import PositionEncoding

__all__ = ["Go", "Gofmt", "read_go"]

_LINE = re.compile(
    r"(?:vet: )?(?P<path>[^\s:][^:]*|[A-Za-z]:[^:]+):(?P<line>\d+):(?:(?P<column>\d+):)? "
    r"(?P<message>.+)"
)
_OF_C = re.compile(r'^\s*(?:import\s+)?"C"\s*$', re.MULTILINE)
_STANDARD_INPUT = "<standard input>"
_ENVIRONMENT = {
    "CGO_ENABLED": "0",
    "GO111MODULE": "on",
    "GOPROXY": "off",
    "GOSUMDB": "off",
    "GOTOOLCHAIN": "local",
    "GOTELEMETRY": "off",
    "GOVCS": "*:off",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """What the compiler says of a file, else what ``go vet`` says."""

    program: str
    grounds: Grounds
    name: str = "go vet"

    def check(
        self, path: str, text: str, cancel: CancelToken, timeout_s: float
    ) -> tuple[Finding, ...]:
        """Check one text as ``Checker`` says."""
        if _OF_C.search(text):
            raise CheckFailedError("A file that imports C is left out where no C is compiled.")
        root = self.grounds.root_of(path)
        with shadow_of(root, path, text) as shadow, scratch() as temporary:
            # What git is told by a folder's settings may start programs, so git is not asked for
            # the version.
            vendored = self.grounds.nearest(os.path.join("vendor", "modules.txt")) is not None
            flags = f"-mod={'vendor' if vendored else 'readonly'} -buildvcs=false"
            environment = self.grounds.environment(
                **_ENVIRONMENT, GOFLAGS=flags, GOTMPDIR=temporary
            )
            folder = os.path.dirname(shadow.path)
            if path.endswith("_test.go"):
                compiles = ["test", "-c", "-vet=off", "-o", os.devnull, "-gcflags=-e", "."]
            else:
                # Nothing is linked, nor written, for this name of an output.
                compiles = ["build", "-o", os.devnull, "-gcflags=-e", "."]
            for arguments in (compiles, ["vet", "."]):
                output = run(
                    [self.program, *arguments],
                    environment={**environment, "PWD": folder},
                    cancel=cancel,
                    timeout_s=timeout_s,
                    cwd=folder,
                )
                said = f"{output.stderr}\n{output.stdout}"
                found = read_go(said, shadow.path, text, folder)
                if found:
                    return tuple(shadow.unshadowed(one) for one in found)
                if output.status != 0 and not _of_others(said):
                    raise CheckFailedError(f"go failed: {said.strip()[:500]}")
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gofmt:
    """``gofmt -e``: the syntax, of a file that belongs to no module too."""

    program: str
    grounds: Grounds
    name: str = "gofmt"

    def check(
        self, path: str, text: str, cancel: CancelToken, timeout_s: float
    ) -> tuple[Finding, ...]:
        """Check one text as ``Checker`` says."""
        output = run(
            [self.program, "-e"],
            environment=self.grounds.environment(),
            stdin=encoded(text),
            cancel=cancel,
            timeout_s=timeout_s,
        )
        found = read_go(output.stderr, _STANDARD_INPUT, text, "")
        if output.status != 0 and not found:
            raise CheckFailedError(f"gofmt failed: {output.stderr.strip()[:500]}")
        return found


def read_go(said: str, path: str, text: str, folder: str) -> tuple[Finding, ...]:
    """Return what is said of ``path`` by what runs in ``folder``. It counts bytes from 1."""
    own = os.path.normpath(os.path.join(folder, path))

    def is_own(name: str) -> bool:
        return os.path.normpath(os.path.join(folder, name)) == own

    places = Places(text, PositionEncoding.UTF8)
    return tuple(read_lines(said, _LINE, places, source="go", is_own=is_own))


def _of_others(said: str) -> bool:
    """Return whether the compiler spoke of other files: then it looked at this one too.

    Else nothing was compiled. What it says begins with the package.
    """
    lines = said.strip().splitlines()
    return bool(lines) and lines[0].startswith("# ") and any(map(_LINE.match, lines))
