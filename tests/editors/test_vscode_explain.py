"""Hovers, explanations and fixes in VS Code, with the real server and the real 0.5B model."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from midfill_engine.registry import find_model
from midfill_engine.store import ModelStore
from tests.editors.conftest import OpenWindow
from tests.editors.problems import Problem, install_tools, show_problems
from tests.editors.real import MODEL, real_settings
from tests.editors.vscode import Code

# Loading takes seconds, and the machine may be busy.
_LOADED_WITHIN_S = 120
_WRITTEN_WITHIN_S = 90

_FIGURES = '''\
import math


def circle_area(radius):
    """Return the area of a circle."""
    if radius < 0:
        raise ValueError("radius")
    return math.pi * radius**2


def ring_area(outer, inner):
    return circle_area(outer) - circle_area(inner)
'''
# What a hover says before the model has said anything.
_HOVER_OF_FILES = "def circle_area(radius)Return the area of a circle.function in figures.py:4"
_DISTANCE = '''\
import math


def distance(point, center):
    """Return how far a point is from the center."""
    across = point[0] - center[0]
    down = point[1] - center[1]
    return math.sqrt(across**2 + down**2)
'''
_PROBLEMS: list[Problem] = [
    {
        "text": "centr",
        "message": "Undefined name `centr`",
        "code": "F821",
        "source": "Ruff",
    },
    {
        "text": "squareroot",
        "message": '"squareroot" is not a known attribute of module "math"',
        "code": "reportAttributeAccessIssue",
        "source": "Pyright",
    },
]


@pytest.fixture(scope="module")
def window(open_window: OpenWindow, folder: Path) -> Code:
    if ModelStore().model_path(find_model(MODEL)) is None:
        pytest.skip(f"{MODEL} is not here: midfill models pull {MODEL}")
    show_problems(folder, _PROBLEMS)
    install_tools(folder, "ruff", "pyright")
    code = open_window(folder, real_settings())
    code.wait_for_status("ready", _LOADED_WITHIN_S)
    return code


def test_a_hover_shows_the_signature_and_later_the_explanation(code: Code) -> None:
    code.begin("figures.py", _FIGURES)
    shown = code.hover("circle_area")
    assert "def circle_area(radius)" in shown
    assert "Return the area of a circle." in shown
    code.wait_for_explanation("circle_area", len(_HOVER_OF_FILES), _WRITTEN_WITHIN_S)
    code.screenshot("hover")


def test_an_explanation_is_written_beside_the_code(code: Code) -> None:
    code.begin("beside.py", _FIGURES)
    code.click_word("ring_area")
    code.command("midfill: Explain")
    code.wait_for_preview("What it does")
    code.screenshot("explanation-growing")
    code.wait_for_preview("it may be wrong", _WRITTEN_WITHIN_S)
    code.screenshot("explanation")
    # The keys still go to the code.
    code.press("Control+Home")
    code.type("import sys\n")
    assert code.save("beside.py") == f"import sys\n{_FIGURES}"


@pytest.mark.parametrize(
    ("name", "wrong", "right", "verifier"),
    [
        ("ruff.py", "centr[0]", "center[0]", "ruff"),
        ("pyright.py", "math.squareroot(", "math.sqrt(", "pyright"),
    ],
)
def test_the_light_bulb_has_a_verified_fix(
    code: Code, name: str, wrong: str, right: str, verifier: str
) -> None:
    code.begin(name, _DISTANCE.replace(right, wrong))
    code.click_word(re.split(r"[\[(.]", wrong)[-2])
    title = code.light_bulb(re.compile(rf"^Fix \(verified by {verifier}\)"), _WRITTEN_WITHIN_S)
    code.screenshot(f"fix-{verifier}")
    assert any(each.startswith("Explain: ") for each in code.actions())
    code.choose_action(title)
    code.until(lambda: right in code.text, lambda: code.text)
    assert code.save(name) == _DISTANCE


def test_code_is_generated_from_a_comment(code: Code) -> None:
    wanted = (
        'def sum_of_squares(n):\n    """Return the sum of the squares of all numbers up to n."""'
    )
    code.begin("generated.py", wanted)
    code.command("midfill: Generate from Comment")
    code.until(lambda: "return " in code.text, lambda: code.text, _WRITTEN_WITHIN_S)
    code.screenshot("generated")
    names: dict[str, Callable[[int], int]] = {}
    exec(code.save("generated.py"), names)
    assert names["sum_of_squares"](3) == 14
