"""``:Midfill``: each subcommand does what it says, and says what is wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.editors.neovim import PLUGIN, Neovim, neovim_program, scripted_command

pytestmark = [
    pytest.mark.editors,
    pytest.mark.skipif(neovim_program() is None, reason="no Neovim: run `make test-editors`"),
]

# Choices are made by the number that the test set, and offers are written down.
_CHOOSE = """
vim.ui.select = function(items, options, done)
  offered = vim.tbl_map(options.format_item or tostring, items)
  done(items[choice], choice)
end
"""


def lua_list(words: list[str]) -> str:
    return "{" + ", ".join(f"[==[{word}]==]" for word in words) + "}"


def scripted_setup(folder: Path, how: str = "works") -> str:
    return f"{{ cmd = {lua_list(scripted_command(folder, how))} }}"


REAL_SETUP = (
    "{ cmd = " + lua_list([sys.executable, "-m", "midfill_server", "serve", "--stdio"]) + " }"
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neovim]:
    folder = tmp_path_factory.mktemp("neovim")
    with Neovim(folder, scripted_setup(folder), script=_CHOOSE) as neovim:
        yield neovim


@pytest.fixture
def editor(shared: Neovim) -> Iterator[Neovim]:
    """An editor that shows a new file, nothing paused, all settings as by default."""
    shared.nvim.command("silent! only!")
    shared.open('#text "one two"\nx = <|>')
    # A test that chose another model left one behind that is loaded.
    shared.until(lambda: state(shared) == "ready", "a server that is ready")
    yield shared
    shared.lua("require('midfill').resume()")


def state(editor: Neovim) -> str:
    return editor.lua("return require('midfill').status().state")


def completions(editor: Neovim, line: str) -> list[str]:
    return editor.nvim.funcs.getcompletion(line, "cmdline")


def run(editor: Neovim, line: str) -> None:
    editor.nvim.command(line)


def settings(editor: Neovim) -> dict[str, Any]:
    """Return what the server gets when it asks for its settings."""
    return editor.lua("return require('midfill.client').get().settings.midfill")


def test_subcommands_are_completed(editor: Neovim) -> None:
    assert {"pause", "prev", "profile"} == set(completions(editor, "Midfill p"))
    everything = completions(editor, "Midfill ")
    assert everything == sorted(
        editor.lua("return vim.tbl_keys(require('midfill.command').subcommands)")
    )


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("Midfill pause ", ["buffer", "filetype", "all", "hour"]),
        ("Midfill toggle b", ["buffer"]),
        ("Midfill accept ", ["word", "line"]),
        ("Midfill profile e", ["eco"]),
        ("Midfill eagerness q", ["quiet"]),
        ("Midfill restart ", []),
        ("Midfill pause all ", []),
        ("Midfill nonsense ", []),
    ],
)
def test_arguments_are_completed(editor: Neovim, line: str, values: list[str]) -> None:
    assert completions(editor, line) == values


def test_models_are_completed_as_the_server_knows_them(editor: Neovim) -> None:
    # Who completes does not wait long for a server that was never asked before.
    editor.until(
        lambda: {"auto", "qwen2.5-coder-0.5b"} <= set(completions(editor, "Midfill model ")),
        "names of models",
    )
    assert completions(editor, "Midfill download qwen2.5-coder-0") == ["qwen2.5-coder-0.5b"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Midfill nonsense", ["no `:Midfill nonsense`", "pause", "status"]),
        ("Midfill pause mars", ["pause mars", "buffer, filetype, all, hour"]),
        ("Midfill restart now", ["restart", "no argument"]),
        ("Midfill pause all hour", ["pause", "one argument"]),
    ],
)
def test_what_is_wrong_is_said(editor: Neovim, line: str, words: list[str]) -> None:
    run(editor, line)
    assert all(word in " ".join(editor.said) for word in words), editor.said


def test_pausing_and_resuming(editor: Neovim) -> None:
    run(editor, "Midfill pause buffer")
    assert state(editor) == "paused"
    run(editor, "Midfill resume")
    assert state(editor) == "ready"
    run(editor, "Midfill toggle all")
    assert state(editor) == "paused"
    run(editor, "Midfill toggle all")
    assert state(editor) == "ready"


def test_asking_and_accepting(editor: Neovim) -> None:
    run(editor, "Midfill pause")
    editor.keys("i")
    editor.keys("<Cmd>Midfill trigger<CR>")
    editor.wait_for_ghost("one two")
    run(editor, "Midfill resume")
    editor.keys("<Cmd>Midfill accept word<CR>")
    editor.check('#text "one two"\nx = one<|>')
    editor.keys("<Cmd>Midfill accept<CR>")
    editor.check('#text "one two"\nx = one two<|>')


def test_dismissing(editor: Neovim) -> None:
    editor.keys("i")
    editor.wait_for_ghost("one two")
    editor.keys("<Cmd>Midfill dismiss<CR>")
    editor.wait_for_ghost("")


def test_alternatives(editor: Neovim) -> None:
    editor.insert("#choose <|>")
    editor.wait_for_ghost("alpha(one)")
    editor.keys("<Cmd>Midfill next<CR>")
    editor.until(lambda: editor.ghost not in ("", "alpha(one)"), "another text")
    editor.keys("<Cmd>Midfill prev<CR>")
    editor.wait_for_ghost("alpha(one)")


def test_eagerness_holds_without_a_restart(editor: Neovim) -> None:
    def suggested() -> str:
        editor.insert("#doubt <|>")
        editor.until(
            lambda: "complete" in editor.asked("textDocument/inlineCompletion"), "an answer"
        )
        return editor.ghost

    # The server asks for its settings before they hold.
    run(editor, "Midfill eagerness always")
    editor.until(lambda: suggested() == "perhaps(1)", "a text")
    run(editor, "Midfill eagerness quiet")
    editor.until(lambda: suggested() == "", "an empty answer")
    editor.keys("<Esc>")
    run(editor, "Midfill eagerness balanced")
    assert settings(editor)["completion"] == {"eagerness": "balanced"}
    assert "balanced" in editor.said[-1]


def test_a_profile_is_chosen_from_a_list(editor: Neovim) -> None:
    editor.lua("choice = 3")
    run(editor, "Midfill profile")
    assert editor.lua("return offered") == ["auto", "performance", "eco"]
    assert settings(editor)["profile"] == "eco"


def test_a_model_is_chosen_from_a_list(editor: Neovim) -> None:
    editor.lua("choice = 2; offered = nil")
    run(editor, "Midfill model")
    editor.until(lambda: editor.lua("return offered") is not None, "the list")
    offered = editor.lua("return offered")
    assert offered[0].startswith("auto: ")
    assert any("download of" in line or "installed" in line for line in offered[1:])
    assert settings(editor)["model"] == offered[1].split(":")[0]
    run(editor, "Midfill model auto")
    assert settings(editor)["model"] == "auto"


def test_the_status_is_said(editor: Neovim) -> None:
    run(editor, "Midfill status")
    assert editor.said[-1].startswith("midfill: ready")
    run(editor, "Midfill")
    assert editor.said[-1].startswith("midfill: ready")


def test_the_log_opens_in_a_window(editor: Neovim) -> None:
    windows = len(editor.nvim.windows)
    run(editor, "Midfill log")
    assert len(editor.nvim.windows) == windows + 1
    assert Path(editor.nvim.current.buffer.name).suffix == ".log"
    assert editor.nvim.current.buffer.options["readonly"]


def test_restarting_starts_another_process(editor: Neovim) -> None:
    pid = editor.folder / "pid"
    before = pid.read_text(encoding="utf-8")
    run(editor, "Midfill restart")
    editor.until(
        lambda: state(editor) == "ready" and pid.read_text(encoding="utf-8") != before,
        "another server",
    )


def test_a_missing_model_is_fetched_on_command(tmp_path: Path) -> None:
    with Neovim(tmp_path, scripted_setup(tmp_path, "missing"), script=_CHOOSE) as editor:
        editor.open("x<|>")
        editor.until(lambda: state(editor) == "missing", "that the model is missing")
        run(editor, "Midfill download")
        editor.until(lambda: state(editor) == "ready", "the model to be there")


def test_without_a_server_that_is_said(tmp_path: Path) -> None:
    with Neovim(tmp_path, "{ cmd = { 'no-such-program' } }") as editor:
        editor.nvim.command("edit file.txt")
        editor.until(lambda: state(editor) == "missing", "that the server is missing")
        for line in ("Midfill model", "Midfill download", "Midfill eagerness quiet"):
            run(editor, line)
            assert "not running" in editor.said[-1]
        run(editor, "Midfill stats")
        editor.until(
            lambda: "no-such-program" in "\n".join(editor.nvim.current.buffer[:]), "the reason"
        )


def test_what_the_command_line_prints_is_shown(tmp_path: Path) -> None:
    env = {"MIDFILL_HOME": str(tmp_path / "home"), "MIDFILL_STATE": str(tmp_path)}
    with Neovim(tmp_path, REAL_SETUP, env=env) as editor:
        for line, words in (("stats", "completion"), ("doctor", "python")):
            run(editor, f"Midfill {line}")
            buffer = editor.nvim.current.buffer
            editor.until(lambda b=buffer, w=words: w in "\n".join(b[:]), f"{line} prints {words}")
            assert not buffer.options["modifiable"]
            editor.keys("q")
            editor.until(lambda b=buffer: not b.valid, "the report to close")


# A checkout of midfill as far as an installation looks at it; it is built without a network.
_PROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "midfill"
"""
_BACKEND = '''\
import zipfile

INFO = "midfill-0.0.dist-info"
FILES = {
    "tiny.py": "def main():\\n    print('tiny midfill')\\n",
    f"{INFO}/METADATA": """\
Metadata-Version: 2.1
Name: midfill
Version: 0.0
Provides-Extra: cpu
""",
    f"{INFO}/WHEEL": """\
Wheel-Version: 1.0
Generator: tests
Root-Is-Purelib: true
Tag: py3-none-any
""",
    f"{INFO}/entry_points.txt": "[console_scripts]\\nmidfill = tiny:main\\n",
}

def build_wheel(directory, config=None, metadata=None):
    if open("broken").read():
        raise SystemExit("this cannot be built")
    with zipfile.ZipFile(f"{directory}/midfill-0.0-py3-none-any.whl", "w") as wheel:
        for name, text in FILES.items():
            wheel.writestr(name, text)
        record = "".join(f"{name},,\\n" for name in FILES)
        wheel.writestr(f"{INFO}/RECORD", f"{record}{INFO}/RECORD,,\\n")
    return "midfill-0.0-py3-none-any.whl"
'''


