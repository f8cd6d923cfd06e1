"""mypy: reads one file's text from another file, and is told all else by its command line.

Plugins of mypy are code of the project. Where that is not trusted mypy gets settings of our own,
with those of the project's that are no more than a switch.
"""

from __future__ import annotations

import configparser
import hashlib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from midfill_engine.cancel import CancelToken
from midfill_server.checking.base import CheckFailedError
from midfill_server.checking.finding import Finding, Places
from midfill_server.checking.programs import Grounds
from midfill_server.checking.resident import Residents
from midfill_server.checking.running import run
from midfill_server.checking.shadow import encoded, scratch
from midfill_server.checking.shapes import as_object, as_objects, as_text
from midfill_server.document import PositionEncoding

__all__ = ["Mypy", "harmless_settings", "read_mypy"]

_LINE = re.compile(
    r"(?P<path>.+?):(?P<line>\d+)(?::(?P<column>\d+))?(?::(?P<last>\d+):(?P<end>\d+))?: "
    r"(?P<severity>error|warning|note): (?P<message>.*?)(?:  \[(?P<code>[\w-]+)\])?$"
)
# Switches that say how strictly to look. None names a file, a program or a module to load.
_SWITCHES = (
    "allow_redefinition allow_untyped_globals check_untyped_defs disallow_any_decorated "
    "disallow_any_explicit disallow_any_expr disallow_any_generics disallow_any_unimported "
    "disallow_incomplete_defs disallow_subclassing_any disallow_untyped_calls "
    "disallow_untyped_decorators disallow_untyped_defs explicit_package_bases extra_checks "
    "follow_imports follow_untyped_imports ignore_errors ignore_missing_imports "
    "implicit_optional implicit_reexport local_partial_types namespace_packages "
    "no_implicit_optional no_implicit_reexport strict strict_bytes strict_concatenate "
    "strict_equality strict_optional warn_no_return warn_redundant_casts warn_return_any "
    "warn_unreachable warn_unused_ignores disable_error_code enable_error_code"
)
_LINE_END = re.compile(r"\r\n|\n|\r")
_PLAIN = re.compile(r"[\w\-, ]*\Z")
_SECTION = re.compile(r"mypy-[\w.*\-, ]+\Z")
_MAX_SETTINGS_BYTES = 256 * 1024
_COMMAND = (
    "--no-error-summary --show-column-numbers --show-error-end --show-error-codes --no-pretty "
    "--no-color-output --hide-error-context --no-install-types"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mypy:
    """mypy on one file; what it knows of others it keeps for as long as the session lasts."""

    program: str
    grounds: Grounds
    residents: Residents | None = None
    name: str = "mypy"

    def check(
        self, path: str, text: str, cancel: CancelToken, timeout_s: float
    ) -> tuple[Finding, ...]:
        """Check one text as ``Checker`` says."""
        root = self.grounds.root_of(path)
        with scratch() as folder:
            content = os.path.join(folder, "content.py")
            _write(content, encoded(text))
            command = [self.program, *_COMMAND.split(), *self._settings(folder, root)]
            if self.residents is None:
                command += [f"--cache-dir={os.path.join(folder, 'cache')}"]
            else:
                command += [f"--cache-dir={self.residents.folder(f'mypy {root}')}"]
            output = run(
                [*command, "--shadow-file", path, content, "--", path],
                environment=self.grounds.environment(),
                cancel=cancel,
                timeout_s=timeout_s,
                cwd=root,
            )
        found = read_mypy(output.stdout, path, text, root)
        # 2 is for its own mistakes, and for a text that is no Python.
        if output.status not in (0, 1) and not found:
            said = (output.stderr or output.stdout).strip()[:500]
            raise CheckFailedError(f"mypy failed: {said}")
        return found

    def _settings(self, folder: str, root: str) -> list[str]:
        """Return the arguments for its settings."""
        if self.grounds.trusted:
            python = self.grounds.python()
            return [] if python is None else [f"--python-executable={python}"]
        own = os.path.join(folder, "mypy.ini")
        with open(own, "w", encoding="utf-8") as file:
            harmless_settings(root).write(file)
        return [f"--config-file={own}"]


def _write(path: str, content: bytes) -> None:
    """Write a file whose time is made of its content.

    mypy takes a file for the one that it remembers when size and time are the same, and of the time
    it looks at whole seconds: two texts of a fix are often as long as each other, and as old.
    """
    with open(path, "wb") as file:
        file.write(content)
    # Below 2**31, which is as late as some file systems know.
    time_s = int.from_bytes(hashlib.sha256(content).digest()[:4]) // 2
    os.utime(path, (time_s, time_s))


def read_mypy(stdout: str, path: str, text: str, folder: str) -> tuple[Finding, ...]:
    """Return what mypy says of ``path``. Its columns count from 1, and ends are inside."""
    places = Places(text, PositionEncoding.UTF32)
    lines = _LINE_END.split(text)
    found: list[Finding] = []
    for line in stdout.splitlines():
        said = _LINE.match(line)
        if said is None or said["severity"] == "note":
            # A note belongs to the error before it.
            continue
        if os.path.realpath(os.path.join(folder, said["path"])) != os.path.realpath(path):
            continue
        row = int(said["line"]) - 1
        column = int(said["column"]) - 1 if said["column"] else None
        last = (int(said["last"]) - 1, int(said["end"])) if said["last"] else None
        if row < len(lines) and not lines[row].isascii():
            # What it counts there differs from version to version.
            column = last = None
        found.append(
            places.finding(
                (row, column),
                last,
                message=said["message"],
                code=said["code"] or "",
                source="mypy",
                severity=said["severity"],
            )
        )
    return tuple(found)


def harmless_settings(root: str) -> configparser.ConfigParser:
    """Return the project's switches, and nothing of its settings that could load or write."""
    settings = configparser.ConfigParser(interpolation=None)
    settings["mypy"] = {}
    switches = frozenset(_SWITCHES.split())
    for name, values in _sections(root):
        if name != "mypy" and not _SECTION.match(name):
            continue
        kept = {
            key: value for key, value in values.items() if key in switches and _PLAIN.match(value)
        }
        settings[name] = {**(settings[name] if settings.has_section(name) else {}), **kept}
    return settings


def _sections(root: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield the sections of the first file that has some, in mypy's order."""
    for name in ("mypy.ini", ".mypy.ini", "pyproject.toml", "setup.cfg"):
        try:
            with open(os.path.join(root, name), "rb") as file:
                content = file.read(_MAX_SETTINGS_BYTES).decode("utf-8")
            if name.endswith(".toml"):
                found = list(_of_toml(as_object(tomllib.loads(content))))
            else:
                parser = configparser.ConfigParser(interpolation=None)
                parser.read_string(content)
                found = [(section, dict(parser[section])) for section in parser.sections()]
        except (OSError, ValueError, configparser.Error):
            continue
        if any(section == "mypy" for section, _ in found):
            yield from found
            return


def _of_toml(data: dict[str, object]) -> Iterator[tuple[str, Mapping[str, str]]]:
    tool = as_object(as_object(data.get("tool")).get("mypy"))
    if not tool:
        return
    yield "mypy", {key: _written(value) for key, value in tool.items()}
    for override in as_objects(tool.get("overrides")):
        modules = override.get("module")
        names = cast("list[object]", modules) if isinstance(modules, list) else [modules]
        for name in map(as_text, names):
            yield f"mypy-{name}", {key: _written(value) for key, value in override.items()}


def _written(value: object) -> str:
    """Return a value as an INI file has it; what is no switch becomes one that is not taken."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, list):
        return ", ".join(as_text(one) for one in cast("list[object]", value))
    return as_text(value) if isinstance(value, str) else "\n"
