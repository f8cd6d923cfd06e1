"""Emacs with eglot, set up as its page says: the text comes as an entry of the completion menu."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server.conftest import ROOT, environment

PAGE = ROOT / "docs" / "emacs.md"
SCENARIO = Path(__file__).parent / "emacs" / "complete.el"
MISSING = 77


@pytest.fixture(scope="module")
def emacs() -> str:
    found = shutil.which("emacs")
    if found is None or os.name == "nt":
        pytest.skip("Emacs is not here (Debian: emacs-nox, elpa-eglot)")
    return found


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where ``midfill`` is a server with a scripted engine."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = shlex.join([sys.executable, "-m", "tests.server.scripted_server"])
    program = folder / "midfill"
    program.write_text(f"#!/bin/sh\nexec {command}\n", encoding="utf-8")
    program.chmod(0o755)
    return os.pathsep.join([str(folder), os.environ["PATH"]])


@pytest.mark.parametrize(
    ("name", "begun", "keys", "inserted"),
    [
        pytest.param("a.txt", "one\n", "漢😀 two ", "[11|漢😀 two |]", id="after-wide-characters"),
        pytest.param(
            "a.py", '# #text"nt(value)"\nvalue = 1\n', "pri", "nt(value)", id="within-a-word"
        ),
        pytest.param("a.txt", '#text"one\\n  two"\n', "", "one\n  two", id="two-lines"),
    ],
)
def test_completion_at_point_inserts_what_midfill_writes(
    emacs: str, path: str, tmp_path: Path, name: str, begun: str, keys: str, inserted: str
) -> None:
    file = tmp_path / "project" / name
    file.parent.mkdir()
    file.write_text(begun, encoding="utf-8")
    init = tmp_path / "init.el"
    section = PAGE.read_text(encoding="utf-8").partition("## eglot")[2].partition("\n## ")[0]
    blocks = re.findall(r"```elisp\n(.*?)```", section, re.DOTALL)
    init.write_text("\n".join(blocks), encoding="utf-8")
    done = subprocess.run(
        [emacs, "--batch", "-l", str(SCENARIO)],
        cwd=ROOT,
        env=environment(
            PATH=path,
            HOME=str(tmp_path),
            LC_ALL="C.UTF-8",
            MIDFILL_TEST_FILE=str(file),
            MIDFILL_TEST_INIT=str(init),
            MIDFILL_TEST_KEYS=keys,
        ),
        capture_output=True,
        timeout=100,
        check=False,
    )
    log = done.stderr.decode(errors="replace")
    if done.returncode == MISSING:
        pytest.skip("eglot is not here (Debian: elpa-eglot)")
    assert done.returncode == 0, log
    # Modes say something of their own before.
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["before"] == begun + keys
    assert said["after"] == begun + keys + inserted, log
    assert said["behind"] == 0
    # The settings on the page are ones that there are.
    assert "midfill setting" not in log
