"""Which checkers can say whether a diagnostic is gone: by who found it, and what is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from midfill_server.checking.base import Checker
from midfill_server.checking.clang import CompilerOfC
from midfill_server.checking.eslint import Eslint
from midfill_server.checking.flake8 import Flake8
from midfill_server.checking.go import Go, Gofmt
from midfill_server.checking.mypy import Mypy
from midfill_server.checking.programs import Grounds
from midfill_server.checking.pyright import PyrightCommand
from midfill_server.checking.pyright_server import PyrightServer
from midfill_server.checking.resident import Residents
from midfill_server.checking.ruff import Ruff
from midfill_server.checking.rust import Cargo, Rustc
from midfill_server.checking.shellcheck import ShellCheck
from midfill_server.checking.syntax import SyntaxChecker
from midfill_server.checking.tsc import Tsc
from midfill_server.checking.tsserver import TsServer, loads_only_its_own
from midfill_server.syntax import language_of

__all__ = ["SOURCES", "checkers_for"]

_JAVASCRIPT = ("typescript", "typescriptreact", "javascript", "javascriptreact")

# What editors call the source of a diagnostic → the tools that find the same, the best first.
SOURCES: dict[str, tuple[str, ...]] = {
    "ruff": ("ruff",),
    "pyright": ("pyright", "basedpyright"),
    "basedpyright": ("basedpyright", "pyright"),
    "pylance": ("pyright", "basedpyright"),
    "python": ("pyright", "basedpyright"),
    "mypy": ("mypy",),
    "dmypy": ("mypy",),
    "flake8": ("flake8", "pycodestyle", "pyflakes", "ruff"),
    "pycodestyle": ("pycodestyle", "flake8", "ruff"),
    "pyflakes": ("pyflakes", "flake8", "ruff"),
    "ts": ("tsc",),
    "js": ("tsc",),
    "typescript": ("tsc",),
    "javascript": ("tsc",),
    "tsserver": ("tsc",),
    "vtsls": ("tsc",),
    "deno-ts": ("tsc",),
    "eslint": ("eslint",),
    "go": ("go", "gofmt"),
    "gopls": ("go", "gofmt"),
    "compiler": ("go", "gofmt"),
    "go vet": ("go",),
    "vet": ("go",),
    "go list": ("go",),
    "syntax": ("go", "gofmt"),
    "rustc": ("cargo", "rustc"),
    "rust-analyzer": ("cargo", "rustc"),
    "cargo": ("cargo", "rustc"),
    "clang": ("clang", "gcc"),
    "clangd": ("clang", "gcc"),
    "gcc": ("gcc", "clang"),
    "ccls": ("clang", "gcc"),
    "c/c++": ("gcc", "clang"),
    "cpptools": ("gcc", "clang"),
    "shellcheck": ("shellcheck",),
    "bash-language-server": ("shellcheck",),
}
# Who can be asked about a language; what nobody knows the source of, one of them may find too.
_BY_LANGUAGE: dict[str, tuple[str, ...]] = {
    "python": ("pyright", "basedpyright", "ruff", "mypy", "flake8", "pyflakes", "pycodestyle"),
    **dict.fromkeys(_JAVASCRIPT, ("tsc", "eslint")),
    "go": ("go", "gofmt"),
    "rust": ("cargo", "rustc"),
    "c": ("clang", "gcc"),
    "cpp": ("clang", "gcc"),
    "shellscript": ("shellcheck",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    grounds: Grounds
    language_id: str
    code: str | None
    residents: Residents | None


def checkers_for(
    source: str | None,
    language_id: str,
    path: str,
    *,
    trusted: bool,
    roots: Sequence[str],
    code: str | None = None,
    residents: Residents | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[Checker, ...]:
    """Return the checkers that may find what ``source`` found in the file ``path``, best first.

    ``source`` is that of a diagnostic in an editor, in any case of letters; where it is ``None`` or
    unknown, all checkers of the language are returned. The last one knows nothing but syntax: its
    name is ``SYNTAX``. With the ``code`` of the diagnostic its tool looks for that even where the
    project's settings are not known to ask for it. With ``residents`` tools that take long to start
    are started once. Nothing of the workspace (``roots``, and what lies beside the file) is run
    unless it is ``trusted``.
    """
    language = language_of(language_id, path)
    known = language.id if language is not None else language_id
    grounds = Grounds.of(path, roots, trusted=trusted, environ=environ)
    wish = _Wish(grounds=grounds, language_id=known, code=code, residents=residents)
    able = _BY_LANGUAGE.get(known, ())
    wanted = SOURCES.get((source or "").strip().lower(), ())
    tools = [tool for tool in wanted if tool in able] or able
    found: list[Checker] = []
    for tool in tools:
        found += _TOOLS[tool](wish)
    if language is not None and language.grammar is not None:
        found.append(SyntaxChecker(language=language))
    return tuple(found)


def _ruff(wish: _Wish) -> Iterator[Checker]:
    program = wish.grounds.program("ruff")
    if program is not None:
        yield Ruff(program=program, grounds=wish.grounds, rule=wish.code)


def _pyright(name: str) -> Callable[[_Wish], Iterator[Checker]]:
    def make(wish: _Wish) -> Iterator[Checker]:
        grounds = wish.grounds
        command = grounds.program(name)
        by_command = (
            PyrightCommand(program=command, grounds=grounds, name=name)
            if command is not None
            else None
        )
        server = grounds.program(f"{name}-langserver")
        if server is not None and wish.residents is not None:
            yield PyrightServer(
                program=server,
                grounds=grounds,
                residents=wish.residents,
                rule=wish.code,
                otherwise=by_command,
                name=name,
            )
        elif by_command is not None:
            yield by_command

    return make


def _mypy(wish: _Wish) -> Iterator[Checker]:
    program = wish.grounds.program("mypy")
    if program is not None:
        yield Mypy(program=program, grounds=wish.grounds, residents=wish.residents)


def _flake8(name: str) -> Callable[[_Wish], Iterator[Checker]]:
    def make(wish: _Wish) -> Iterator[Checker]:
        program = wish.grounds.program(name)
        if program is not None:
            yield Flake8(program=program, grounds=wish.grounds, name=name)

    return make


def _tsc(wish: _Wish) -> Iterator[Checker]:
    server = wish.grounds.program("tsserver")
    is_safe = server is not None and (wish.grounds.trusted or loads_only_its_own(server))
    if server is not None and is_safe and wish.residents is not None:
        yield TsServer(program=server, grounds=wish.grounds, residents=wish.residents)
        return
    program = wish.grounds.program("tsc")
    if program is not None:
        yield Tsc(program=program, grounds=wish.grounds)


def _eslint(wish: _Wish) -> Iterator[Checker]:
    program = wish.grounds.program("eslint") if wish.grounds.trusted else None
    if program is not None:
        yield Eslint(program=program, grounds=wish.grounds)


def _go(wish: _Wish) -> Iterator[Checker]:
    program = wish.grounds.program("go")
    if program is not None and wish.grounds.nearest("go.mod", "go.work") is not None:
        yield Go(program=program, grounds=wish.grounds)


def _gofmt(wish: _Wish) -> Iterator[Checker]:
    program = wish.grounds.program("gofmt")
    if program is not None:
        yield Gofmt(program=program, grounds=wish.grounds)


def _cargo(wish: _Wish) -> Iterator[Checker]:
    program = wish.grounds.program("cargo") if wish.grounds.trusted else None
    if program is not None and wish.grounds.nearest("Cargo.toml") is not None:
        yield Cargo(program=program, grounds=wish.grounds, residents=wish.residents)


def _rustc(wish: _Wish) -> Iterator[Checker]:
    program = wish.grounds.program("rustc")
    if program is not None:
        yield Rustc(program=program, grounds=wish.grounds)


def _compiler(name: str) -> Callable[[_Wish], Iterator[Checker]]:
    def make(wish: _Wish) -> Iterator[Checker]:
        program = wish.grounds.program(name)
        if program is not None:
            yield CompilerOfC(
                program=program,
                grounds=wish.grounds,
                language_id=wish.language_id,
                name=name,
            )

    return make


def _shellcheck(wish: _Wish) -> Iterator[Checker]:
    program = wish.grounds.program("shellcheck")
    if program is not None:
        yield ShellCheck(program=program, grounds=wish.grounds)


_TOOLS: dict[str, Callable[[_Wish], Iterator[Checker]]] = {
    "ruff": _ruff,
    "pyright": _pyright("pyright"),
    "basedpyright": _pyright("basedpyright"),
    "mypy": _mypy,
    "flake8": _flake8("flake8"),
    "pycodestyle": _flake8("pycodestyle"),
    "pyflakes": _flake8("pyflakes"),
    "tsc": _tsc,
    "eslint": _eslint,
    "go": _go,
    "gofmt": _gofmt,
    "cargo": _cargo,
    "rustc": _rustc,
    "clang": _compiler("clang"),
    "gcc": _compiler("gcc"),
    "shellcheck": _shellcheck,
}
