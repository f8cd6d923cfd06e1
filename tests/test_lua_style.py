"""The points of the house style that a machine can check on the Neovim plugin, as it is.

Format and warnings are StyLua's and luacheck's business (``make lint``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parents[1] / "editors" / "neovim"
FILES = sorted(path for folder in ("lua", "plugin") for path in (PLUGIN / folder).rglob("*.lua"))

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}

_FUNCTION = re.compile(r"^(\s*)(?:.*[\s(=])?function\b.*\)$")
_PUBLIC = re.compile(r"^function M\.(\w+)")


def _id(path: Path) -> str:
    return path.relative_to(PLUGIN).as_posix()


def _functions(lines: list[str]) -> Iterator[tuple[int, int]]:
    """Yield the first and last line of each function; formatted code ends it at its own indent."""
    for first, line in enumerate(lines):
        found = _FUNCTION.match(line)
        if found is None or line.lstrip().startswith("--"):
            continue
        end = re.compile(rf"^{found[1]}end\b")
        yield first, next(i for i in range(first, len(lines)) if end.match(lines[i]))


def test_there_is_something_to_check() -> None:
    assert len(FILES) > 8
    assert (
        sum(1 for path in FILES for _ in _functions(path.read_text(encoding="utf-8").splitlines()))
        > 60
    )


@pytest.mark.parametrize("path", FILES, ids=_id)
def test_files_and_functions_are_short(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MAX_FILE_LINES
    for first, last in _functions(lines):
        assert last - first < MAX_FUNCTION_LINES, f"line {first + 1}: {lines[first].strip()}"


@pytest.mark.parametrize("path", FILES, ids=_id)
def test_names_say_something(path: Path) -> None:
    assert path.stem not in FORBIDDEN_NAMES


@pytest.mark.parametrize("path", FILES, ids=_id)
def test_files_and_public_functions_say_what_they_are_for(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("--"), "a file says what it is for"
    for number, line in enumerate(lines):
        if found := _PUBLIC.match(line):
            assert lines[number - 1].startswith("---"), f"{found[1]} says not what it does"
            above = number - 1
            while above >= 0 and lines[above].startswith("---"):
                above -= 1
            said = lines[above + 1]
            assert not said.startswith("---@"), f"{found[1]} says not what it does"
