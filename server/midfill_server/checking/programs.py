"""Which programs may be started, and in what environment: none of a workspace nobody trusts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Grounds", "lies_in"]

# Where projects keep the tools that they install for themselves.
_OWN_FOLDERS = (".venv", "venv", "env", ".env")
_SCRIPTS = "Scripts" if os.name == "nt" else "bin"
_ENDINGS = (".exe", ".cmd", ".bat") if os.name == "nt" else ("",)

# What tools need to find their own files. All else stays outside: variables are how a tool is made
# to load other code (NODE_OPTIONS, PYTHONPATH, RUSTC_WRAPPER, GOFLAGS).
_PASSED_ON = (
    "APPDATA CARGO_HOME COMSPEC GOCACHE GOMODCACHE GOPATH GOROOT HOME HOMEDRIVE HOMEPATH "
    "LOCALAPPDATA LOGNAME NUMBER_OF_PROCESSORS PATHEXT PROCESSOR_ARCHITECTURE PROGRAMDATA "
    "PROGRAMFILES PYRIGHT_PYTHON_CACHE_DIR RUSTUP_HOME SYSTEMDRIVE SYSTEMROOT TEMP TMP TMPDIR USER "
    "USERNAME USERPROFILE WINDIR XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME"
)
_ALWAYS = {
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "NO_COLOR": "1",
    # Nothing of the folder that a tool works in is imported, and nothing is written there.
    "PYTHONSAFEPATH": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUTF8": "1",
    # The wrapper of pyright asks the net for a newer version otherwise.
    "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1",
    "NO_UPDATE_NOTIFIER": "1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What a check stands on: the folders of the workspace, and whether their code may run.

    ``folders`` are those from the file's up to its root: a workspace of several packages has tools
    in each. ``environ`` is that of the server.
    """

    roots: tuple[str, ...]
    folders: tuple[str, ...]
    trusted: bool
    environ: Mapping[str, str]

    @classmethod
    def of(
        cls,
        path: str,
        roots: Sequence[str],
        *,
        trusted: bool,
        environ: Mapping[str, str] | None = None,
    ) -> Grounds:
        """Return those of a file. What lies beside a file belongs to its workspace as well."""
        tops = [os.path.abspath(root) for root in roots]
        folder = os.path.dirname(os.path.abspath(path))
        if not any(lies_in(folder, top) for top in tops):
            tops.append(folder)
        folders = [folder]
        while folder not in tops and os.path.dirname(folder) != folder:
            folder = os.path.dirname(folder)
            folders.append(folder)
        return cls(
            roots=tuple(tops),
            folders=tuple(folders),
            trusted=trusted,
            environ=os.environ if environ is None else environ,
        )

    def root_of(self, path: str) -> str:
        """Return the innermost folder of the workspace that holds ``path``."""
        holding = [root for root in self.roots if lies_in(path, root)]
        return max(holding, key=len, default=os.path.dirname(os.path.abspath(path)))

    def nearest(self, *names: str) -> str | None:
        """Return the nearest folder, from the file's to its root, that holds one of ``names``."""
        for folder in self.folders:
            if any(os.path.lexists(os.path.join(folder, name)) for name in names):
                return folder
        return None

    def program(self, *names: str) -> str | None:
        """Return the first of ``names`` that may be started, as a path."""
        return next(iter(self.programs(*names)), None)

    def programs(self, *names: str) -> Iterator[str]:
        """Yield all that may be started: of the workspace, if it is trusted, then of the PATH."""
        folders = [*self._own_folders(), *self._path_folders()]
        for name in names:
            for folder in folders:
                for ending in _ENDINGS:
                    path = os.path.join(folder, name + ending)
                    if os.path.isfile(path) and os.access(path, os.X_OK) and self._may_run(path):
                        yield path

    def environment(self, **extra: str) -> dict[str, str]:
        """Return the environment for a tool: what it needs to find its files, and ``extra``."""
        known = {name.upper(): value for name, value in self.environ.items()}
        passed_on = {name: known[name] for name in _PASSED_ON.split() if name in known}
        path = os.pathsep.join([*self._own_folders(), *self._path_folders()])
        return {**passed_on, **_ALWAYS, "PATH": path, **extra}

    def python(self) -> str | None:
        """Return the interpreter of the project's virtual environment, if it may be started."""
        if not self.trusted:
            return None
        return next(self._in_environments("python"), None)

    def packages(self) -> tuple[str, ...]:
        """Return where the project's virtual environments have their packages: data, not code."""
        found: list[str] = []
        for root in dict.fromkeys((*self.folders, *self.roots)):
            for name in _OWN_FOLDERS:
                library = os.path.join(root, name, "Lib" if os.name == "nt" else "lib")
                folders = [library, *_folders_in(library)] if os.path.isdir(library) else []
                found += [os.path.join(folder, "site-packages") for folder in folders]
        return tuple(folder for folder in found if os.path.isdir(folder))

    def _own_folders(self) -> list[str]:
        """Return the folders of programs that the workspace has, if its programs may run."""
        if not self.trusted:
            return []
        found = [
            os.path.join(root, *parts)
            for root in dict.fromkeys((*self.folders, *self.roots))
            for parts in (
                *((name, _SCRIPTS) for name in _OWN_FOLDERS),
                ("node_modules", ".bin"),
            )
        ]
        return [folder for folder in found if os.path.isdir(folder)]

    def _path_folders(self) -> list[str]:
        """Return the folders of the PATH that do not depend on where somebody stands."""
        path = next((v for k, v in self.environ.items() if k.upper() == "PATH"), "")
        folders = [folder.strip('"') for folder in path.split(os.pathsep)]
        absolute = [folder for folder in dict.fromkeys(folders) if os.path.isabs(folder)]
        return [folder for folder in absolute if self._may_run(folder)]

    def _may_run(self, path: str) -> bool:
        """Return whether something is trusted, or lies outside: by its name and in truth."""
        if self.trusted:
            return True
        return not any(
            lies_in(where, top)
            for where in {path, os.path.realpath(path)}
            for root in self.roots
            for top in {root, os.path.realpath(root)}
        )

    def _in_environments(self, name: str) -> Iterator[str]:
        for root in dict.fromkeys((*self.folders, *self.roots)):
            for folder in _OWN_FOLDERS:
                for ending in _ENDINGS:
                    path = os.path.join(root, folder, _SCRIPTS, name + ending)
                    if os.path.isfile(path):
                        yield path


def lies_in(path: str, folder: str) -> bool:
    """Return whether ``path`` is the folder or lies in it, by their names."""
    path, folder = (os.path.normcase(os.path.normpath(one)) for one in (path, folder))
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _folders_in(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries if entry.name.startswith("python3")][:8]
    except OSError:
        return []
