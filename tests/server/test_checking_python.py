"""The tools that check Python, asked about a text that is not on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from midfill_server.checking.base import CheckFailedError
from midfill_server.checking.finding import Finding
from midfill_server.checking.pyright_server import PyrightServer
from midfill_server.checking.resident import Residents
from midfill_server.checking.verdict import reproduced
from tests.server.checking_project import Project

PYTHON = {
    "app/__init__.py": "",
    "app/shapes.py": "class Circle:\n    radius: float = 1.0\n",
    "app/main.py": "",
}


def test_ruff(tmp_path: Path) -> None:
    project = Project(tmp_path, PYTHON, None)
    checker = project.checker("Ruff", "python", "app/main.py", tool="ruff")
    broken = "x = '🙂é'; import os\r\nprint(undefined)\r\n"
    found = project.fixes(
        checker, "app/main.py", broken, broken.replace("undefined", "x"), "undefined"
    )
    assert (found.first_line, found.first_column, found.last_column) == (1, 6, 15)
    assert found.code == "F821"
    unused = reproduced(project.check(checker, "app/main.py", broken), _shown("`os` imported"))
    assert unused is not None
    assert (unused.first_line, unused.first_column) == (0, 17)


def test_ruff_looks_for_the_rule_of_a_diagnostic(tmp_path: Path) -> None:
    project = Project(tmp_path, PYTHON | {"ruff.toml": 'lint.select = ["E9"]\n'}, None)
    text = "import os\n"
    plain = project.checker("ruff", "python", "app/main.py")
    assert project.check(plain, "app/main.py", text) == ()
    asked = project.checker("ruff", "python", "app/main.py", code="F401")
    assert [one.code for one in project.check(asked, "app/main.py", text)] == ["F401"]
    # What is no rule is no argument either.
    odd = project.checker("ruff", "python", "app/main.py", code="--config=evil.toml")
    assert project.check(odd, "app/main.py", text) == ()


def test_ruff_says_why_it_cannot(tmp_path: Path) -> None:
    project = Project(tmp_path, PYTHON | {"ruff.toml": "this is no toml"}, None)
    checker = project.checker("ruff", "python", "app/main.py")
    with pytest.raises(CheckFailedError, match=r"ruff\.toml"):
        project.check(checker, "app/main.py", "import os\n")


@pytest.mark.parametrize("tool", ["pyright", "basedpyright"])
def test_pyright(tmp_path: Path, tool: str, either: Residents | None) -> None:
    settings = {"pyrightconfig.json": '{"typeCheckingMode": "standard"}'}
    project = Project(tmp_path, PYTHON | settings, either)
    checker = project.checker(tool, "python", "app/main.py")
    broken = "from app.shapes import Circle\n\ns = '🙂'; print(s, Circle().radios)\n"
    fixed = broken.replace("radios", "radius")
    found = project.fixes(checker, "app/main.py", broken, fixed, "radios")
    # In UTF-16 it would be one more.
    assert (found.first_line, found.first_column, found.last_column) == (2, 27, 33)
    assert found.code == "reportAttributeAccessIssue"
    assert found.source == tool


def test_pyright_takes_the_text_for_the_file_in_other_files_too(
    tmp_path: Path, either: Residents | None
) -> None:
    files = PYTHON | {"app/user.py": "from app.main import Thing\n\nx: Thing\n"}
    project = Project(tmp_path, files | {"pyrightconfig.json": "{}"}, either)
    checker = project.checker("pyright", "python", "app/main.py")
    text = "from app.user import x\n\nclass Thing:\n    size = 1\n\nx.size\nx.missing\n"
    found = project.check(checker, "app/main.py", text)
    assert [one.first_line for one in found if one.severity == "error"] == [6]


@pytest.mark.parametrize("name", ["app/main.py", "app/new.py"])
def test_pyright_that_stays_hears_of_other_files(
    tmp_path: Path, residents: Residents, name: str
) -> None:
    project = Project(tmp_path, PYTHON, residents)
    checker = project.checker("pyright", "python", name)
    assert isinstance(checker, PyrightServer)
    checker = replace(checker, fresh_s=0.0)
    text = "from app.shapes import Circle\n\nprint(Circle().area)\n"
    assert any("area" in one.message for one in project.check(checker, name, text))
    (tmp_path / "app/shapes.py").write_text("class Circle:\n    area: float = 1.0\n")
    assert not [one for one in project.check(checker, name, text) if "area" in one.message]


def test_pyright_of_a_file_that_does_not_exist(tmp_path: Path, either: Residents | None) -> None:
    project = Project(tmp_path, PYTHON, either)
    name = "new folder/späť #1.py"
    checker = project.checker("Pylance", "python", name, tool="pyright")
    found = project.check(checker, name, "import app.shapes\nprint(nothing)\n")
    assert any("nothing" in one.message for one in found)
    assert not any("app" in one.message for one in found if one.severity == "error")


@pytest.mark.parametrize("trusted", [False, True])
def test_mypy(tmp_path: Path, residents: Residents, trusted: bool) -> None:
    settings = {"pyproject.toml": "[tool.mypy]\ndisallow_untyped_defs = true\n"}
    project = Project(tmp_path, PYTHON | settings, residents)
    checker = project.checker("mypy", "python", "app/main.py", trusted=trusted)
    broken = (
        "from app.shapes import Circle\n\n"
        "def area(circle: Circle) -> float:\n    s = 'é'\n    return circle.radios\n"
        "def untyped(x):\n    return x\n"
    )
    fixed = broken.replace("radios", "radius")
    found = project.fixes(checker, "app/main.py", broken, fixed, "radios")
    assert (found.first_line, found.first_column, found.code) == (4, 11, "attr-defined")
    codes = [one.code for one in project.check(checker, "app/main.py", broken)]
    assert "no-untyped-def" in codes


def test_mypy_that_remembers_looks_at_each_text(tmp_path: Path, residents: Residents) -> None:
    project = Project(tmp_path, PYTHON, residents)
    checker = project.checker("mypy", "python", "app/main.py")
    wrong, right = "n: int = 'é'\n", "n: int = 1234\n"
    assert len(wrong.encode()) == len(right.encode())
    for text, count in [(wrong, 1), (right, 0)] * 2:
        assert len(project.check(checker, "app/main.py", text)) == count


def test_mypy_of_what_is_no_python(tmp_path: Path, residents: Residents) -> None:
    project = Project(tmp_path, PYTHON, residents)
    checker = project.checker("mypy", "python", "app/main.py")
    found = project.check(checker, "app/main.py", "def f(:\n")
    assert {one.code for one in found} == {"syntax"}


@pytest.mark.parametrize("tool", ["flake8", "pyflakes", "pycodestyle"])
def test_flake8(tmp_path: Path, tool: str) -> None:
    project = Project(tmp_path, PYTHON, None)
    checker = project.checker(tool, "python", "app/main.py")
    broken, says = "import os\nx=1\n", "'os' imported"
    fixed = "x=1\n"
    if tool == "pycodestyle":
        fixed, says = "import os\nx = 1\n", "missing whitespace"
    found = project.fixes(checker, "app/main.py", broken, fixed, says)
    assert (found.first_line, found.source) == (int(tool == "pycodestyle"), tool)
    assert project.check(checker, "app/main.py", "def f(:\n")


def _shown(message: str) -> Finding:
    return Finding(
        first_line=0,
        first_column=None,
        last_line=0,
        last_column=None,
        message=message,
        code="F401",
        source="ruff",
    )