@pytest.mark.slow
def test_the_server_is_installed_from_the_checkout(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(
        PLUGIN, checkout / "editors" / "neovim", ignore=shutil.ignore_patterns("node_modules")
    )
    (checkout / "pyproject.toml").write_text(_PROJECT, encoding="utf-8")
    (checkout / "backend.py").write_text(_BACKEND, encoding="utf-8")
    broken = checkout / "broken"
    broken.write_text("yes", encoding="utf-8")
    with Neovim(tmp_path, script=_plugin_of(checkout)) as editor:
        assert editor.lua("return require('midfill.install').command()") is None
        run(editor, "Midfill install")
        _wait_for_end(editor)
        assert "pip install" in _ended(editor)[0]
        assert "midfill-install.log" in _ended(editor)[0]

        broken.write_text("", encoding="utf-8")
        editor.lua("said = {}")
        run(editor, "Midfill install")
        _wait_for_end(editor)
        assert "installed in" in _ended(editor)[0]
        # The exact commands are told.
        told = " ".join(editor.said)
        assert "-m venv" in told
        assert f"{checkout}[cpu]" in told
        command = editor.lua("return require('midfill.install').command()")
        assert command[1:] == ["serve", "--stdio"]
        assert subprocess.check_output(command, text=True) == "tiny midfill\n"


def _plugin_of(checkout: Path) -> str:
    """Return Lua that has the plugin loaded from another checkout."""
    folder = json.dumps(str(checkout / "editors" / "neovim"))
    own = json.dumps(str(PLUGIN))
    return f"vim.opt.runtimepath:remove({own}); vim.opt.runtimepath:prepend({folder})"


def _wait_for_end(editor: Neovim) -> None:
    # Python makes an environment in three seconds, or in thirty where others compute.
    end = time.monotonic() + 120
    while not _ended(editor):
        assert time.monotonic() < end, editor.said
        time.sleep(0.1)


def _ended(editor: Neovim) -> list[str]:
    return [said for said in editor.said if "installed in" in said or "failed" in said]


def test_a_plugin_without_a_checkout_says_what_to_do(tmp_path: Path) -> None:
    plugin = tmp_path / "alone" / "editors" / "neovim"
    shutil.copytree(PLUGIN, plugin, ignore=shutil.ignore_patterns("node_modules"))
    with Neovim(tmp_path, script=_plugin_of(tmp_path / "alone")) as editor:
        run(editor, "Midfill install")
        editor.until(lambda: editor.said, "why not")
        assert "pip install" in editor.said[0]
