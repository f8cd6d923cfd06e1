"""The real server with the real small model in Neovim: typed, suggested, accepted, saved."""

from __future__ import annotations

import ast
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from midfill_engine.registry import find_model
from midfill_engine.store import ModelStore
from tests.editors.neovim import Neovim, neovim_program

MODEL = "qwen2.5-coder-0.5b"

pytestmark = [
    pytest.mark.editors,
    pytest.mark.skipif(neovim_program() is None, reason="no Neovim: run `make test-editors`"),
    pytest.mark.skipif(
        ModelStore().model_path(find_model(MODEL)) is None,
        reason=f"{MODEL} is not here: run `midfill models pull {MODEL}`",
    ),
]

_SETUP = f"""{{
  cmd = {{ [==[{sys.executable}]==], '-m', 'midfill_server', 'serve', '--stdio' }},
  settings = {{ model = '{MODEL}', completion = {{ eagerness = 'always', timeoutS = 120 }} }},
}}"""


def wait_for(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_line_is_written_by_the_model_and_saved(tmp_path: Path) -> None:
    with Neovim(tmp_path, _SETUP) as editor:
        path = editor.open("def add(a: int, b: int) -> int:<|>", name="sums.py")
        # The editor's own patience is for keys: loading a model takes longer.
        wait_for(lambda: editor.lua("return require('midfill').status().state") == "ready")
        editor.keys("A<CR>")
        editor.check("def add(a: int, b: int) -> int:\n    <|>")
        editor.keys("ret")
        wait_for(lambda: editor.ghost)
        assert editor.ghost.startswith("urn a")
        assert editor.marks[0]["group"] == "MidfillSuggestion"
        # Typed along, the text stays, shorter by what was typed.
        editor.keys("ur")
        editor.until(lambda: editor.ghost.startswith("n a"), "the same text")
        editor.keys("<Tab>")
        editor.until(lambda: editor.ghost == "", "the text to be accepted")
        editor.keys("<Esc>:w<CR>")
        editor.until(lambda: "return a + b" in path.read_text(encoding="utf-8"), "the file")
        written = path.read_text(encoding="utf-8")
        assert written == "def add(a: int, b: int) -> int:\n    return a + b\n"
        ast.parse(written)
