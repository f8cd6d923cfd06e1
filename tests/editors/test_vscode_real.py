"""VS Code with the real server and the real 0.5B model, as a person meets them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from midfill_engine.registry import find_model
from midfill_engine.store import ModelStore
from tests.editors.conftest import OpenWindow
from tests.editors.real import MODEL, real_settings
from tests.editors.vscode import Code

# Loading takes seconds, and the machine may be busy.
_LOADED_WITHIN_S = 120

_AREA = '''\
"""Areas and perimeters of plane figures."""

import math


def circle_area(radius):
    return math.pi * radius**2


def rectangle_area(width, height):
    return width * height


'''


@pytest.fixture(scope="module")
def window(open_window: OpenWindow, folder: Path) -> Code:
    if ModelStore().model_path(find_model(MODEL)) is None:
        pytest.skip(f"{MODEL} is not here: midfill models pull {MODEL}")
    code = open_window(folder, real_settings())
    code.wait_for_status("ready", _LOADED_WITHIN_S)
    code.wake_editor()
    return code


def test_typed_shown_taken_and_saved(code: Code) -> None:
    code.begin("shown.py", _AREA)
    code.type("def circle_perimeter(radius):\n")
    shown = code.wait_for_ghost(re.compile("^return"))
    code.screenshot("real-model")
    code.press("Tab")
    code.wait_for_no_ghost()
    saved = code.save("shown.py")
    assert saved.startswith(f"{_AREA}def circle_perimeter(radius):\n    {shown}")
    names: dict[str, Callable[[float], float]] = {}
    exec(saved, names)
    assert names["circle_perimeter"](1.0) > 6


def test_a_word_of_it_is_taken(code: Code) -> None:
    code.begin("word.py", _AREA)
    code.type("def rectangle_perimeter(width, height):\n")
    shown = code.wait_for_ghost(re.compile("^return"))
    code.press("Control+ArrowRight")
    code.wait_for_ghost(re.compile(f"^{re.escape(shown.removeprefix('return'))[:9]}"))
    assert code.save("word.py").endswith("(width, height):\n    return")


def test_typing_other_text_takes_it_away(code: Code) -> None:
    code.begin("other.py", _AREA)
    code.type("def circle_area_from_diameter(diameter):\n")
    shown = code.wait_for_ghost(re.compile("^return"))
    code.type("half = ")
    then = code.wait_for_ghost(re.compile("diameter"))
    assert not then.startswith(shown)
    assert code.text.endswith("    half =") or code.text.endswith("    half = ")


def test_it_comes_back_after_a_crash(code: Code) -> None:
    code.begin("crash.py", _AREA)
    (server,) = _servers()
    server.kill()
    code.until(lambda: [found.pid for found in _servers()] not in ([], [server.pid]), "another")
    code.wait_for_status("ready", _LOADED_WITHIN_S)
    code.type("def square_area(side):\n")
    code.wait_for_ghost(re.compile("^return side"))


def test_the_sample_of_the_walkthrough_is_completed(code: Code) -> None:
    code.command("midfill: Open the Sample")
    code.wait_for_ghost(re.compile(r"\S"))
    before = code.text
    code.press("Tab")
    code.until(lambda: len(code.text) > len(before), lambda: code.text)


def _servers() -> list[psutil.Process]:
    """Return the servers that the editor has started; each is the first of its processes."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.cmdline()[1:5] == ["-m", "midfill_server", "serve", "--stdio"]:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found
