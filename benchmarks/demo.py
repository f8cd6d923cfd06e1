"""Completes real code at real cursors, through the language server, in the terminal.

Every step is what an editor does: the server is started over stdio, a file is opened, and
``textDocument/inlineCompletion`` is asked; the text grows by the server's opt-in notifications.
"""

from __future__ import annotations

import argparse
import queue
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from benchmarks.sites import SITES, OpenSite
from tests.server.client import Json, LspClient

__all__ = ["main"]

_LINES_BEFORE, _LINES_BEHIND = 5, 3
_GHOST = "italic grey58"
_CURSOR = "reverse"
_THEME = "ansi_dark"
_WIDTH = 96
_LEXERS = {"cpp": "cpp", "go": "go", "python": "python", "rust": "rust", "typescript": "ts"}
_ANSWER_S = 120.0
_POLL_S = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One completion as it came out: the text, its cost and the wall time of the request.

    ``typed`` is how many characters of an earlier completion here were typed before it was asked.
    """

    place: OpenSite
    typed: int
    text: str
    stats: Json
    total_ms: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration; returns an exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=__doc__)
    parser.add_argument("--model", default="auto", help="a model's id, or auto (the default)")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="save the picture as SVG too")
    args = parser.parse_args(argv)
    console = Console(record=args.svg is not None, width=_WIDTH, highlight=False)
    server = LspClient.start(
        [sys.executable, "-m", "midfill_server", "serve", "--log-level", "error"]
    )
    with server:
        started_s = time.monotonic()
        server.initialize(
            {
                "streaming": True,
                "model": args.model,
                "download": True,
                "engine": {"stand_in": "never"},
                # It shows what the model says at each place, sure or not.
                "completion": {"eagerness": "always"},
            }
        )
        shown: list[Shown] = []
        first_s = 0.0
        for site in SITES:
            shown += _visit(server, site.open(), console)
            first_s = first_s or time.monotonic() - started_s - sum(
                item.total_ms / 1000 for item in shown[1:]
            )
        server.shutdown()
    console.print(_table(shown, first_s))
    if args.svg:
        console.save_svg(str(args.svg), title="make demo")
    return 0 if all(item.text for item in shown if not item.typed) else 1


def _visit(server: LspClient, place: OpenSite, console: Console) -> list[Shown]:
    """Complete at a place, then type the first word of what was shown and complete again."""
    server.open(place.uri, place.before + place.behind, language=place.site.language_id)
    with _canvas(place, console) as draw:
        first = _complete(server, place, draw)
    shown = [first]
    word = re.match(r"\s*\w+", first.text)
    if word is not None and len(word[0]) < len(first.text):
        at = {"line": place.line, "character": place.column}
        server.change(place.uri, 2, {"range": {"start": at, "end": at}, "text": word[0]})
        shown.append(_complete(server, place, _nothing, typed=len(word[0])))
    server.notify("textDocument/didClose", {"textDocument": {"uri": place.uri}})
    return shown


def _complete(
    server: LspClient, place: OpenSite, draw: Callable[[str], None], typed: int = 0
) -> Shown:
    """Ask for one completion and draw it as it grows."""
    began_s = time.monotonic()
    reply = server.complete(place.uri, place.line, place.column + typed)
    while not reply.done:
        if text := _growing_text(server):
            draw(text)
    answer = reply.result(_ANSWER_S)
    total_ms = (time.monotonic() - began_s) * 1000
    items = answer["items"] if answer else []
    text = items[0]["insertText"] if items else ""
    draw(text)
    stats = server.params_of("midfill/completionStats")
    cost = stats[-1] if stats else None
    return Shown(place=place, typed=typed, text=text, stats=cost, total_ms=total_ms)


def _nothing(text: str) -> None:
    """Draw nothing."""


def _growing_text(server: LspClient) -> str | None:
    """Return the text so far if there is more of it, ``None`` after a short wait otherwise."""
    try:
        message = server.next_message(_POLL_S)
    except queue.Empty:
        return None
    if message is None:
        raise SystemExit("the server ended; its messages are above")
    if message.method == "window/showMessage":
        print(message.params["message"], file=sys.stderr)
    return message.params["text"] if message.method == "midfill/inlineCompletionProgress" else None


class _canvas:
    """Draws one place; in a terminal it is redrawn as the text grows."""

    def __init__(self, place: OpenSite, console: Console) -> None:
        self._place = place
        self._console = console
        self._text = ""
        self._live: Live | None = None

    def __enter__(self) -> Callable[[str], None]:
        if self._console.is_terminal:
            self._live = Live(self._panel(), console=self._console, transient=True)
            self._live.start()
        return self._draw

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
        self._console.print(self._panel())

    def _draw(self, text: str) -> None:
        self._text = text
        if self._live is not None:
            self._live.update(self._panel(), refresh=True)

    def _panel(self) -> Panel:
        site = self._place.site
        where = f"{site.file}:{self._place.line + 1}:{self._place.column + 1}"
        title = Text.assemble((f" {where} ", "bold"), (f" {site.kind} ", "dim"))
        return Panel(
            _picture(self._place, self._text),
            title=title,
            title_align="left",
            border_style="grey37",
            width=_WIDTH,
        )


def _picture(place: OpenSite, ghost: str) -> Text:
    """Render the code around the cursor, highlighted, with the ghost text in grey."""
    before = _spaced("".join(place.before.splitlines(keepends=True)[-_LINES_BEFORE:]))
    behind = _spaced("".join(place.behind.splitlines(keepends=True)[: _LINES_BEHIND + 1]))
    ghost = _spaced(ghost)
    # Highlighted as if it were there: otherwise half a statement colours what follows it.
    syntax = Syntax("", _LEXERS[place.site.language_id], theme=_THEME)
    text = syntax.highlight(before + ghost + behind)
    start, end = len(before), len(before) + len(ghost)
    if ghost:
        text.stylize(_GHOST, start, end)
    else:
        text.stylize(_CURSOR, start, start + 1)
    text.rstrip()
    return text


def _spaced(code: str) -> str:
    """Replace tabs, which would move what is coloured after them."""
    return code.replace("\t", "    ")


def _table(shown: Sequence[Shown], first_s: float) -> Group:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2))
    for heading in ("place", "reused", "prefilled", "first token", "tokens", "tokens/s", "answer"):
        table.add_column(heading, justify="left" if heading == "place" else "right")
    for item in shown:
        stats = item.stats or {}
        table.add_row(
            "  typed on" if item.typed else f"{item.place.site.file}:{item.place.line + 1}",
            str(stats.get("reusedTokens", "")),
            str(stats.get("prefilledTokens", "")),
            _ms(stats.get("ttftMs")),
            str(stats.get("generatedTokens", "")),
            f"{stats['tokensPerS']:.0f}" if stats.get("tokensPerS") else "",
            _ms(item.total_ms),
        )
    model = shown[0].stats["model"] if shown and shown[0].stats else "?"
    asked = [item for item in shown if not item.typed]
    matching = sum(item.text.split() == item.place.site.hole.split() for item in asked)
    summary = Text.assemble(
        (f"\n{model}", "bold"),
        f" on this machine's CPU. Server start to first answer: {first_s:.1f} s, "
        f"{matching} of {len(asked)} completions are exactly what had been there.",
    )
    return Group(table, summary)


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f} ms"


if __name__ == "__main__":
    sys.exit(main())
