"""The cross-file part of the quality benchmark: its places, and what is right there."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.cross_file import is_answer, places
from benchmarks.cross_file_names import Package
from benchmarks.kept import KeptRows
from benchmarks.problems import Problem
from benchmarks.quality_cases import Case
from benchmarks.quality_marks import Judge
from benchmarks.quality_path import Project, walk
from benchmarks.sandbox import Sandbox
from midfill_engine.types import CompletionRequest
from tests.quality_engines import engine_saying

SHAPES = '''"""Shapes."""


class Shape:
    border: int = 0

    def __init__(self, width, corner_radius=0):
        self.width = width

    def scaled_copy(self, factor, keep_corners=True):
        return self


def draw(shape, line_style="solid"):
    pass
'''
PAGE = '''"""Pages."""
from tiny.shapes import Shape
from . import shapes as drawing
from tiny import draw as paint
from tiny import draw


class Round(Shape):
    def grow(self):
        return self.scaled_copy(2)


def show(shape: Shape | None, page):
    big = Shape(3, corner_radius=2)
    draw(big, line_style="dashed")
    draw(page)
    paint(page, line_style="none")
    page.scaled_copy_of(1)
    return shape.border
'''


def project(folder: Path, page: str = PAGE) -> Path:
    package = folder / "tiny"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('from .shapes import draw\n\n__all__ = ["draw"]\n')
    (package / "shapes.py").write_text(SHAPES)
    (package / "page.py").write_text(page)
    (package / "broken.py").write_text("def (\n")
    return folder


def test_places_need_what_only_another_file_says(tmp_path: Path) -> None:
    found = places(Package.read(project(tmp_path), "tiny"))
    seen = {
        (place.kind, place.answer, place.needed, place.definition.holder.name) for place in found
    }
    assert seen == {
        ("name", "aled_copy", ("scaled_copy",), "tiny.shapes"),
        ("attribute", "rder", ("border",), "tiny.shapes"),
        ("arguments", "rner_radius", ("corner_radius",), "tiny.shapes"),
    }
    place = next(place for place in found if place.answer == "rder")
    assert place.text[: place.cursor].endswith("    return shape.bo")
    assert place.text[place.cursor :] == "\n"


def test_of_one_file_there_are_some_places_only(tmp_path: Path) -> None:
    names = ("first_kind", "second_kind", "third_kind", "fourth_kind", "fifth_kind")
    calls = "".join(f"    draw(page, {name}=1)\n" for name in names)
    folder = project(tmp_path, f"from tiny.shapes import draw\n\n\ndef show(page):\n{calls}")
    shapes = folder / "tiny" / "shapes.py"
    shapes.write_text(f"def draw(page, {', '.join(names)}):\n    pass\n")
    assert len(places(Package.read(folder, "tiny"))) == 4


@pytest.mark.parametrize(
    "line",
    [
        "draw(page)",  # nothing that only the other file says
        "draw(page, line_style='a')\n    draw(page, line_style='b')",  # given away
        "draw(page, line_style=(",  # goes on in the next line
        'print(f"{draw(page, line_style=1)}")',  # in a string
        "page.scaled_copy(1)",  # nobody knows what a page is
        "paint(page, line_style=1)",  # called by another name
        "other(page, line_style=1)",  # not from here
    ],
)
def test_what_another_file_need_not_say_is_no_place(line: str, tmp_path: Path) -> None:
    end = "1))\n" if line.endswith("(") else ""
    page = (
        "from tiny.shapes import draw\nfrom tiny import draw as paint\n\n\n"
        f"def show(page):\n    {line}\n        {end}"
    )
    assert places(Package.read(project(tmp_path, page), "tiny")) == []


@pytest.mark.parametrize(
    ("expected", "text", "right"),
    [
        ("rder", "rder + 1\n", True),
        ("rder", "rder", True),
        ("rder", "rders", False),
        ("rder", " rder", False),
        ("rder", "", False),
    ],
)
def test_an_answer_is_the_rest_of_a_name(expected: str, text: str, right: bool) -> None:
    assert is_answer(expected, text) is right


def test_context_comes_from_the_project_and_never_from_the_file_itself(tmp_path: Path) -> None:
    folder = project(tmp_path / "project")
    (place,) = [
        place for place in places(Package.read(folder, "tiny")) if place.kind == "arguments"
    ]
    case = Case(
        problem=Problem(id="p", group="cross-file arguments", prefix="", expected=place.answer),
        uri=place.module.path.resolve().as_uri(),
        language_id="python",
        text=place.text,
        cursor=place.cursor,
        max_tokens=64,
        kind=place.kind,
        needed=place.needed,
        folder=folder,
    )
    engine, inner = engine_saying("rner_radius=2)", tmp_path / "kept")
    judge = Judge(Sandbox(), KeptRows(tmp_path / "verdicts"))
    shown = judge.mark(walk(case, engine, Project(folder)), None)
    alone = judge.mark(walk(case, engine), None)
    assert shown.all.right
    assert (shown.needed, alone.needed) == (True, None)
    with_context, without = inner.requests[0], inner.requests[-1]
    assert isinstance(with_context, CompletionRequest)
    assert isinstance(without, CompletionRequest)
    assert {chunk.path for chunk in with_context.context} == {"tiny/shapes.py"}
    assert with_context.path == "tiny/page.py"
    assert without.context == ()
