"""Fixes from VS Code's light bulb as somebody comes by them; model and checker follow a script."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.editors.conftest import OpenWindow
from tests.editors.problems import Problem, show_problems
from tests.editors.scripted import Scripted
from tests.editors.vscode import Code

_RESOLVE = "codeAction/resolve"
_PROBLEMS: list[Problem] = [
    {"text": "bad", "message": "'bad' is bad", "code": "B1", "source": "fake"},
    {"text": "odd", "message": "'odd' is odd", "code": "B2", "source": "fake"},
]
_HEAD = '# #text "nice"\n'


@pytest.fixture(scope="module")
def window(open_window: OpenWindow, folder: Path, scripted: Scripted) -> Code:
    show_problems(folder, _PROBLEMS)
    code = open_window(folder, scripted.settings())
    code.wait_for_status("ready")
    return code


def begin_gated(code: Code, scripted: Scripted, name: str) -> str:
    """Open a file that no checker looks at until the gate is open; returns its text."""
    scripted.close_gate()
    text = f"# {name} #gate\n{_HEAD}x = bad(1)\n"
    code.begin(name, text)
    code.click_word("bad")
    return text


def test_who_presses_again_waits_for_the_same_fix(code: Code, scripted: Scripted) -> None:
    text = begin_gated(code, scripted, "again.py")
    code.press("Control+Period")
    code.until(lambda: text in scripted.checks(), "the fix looked for")
    cancelled = scripted.heard("$/cancelRequest")
    code.press("Control+Period")
    code.until(lambda: scripted.heard("$/cancelRequest") > cancelled, "the first list given up")
    scripted.open_gate()
    code.light_bulb(re.compile(r"^Fix \(verified by fake\): bad → nice$"))
    assert scripted.checks().count(text) == 1


def test_a_fix_is_looked_at_without_being_taken(code: Code, scripted: Scripted) -> None:
    text = begin_gated(code, scripted, "looked.py")
    title = code.light_bulb(re.compile("^Fix: 'bad' is bad$"))
    resolved = scripted.heard(_RESOLVE)
    for each in code.actions():
        code.press("ArrowDown")
        code.point_at_action(each)
    code.point_at_action(title)
    assert scripted.heard(_RESOLVE) == resolved
    assert code.text == text
    code.choose_action(title)
    code.until(lambda: scripted.heard(_RESOLVE) > resolved, "the fix asked for")
    scripted.open_gate()
    code.until(lambda: "nice" in code.text, lambda: code.text)
    # Messages arrive in order: there was none for a fix that was only looked at.
    assert scripted.heard(_RESOLVE) == resolved + 1
    assert scripted.checks().count(text) == 1


def test_a_fix_is_looked_for_until_somebody_cancels_it(code: Code, scripted: Scripted) -> None:
    text = begin_gated(code, scripted, "cancelled.py")
    code.choose_action(code.light_bulb(re.compile("^Fix: 'bad' is bad$")))
    working = code.notification("looking for a fix")
    cancelled = scripted.heard("$/cancelRequest")
    working.get_by_role("button", name="Cancel").click()
    working.wait_for(state="hidden")
    code.until(lambda: scripted.heard("$/cancelRequest") > cancelled, "the server told")
    assert code.text == text
    scripted.open_gate()
    code.light_bulb(re.compile(r"^Fix \(verified by fake\)"))
    # The first search has ended, so that another one began.
    assert scripted.checks().count(text) == 2


def test_all_of_a_kind_that_is_chosen_are_fixed(code: Code) -> None:
    code.begin("kinds.py", f"{_HEAD}a = bad(1)\nb = odd(2)\nc = bad(3)\n")
    code.command("midfill: Fix All of This Kind in File")
    rows = code.page.locator(".quick-input-list .monaco-list-row")
    rows.nth(1).wait_for()
    assert rows.count() == 2
    assert "Fix All of Which Kind?" in code.page.locator(".quick-input-title").inner_text()
    assert "'bad' is bad" in rows.nth(0).inner_text()
    assert "'odd' is odd" in rows.nth(1).inner_text()
    code.screenshot("fix-all-of-which-kind")
    code.pick("fake B1")
    code.notification("fixed 2 of 2")
    assert code.save("kinds.py") == f"{_HEAD}a = nice(1)\nb = odd(2)\nc = nice(3)\n"
    code.press("Control+Z")
    code.until(lambda: code.text.count("bad") == 2, lambda: code.text)


def test_the_kind_at_the_cursor_needs_no_choice(code: Code) -> None:
    code.begin("here.py", f"{_HEAD}a = bad(1)\nb = odd(2)\nc = bad(3)\n")
    code.click_word("bad")
    code.command("midfill: Fix All of This Kind in File")
    code.until(lambda: code.text.count("nice(") == 2, lambda: code.text)
