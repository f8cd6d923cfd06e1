"""Problems that another extension shows, as the extension of ruff or of Pyright would."""

from __future__ import annotations

import json
import shutil
import sysconfig
from pathlib import Path
from typing import TypedDict

__all__ = ["Problem", "install_tools", "show_problems", "with_problems"]

_SOURCES = Path(__file__).with_name("problems")
_NAME = "midfill-tests.problems"
_VERSION = "1.0.0"


class Problem(TypedDict):
    """What ``source`` says wherever the word ``text`` stands in a file, as long as it does."""

    text: str
    message: str
    code: str
    source: str


def with_problems(extensions: Path, target: Path) -> Path:
    """Return a copy of a folder of extensions in which the one that shows problems is, too."""
    shutil.copytree(extensions, target)
    folder = target / f"{_NAME}-{_VERSION}"
    shutil.copytree(_SOURCES, folder)
    listing = target / "extensions.json"
    entries = json.loads(listing.read_text(encoding="utf-8"))
    for entry in entries:
        at = target / entry["relativeLocation"]
        entry["location"] = {"$mid": 1, "path": at.as_posix(), "scheme": "file"}
    entries.append(
        {
            "identifier": {"id": _NAME},
            "version": _VERSION,
            "location": {"$mid": 1, "path": folder.as_posix(), "scheme": "file"},
            "relativeLocation": folder.name,
        }
    )
    listing.write_text(json.dumps(entries), encoding="utf-8")
    return target


def show_problems(folder: Path, problems: list[Problem]) -> None:
    """Have these problems shown in the files of a folder that are opened after that."""
    (folder / "problems.json").write_text(json.dumps(problems), encoding="utf-8")


def install_tools(folder: Path, *names: str) -> None:
    """Give a project tools of its own, which run as long as the folder is trusted."""
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in names:
        (programs / name).symlink_to(Path(sysconfig.get_path("scripts"), name))
