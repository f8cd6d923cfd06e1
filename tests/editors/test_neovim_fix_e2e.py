"""The real server, the real small model and ruff in Neovim: hover, explain, fix, generate."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from midfill_engine.registry import find_model
from midfill_engine.store import ModelStore
from tests.editors.neovim import Neovim, neovim_program
from tests.editors.test_neovim_e2e import MODEL, wait_for

RUFF = Path(sys.executable).with_name("ruff.exe" if sys.platform == "win32" else "ruff")

pytestmark = [
    pytest.mark.editors,
    pytest.mark.skipif(neovim_program() is None, reason="no Neovim: run `make test-editors`"),
    pytest.mark.skipif(not RUFF.exists(), reason="no ruff: run `make test-editors`"),
    pytest.mark.skipif(
        ModelStore().model_path(find_model(MODEL)) is None,
        reason=f"{MODEL} is not here: run `midfill models pull {MODEL}`",
    ),
]

_SETUP = f"""{{
  cmd = {{ [==[{sys.executable}]==], '-m', 'midfill_server', 'serve', '--stdio' }},
  auto_trigger = false,
  settings = {{ model = '{MODEL}', profile = 'eco', fix = {{ timeoutS = 100 }} }},
}}"""
_SCRIPT = """
vim.o.lines = 50
_G.offered = {}
vim.ui.select = function(items, options, done)
  offered = vim.tbl_map(options.format_item or tostring, items)
  for index, title in ipairs(offered) do
    if vim.startswith(title, 'Fix') then
      return done(items[index], index)
    end
  end
  done(nil)
end
"""
_SUMS = '''\
def mean(numbers: list[float]) -> float:
    """Return the mean of the numbers."""
    total = sum(numbers)
    return totl / len(numbers)


print(<|>mean([1.0, 2.0]))'''


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neovim]:
    with Neovim(tmp_path_factory.mktemp("neovim"), _SETUP, script=_SCRIPT) as neovim:
        yield neovim


@pytest.fixture
def sums(editor: Neovim) -> Iterator[Path]:
    """A file with a misspelt name."""
    path = editor.open(_SUMS, name="sums.py")
    wait_for(lambda: editor.lua("return require('midfill').status().state") == "ready")
    yield path
    editor.nvim.command("silent! only! | edit!")


def diagnose(editor: Neovim, path: Path) -> list[str]:
    """Set what ruff says of a file as a plugin for linters does; returns the codes."""
    done = subprocess.run(
        [str(RUFF), "check", "--isolated", "--output-format=json", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout)
    diagnostics = [
        {
            "lnum": each["location"]["row"] - 1,
            "col": each["location"]["column"] - 1,
            "end_lnum": each["end_location"]["row"] - 1,
            "end_col": each["end_location"]["column"] - 1,
            "severity": 1,
            "message": each["message"],
            "code": each["code"],
            "source": "ruff",
        }
        for each in found
    ]
    editor.lua(
        "vim.diagnostic.set(vim.api.nvim_create_namespace('nvim-lint'), 0, ...)", diagnostics
    )
    return [each["code"] for each in found]


def test_what_ruff_found_is_fixed_and_saved(editor: Neovim, sums: Path) -> None:
    assert "F821" in diagnose(editor, sums)
    # Anywhere on the line.
    editor.lua("vim.api.nvim_win_set_cursor(0, { 4, 0 })")
    editor.lua("vim.lsp.buf.code_action()")
    wait_for(lambda: "totl" not in editor.text)
    assert any(
        "verified by ruff" in title or title.startswith("Fix: ") for title in offered(editor)
    )
    editor.nvim.command("write")
    written = sums.read_text(encoding="utf-8")
    assert written == _SUMS.replace("<|>", "").replace("totl", "total") + "\n"
    assert diagnose(editor, sums) == []


def offered(editor: Neovim) -> list[str]:
    return list(editor.lua("return offered"))


def test_a_hover_shows_what_the_file_says(editor: Neovim, sums: Path) -> None:
    editor.keys("K")

    def shown() -> str:
        windows = [w for w in editor.nvim.windows if w.api.get_config()["relative"]]
        return "\n".join(windows[0].buffer[:]) if windows else ""

    wait_for(lambda: "def mean(numbers: list[float]) -> float" in shown())
    assert "Return the mean of the numbers." in shown()


def test_an_explanation_is_written(editor: Neovim, sums: Path) -> None:
    editor.nvim.command("Midfill explain short")
    wait_for(lambda: f"Explanation by {MODEL}" in editor.nvim.current.window.options["winbar"])
    written = "\n".join(editor.nvim.current.buffer[:])
    assert "mean" in written.casefold()
    editor.keys("q")
    editor.until(lambda: len(editor.nvim.windows) == 1, "the window to close")


def test_code_is_generated_for_a_comment(editor: Neovim) -> None:
    editor.open("# Return the larger of two numbers.<|>", name="generated.py")
    editor.nvim.command("Midfill generate")
    wait_for(lambda: "return" in editor.text)
    ast.parse(editor.text.replace("<|>", ""))
