"""The pictures of the documents, taken of the real editor: ``python -m tests.editors.pictures``."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

from tests.editors import setup
from tests.editors.extension import ROOT, SOURCES, installed_extensions, vsix
from tests.editors.problems import Problem, install_tools, show_problems, with_problems
from tests.editors.real import real_settings
from tests.editors.vscode import Code, CodeServer, browser_for
from tests.server.conftest import environment

IMAGES = ROOT / "docs" / "images"
TARGET = IMAGES / "vscode.png"
_HOVER = IMAGES / "hover.png"
_FIX = IMAGES / "fix.png"
_ON_THE_EXTENSION_S_PAGE = SOURCES / "media" / "editor.png"
_LOADED_WITHIN_S = 120

_NAME = "inventory.py"
_FIXED_NAME = "stock.py"
_BEGUN = '''\
from dataclasses import dataclass


@dataclass
class Item:
    name: str
    price: float
    quantity: int = 0

    def value(self) -> float:
        """Return what all pieces are worth together."""
        return self.price * self.quantity


def total_value(items: list[Item]) -> float:
    """Return what the whole stock is worth."""
    return sum(item.value() for item in items)


'''
# So many characters a hover has at most before the model has said anything.
_SAID_BY_FILES = 160
_TYPED = "def most_valuable(items: list[Item]) -> Item:\n"
_WANTED = re.compile(r"return max\(items, key=")
_WRONG = ("self.price * self.quantity", "self.price * self.quantty")
_PROBLEM: Problem = {
    "text": "quantty",
    "message": 'Cannot access attribute "quantty" for class "Item*"',
    "code": "reportAttributeAccessIssue",
    "source": "Pyright",
}
_LOOK = {
    "editor.fontSize": 15,
    "editor.guides.indentation": False,
    "editor.lineHeight": 21,
    "editor.occurrencesHighlight": "off",
    "editor.scrollbar.vertical": "hidden",
    "editor.overviewRulerBorder": False,
    "editor.stickyScroll.enabled": False,
    "breadcrumbs.enabled": False,
    "window.commandCenter": False,
    "workbench.activityBar.location": "hidden",
    "workbench.layoutControl.enabled": False,
}


def main() -> int:
    """Take the picture, and say where it is."""
    from playwright.sync_api import sync_playwright

    setup.install()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "shop")
        folder.mkdir()
        (folder / _NAME).write_text(_BEGUN, encoding="utf-8")
        show_problems(folder, [_PROBLEM])
        install_tools(folder, "ruff", "pyright")
        extensions = with_problems(installed_extensions(vsix()), Path(temporary, "extensions"))
        server = CodeServer(Path(temporary, "code"), extensions, environment())
        try:
            server.configure({**real_settings(), **_LOOK})
            with sync_playwright() as playwright, browser_for(playwright) as browser:
                # Twice the pixels: it is looked at on screens that have them.
                context = browser.new_context(device_scale_factor=2)
                code = Code(context, server, folder)
                code.wait_for_status("ready", _LOADED_WITHIN_S)
                code.wake_editor()
                code.open_file(_NAME)
                code.press("Control+B")
                code.type(_TYPED)
                print(code.wait_for_ghost(_WANTED))
                code.page.mouse.move(0, 0)
                TARGET.parent.mkdir(parents=True, exist_ok=True)
                code.page.screenshot(path=TARGET)
                shutil.copyfile(TARGET, _ON_THE_EXTENSION_S_PAGE)
                _hover(code)
                _fix(code)
                code.close()
        finally:
            server.close()
    for path in (TARGET, _HOVER, _FIX):
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    return 0


def _hover(code: Code) -> None:
    """Take the picture of an explanation where the pointer rests."""
    code.press("Escape")
    print(code.wait_for_explanation("total_value", _SAID_BY_FILES, _LOADED_WITHIN_S))
    code.page.screenshot(path=_HOVER)


def _fix(code: Code) -> None:
    """Take the picture of a fix in the list of the light bulb."""
    (code.folder / _FIXED_NAME).write_text(_BEGUN.replace(*_WRONG), encoding="utf-8")
    code.press("Control+B")
    code.open_file(_FIXED_NAME)
    code.press("Control+B")
    code.click_word(_PROBLEM["text"])
    print(code.light_bulb(re.compile("^Fix .verified by"), _LOADED_WITHIN_S))
    code.page.screenshot(path=_FIX)


if __name__ == "__main__":
    sys.exit(main())
