"""Guesses at any place: whatever a checker says there, none of them breaks."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from midfill_server.document import Snapshot
from midfill_server.fixing import Case, Diagnostic
from midfill_server.fixing.candidates import candidates
from midfill_server.fixing.case import Ready
from midfill_server.fixing.diagnostic import Kind
from tests.server.conftest import ROOT

_PLACES = 8
_SAMPLES = {".py": "python", ".ts": "typescript", ".go": "go", ".rs": "rust", ".cpp": "cpp"}
_MESSAGES = (
    'Undefined name "{}"',
    "Cannot find name '{}'. Did you mean 'other'?",
    "Property '{}' does not exist on type 'Map<string, number>'.",
    'Import "{}" could not be resolved',
    "',' expected.",
    "'}}' expected.",
    '"(" was not closed',
    "Expected 3 arguments, but got 1.",
    'Argument missing for parameter "{}"',
    "'{}' is declared but its value is never read.",
    'Function with declared return type "int" must return value',
    "Type 'string' is not assignable to type '{}'.",
    "unexpected indent",
    "",
)


def _broken(text: str, dice: random.Random) -> str:
    """Return a text from which something is missing, as it is while somebody writes."""
    start = dice.randrange(len(text))
    return text[:start] + text[start + dice.choice((0, 1, 1, 5, 40)) :]


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("ending", sorted(_SAMPLES))
def test_guesses_take_any_place(ending: str, kind: Kind) -> None:
    dice = random.Random(f"{ending} {kind.name}")
    paths = sorted(Path(ROOT, "benchmarks", "samples").glob(f"*{ending}"))
    for _ in range(_PLACES):
        text = _broken(dice.choice(paths).read_text(encoding="utf-8"), dice)
        start = dice.randrange(len(text))
        end = min(start + dice.choice((0, 1, 6, 30)), len(text))
        message = dice.choice(_MESSAGES).format(text[start:end].split("\n")[0] or "name")
        case = Case.of(
            Diagnostic(start=start, end=end, message=message),
            Snapshot.of(text, uri=f"file:///project/here{ending}", language_id=_SAMPLES[ending]),
            path=f"/project/here{ending}",
        )
        for idea in islice(candidates(replace(case, kind=kind), 1), 60):
            assert not isinstance(idea, Ready) or len(idea.text) < 2 * len(text)
