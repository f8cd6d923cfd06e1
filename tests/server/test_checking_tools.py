"""Each tool that is installed, asked about a text that is not on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from midfill_engine.cancel import CancelToken
from midfill_server.checking.base import Checker, CheckFailedError
from midfill_server.checking.finding import Finding
from midfill_server.checking.pyright_server import PyrightServer
from midfill_server.checking.resident import Residents
from midfill_server.checking.syntax import SYNTAX
from midfill_server.checking.table import checkers_for
from midfill_server.checking.verdict import line_edits, reproduced, verdict

TIMEOUT_S = 120.0


@pytest.fixture(scope="module")
def residents() -> Iterator[Residents]:
    owned = Residents()
    yield owned
    owned.close()


class Project:
    """A folder of files, one of which is asked about."""

    def __init__(self, root: Path, files: dict[str, str], residents: Residents | None) -> None:
        self.root = root
        self._residents = residents
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())

    def checker(
        self, source: str, language_id: str, name: str, *, trusted: bool = False, code: str = ""
    ) -> Checker:
        """Return the best checker, if it is installed."""
        found = checkers_for(
            source,
            language_id,
            str(self.root / name),
            trusted=trusted,
            roots=[str(self.root)],
            code=code or None,
            residents=self._residents,
        )
        if found[0].name == SYNTAX:
            pytest.skip(f"nothing that checks for {source} is installed")
        return found[0]

    def check(self, checker: Checker, name: str, text: str) -> tuple[Finding, ...]:
        before = self.listing()
        path = str(self.root / name)
        found = checker.check(path, text, CancelToken(), TIMEOUT_S)
        # Whatever a tool does, it leaves the project alone.
        assert self.listing() == before
        return found

    def fixes(self, checker: Checker, name: str, broken: str, fixed: str, says: str) -> Finding:
        """Check that the broken text has one finding that the fixed one lacks; return it."""
        before = self.check(checker, name, broken)
        target = next((one for one in before if says in one.message), None)
        assert target is not None, before
        after = self.check(checker, name, fixed)
        said = verdict(before, after, target, line_edits(broken, fixed))
        assert said.is_good, said
        still = verdict(before, before, target, ())
        assert not still.removed
        return target

    def listing(self) -> dict[str, tuple[int, int]]:
        return {
            str(path): (path.stat().st_mtime_ns, path.stat().st_size)
            for path in self.root.rglob("*")
            if path.is_file()
        }


@pytest.fixture(params=["resident", pytest.param("each time", marks=pytest.mark.slow)])
def either(request: pytest.FixtureRequest, residents: Residents) -> Residents | None:
    return residents if request.param == "resident" else None


PYTHON = {
    "app/__init__.py": "",
    "app/shapes.py": "class Circle:\n    radius: float = 1.0\n",
    "app/main.py": "",
}


def test_ruff(tmp_path: Path) -> None:
    project = Project(tmp_path, PYTHON, None)
    checker = project.checker("Ruff", "python", "app/main.py")
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
    if checker.name != tool:
        pytest.skip(f"{tool} is not installed")
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
    checker = project.checker("Pylance", "python", "new folder/späť #1.py")
    found = project.check(checker, "new folder/späť #1.py", "import app.shapes\nprint(nothing)\n")
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


def test_mypy_of_what_is_no_python(tmp_path: Path, residents: Residents) -> None:
    project = Project(tmp_path, PYTHON, residents)
    checker = project.checker("mypy", "python", "app/main.py")
    found = project.check(checker, "app/main.py", "def f(:\n")
    assert {one.code for one in found} == {"syntax"}


@pytest.mark.parametrize("tool", ["flake8", "pyflakes", "pycodestyle"])
def test_flake8(tmp_path: Path, tool: str) -> None:
    project = Project(tmp_path, PYTHON, None)
    checker = project.checker(tool, "python", "app/main.py")
    if checker.name != tool:
        pytest.skip(f"{tool} is not installed")
    broken, says = "import os\nx=1\n", "'os' imported"
    fixed = "x=1\n"
    if tool == "pycodestyle":
        fixed, says = "import os\nx = 1\n", "missing whitespace"
    found = project.fixes(checker, "app/main.py", broken, fixed, says)
    assert (found.first_line, found.source) == (int(tool == "pycodestyle"), tool)
    assert project.check(checker, "app/main.py", "def f(:\n")


TYPESCRIPT = {
    "tsconfig.json": '{"compilerOptions": {"strict": true, "target": "es2022"}, "include": ["src"],'
    '"exclude": ["no"]}',
    "src/shapes.ts": "import './main';\nexport interface Circle { radius: number }\n",
    "src/main.ts": "",
    "src/globals.d.ts": "declare const RELEASE: string;\n",
}


def test_typescript(tmp_path: Path, either: Residents | None) -> None:
    project = Project(tmp_path, TYPESCRIPT, either)
    checker = project.checker("ts", "typescript", "src/main.ts")
    broken = (
        "import { Circle } from './shapes';\n"
        "export const label = '🙂' + RELEASE; export const f = (c: Circle) => c.radios;\n"
    )
    found = project.fixes(
        checker, "src/main.ts", broken, broken.replace("radios", "radius"), "radios"
    )
    assert (found.first_line, found.first_column) == (1, 70)
    assert (found.code, found.source) == ("2551", "ts")


def test_typescript_without_settings_and_with_tags(
    tmp_path: Path, either: Residents | None
) -> None:
    project = Project(tmp_path, {"page.jsx": ""}, either)
    checker = project.checker("typescript", "typescriptreact", "odd name (1).tsx")
    broken = "export const n: number = 'one';\nconst p = <p>{m}</p>;\n"
    fixed = "export const n: number = 1;\nconst p = <p>{m}</p>;\n"
    project.fixes(checker, "odd name (1).tsx", broken, fixed, "not assignable")


def test_eslint_where_it_is_trusted(tmp_path: Path) -> None:
    settings = "export default [{rules: {'no-unused-vars': 'error', eqeqeq: 'warn'}}];\n"
    project = Project(tmp_path, {"eslint.config.mjs": settings, "main.js": ""}, None)
    checker = project.checker("eslint", "javascript", "main.js", trusted=True)
    if checker.name != "eslint":
        pytest.skip("eslint is not installed")
    broken = "const s = '🙂'; const unused = 1;\nexport const t = s == 2;\n"
    fixed = broken.replace(" const unused = 1;", "")
    found = project.fixes(checker, "main.js", broken, fixed, "unused")
    assert (found.first_column, found.code, found.severity) == (21, "no-unused-vars", "error")


GO = {
    "go.mod": "module example.com/app\n\ngo 1.18\n",
    "main.go": "package main\n\nfunc main() { greet() }\n",
    "greet.go": "",
    "greet_test.go": "package main\n",
}


def test_go(tmp_path: Path) -> None:
    project = Project(tmp_path, GO, None)
    checker = project.checker("gopls", "go", "greet.go")
    if checker.name != "go vet":
        pytest.skip("go is not installed")
    broken = 'package main\n\nimport "fmt"\n\nfunc greet() {\n\t/* é */ fmt.Printn("x")\n}\n'
    found = project.fixes(
        checker, "greet.go", broken, broken.replace("Printn", "Println"), "Printn"
    )
    assert found.first_line == 5
    # What only vet finds.
    broken = 'package main\n\nimport "fmt"\n\nfunc greet() {\n\tfmt.Printf("%d", "x")\n}\n'
    project.fixes(checker, "greet.go", broken, broken.replace("%d", "%s"), "wrong type")
    # All errors, not only the first ten.
    many = (
        "package main\n\nfunc greet() {\n" + "".join(f"\tundef{n}()\n" for n in range(15)) + "}\n"
    )
    assert len(project.check(checker, "greet.go", many)) == 15


def test_go_tests(tmp_path: Path) -> None:
    greet = "package main\n\nfunc greet() {}\n"
    project = Project(tmp_path, GO | {"greet.go": greet}, None)
    checker = project.checker("gopls", "go", "greet_test.go")
    if checker.name != "go vet":
        pytest.skip("go is not installed")
    broken = 'package main\n\nimport "testing"\n\nfunc TestIt(t *testing.T) { greets() }\n'
    fixed = broken.replace("greets", "greet")
    project.fixes(checker, "greet_test.go", broken, fixed, "greets")


def test_gofmt_outside_of_a_module(tmp_path: Path) -> None:
    project = Project(tmp_path, {"loose.go": ""}, None)
    checker = project.checker("gopls", "go", "loose.go")
    assert checker.name == "gofmt"
    broken = "package main\n\nfunc main( {\n}\n"
    found = project.check(checker, "loose.go", broken)
    assert found
    assert found[0].first_line == 2
    assert project.check(checker, "loose.go", broken.replace("( {", "() {")) == ()


def test_rustc_alone(tmp_path: Path) -> None:
    project = Project(tmp_path, {"lonely.rs": ""}, None)
    checker = project.checker("rust-analyzer", "rust", "lonely.rs")
    broken = 'use std::fmt;\n\npub fn f() -> u32 {\n    let _s = "é"; valu\n}\n'
    fixed = broken.replace("valu", "1")
    found = project.fixes(checker, "lonely.rs", broken, fixed, "valu")
    assert (found.first_line, found.first_column, found.code) == (3, 18, "E0425")
    with pytest.raises(CheckFailedError, match="other files"):
        project.check(checker, "lonely.rs", "use serde::Serialize;\n")


def test_cargo_where_it_is_trusted(tmp_path: Path, residents: Residents) -> None:
    files = {
        "Cargo.toml": '[package]\nname = "app"\nversion = "0.1.0"\nedition = "2021"\n',
        "src/main.rs": 'mod shapes;\nfn main() { println!("{}", shapes::area(1.0)); }\n',
        "src/shapes.rs": "pub fn area(r: f64) -> f64 { r }\n",
    }
    project = Project(tmp_path, files, residents)
    checker = project.checker("rustc", "rust", "src/shapes.rs", trusted=True)
    if checker.name != "cargo check":
        pytest.skip("cargo is not installed")
    broken = "pub fn area(r: f64) -> f64 {\n    radius * r\n}\n"
    fixed = broken.replace("radius", "r")
    project.fixes(checker, "src/shapes.rs", broken, fixed, "radius")


@pytest.mark.parametrize("tool", ["clang", "gcc"])
def test_compilers_of_c(tmp_path: Path, tool: str) -> None:
    files = {
        "src/main.c": "",
        "src/near.h": "int near(int);\n",
        "include/far.h": "#ifdef WANTED\nint far_away(int);\n#endif\n",
    }
    project = Project(tmp_path, files, None)
    command = "cc -Iinclude -DWANTED -fplugin=evil.so -o main.o -c src/main.c"
    entry = {"directory": str(tmp_path), "file": "src/main.c", "command": command}
    (tmp_path / "compile_commands.json").write_text(json.dumps([entry]))
    checker = project.checker(tool, "c", "src/main.c")
    if checker.name != tool:
        pytest.skip(f"{tool} is not installed")
    broken = (
        '#include "near.h"\n#include <far.h>\n\n'
        "int main(void) {\n\treturn near(1) + far_away(2) + wher;\n}\n"
    )
    fixed = broken.replace(" + wher", "")
    found = project.fixes(checker, "src/main.c", broken, fixed, "wher")
    assert (found.first_line, found.first_column) == (4, 32)


def test_shellcheck(tmp_path: Path) -> None:
    project = Project(tmp_path, {"run.sh": ""}, None)
    checker = project.checker("shellcheck", "shellscript", "run.sh")
    broken = "#!/bin/sh\necho 'é' $1\n"
    fixed = broken.replace("$1", '"$1"')
    found = project.fixes(checker, "run.sh", broken, fixed, "Double quote")
    assert (found.first_line, found.first_column, found.code) == (1, 9, "SC2086")


def test_syntax_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "main.py")
    found = checkers_for("pyright", "python", path, trusted=False, roots=[], environ={"PATH": ""})
    assert [checker.name for checker in found] == [SYNTAX]
    broken = "def f(:\n    pass\n"
    before = found[0].check(path, broken, CancelToken(), 5.0)
    assert [one.source for one in before] == [SYNTAX]
    assert found[0].check(path, "def f():\n    pass\n", CancelToken(), 5.0) == ()


def test_a_language_without_a_grammar_has_no_checker(tmp_path: Path) -> None:
    path = str(tmp_path / "notes.tex")
    assert checkers_for("texlab", "latex", path, trusted=False, roots=[]) == ()


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


def test_a_source_that_nobody_knows_is_answered_by_the_language_s_checkers(tmp_path: Path) -> None:
    path = str(tmp_path / "main.py")
    names = [
        checker.name
        for checker in checkers_for("jedi", "python", path, trusted=False, roots=[str(tmp_path)])
    ]
    assert names[-1] == SYNTAX
    assert set(names) <= {
        *("pyright", "basedpyright", "ruff", "mypy", "flake8", "pyflakes", "pycodestyle"),
        SYNTAX,
    }
    assert os.path.dirname(path) == str(tmp_path)
