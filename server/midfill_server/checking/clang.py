"""C and C++ by clang or GCC, which read a file's text from their standard input.

How a project compiles the file stands in its compilation database. Of that only flags are taken
that say where headers are, what is defined, which standard holds and what to warn of: others load
plugins, or write files.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from midfill_engine.cancel import CancelToken
from midfill_server.checking.base import CheckFailedError
from midfill_server.checking.finding import Finding, Places
from midfill_server.checking.lines import read_lines
from midfill_server.checking.programs import Grounds
from midfill_server.checking.running import run
from midfill_server.checking.shadow import encoded
from midfill_server.checking.shapes import Object, as_objects, as_text
from midfill_server.document import PositionEncoding

__all__ = ["CompilerOfC", "harmless_flags", "read_compiler"]

_LINE = re.compile(
    r"<stdin>:(?P<line>\d+):(?:(?P<column>\d+):)? (?P<severity>fatal error|error|warning): "
    r"(?P<message>.*?)(?: \[(?P<code>-W[\w+=-]+)(?:,-W[\w+=-]+)*\])?$"
)
_JOINED = re.compile(
    r"(?:-[ID].+|-U\w+|-std=[\w+:]+|-W(?!l,|p,|a,)[\w+=-]*|-w|-ansi|-pedantic|-pedantic-errors"
    r"|-f(?:no-)?(?:exceptions|rtti|signed-char|unsigned-char|char8_t|coroutines|concepts|openmp"
    r"|ms-extensions|permissive|short-enums|strict-aliasing|freestanding|hosted|builtin"
    r"|PIC|pic|PIE|pie)|-m(?:32|64|arch=[\w.+-]+|avx\w*|sse[\w.]*|fma)|-pthread|-nostdinc(?:\+\+)?)"
    r"\Z"
)
_WITH_VALUE = frozenset(
    {"-I", "-D", "-U", "-isystem", "-iquote", "-idirafter", "-include", "-imacros"}
)
_PATHS = frozenset({"-I", "-isystem", "-iquote", "-idirafter", "-include", "-imacros"})
_DATABASES = ("compile_commands.json", os.path.join("build", "compile_commands.json"))
_FLAG_FILES = ("compile_flags.txt",)
_MAX_DATABASE_BYTES = 64 * 1024 * 1024
_MAX_FLAGS = 2000
_CPP_ENDINGS = (".cpp", ".cc", ".cxx", ".c++", ".hpp", ".hh", ".hxx", ".h++", ".ipp", ".inl")
_HEADERS = (".h", ".hpp", ".hh", ".hxx", ".h++", ".ipp", ".inl")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompilerOfC:
    """``clang -fsyntax-only`` or ``gcc -fsyntax-only``, which is called ``name``."""

    program: str
    grounds: Grounds
    language_id: str
    name: str = "clang"

    def check(
        self, path: str, text: str, cancel: CancelToken, timeout_s: float
    ) -> tuple[Finding, ...]:
        """Check one text as ``Checker`` says."""
        quiet = ["-fno-caret-diagnostics"] if self.name == "clang" else ["-fno-diagnostics-color"]
        command = [
            self.program,
            *_flags(path, self.grounds),
            "-fsyntax-only",
            # A column for each tab.
            "-ftabstop=1",
            *quiet,
            "-iquote",
            os.path.dirname(path),
            *self._limit(),
            "-x",
            self._kind(path),
            "-",
        ]
        output = run(
            command,
            environment=self.grounds.environment(),
            stdin=encoded(text),
            cancel=cancel,
            timeout_s=timeout_s,
        )
        found = read_compiler(output.stderr, text, self.name)
        if output.status != 0 and not found:
            raise CheckFailedError(f"{self.name} failed: {output.stderr.strip()[:500]}")
        return found

    def _limit(self) -> list[str]:
        """Return what lets it tell all errors, where it would stop after some."""
        return ["-ferror-limit=0"] if self.name == "clang" else ["-fmax-errors=0"]

    def _kind(self, path: str) -> str:
        is_cpp = self.language_id != "c" or path.lower().endswith(_CPP_ENDINGS)
        # As a header GCC would write it down compiled.
        return "c++" if is_cpp else "c"


def harmless_flags(arguments: Sequence[str], folder: str) -> Iterator[str]:
    """Yield those flags of a command that only say how to read a file; paths from ``folder``."""
    pending = iter(arguments)
    for flag in pending:
        if flag in _WITH_VALUE:
            value = next(pending, None)
            if value is None:
                return
            yield flag
            yield os.path.join(folder, value) if flag in _PATHS else value
        elif _JOINED.match(flag):
            is_path = flag.startswith("-I")
            yield f"-I{os.path.join(folder, flag[2:])}" if is_path else flag


def read_compiler(stderr: str, text: str, source: str) -> tuple[Finding, ...]:
    """Return the findings of clang or GCC in what they read. They count bytes from 1."""
    places = Places(text, PositionEncoding.UTF8)
    return tuple(read_lines(stderr, _LINE, places, source=source))


def _flags(path: str, grounds: Grounds) -> list[str]:
    """Return the flags for a file, of the nearest database that knows it or a neighbour."""
    for folder in grounds.folders:
        for name in _DATABASES:
            entry = _entry(os.path.join(folder, name), path)
            if entry is not None:
                where = os.path.join(folder, as_text(entry.get("directory")))
                return list(harmless_flags(_arguments(entry), where))[:_MAX_FLAGS]
        for name in _FLAG_FILES:
            text = _read(os.path.join(folder, name))
            if text is not None:
                lines = [line.strip() for line in text.splitlines() if line.strip()]
                return list(harmless_flags(lines, folder))[:_MAX_FLAGS]
    return []


def _entry(database: str, path: str) -> Object | None:
    """Return what a database says of a file; of a header what it says of one that is near."""
    text = _read(database)
    if text is None:
        return None
    try:
        entries = as_objects(json.loads(text))
    except (ValueError, RecursionError):
        return None
    stem, folder = os.path.splitext(path)[0], os.path.dirname(path)
    best: tuple[int, Object] | None = None
    for entry in entries:
        where = os.path.join(os.path.dirname(database), as_text(entry.get("directory")))
        file = os.path.normpath(os.path.join(where, as_text(entry.get("file"))))
        rank = 3 if file == path else 2 if os.path.splitext(file)[0] == stem else 0
        if rank < 3 and not path.lower().endswith(_HEADERS):
            continue
        rank = rank or int(os.path.dirname(file) == folder)
        if rank and (best is None or rank > best[0]):
            best = rank, entry
    return best[1] if best is not None else None


def _arguments(entry: Object) -> list[str]:
    given = entry.get("arguments")
    if isinstance(given, list):
        return [as_text(one) for one in cast("list[object]", given)][1:]
    try:
        return shlex.split(as_text(entry.get("command")), posix=os.name == "posix")[1:]
    except ValueError:
        return []


def _read(path: str) -> str | None:
    try:
        if os.path.isfile(path) and os.path.getsize(path) <= _MAX_DATABASE_BYTES:
            with open(path, encoding="utf-8", errors="replace") as file:
                return file.read()
    except OSError:
        return None
    return None
