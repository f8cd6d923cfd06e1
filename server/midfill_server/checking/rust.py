"""Rust: ``cargo check`` runs build scripts and macros of the project, so only where it is trusted.

A file that needs nothing but the standard library is checked by ``rustc`` alone anywhere: that
runs nothing.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from midfill_engine.cancel import CancelToken
from midfill_server.checking.base import CheckFailedError
from midfill_server.checking.finding import Finding, Places
from midfill_server.checking.programs import Grounds
from midfill_server.checking.resident import Residents
from midfill_server.checking.running import run
from midfill_server.checking.shadow import encoded, scratch, shadow_of
from midfill_server.checking.shapes import (
    Object,
    as_number,
    as_object,
    as_objects,
    as_text,
    json_lines,
)
from midfill_server.document import PositionEncoding

__all__ = ["Cargo", "Rustc", "read_rustc", "stands_alone"]

_SEVERITIES = {"error": "error", "error: internal compiler error": "error", "warning": "warning"}
_USES = re.compile(r"^[ \t]*(?:pub(?:\([^)]*\))?[ \t]+)?use[ \t]+(?:::)?(\w+)", re.MULTILINE)
_OTHER_FILES = re.compile(
    r"^[ \t]*(?:pub(?:\([^)]*\))?[ \t]+)?(?:mod[ \t]+\w+[ \t]*;|extern[ \t]+crate\b)", re.MULTILINE
)
_ITEMS = re.compile(r"\b(?:mod|enum|struct|trait|union|type)[ \t]+(\w+)")
_INNER_MODULE = re.compile(r"\bmod[ \t]+\w+[ \t]*\{")
_MAIN = re.compile(r"^(?:pub[ \t]+)?(?:async[ \t]+)?fn[ \t]+main[ \t]*\(", re.MULTILINE)
_ALWAYS_THERE = frozenset({"std", "core", "alloc", "self", "Self"})
_EDITIONS = ("2015", "2018", "2021", "2024")
_LOCK = "Cargo.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cargo:
    """``cargo check`` on the shadow of a project that is trusted; what it builds is kept aside."""

    program: str
    grounds: Grounds
    residents: Residents | None = None
    name: str = "cargo check"

    def check(
        self, path: str, text: str, cancel: CancelToken, timeout_s: float
    ) -> tuple[Finding, ...]:
        """Check one text as ``Checker`` says."""
        if not self.grounds.trusted:
            raise CheckFailedError("Cargo runs code of the project, which is not trusted.")
        package = self.grounds.nearest("Cargo.toml")
        if package is None:
            raise CheckFailedError(f"{path} belongs to no package of Cargo.")
        root = self.grounds.root_of(path)
        with ExitStack() as stack:
            shadow = stack.enter_context(shadow_of(root, path, text, copied=(_LOCK,)))
            if self.residents is None:
                target = stack.enter_context(scratch())
            else:
                target = self.residents.folder(f"cargo {root}")
            folder = os.path.normpath(os.path.join(shadow.folder, os.path.relpath(package, root)))
            output = run(
                [
                    self.program,
                    "check",
                    "--offline",
                    "--quiet",
                    "--all-targets",
                    "--message-format=json",
                ],
                environment=self.grounds.environment(CARGO_TARGET_DIR=target),
                cancel=cancel,
                timeout_s=timeout_s,
                cwd=folder,
            )
            said = [
                as_object(line.get("message"))
                for line in json_lines(output.stdout)
                if line.get("reason") == "compiler-message"
            ]
            if output.status != 0 and not said:
                raise CheckFailedError(f"cargo failed: {output.stderr.strip()[:500]}")
            # Names of files are told from the folder of the workspace of packages.
            ending = os.path.relpath(shadow.path, shadow.folder)
            found = read_rustc(said, text, ending)
            return tuple(shadow.unshadowed(one) for one in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rustc:
    """``rustc`` on a file that stands alone."""

    program: str
    grounds: Grounds
    name: str = "rustc"

    def check(
        self, path: str, text: str, cancel: CancelToken, timeout_s: float
    ) -> tuple[Finding, ...]:
        """Check one text as ``Checker`` says."""
        if not stands_alone(path, text):
            raise CheckFailedError(f"{path} needs other files, which rustc alone cannot find.")
        with scratch() as folder:
            output = run(
                [
                    self.program,
                    f"--edition={self._edition()}",
                    f"--crate-type={'bin' if _MAIN.search(text) else 'lib'}",
                    "--crate-name=checked",
                    "--emit=metadata",
                    f"--out-dir={folder}",
                    "--error-format=json",
                    "-",
                ],
                environment=self.grounds.environment(),
                stdin=encoded(text),
                cancel=cancel,
                timeout_s=timeout_s,
                # No folder of the workspace: a file there would say which toolchain to start.
                cwd=folder,
            )
        said = list(json_lines(output.stderr))
        if output.status != 0 and not said:
            raise CheckFailedError(f"rustc failed: {output.stderr.strip()[:500]}")
        return read_rustc(said, text, "<anon>")

    def _edition(self) -> str:
        folder = self.grounds.nearest("Cargo.toml")
        try:
            with open(os.path.join(folder or "", "Cargo.toml"), "rb") as file:
                data = as_object(tomllib.load(file))
        except (OSError, ValueError):
            return "2021"
        edition = as_text(as_object(data.get("package")).get("edition"))
        return edition if edition in _EDITIONS else "2021"


def stands_alone(path: str, text: str) -> bool:
    """Return whether a file names no other crate and no other file."""
    if _OTHER_FILES.search(text):
        return False
    allowed = _ALWAYS_THERE | set(_ITEMS.findall(text))
    if os.path.basename(path) in ("main.rs", "lib.rs"):
        allowed |= {"crate"}
    if _INNER_MODULE.search(text):
        allowed |= {"super"}
    return set(_USES.findall(text)) <= allowed


def read_rustc(said: list[Object], text: str, path_ending: str) -> tuple[Finding, ...]:
    """Return the findings of rustc's JSON in a file. It counts characters from 1."""
    places = Places(text, PositionEncoding.UTF32)
    found: dict[Finding, None] = {}
    for one in said:
        severity = _SEVERITIES.get(as_text(one.get("level")))
        span = next(_primary(one, path_ending), None)
        if severity is None or span is None:
            continue
        row, column, last, end = (
            (as_number(span.get(key)) or 1) - 1
            for key in ("line_start", "column_start", "line_end", "column_end")
        )
        finding = places.finding(
            (row, column),
            (last, end),
            message=as_text(one.get("message")),
            code=as_text(as_object(one.get("code")).get("code")),
            source="rustc",
            severity=severity,
        )
        # The same is said once for each target that a file belongs to.
        found[finding] = None
    return tuple(found)


def _primary(one: Object, path_ending: str) -> Iterator[Object]:
    wanted = os.path.normpath(path_ending)
    for span in as_objects(one.get("spans")):
        name = os.path.normpath(as_text(span.get("file_name")))
        is_own = name == wanted or wanted.endswith(os.sep + name) or name.endswith(os.sep + wanted)
        if span.get("is_primary") is True and is_own:
            yield span
