"""The tests that run inside VS Code's extension host (``editors/vscode/test``), one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.editors.extension import SOURCES, extension_tests, installed_extensions, vsix
from tests.editors.scripted import Scripted
from tests.editors.setup import node, vscode_folder
from tests.editors.vscode import EditorServer, until
from tests.server.conftest import environment

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_DECLARED = re.compile(r'^test\("(.+?)", ', re.MULTILINE)
_ALL_WITHIN_S = 150


def declared() -> Iterator[str]:
    """Yield the names of the tests, as the sources declare them."""
    for path in sorted((SOURCES / "test").glob("*.test.ts")):
        yield from _DECLARED.findall(path.read_text(encoding="utf-8"))


NAMES = list(declared())


@pytest.fixture(scope="module")
def results(
    editors: None, chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """What came of each test: its error, or an empty text."""
    base = tmp_path_factory.mktemp("host")
    folder, report = base / "folder", base / "report"
    scripted = Scripted(base)
    (folder / ".vscode").mkdir(parents=True)
    settings = json.dumps(scripted.settings())
    (folder / ".vscode" / "settings.json").write_text(settings, encoding="utf-8")
    (installed,) = installed_extensions(vsix()).glob("midfill.midfill-*")
    environment_of_tests = {
        **environment(),
        "MIDFILL_TEST_REPORT": str(report),
        "MIDFILL_TEST_SERVER": str(base),
    }
    server = EditorServer(_program(base), base / "log", environment_of_tests)
    page = chromium.new_page()
    try:
        remote = f"vscode-remote://{server.address}"
        payload = [
            ["extensionDevelopmentPath", f"{remote}{installed.as_posix()}"],
            ["extensionTestsPath", f"{remote}{extension_tests().as_posix()}"],
        ]
        query = f"folder={folder.as_posix()}&payload={quote(json.dumps(payload))}"
        page.goto(f"http://{server.address}/?{query}")

        def lines() -> list[str]:
            page.wait_for_timeout(50)
            text = report.read_text(encoding="utf-8") if report.exists() else ""
            return text.splitlines()

        until(lambda: '{"done"' in "".join(lines()), lambda: "\n".join(lines()), _ALL_WITHIN_S)
        told = [json.loads(line) for line in lines()[:-1]]
        yield {line["name"]: line.get("error", "") for line in told}
    finally:
        page.close()
        server.close()


def _program(base: Path) -> list[str]:
    """Return VS Code's own server. The driver is what makes it look at the page's payload."""
    return [
        *(str(node()), str(vscode_folder() / "out" / "server-main.js")),
        *("--host", "127.0.0.1", "--port", "0", "--without-connection-token"),
        *("--accept-server-license-terms", "--telemetry-level", "off"),
        *("--disable-workspace-trust", "--enable-smoke-test-driver"),
        *("--extensions-dir", str(base / "extensions"), "--server-data-dir", str(base / "data")),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_in_the_extension_host(results: dict[str, str], name: str) -> None:
    assert results[name] == ""


def test_the_host_ran_what_is_declared(results: dict[str, str]) -> None:
    assert list(results) != []
    assert sorted(results) == sorted(NAMES)
