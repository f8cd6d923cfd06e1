"""VS Code where something is missing yet: what people are told, and that it works afterwards."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tests.editors.conftest import OpenWindow
from tests.editors.scripted import Scripted
from tests.editors.vscode import Code

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext


def test_the_first_run_leads_to_a_sample(
    new_browser: BrowserContext,
    open_window: OpenWindow,
    own_folder: Path,
    scripted: Scripted,
    keep_picture: Callable[[Code], None],
) -> None:
    settings = {**scripted.settings("missing"), "workbench.startupEditor": "welcomePage"}
    code = open_window(own_folder, settings, new_browser)
    keep_picture(code)
    code.page.get_by_text("Get Started with midfill").first.wait_for()
    question = code.notification("Download")
    code.wait_for_status("no model|not on this machine")
    code.screenshot("first-run")
    question.get_by_role("button", name="Download").click()
    code.wait_for_status("ready")
    code.page.get_by_role("button", name="Try it").click()
    code.page.get_by_role("button", name="Open the Sample").click()
    code.page.locator(".tab.active", has_text="Somewhere to try midfill").wait_for()


def test_a_missing_server_is_told_of_until_it_is_there(
    open_window: OpenWindow,
    own_folder: Path,
    scripted: Scripted,
    keep_picture: Callable[[Code], None],
) -> None:
    nowhere = (own_folder / "nowhere" / "midfill").as_posix()
    settings = own_folder / ".vscode" / "settings.json"
    settings.parent.mkdir()
    settings.write_text(json.dumps({"midfill.server.path": nowhere}), encoding="utf-8")
    code = open_window(own_folder, {})
    keep_picture(code)
    told = code.notification(nowhere)
    for button in ("Open Settings", "Help"):
        assert told.get_by_role("button", name=button).count() == 1
    code.wait_for_status("no server")
    code.screenshot("no-server")
    told.get_by_role("button", name="Help").click()
    code.page.locator(
        ".tab.active", has_text=re.compile("preview readme", re.IGNORECASE)
    ).wait_for()
    settings.write_text(json.dumps(scripted.settings()), encoding="utf-8")
    code.wait_for_status("ready")
