"""Which project a file belongs to, and what that depends on."""

from __future__ import annotations

from pathlib import Path

import pytest

from midfill_server.context.index import WorkspaceIndex
from midfill_server.context.project import Projects, project_of
from tests.server.files import write_files

_PYPROJECT = """
[project]
name = "shop"
dependencies = ["httpx[http2]>=0.27,<1", "attrs", "own @ https://example.org/own.zip"]
[project.optional-dependencies]
fast = ["orjson ~= 3.9 ; python_version > '3.8'"]
"""
_POETRY = """
[tool.poetry.dependencies]
python = "^3.11"
flask = "^3.0"
redis = { version = "5.*", extras = ["hiredis"] }
"""
_GO = """module example.org/shop

go 1.22

require github.com/one/line v1.2.3

require (
\tgithub.com/gin-gonic/gin v1.9.1
\tgolang.org/x/sync v0.3.0 // indirect
)
"""
_CARGO = """
[dependencies]
serde = { version = "1", features = ["derive"] }
anyhow = "1.0"
local = { path = "../local" }
[dev-dependencies]
insta = "1.3"
"""
_POM = """<project><artifactId>shop</artifactId><dependencies>
<dependency><groupId>org.x</groupId><artifactId>alpha</artifactId><version>2.1</version></dependency>
<dependency><groupId>org.y</groupId><artifactId>beta</artifactId></dependency>
</dependencies></project>"""
_GRADLE = """
dependencies {
    implementation 'com.squareup.okhttp3:okhttp:4.12.0'
    api("org.slf4j:slf4j-api")
    testImplementation "junit:junit:4.13"
}
"""
_PACKAGE = """{"name": "web", "dependencies": {"react": "^18.2.0"},
 "devDependencies": {"vite": "5.0.0"}}"""
_COMPOSER = '{"require": {"php": ">=8.1", "laravel/framework": "^10.0"}}'
_GEMFILE = "source 'x'\ngem 'rails', '~> 7.1'\n  gem \"puma\"\n# gem 'old'\n"
_CSPROJ = (
    '<Project><ItemGroup><PackageReference Include="Dapper" Version="2.1" /></ItemGroup></Project>'
)


@pytest.mark.parametrize(
    ("language_id", "name", "text", "expected"),
    [
        ("python", "pyproject.toml", _PYPROJECT, "httpx >=0.27,<1, attrs, own, orjson ~=3.9"),
        ("python", "pyproject.toml", _POETRY, "flask ^3.0, redis 5.*"),
        ("python", "pyproject.toml", "[project\nbroken", ""),
        (
            "python",
            "requirements.txt",
            "# web\n-r base.txt\nnumpy==1.26.4\npandas >= 2  # tables\n\n--hash=x\n",
            "numpy ==1.26.4, pandas >=2",
        ),
        ("typescript", "package.json", _PACKAGE, "react ^18.2.0, vite 5.0.0"),
        ("javascript", "package.json", "[1]", ""),
        ("go", "go.mod", _GO, "github.com/one/line v1.2.3, github.com/gin-gonic/gin v1.9.1"),
        ("rust", "Cargo.toml", _CARGO, "serde 1, anyhow 1.0, local, insta 1.3"),
        ("java", "pom.xml", _POM, "alpha 2.1, beta"),
        ("java", "build.gradle", _GRADLE, "okhttp 4.12.0, slf4j-api, junit 4.13"),
        ("php", "composer.json", _COMPOSER, "laravel/framework ^10.0"),
        ("ruby", "Gemfile", _GEMFILE, "rails ~> 7.1, puma"),
        ("csharp", "Shop.csproj", _CSPROJ, "Dapper 2.1"),
    ],
)
def test_dependencies(
    tmp_path: Path, language_id: str, name: str, text: str, expected: str
) -> None:
    write_files(tmp_path, {name: text})
    project = project_of(str(tmp_path / "src" / "deep" / "a"), language_id, [str(tmp_path)])
    assert project.text == expected
    assert project.path == str(tmp_path / name)


def test_the_nearest_file_of_the_language_counts(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "package.json": '{"dependencies": {"outer": "1"}}',
            "web/package.json": '{"dependencies": {"inner": "2"}}',
            "web/pyproject.toml": _POETRY,
        },
    )
    roots = [str(tmp_path)]
    assert project_of(str(tmp_path / "web" / "a" / "x.ts"), "typescript", roots).text == "inner 2"
    assert project_of(str(tmp_path / "other" / "x.ts"), "typescript", roots).text == "outer 1"


def test_nothing_above_the_root_is_looked_at(tmp_path: Path) -> None:
    write_files(tmp_path, {"pyproject.toml": _POETRY})
    project = project_of(str(tmp_path / "in" / "a.py"), "python", [str(tmp_path / "in")])
    assert (project.path, project.text) == ("", "")


def test_many_dependencies_are_cut(tmp_path: Path) -> None:
    write_files(tmp_path, {"requirements.txt": "".join(f"p{n}\n" for n in range(100))})
    project = project_of(str(tmp_path / "a.py"), "python", [str(tmp_path)])
    assert [one.name for one in project.dependencies] == [f"p{n}" for n in range(40)]


def test_a_project_is_known_from_the_next_key_on_and_kept_up(tmp_path: Path) -> None:
    now_s = [0.0]
    index = WorkspaceIndex()
    projects = Projects(index, clock=lambda: now_s[0])
    path = str(tmp_path / "a.py")

    def text() -> str | None:
        project = projects.of(path, "python")
        return project.text if project is not None else None

    write_files(tmp_path, {"requirements.txt": "numpy\n"})
    assert text() is None
    assert index.step()
    assert text() == "numpy"
    write_files(tmp_path, {"requirements.txt": "numpy\npandas==2\n"})
    assert not index.step()
    now_s[0] = 11.0
    assert text() == "numpy"
    assert index.step()
    assert text() == "numpy, pandas ==2"
