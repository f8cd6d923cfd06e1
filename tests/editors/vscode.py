"""VS Code in a browser without a window, used as a person does: keys, and what is to be seen."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.editors.extension import editor_env
from tests.editors.setup import browser, code_server_entry, node

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator, Page, Playwright

__all__ = ["Code", "CodeServer", "EditorServer", "Json", "browser_for", "until"]

Json = object
"""What ``json.dumps`` takes."""

PICTURES = Path(__file__).parents[2] / "build" / "editors" / "vscode"
SIZE = (1000, 560)

# Windows open slowly on a busy machine; only what never comes takes so long.
_WAIT_S = 45.0
_BROWSER_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# What is not midfill's is out of the way, and nothing is saved or offered by itself.
_SETTINGS: Mapping[str, Json] = {
    "chat.disableAIFeatures": True,
    "editor.minimap.enabled": False,
    "editor.quickSuggestions": {"other": "off"},
    "editor.wordBasedSuggestions": "off",
    "files.autoSave": "off",
    "remote.autoForwardPorts": False,
    "security.workspace.trust.enabled": False,
    "telemetry.telemetryLevel": "off",
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "workbench.startupEditor": "none",
    "workbench.tips.enabled": False,
    "window.confirmSaveUntitledWorkspace": False,
}
_PLACE = """
word => {
  const lines = document.querySelectorAll('.editor-instance .monaco-editor .view-line');
  const wanted = new RegExp(`\\\\b${word}\\\\b`, 'g');
  const found = [...lines].flatMap(line => {
    const texts = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
    const places = [];
    while (texts.nextNode()) {
      for (const match of texts.currentNode.data.matchAll(wanted)) {
        const range = document.createRange();
        range.setStart(texts.currentNode, match.index);
        range.setEnd(texts.currentNode, match.index + word.length);
        const box = range.getBoundingClientRect();
        places.push([box.x + box.width / 2, box.y + box.height / 2]);
      }
    }
    return places;
  });
  return found.sort((a, b) => a[1] - b[1] || a[0] - b[0]).at(-1);
}
"""
_ACTIONS = ".action-widget .monaco-list-row.action .title"
_GHOST = """
() => [...document.querySelectorAll('.editor-instance .monaco-editor')].flatMap(editor => {
  const first = [...editor.querySelectorAll('[class*=ghost-text-decoration]')];
  const byLine = Map.groupBy(first, span => span.getBoundingClientRect().top);
  const rest = [...editor.querySelectorAll('.suggest-preview-text .view-line')]
    .map(line => [line.getBoundingClientRect().top, line.textContent]);
  const joined = ([top, spans]) => [top, spans.map(span => span.textContent).join('')];
  return [...[...byLine].map(joined), ...rest];
}).sort((a, b) => a[0] - b[0]).map(line => line[1]).join('\\n').replaceAll('\\u00a0', ' ')
"""


def until(
    holds: Callable[[], bool], what: str | Callable[[], str], timeout_s: float = _WAIT_S
) -> None:
    """Wait for something that only shows outside the browser. Raises ``AssertionError``."""
    end = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > end:
            said = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {timeout_s:g} s: {said}")
        time.sleep(0.02)


@contextmanager
def browser_for(playwright: Playwright) -> Iterator[Browser]:
    """Start the browser, without a window."""
    program = browser()
    assert program is not None, "run python -m tests.editors.setup"
    running = playwright.chromium.launch(executable_path=program, args=list(_BROWSER_FLAGS))
    try:
        yield running
    finally:
        running.close()


class EditorServer:
    """A program that serves VS Code to browsers; it says on its output where."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self._path = log
        self._log = log.open("wb")
        self._process = subprocess.Popen(
            command,
            env={**editor_env(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        until(lambda: self._find() is not None, self.log)
        self.address = str(self._find())

    def log(self) -> str:
        """Return what it wrote."""
        return self._path.read_text(encoding="utf-8", errors="replace")

    def close(self) -> None:
        """End it, and what it started."""
        import psutil

        children = psutil.Process(self._process.pid).children(recursive=True)
        self._process.terminate()
        try:
            self._process.wait(_WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children, _WAIT_S)
        self._log.close()

    def _find(self) -> str | None:
        assert self._process.poll() is None, self.log()
        found = re.search(r"(?:listening on http://|bound to )(127\.0\.0\.1:\d+)", self.log())
        return found[1] if found else None


class CodeServer(EditorServer):
    """code-server with a profile of its own."""

    def __init__(self, profile: Path, extensions: Path, environment: Mapping[str, str]) -> None:
        self.profile = profile
        profile.mkdir(parents=True, exist_ok=True)
        config = profile / "config.yaml"
        config.touch()
        command = [
            *(str(node()), str(code_server_entry())),
            *("--config", str(config), "--user-data-dir", str(profile)),
            *("--extensions-dir", str(extensions)),
            *("--bind-addr", "127.0.0.1:0", "--auth", "none"),
            *("--disable-telemetry", "--disable-update-check", "--disable-proxy"),
        ]
        super().__init__(command, profile / "code-server.log", environment)

    def configure(self, settings: Mapping[str, Json]) -> None:
        """Write the user's settings, for windows that are opened after that."""
        path = self.profile / "User" / "settings.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**_SETTINGS, **settings}, indent=1), encoding="utf-8")


class Code:
    """One window of VS Code on one folder."""

    def __init__(self, context: BrowserContext, server: CodeServer, folder: Path) -> None:
        self.folder = folder
        self._server = server
        self.page: Page = context.new_page()
        self.page.set_default_timeout(_WAIT_S * 1000)
        self.page.set_viewport_size({"width": SIZE[0], "height": SIZE[1]})
        self.page.goto(f"http://{server.address}/?folder={folder.as_posix()}")
        self.page.wait_for_selector(".part.statusbar .statusbar-item")
        # Keys that come before the files are shown go to nobody.
        self.page.wait_for_selector(".explorer-folders-view .monaco-list-row")

    def close(self) -> None:
        """Leave without saving."""
        self.page.close(run_before_unload=False)

    # What a person does

    def press(self, *keys: str) -> None:
        """Press keys, as Playwright names them: ``Control+ArrowRight``."""
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        """Type into whatever has the focus."""
        self.page.keyboard.type(text)

    def command(self, title: str) -> None:
        """Run a command by its title, from the palette."""
        self._pick("F1", title)

    def begin(self, name: str, text: str) -> None:
        """Open a new file with this text; the cursor goes to its end."""
        (self.folder / name).write_text(text, encoding="utf-8")
        self.open_file(name)

    def open_file(self, name: str) -> None:
        """Open a file of the folder; the cursor goes to its end."""
        self._file(name).dblclick()
        self.page.wait_for_selector(f".tab.active[data-resource-name='{name}']")
        self.page.wait_for_selector(".editor-instance .monaco-editor.focused")
        self.press("Control+End")

    def wake_editor(self) -> None:
        """Have ghost text shown once: an editor only begins to ask for it some time after it opens.

        Nothing in the window tells when that is, but asking by hand makes it begin.
        """
        path = self.folder / "begin.py"
        path.write_text('# #text "total(first)"\nfirst = [1, 2]\ntotal = ', encoding="utf-8")
        # A single click shows a file until the next one is opened.
        self._file(path.name).click()
        self.page.wait_for_selector(f".tab.active[data-resource-name='{path.name}']")
        self.focus_editor()
        self.press("Control+End")
        # Extensions hear of a new editor a moment later than the key that is pressed in it.
        self._press_until("Alt+Backslash", lambda: self.ghost != "")
        self.press("Escape")
        self.wait_for_no_ghost()

    def focus_editor(self) -> None:
        """Go back to the text: what was clicked in the status bar keeps the focus."""
        focused = self.page.locator(".editor-instance .monaco-editor.focused")
        # A file that is still being opened takes no focus yet.
        self._press_until("Control+1", focused.is_visible)

    def click_word(self, word: str) -> None:
        """Put the cursor into the last place where a word of code stands on the screen."""
        self.until(lambda: word in self.text, lambda: f"{word!r} in {self.text}")
        self.page.mouse.click(*self._place_of(word))

    def choose_action(self, title: str) -> None:
        """Choose from the list of the light bulb."""
        self.page.locator(_ACTIONS).get_by_text(title, exact=True).click()

    def point_at_action(self, title: str) -> None:
        """Let the pointer rest on an entry of the list of the light bulb."""
        self.page.locator(_ACTIONS).get_by_text(title, exact=True).hover()
        focused = self.page.locator(".action-widget .monaco-list-row.focused .title")
        focused.get_by_text(title, exact=True).wait_for()

    def trust_folder(self) -> None:
        """Say that the folder is trusted, as the editor's page for that has it."""
        self.command("Workspaces: Manage Workspace Trust")
        page = self.page.locator(".workspace-trust-editor")
        page.get_by_role("button", name="Trust").first.click()
        self.page.wait_for_selector(".workspace-trust-header.workspace-trust-trusted")
        # It stands above the editors.
        self.page.locator(".monaco-modal-editor-block .codicon-close").first.click()
        page.wait_for(state="hidden")
        self.focus_editor()

    def close_editors(self) -> None:
        """Close whatever is open; nothing is saved."""
        self.command("View: Close All Editors")
        self.page.wait_for_selector(".editor-group-container.empty")

    def save(self, name: str) -> str:
        """Save; returns what the file holds then."""
        self.press("Control+S")
        self.page.wait_for_selector(f".tab.active:not(.dirty)[data-resource-name='{name}']")
        return (self.folder / name).read_text(encoding="utf-8")

    # What a person sees

    @property
    def ghost(self) -> str:
        """The ghost text that is shown now, line by line; empty if there is none."""
        return str(self.page.evaluate(_GHOST))

    def wait_for_ghost(self, wanted: str | re.Pattern[str], timeout_s: float = _WAIT_S) -> str:
        """Wait until the ghost text is ``wanted``, or a pattern is found in it; returns it."""
        seen: list[str] = []

        def shown() -> bool:
            ghost = self.ghost
            if [ghost] != seen[-1:]:
                seen.append(ghost)
            return ghost == wanted if isinstance(wanted, str) else bool(wanted.search(ghost))

        self.until(shown, lambda: f"ghost text {wanted!r}; there was {seen}", timeout_s)
        return seen[-1]

    def wait_for_no_ghost(self) -> None:
        """Wait until no ghost text is shown."""
        self.wait_for_ghost("")

    @property
    def text(self) -> str:
        """The lines of the editor that are on the screen, without ghost text."""
        lines = self.page.evaluate(
            """() => [...document.querySelectorAll(
                '.editor-instance .monaco-editor .lines-content > .view-lines > .view-line')]
              .map(line => [line.getBoundingClientRect().top,
                [...line.querySelectorAll('span > span')].filter(
                  span => !span.className.includes('ghost-text')).map(s => s.textContent).join('')])
              .sort((a, b) => a[0] - b[0]).map(line => line[1].replaceAll('\\u00a0', ' '))"""
        )
        return "\n".join(lines)

    def hover(self, word: str) -> str:
        """Rest the pointer on a word of code, having been elsewhere; returns what is shown."""
        shown = self.page.locator(".monaco-hover:not(.hidden) .hover-contents")
        self.page.mouse.move(SIZE[0] / 2, SIZE[1] - 5)
        shown.first.wait_for(state="hidden")
        self.page.mouse.move(*self._place_of(word))
        shown.first.wait_for()
        return "\n".join(shown.all_inner_texts()).replace("\u00a0", " ")

    def wait_for_explanation(self, word: str, longer_than: int, timeout_s: float) -> str:
        """Hover a word again and again, until more is shown than its files say; returns it."""

        def explained() -> bool:
            text = self.hover(word)
            return "midfill is reading" not in text and len(text) > longer_than

        self.until(explained, lambda: self.hover(word), timeout_s)
        return self.hover(word)

    def actions(self) -> list[str]:
        """Return the titles of what the light bulb offers, if its list is open."""
        return [text.strip() for text in self.page.locator(_ACTIONS).all_inner_texts()]

    def light_bulb(self, wanted: re.Pattern[str], timeout_s: float = _WAIT_S) -> str:
        """Open the list of the light bulb, again and again until a title matches; returns it."""
        seen: list[str] = []
        # What comes to light while the list is being made ends that.
        self.page.locator(".editor-instance .squiggly-error").first.wait_for()

        def found() -> bool:
            rows = self.page.locator(_ACTIONS).first
            # The list waits a moment for a fix; pressed again, it waits anew.
            self._press_until("Control+Period", rows.is_visible, every_s=8)
            seen[:] = self.actions()
            if any(wanted.search(title) for title in seen):
                return True
            self._press_until("Escape", lambda: not rows.is_visible())
            return False

        self.until(found, lambda: f"{wanted.pattern!r} among {seen}", timeout_s)
        return next(title for title in seen if wanted.search(title))

    def wait_for_preview(self, text: str, timeout_s: float = _WAIT_S) -> str:
        """Wait until a preview of Markdown shows a text; returns all that it shows."""
        from playwright.sync_api import Error as PlaywrightError

        seen = ""

        def shown() -> bool:
            nonlocal seen
            # A frame is exchanged while it is looked at.
            with suppress(PlaywrightError):
                found = [frame.locator(".markdown-body") for frame in self.page.frames]
                texts = [body.inner_text(timeout=1000) for one in found for body in one.all()]
                seen = "\n".join(texts)
            return text in seen

        self.until(shown, lambda: f"{text!r} in the preview: {seen!r}", timeout_s)
        return seen

    def status(self) -> str:
        """What the status bar says of midfill, with what the pointer would show; or nothing."""
        items = self.page.locator(".statusbar-item[id^='midfill.midfill']")
        labels = [
            f"{item.text_content() or ''} | {item.locator('a').first.get_attribute('aria-label')}"
            for item in items.all()
        ]
        return "\n".join(labels)

    def wait_for_status(self, pattern: str, timeout_s: float = _WAIT_S) -> None:
        """Wait until what the status bar says of midfill has ``pattern`` in it."""
        wanted = re.compile(pattern, re.IGNORECASE)
        self.until(
            lambda: bool(wanted.search(self.status())),
            lambda: f"status {pattern!r}; it is {self.status()!r}",
            timeout_s,
        )

    def click_status(self) -> None:
        """Click what the status bar shows of midfill, which opens its menu."""
        self.page.locator(".statusbar-item[id^='midfill.midfill'] a").first.click()
        self.page.wait_for_selector(".quick-input-list .monaco-list-row")

    def notification(self, text: str) -> Locator:
        """Wait for a message with ``text``; returns it, for its buttons."""
        found = self.page.locator(".notification-toast", has_text=text).first
        found.wait_for()
        return found

    def pick(self, label: str) -> None:
        """Choose the entry with that label of the list that is open, which closes it."""
        name = self.page.locator(".label-name", has_text=re.compile(rf"^\s*{re.escape(label)}$"))
        self.page.locator(".quick-input-list .monaco-list-row").filter(has=name).click()
        self.page.locator(".quick-input-widget").wait_for(state="hidden")

    def screenshot(self, name: str) -> Path:
        """Keep a picture of the window; returns where."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        path = PICTURES / f"{name}.png"
        self.page.screenshot(path=path)
        return path

    def until(
        self, holds: Callable[[], bool], what: str | Callable[[], str], timeout_s: float = _WAIT_S
    ) -> None:
        """Wait for something the window shows; the picture at the end of a failure tells more."""

        def step() -> bool:
            if holds():
                return True
            # Lets the browser's messages be handled, too.
            self.page.wait_for_timeout(15)
            return False

        until(step, what, timeout_s)

    def logs(self) -> str:
        """Return the end of what the extensions logged in the latest window."""
        hosts = sorted(self._server.profile.glob("logs/*/exthost*"), key=os.path.getmtime)
        files = [path for path in hosts[-1].rglob("*.log")] if hosts else []
        return "\n".join(
            f"--- {path.name}\n{path.read_text(encoding='utf-8', errors='replace')[-3000:]}"
            for path in files
            if path.stat().st_size
        )

    def _press_until(self, key: str, holds: Callable[[], bool], every_s: float = 1) -> None:
        """Press a key, once a second, as somebody does when nothing happens."""
        pressed = 0.0

        def pressed_in_vain() -> bool:
            nonlocal pressed
            if not holds() and time.monotonic() - pressed > every_s:
                self.press(key)
                pressed = time.monotonic()
            return not holds()

        self.until(lambda: not pressed_in_vain(), f"anything after {key}")

    def _place_of(self, word: str) -> tuple[float, float]:
        """Return where the last of a word of code is; pieces of a line need not be words."""
        x, y = self.page.evaluate(_PLACE, word)
        return x, y

    def _file(self, name: str) -> Locator:
        return self.page.locator(f".explorer-folders-view .monaco-list-row[aria-label^='{name}']")

    def _pick(self, opener: str, text: str) -> None:
        self.press(opener)
        self.page.wait_for_selector(".quick-input-widget:not([style*='display: none']) input")
        self.type(text)
        row = self.page.locator(".quick-input-list .monaco-list-row.focused", has_text=text)
        row.wait_for()
        self.press("Enter")
