"""Ghost text in VS Code, as it is seen and used; the engine follows a script."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.editors.conftest import OpenWindow
from tests.editors.scripted import Scripted
from tests.editors.vscode import Code

# Words of the document are offered in this language only, so that no list is in the way elsewhere.
_FOLDER_SETTINGS = {
    "[ruby]": {
        "editor.wordBasedSuggestions": "currentDocument",
        "editor.quickSuggestions": {"other": "on"},
    }
}


@pytest.fixture(scope="module")
def window(open_window: OpenWindow, folder: Path, scripted: Scripted) -> Code:
    settings = folder / ".vscode" / "settings.json"
    settings.parent.mkdir()
    settings.write_text(json.dumps(_FOLDER_SETTINGS), encoding="utf-8")
    code = open_window(folder, scripted.settings())
    code.wait_for_status("ready")
    code.wake_editor()
    return code


def script(text: str, *marks: str) -> str:
    """Return a first line that makes the engine say ``text``."""
    return " ".join(["#", *marks, "#text", json.dumps(text)]) + "\n"


def suggest(code: Code, name: str, text: str, typed: str) -> str:
    """Open a new file and type until ``text`` is shown; returns the line that makes it so."""
    first = script(text)
    code.begin(name, first)
    code.type(typed)
    code.wait_for_ghost(text)
    return first


def test_tab_takes_what_is_shown(code: Code) -> None:
    first = suggest(code, "add.py", "(a, b):\n    return a + b", "def add")
    code.screenshot("ghost-text")
    code.press("Tab")
    code.wait_for_no_ghost()
    assert code.save("add.py") == first + "def add(a, b):\n    return a + b"


def test_the_next_word_and_the_next_line_are_taken(code: Code) -> None:
    first = suggest(code, "words.py", "total(first, second)\nprint(value)", "value = ")
    code.press("Control+ArrowRight")
    code.wait_for_ghost("(first, second)\nprint(value)")
    code.press("Control+ArrowDown")
    code.wait_for_ghost(re.compile(r"^\n?print\(value\)$"))
    assert code.save("words.py").rstrip("\n") == first + "value = total(first, second)"


def test_typing_along_keeps_it_and_typing_other_text_does_not(code: Code) -> None:
    suggest(code, "along.py", "total(first)", "x = ")
    code.type("tot")
    code.wait_for_ghost("al(first)")
    code.type("q")
    # The script says the same at any place; nothing of the text before it is left.
    code.wait_for_ghost("total(first)")
    assert code.text.endswith("x = totq")
    code.press("Escape")
    code.wait_for_no_ghost()


def test_its_first_line_is_shown_while_the_rest_is_written(code: Code, scripted: Scripted) -> None:
    code.begin("grow.py", script("first(line)\nsecond(line)", "#gate"))
    scripted.close_gate()
    code.type("y = ")
    code.wait_for_ghost("first(line)")
    code.screenshot("growing-1")
    scripted.open_gate()
    code.wait_for_ghost("first(line)\nsecond(line)")
    code.press("Tab")
    assert code.save("grow.py").endswith("y = first(line)\nsecond(line)")


def test_an_entry_of_the_open_list_is_gone_on_from(code: Code, scripted: Scripted) -> None:
    content = script("(one)") + "alphabetical = 1\n"
    code.begin("list.rb", content)
    code.type("alph")
    shown = code.wait_for_ghost(re.compile(r"\(one\)$"))
    # The list may be there already; else it is asked for.
    if shown == "(one)":
        code.press("Control+Space")
    entry = code.page.locator(".suggest-widget.visible .monaco-list-row.focused")
    # What has been typed of the word may be one of the words in the list by then.
    if "alphabetical" not in entry.inner_text():
        code.press("ArrowDown")
    code.wait_for_ghost("abetical(one)")
    assert f"{content}alphabetical" in scripted.calls()
    code.press("Tab")
    code.until(lambda: code.text.endswith("\nalphabetical"), lambda: code.text)


def test_another_text_can_be_asked_for(code: Code) -> None:
    code.begin("choose.py", "# #choose\n")
    code.type("z = ")
    code.wait_for_ghost("alpha(one)")
    code.press("Alt+BracketRight")
    code.wait_for_ghost(re.compile(r"^(beta\(one\)|alpha\(two\))$"))
    code.press("Alt+BracketLeft")
    code.wait_for_ghost("alpha(one)")


def test_it_can_be_asked_for_by_hand(code: Code) -> None:
    code.begin("hand.py", script("total(first)") + "w = \n")
    code.press("ArrowUp", "End", "Alt+Backslash")
    code.wait_for_ghost("total(first)")


def test_paused_nothing_is_shown_or_asked(code: Code, scripted: Scripted) -> None:
    suggest(code, "pause.py", "total(first)", "v = ")
    code.click_status()
    code.pick("Pause")
    code.wait_for_status("paused everywhere")
    code.screenshot("paused")
    code.focus_editor()
    code.wait_for_no_ghost()
    code.press("Backspace")
    code.type(" 1 + ")
    # By hand it is asked for, and that comes last: what was to be asked unasked is known by then.
    code.press("Alt+Backslash")
    code.wait_for_ghost("total(first)")
    assert [call for call in scripted.calls() if call.endswith(("v =", "v = 1", "v = 1 +"))] == []
    code.press("Escape")

    code.click_status()
    code.pick("Resume")
    code.wait_for_status("ready")
    code.focus_editor()
    code.type("2 * ")
    code.wait_for_ghost("total(first)")


def test_what_is_typed_before_a_server_is_back_is_answered(code: Code, scripted: Scripted) -> None:
    suggest(code, "away.py", "total(first)", "u = ")
    code.press("Escape")
    scripted.end()
    code.wait_for_status("loading")
    code.type("3 * ")
    code.wait_for_ghost("total(first)")


def test_a_killed_server_is_started_again(code: Code, scripted: Scripted) -> None:
    suggest(code, "killed.py", "total(first)", "u = ")
    scripted.kill()
    code.wait_for_status("ready")
    code.type("3 * ")
    code.wait_for_ghost("total(first)")
