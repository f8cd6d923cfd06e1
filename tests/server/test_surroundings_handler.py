"""What a client's diagnostics become; nothing that it sends does any harm."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import cast

import pytest

from midfill_server.context.problems import Problem
from midfill_server.handlers.surroundings import DiagnosticsParams, did_change_diagnostics
from midfill_server.server import MidfillServer

_RANGE = {"start": {"line": 3, "character": 1}, "end": {"line": 4, "character": 0}}


class _Project:
    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []

    def told(self, uri: str, problems: list[Problem], version: int | None) -> None:
        self.heard.append((uri, problems, version))


def _told(params: object) -> list[tuple[object, ...]]:
    """Return what a session is told by a notification with these parameters."""
    project = _Project()
    session = SimpleNamespace(project=project)
    # As pygls does it: an object with attributes.
    parsed = json.loads(json.dumps(params), object_hook=lambda one: SimpleNamespace(**one))
    did_change_diagnostics(cast("MidfillServer", session), cast("DiagnosticsParams", parsed))
    return project.heard


def test_diagnostics_are_taken_with_what_matters() -> None:
    given = {"range": _RANGE, "message": "no", "severity": 2, "source": "pyright", "code": 7}
    bare = {"range": _RANGE, "message": "bare"}
    told = _told({"uri": "file:///a.py", "version": 5, "diagnostics": [given, bare]})
    problems = [
        Problem(first_line=3, last_line=4, message="no", severity=2, code="7"),
        Problem(first_line=3, last_line=4, message="bare"),
    ]
    assert told == [("file:///a.py", problems, 5)]


@pytest.mark.parametrize(
    "given",
    [{}, {"message": "no"}, {"message": 3, "range": _RANGE}, 7, {"message": "no", "range": {}}],
)
def test_a_diagnostic_that_cannot_be_read_is_left_out(given: object) -> None:
    assert _told({"uri": "a", "diagnostics": [given]}) == [("a", [], None)]


@pytest.mark.parametrize("params", [{}, {"uri": "a"}, {"uri": 3, "diagnostics": []}, 5])
def test_a_notification_that_cannot_be_read_is_ignored(params: object) -> None:
    assert _told(params) == []
