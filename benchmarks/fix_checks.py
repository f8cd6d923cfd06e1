"""Fresh runs of the checkers, by their own command lines: nothing of the server has a part in them.

What the server says of a fix is held against this. For it a project has a twin, at which no process
of the server looks.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, cast

from benchmarks.kept import KeptRows, key_of
from benchmarks.problems import DataError
from midfill_server.document import LineTable, PositionEncoding, offset_at

__all__ = ["CHECKERS", "Finding", "FreshChecks", "added", "contradicts"]

_SCRIPT = Path(__file__).with_name("fix_tsc.js")
_LIMIT_S = 180.0
_BLANKS = re.compile(r"\s+")
# Where something else is, which moves with every line that is put in.
_LINES = re.compile(r"\bline \d+")
_WORD = re.compile(r"\w+")
_QUOTED = re.compile(r"[\"'`]([^\"'`]+)[\"'`]")

CHECKERS: Mapping[str, tuple[str, ...]] = {
    "python": ("ruff", "pyright"),
    "typescript": ("ts",),
}
"""Whose findings count in which language, as their diagnostics are called in editors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a checker found at the characters ``[start, end)`` of a text."""

    source: str
    code: str
    message: str
    severity: str
    start: int
    end: int

    @property
    def is_syntax(self) -> bool:
        """Whether the text is no program because of this."""
        if self.source == "ts":
            return len(self.code) == 4 and self.code.startswith("1")
        return not self.code

    @property
    def says(self) -> tuple[str, str, str]:
        """What it says, wherever it says it."""
        message = _LINES.sub("line", _BLANKS.sub(" ", self.message).strip())
        return self.source, self.code, message


def added(before: Sequence[Finding], after: Sequence[Finding]) -> list[Finding]:
    """Return what was found after a change and not before, each as often as it is more."""
    left = Counter(finding.says for finding in before)
    found: list[Finding] = []
    for finding in after:
        if left[finding.says]:
            left[finding.says] -= 1
        else:
            found.append(finding)
    return found


def contradicts(
    before: Sequence[Finding], after: Sequence[Finding], target: Finding, old: str, new: str
) -> str | None:
    """Return what is wrong with saying that ``target`` went and nothing came; ``None`` if nothing.

    ``before`` is of the text ``old``, ``after`` of ``new``. Only what the target's checker says
    counts. Of what is wrong in a text that was no program it could not say all: it may say that
    once the text is one, about lines that are as they were and names that stand in no other line.
    """
    was, now = (
        [finding for finding in findings if finding.source == target.source]
        for findings in (before, after)
    )
    counts = [sum(finding.says == target.says for finding in each) for each in (was, now)]
    if counts[1] >= counts[0]:
        return f"still there: {target.message}"
    come = added(was, now)
    if target.is_syntax:
        changed, names = _changes(old, new)
        come = [
            one
            for one in come
            if one.is_syntax
            or not changed.isdisjoint(_lines_of(one, new))
            or not names.isdisjoint(_names_in(one.message))
        ]
    return f"new: {come[0].message}" if come else None


def _changes(old: str, new: str) -> tuple[set[int], set[str]]:
    """Return the lines of ``new`` that are not of ``old``, and the words that were or are there."""
    one, other = old.split("\n"), new.split("\n")
    changed: set[int] = set()
    words: set[str] = set()
    for kind, a, b, c, d in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if kind != "equal":
            changed |= {*range(c, d), c}
            words |= set(_WORD.findall(" ".join(one[a:b] + other[c:d])))
    return changed, words


def _lines_of(finding: Finding, text: str) -> range:
    first, last = (text.count("\n", 0, at) for at in (finding.start, finding.end))
    return range(first, last + 1)


def _names_in(message: str) -> set[str]:
    return {word for quoted in _QUOTED.findall(message) for word in _WORD.findall(quoted)}


class FreshChecks:
    """Runs the checkers of a language on a twin of a project; what they said is kept.

    ``typescript`` is the folder of the package of that name. To be closed. Raises ``DataError``
    where a checker is not installed.
    """

    def __init__(
        self, language: str, project: Path, kept: KeptRows, typescript: Path | None = None
    ) -> None:
        self.versions = _versions(language, typescript)
        self._language = language
        self._typescript = typescript
        self._kept = kept
        self._name = project.name
        self._folder = tempfile.TemporaryDirectory(prefix="midfill-twin-")
        self._twin = Path(self._folder.name).resolve() / project.name
        shutil.copytree(project, self._twin)

    def close(self) -> None:
        """Delete the twin."""
        self._folder.cleanup()

    def run(self, path: str, text: str) -> tuple[Finding, ...]:
        """Return what all checkers find in the file ``path``, were ``text`` in it."""
        key = key_of(self.versions, self._name, path, text)
        row = self._kept.get(key)
        if row is None:
            file = self._twin / path
            original = file.read_bytes()
            file.write_text(text, encoding="utf-8", newline="")
            try:
                found = [asdict(finding) for finding in self._findings(path, text)]
            finally:
                file.write_bytes(original)
            row = {"key": key, "findings": found}
            self._kept.add(row)
        rows = cast("list[dict[str, object]]", row["findings"])
        return tuple(Finding(**cast("dict[str, Any]", each)) for each in rows)

    def _findings(self, path: str, text: str) -> Iterator[Finding]:
        if self._language == "python":
            yield from self._ruff(path, text)
            yield from self._pyright(path, text)
        else:
            yield from self._tsc(path, text)

    def _ruff(self, path: str, text: str) -> Iterator[Finding]:
        command = (_program("ruff"), "check", "--no-cache", "--output-format=json", path)
        lines = LineTable.of(text)
        for one in cast("list[dict[str, object]]", self._json(command)):
            start, end = (
                _offset(text, lines, cast("Mapping[str, int]", one[name]), "row", "column", 1)
                for name in ("location", "end_location")
            )
            code = str(one["code"] or "")
            yield Finding(
                source="ruff",
                code=code if code != "invalid-syntax" else "",
                message=str(one["message"]),
                severity="error" if code in ("", "invalid-syntax") else "warning",
                start=start,
                end=end,
            )

    def _pyright(self, path: str, text: str) -> Iterator[Finding]:
        command = (_program("pyright"), "--outputjson", "--pythonpath", sys.executable, path)
        lines = LineTable.of(text)
        answer = cast("dict[str, list[dict[str, object]]]", self._json(command))
        for one in answer["generalDiagnostics"]:
            if not str(one["file"]).replace("\\", "/").endswith(path):
                continue
            ends = cast("Mapping[str, Mapping[str, int]]", one["range"])
            start, end = (
                _offset(text, lines, ends[name], "line", "character", 0)
                for name in ("start", "end")
            )
            yield Finding(
                source="pyright",
                code=str(one.get("rule", "")),
                message=str(one["message"]),
                severity=str(one["severity"]),
                start=start,
                end=end,
            )

    def _tsc(self, path: str, text: str) -> Iterator[Finding]:
        command = (_program("node"), str(_SCRIPT), str(self._typescript), str(self._twin), path)
        units = text.encode("utf-16-le", "surrogatepass")
        for one in cast("list[dict[str, int | str]]", self._json(command)):
            first = int(one["start"])
            start, end = (
                len(units[: 2 * at].decode("utf-16-le", "surrogatepass"))
                for at in (first, first + int(one["length"]))
            )
            yield Finding(
                source="ts",
                code=str(one["code"]),
                message=str(one["message"]),
                severity="error",
                start=start,
                end=end,
            )

    def _json(self, command: Sequence[str]) -> object:
        done = subprocess.run(
            command, cwd=self._twin, capture_output=True, timeout=_LIMIT_S, check=False
        )
        try:
            return json.loads(done.stdout)
        except ValueError as error:
            said = done.stderr.decode("utf-8", "replace").strip()[:300]
            raise DataError(f"{Path(command[0]).name} says nothing readable: {said}") from error


def _offset(
    text: str, lines: LineTable, place: Mapping[str, int], line: str, column: str, first: int
) -> int:
    # Ruff counts characters from 1, pyright units of UTF-16 from 0.
    encoding = PositionEncoding.UTF32 if first else PositionEncoding.UTF16
    at = min(place[line] - first, lines.count - 1)
    return offset_at(text, lines, at, place[column] - first, encoding)


def _versions(language: str, typescript: Path | None) -> dict[str, str]:
    if language == "python":
        return {name: _said((_program(name), "--version")) for name in ("ruff", "pyright")}
    if typescript is None or not (typescript / "package.json").is_file():
        raise DataError(
            "typescript: --typescript DIR says where `npm install typescript@5 …` was run"
        )
    package = json.loads((typescript / "package.json").read_text(encoding="utf-8"))
    return {"node": _said((_program("node"), "--version")), "typescript": package["version"]}


def _said(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    return done.stdout.strip().splitlines()[-1].removeprefix("pyright ").removeprefix("ruff ")


def _program(name: str) -> str:
    """Return a program: that of this environment before others."""
    folders = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    found = shutil.which(name, path=folders)
    if found is None:
        raise DataError(f"{name} is not installed")
    return found
