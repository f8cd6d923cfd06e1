"""A project on disk, and the tools that are asked about it: the tests' own before all others."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import pytest

from midfill_engine.cancel import CancelToken
from midfill_server.checking.base import Checker
from midfill_server.checking.finding import Finding
from midfill_server.checking.resident import Residents
from midfill_server.checking.table import checkers_for
from midfill_server.checking.verdict import line_edits, verdict

__all__ = ["TIMEOUT_S", "Project", "tools_path"]

TIMEOUT_S = 120.0

_ADVICE = "make test installs it; clang, gcc, rustc and cargo only as root, by apt-get"
_NODE_TOOLS = Path(__file__).parent / "typescript" / "node_modules" / ".bin"


def tools_path(environ: Mapping[str, str] = os.environ) -> str:
    """Return a PATH on which the tools of the tests' own environment come first."""
    own = (
        sysconfig.get_path("scripts"),
        # Go's wheel has a command for go, but none for gofmt.
        os.path.join(sysconfig.get_path("purelib"), "go", "bin"),
        str(_NODE_TOOLS),
    )
    return os.pathsep.join((*own, environ.get("PATH", "")))


class Project:
    """A folder of files, one of which is asked about."""

    def __init__(self, root: Path, files: dict[str, str], residents: Residents | None) -> None:
        self.root = root
        self._residents = residents
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())

    def checker(
        self,
        source: str,
        language_id: str,
        name: str,
        *,
        tool: str = "",
        trusted: bool = False,
        code: str = "",
    ) -> Checker:
        """Return the best checker for a source; skip unless it is ``tool``, or called as that."""
        best, *_ = checkers_for(
            source,
            language_id,
            str(self.root / name),
            trusted=trusted,
            roots=[str(self.root)],
            code=code or None,
            residents=self._residents,
            environ={**os.environ, "PATH": tools_path()},
        )
        tool = tool or source
        if best.name != tool:
            pytest.skip(f"{tool} is not installed ({_ADVICE})")
        return best

    def check(self, checker: Checker, name: str, text: str) -> tuple[Finding, ...]:
        """Return what a checker finds, and look that it leaves the project alone."""
        before = self._listing()
        found = checker.check(str(self.root / name), text, CancelToken(), TIMEOUT_S)
        assert self._listing() == before
        return found

    def fixes(self, checker: Checker, name: str, broken: str, fixed: str, says: str) -> Finding:
        """Check that the broken text has one finding that the fixed one lacks; return it."""
        before = self.check(checker, name, broken)
        target = next((one for one in before if says in one.message), None)
        assert target is not None, before
        after = self.check(checker, name, fixed)
        said = verdict(before, after, target, line_edits(broken, fixed))
        assert said.is_good, said
        still = verdict(before, before, target, ())
        assert not still.removed
        return target

    def _listing(self) -> dict[str, tuple[int, int]]:
        return {
            str(path): (path.stat().st_mtime_ns, path.stat().st_size)
            for path in self.root.rglob("*")
            if path.is_file()
        }
