"""Neovim on a screen, with a suggestion of the real small model: what a person sees."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from midfill_engine.registry import find_model
from midfill_engine.store import ModelStore
from tests.editors.neovim import neovim_program
from tests.editors.neovim_picture import COMMENT, FILE, MODEL, suggesting
from tests.editors.neovim_terminal import Terminal, has_tmux, text_in

pytestmark = [
    pytest.mark.editors,
    pytest.mark.skipif(neovim_program() is None, reason="no Neovim: run `make test-editors`"),
    pytest.mark.skipif(not has_tmux(), reason="no tmux: apt-get install tmux"),
    pytest.mark.skipif(
        ModelStore().model_path(find_model(MODEL)) is None,
        reason=f"{MODEL} is not here: run `midfill models pull {MODEL}`",
    ),
]


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with tempfile.TemporaryDirectory(prefix="midfill") as folder, suggesting(Path(folder)) as found:
        yield found


def test_ghost_text_is_seen_in_the_colour_of_comments_and_accepted(terminal: Terminal) -> None:
    suggested = text_in(terminal.screen(), COMMENT).splitlines()
    assert suggested

    terminal.press("Tab")
    first = suggested[0]
    terminal.wait_until(lambda screen: first not in text_in(screen, COMMENT))
    terminal.press("Escape")
    terminal.type(":w")
    terminal.press("Enter")
    terminal.wait_for("written")
    saved = (terminal.folder / FILE).read_text(encoding="utf-8")
    assert saved.rstrip().endswith("\n".join(f"    {line}" for line in suggested))
