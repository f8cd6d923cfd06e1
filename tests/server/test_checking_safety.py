"""A hostile workspace: whatever lies in it, nothing of it is executed while it is not trusted."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from midfill_engine.cancel import CancelToken
from midfill_server.checking.base import CheckFailedError
from midfill_server.checking.clang import harmless_flags
from midfill_server.checking.eslint import Eslint
from midfill_server.checking.mypy import harmless_settings
from midfill_server.checking.programs import Grounds
from midfill_server.checking.resident import Residents
from midfill_server.checking.rust import Cargo
from midfill_server.checking.syntax import SYNTAX
from midfill_server.checking.table import checkers_for
from tests.server.checking_project import TIMEOUT_S, tools_path

TOOLS = (
    "ruff pyright pyright-langserver basedpyright basedpyright-langserver mypy flake8 pyflakes "
    "pycodestyle tsc tsserver eslint node go gofmt cargo rustc clang gcc shellcheck python python3 "
    "git cc as ld env sh"
)
# Each language, and a text with something wrong in it.
TEXTS = {
    "app/main.py": ("python", "import os\nimport tools\nprint(undefined)\n"),
    "app/main.ts": ("typescript", "export const n: number = 'x';\nimport './other';\n"),
    "app/main.js": ("javascript", "export const n = undefinedName;\n"),
    "app/main.go": ("go", 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Printn() }\n'),
    "app/main.rs": ("rust", "fn main() { undefined(); }\n"),
    "app/main.c": ("c", '#include "other.h"\nint main(void) { return undefined; }\n'),
    "app/run.sh": ("shellscript", "#!/bin/sh\n. ./evil.sh\necho $1\n"),
}


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "executed"


@pytest.fixture
def hostile(tmp_path: Path, marker: Path) -> Path:
    """Make a workspace in which everything that can be code is, and leaves a mark."""
    root = tmp_path / "workspace"
    python = f"open({str(marker)!r}, 'a').write(__file__ + '\\n')\n"
    script = f"#!{sys.executable}\n{python}"
    js = f"require('fs').appendFileSync({str(marker)!r}, __filename);\n"
    esm = f"import fs from 'fs'; fs.appendFileSync({str(marker)!r}, 'esm');\nexport default [];\n"
    rust = f'fn main() {{ std::fs::write("{marker}", "build.rs").unwrap(); }}\n'
    files = {
        "pyproject.toml": '[tool.mypy]\nplugins = ["evil.py"]\npython_executable = "./python"\n'
        '[tool.pyright]\nvenvPath = "."\nvenv = ".venv"\n',
        "setup.cfg": "[flake8:local-plugins]\nextension = X = evil:run\npaths = .\n"
        "[flake8]\nselect = X\n",
        "conftest.py": python,
        "sitecustomize.py": python,
        "usercustomize.py": python,
        "evil.py": python,
        "tools.py": python,
        "app/tools.py": python,
        ".venv/pyvenv.cfg": "home = /usr\n",
        ".venv/lib/python3.11/site-packages/evil.pth": f"import os; {python}",
        "eslint.config.mjs": esm,
        ".eslintrc.js": js,
        "package.json": '{"eslintConfig": {"plugins": ["evil"]}}',
        "tsconfig.json": '{"compilerOptions": {"plugins": [{"name": "evil"}, '
        '{"name": "../../evil"}], "allowJs": true, "checkJs": true}, "include": ["app"]}',
        "node_modules/evil/index.js": js,
        "node_modules/evil/package.json": '{"name": "evil", "main": "index.js"}',
        "node_modules/typescript/lib/tsserver.js": js,
        "node_modules/typescript/package.json": '{"name": "typescript", "version": "5.9.0"}',
        "app/other.ts": "export {};\n",
        "Cargo.toml": '[package]\nname = "app"\nversion = "0.1.0"\nbuild = "build.rs"\n'
        '[[bin]]\nname = "app"\npath = "app/main.rs"\n',
        "build.rs": rust,
        ".cargo/config.toml": '[build]\nrustc-wrapper = "./rustc"\n',
        "rust-toolchain.toml": '[toolchain]\npath = "./toolchain"\n',
        "toolchain/bin/rustc": script,
        "go.mod": "module example.com/app\n\ngo 1.18\n",
        "app/generate.go": "package main\n\n//go:generate ./go\n",
        ".git/HEAD": "ref: refs/heads/main\n",
        ".git/config": f"[core]\n\tfsmonitor = {root}/git\n\trepositoryformatversion = 0\n",
        ".git/objects/x": "",
        ".git/refs/x": "",
        "compile_commands.json": '[{"directory": ".", "file": "app/main.c", "arguments": '
        '["cc", "-fplugin=./evil.so", "-B.", "-wrapper", "./cc", "-o", "written", "app/main.c"]}]',
        "app/other.h": "",
        "evil.sh": f"touch {marker}\n",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for folder in (".", "app", ".venv/bin", "node_modules/.bin", ".venv/Scripts"):
        for tool in TOOLS.split():
            for ending in ("", ".exe", ".cmd") if os.name == "nt" else ("",):
                path = root / folder / f"{tool}{ending}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(script)
                path.chmod(path.stat().st_mode | stat.S_IXUSR)
    (root / "toolchain/bin/rustc").chmod(0o755)
    for name, (_, text) in TEXTS.items():
        (root / name).write_text(text)
    return root


@pytest.fixture
def environ(hostile: Path) -> dict[str, str]:
    """Return an environment that a careless user has: the workspace comes first in the PATH."""
    first = (".", "", "app", str(hostile), str(hostile / ".venv/bin"), str(hostile / "app" / ".."))
    return {
        **os.environ,
        "PATH": os.pathsep.join((*first, tools_path())),
        "PYTHONPATH": str(hostile),
        "NODE_OPTIONS": f"--require {hostile}/node_modules/evil/index.js",
        "RUSTC_WRAPPER": str(hostile / "rustc"),
        "GOFLAGS": f"-toolexec={hostile}/go",
        "MYPYPATH": str(hostile),
        "VIRTUAL_ENV": str(hostile / ".venv"),
    }


@pytest.fixture(params=["resident", pytest.param("each time", marks=pytest.mark.slow)])
def residents(request: pytest.FixtureRequest) -> Iterator[Residents | None]:
    owned = Residents() if request.param == "resident" else None
    yield owned
    if owned is not None:
        owned.close()


@pytest.mark.parametrize("name", TEXTS)
def test_nothing_of_it_is_executed(
    hostile: Path,
    marker: Path,
    environ: dict[str, str],
    residents: Residents | None,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(hostile)
    language_id, text = TEXTS[name]
    before = listing(hostile)
    answered: list[str] = []
    checkers = checkers_for(
        None,
        language_id,
        str(hostile / name),
        trusted=False,
        roots=[str(hostile)],
        residents=residents,
        environ=environ,
    )
    for checker in checkers:
        try:
            found = checker.check(str(hostile / name), text, CancelToken(), TIMEOUT_S)
        except CheckFailedError:
            # To refuse is well.
            continue
        if found:
            answered.append(checker.name)
    assert not marker.exists(), marker.read_text()
    assert listing(hostile) == before
    # It is not safe because nothing works here at all.
    assert answered or [checker.name for checker in checkers] == [SYNTAX]
    assert "eslint" not in [checker.name for checker in checkers]
    assert "cargo check" not in [checker.name for checker in checkers]


def test_the_marker_would_be_seen(hostile: Path, marker: Path) -> None:
    grounds = Grounds.of(str(hostile / "app/main.py"), [str(hostile)], trusted=True)
    assert grounds.program("ruff") == str(hostile / "app/.venv/bin/ruff") or grounds.program(
        "ruff"
    ) == str(hostile / ".venv/bin/ruff")
    (checker, *_) = checkers_for(
        "ruff", "python", str(hostile / "app/main.py"), trusted=True, roots=[str(hostile)]
    )
    checker.check(str(hostile / "app/main.py"), "import os\n", CancelToken(), TIMEOUT_S)
    assert marker.exists()


def test_no_program_of_it_is_found(hostile: Path, environ: dict[str, str]) -> None:
    grounds = Grounds.of(
        str(hostile / "app/main.py"), [str(hostile)], trusted=False, environ=environ
    )
    for tool in TOOLS.split():
        found = grounds.program(tool)
        assert found is None or not found.startswith(str(hostile))
    path = grounds.environment()["PATH"].split(os.pathsep)
    assert all(os.path.isabs(folder) for folder in path)
    assert not [folder for folder in path if str(hostile) in os.path.realpath(folder)]
    assert grounds.python() is None
    for name in ("PYTHONPATH", "NODE_OPTIONS", "RUSTC_WRAPPER", "GOFLAGS", "MYPYPATH"):
        assert name not in grounds.environment()


def test_a_link_from_outside_into_it_is_none_either(hostile: Path, tmp_path: Path) -> None:
    outside = tmp_path / "bin"
    outside.mkdir()
    (outside / "ruff").symlink_to(hostile / "ruff")
    into = tmp_path / "into"
    into.symlink_to(hostile, target_is_directory=True)
    environ = {"PATH": os.pathsep.join((str(outside), str(into)))}
    path = str(hostile / "app/main.py")
    assert Grounds.of(path, [str(hostile)], trusted=False, environ=environ).program("ruff") is None
    # A workspace that is opened by the name of a link.
    linked = Grounds.of(
        str(into / "app/main.py"), [str(into)], trusted=False, environ={"PATH": str(hostile)}
    )
    assert linked.program("ruff") is None


def test_what_lies_beside_a_loose_file_belongs_to_it(hostile: Path) -> None:
    grounds = Grounds.of(
        str(hostile / "app/main.py"), [], trusted=False, environ={"PATH": str(hostile / "app")}
    )
    assert grounds.program("ruff") is None


def test_tools_that_run_code_refuse_by_themselves(hostile: Path) -> None:
    path = str(hostile / "app/main.js")
    grounds = Grounds.of(path, [str(hostile)], trusted=False)
    for checker in (
        Eslint(program="eslint", grounds=grounds),
        Cargo(program="cargo", grounds=grounds),
    ):
        with pytest.raises(CheckFailedError, match="not trusted"):
            checker.check(path, "x", CancelToken(), TIMEOUT_S)


@pytest.mark.parametrize(
    ("flags", "kept"),
    [
        (["-Iinclude", "-DX=1", "-std=c++20", "-Wall"], ["-I/p/include", "-DX=1", "-std=c++20"]),
        (["-I", "a", "-isystem", "/abs"], ["-I", "/p/a", "-isystem", "/abs"]),
        (["-fplugin=evil.so", "-fplugin", "evil.so", "-B.", "-wrapper", "sh"], []),
        (["-Xclang", "-load", "-Xclang", "evil.so", "@file", "-specs=evil"], []),
        (["-Wl,-x", "-Wp,-MD,out", "-Wa,-x", "-o", "out", "-MF", "out", "-save-temps"], []),
        (["-fplugin-arg-x=1", "--config=evil", "-fsyntax-only", "-dumpdir", "-I"], []),
    ],
)
def test_flags_that_could_do_something_are_left_out(
    flags: Sequence[str], kept: Sequence[str]
) -> None:
    found = [flag for flag in harmless_flags(flags, "/p") if flag != "-Wall"]
    assert found == list(kept)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", '[tool.mypy]\nstrict = true\nplugins = ["x.py"]\ncache_dir = "y"\n'),
        ("mypy.ini", "[mypy]\nstrict = True\nplugins = x.py\ncache_dir = y\n"),
        ("setup.cfg", "[mypy]\nstrict = True\nplugins =\n  x.py\nhtml_report = y\n[other]\na=b\n"),
    ],
)
def test_of_mypy_s_settings_only_switches_are_taken(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    settings = harmless_settings(str(tmp_path))
    assert {key: dict(settings[key]) for key in settings.sections()} == {"mypy": {"strict": "True"}}


def test_settings_that_cannot_be_read_are_none(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "mypy.ini", "setup.cfg"):
        (tmp_path / name).write_bytes(b"\xff\x00[[[")
    assert dict(harmless_settings(str(tmp_path))["mypy"]) == {}
    (tmp_path / "pyproject.toml").write_text(
        '[tool.mypy]\nstrict = "x]\\n[mypy]\\nplugins = y"\n'
        '[[tool.mypy.overrides]]\nmodule = ["a.*", "b]\\nplugins"]\nignore_errors = true\n'
    )
    for name in ("mypy.ini", "setup.cfg"):
        (tmp_path / name).unlink()
    settings = harmless_settings(str(tmp_path))
    assert {key: dict(settings[key]) for key in settings.sections()} == {
        "mypy": {},
        "mypy-a.*": {"ignore_errors": "True"},
    }


def listing(root: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_size)
        for path in root.rglob("*")
        if not path.is_dir()
    }
