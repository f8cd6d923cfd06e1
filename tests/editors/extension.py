"""Builds the extension as it is shipped, and folders in which it is installed.

Both are made where ``setup`` keeps its things, under a name that says from which sources: another
clone, or the next run, finds them again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.editors.setup import code_server_entry, locked, node, node_environment, npm, run

__all__ = ["extension_tests", "installed_extensions", "vsix"]

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "editors" / "vscode"
_NOT_SOURCES = {"node_modules", "dist", "server"}
_TESTS = "test"
# Several checkouts may be at work; what one of them uses must not be taken from it.
_KEPT = 12


def vsix() -> Path:
    """Return the .vsix of the sources as they are now; it is built if need be."""
    key = _key(path for path in _sources() if _TESTS not in path.relative_to(SOURCES).parts)
    name = f"midfill-{key}.vsix"
    with locked("extension") as cache:
        target = cache / "vsix" / name
        if not target.is_file():
            folder = _copied(cache)
            # The wheel of the server belongs into the package, as it does into the released one.
            wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
            wheels = folder / "server"
            shutil.rmtree(wheels, ignore_errors=True)
            run([*wheel, "--wheel-dir", str(wheels), str(ROOT)], folder, os.environ)
            npm("run", "package", folder=folder)
            (made,) = (folder / "dist").glob("*.vsix")
            target.parent.mkdir(exist_ok=True)
            made.replace(target)
            _forget_old(target.parent, "*.vsix")
        return target


def extension_tests() -> Path:
    """Return the bundle of the tests that run inside the editor."""
    key = _key(_sources())
    with locked("extension") as cache:
        target = cache / "extension-tests" / f"{key}.js"
        if not target.is_file():
            folder = _copied(cache)
            bundle = folder / "dist" / "extension-tests.js"
            flags = ["--bundle", "--platform=node", "--format=cjs", "--external:vscode"]
            entry = [f"{_TESTS}/index.ts", *flags, "--sourcemap=inline", f"--outfile={bundle}"]
            npm("exec", "--no", "--", "esbuild", *entry, folder=folder)
            target.parent.mkdir(exist_ok=True)
            bundle.replace(target)
            _forget_old(target.parent, "*.js")
        return target


def installed_extensions(package: Path) -> Path:
    """Return a folder of extensions in which ``package`` is installed, and nothing else."""
    with locked("extension") as cache:
        folder = cache / "extensions" / package.stem
        if not (folder / "extensions.json").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            making = folder.with_name(f"{folder.name}.part")
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir(parents=True)
            config = making.with_suffix(".yaml")
            config.touch()
            program = [str(node()), str(code_server_entry()), "--config", str(config)]
            data = making.with_suffix(".data")
            folders = ["--extensions-dir", str(making), "--user-data-dir", str(data)]
            run([*program, *folders, "--install-extension", str(package)], cache, editor_env())
            _relocate(making, folder)
            making.replace(folder)
            shutil.rmtree(data, ignore_errors=True)
            _forget_old(folder.parent, "midfill-*")
        return folder


def editor_env() -> dict[str, str]:
    """Return an environment for an editor that is not taken for the terminal of another one."""
    return {
        name: value
        for name, value in node_environment().items()
        if not name.startswith(("VSCODE_", "ELECTRON_"))
    }


def _relocate(made_in: Path, used_in: Path) -> None:
    """Let the list of extensions say where they are going to lie."""
    listing = made_in / "extensions.json"
    extensions = json.loads(listing.read_text(encoding="utf-8"))
    for extension in extensions:
        location = extension["location"]
        location["path"] = location["path"].replace(made_in.as_posix(), used_in.as_posix())
    listing.write_text(json.dumps(extensions), encoding="utf-8")


def _sources() -> Iterator[Path]:
    for folder, folders, files in os.walk(SOURCES):
        folders[:] = sorted(set(folders) - _NOT_SOURCES)
        yield from (Path(folder, file) for file in sorted(files))


def _key(paths: Iterator[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.relative_to(SOURCES).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _copied(cache: Path) -> Path:
    """Return a copy of the sources beside which the packages lie that they need."""
    lock = SOURCES / "package-lock.json"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    folder = cache / "extension"
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.name != "node_modules" and path.name != "installed":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for source in _sources():
        target = folder / source.relative_to(SOURCES)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    marker = folder / "installed"
    if not marker.is_file() or marker.read_text(encoding="utf-8") != wanted:
        marker.unlink(missing_ok=True)
        npm("ci", "--no-audit", "--no-fund", folder=folder)
        marker.write_text(wanted, encoding="utf-8")
    return folder


def _forget_old(folder: Path, pattern: str) -> None:
    """Keep what was made last: each change of the sources makes another one."""
    by_age = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime)
    for path in by_age[:-_KEPT]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
