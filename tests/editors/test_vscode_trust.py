"""VS Code in a folder that is only trusted later: its own tools check from then on."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tests.editors.conftest import OpenWindow
from tests.editors.problems import Problem, install_tools, show_problems
from tests.editors.scripted import Scripted
from tests.editors.vscode import Code

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

_PROBLEMS: list[Problem] = [
    {"text": "centr", "message": "Undefined name `centr`", "code": "F821", "source": "Ruff"}
]
_WRONG = "def distance(point, center):\n    return point - centr\n"


def test_a_tool_of_the_folder_checks_once_the_folder_is_trusted(
    new_browser: BrowserContext,
    open_window: OpenWindow,
    own_folder: Path,
    scripted: Scripted,
    keep_picture: Callable[[Code], None],
) -> None:
    show_problems(own_folder, _PROBLEMS)
    install_tools(own_folder, "ruff")
    settings = {
        **scripted.settings("works", "--own-tools"),
        "security.workspace.trust.enabled": True,
        "security.workspace.trust.startupPrompt": "never",
    }
    code = open_window(own_folder, settings, new_browser)
    keep_picture(code)
    code.wait_for_status("ready")
    server = scripted.pid()
    code.begin("trust.py", _WRONG)
    code.click_word("centr")
    code.light_bulb(re.compile(r"^Fix \(unverified\): centr → center$"))
    code.screenshot("untrusted")
    assert not any("verified by" in each for each in code.actions())
    assert scripted.heard("midfill/didChangeTrust") == 0
    code.press("Escape")

    code.trust_folder()
    code.until(lambda: scripted.heard("midfill/didChangeTrust") == 1, "the server told")
    title = code.light_bulb(re.compile(r"^Fix \(verified by ruff\): centr → center$"))
    code.screenshot("trusted")
    code.choose_action(title)
    code.until(lambda: "centr\n" not in f"{code.text}\n", lambda: code.text)
    assert code.save("trust.py") == _WRONG.replace("centr\n", "center\n")
    assert scripted.pid() == server
