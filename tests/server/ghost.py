"""The one helper through which tests say: this model output at this place shows that text."""

from __future__ import annotations

from midfill_engine.cancel import CancelToken
from midfill_engine.fake import ScriptedEngine
from midfill_server.anchors import fresh
from midfill_server.pipeline import Completion, Query, complete

CURSOR = "<|>"


def ghost(marked: str, output: str, *, piece: int = 1) -> Completion:
    """Complete at the cursor mark with a model that says ``output``, ``piece`` by piece.

    Checks on the way that what is shown while it grows never shrinks.
    """
    offset = marked.index(CURSOR)
    text = marked.replace(CURSOR, "", 1)
    shown: list[str] = [""]

    def on_text(text: str) -> None:
        assert text.startswith(shown[-1]), f"{shown[-1]!r} became {text!r}"
        shown.append(text)

    completion = complete(
        Query(uri="", text=text, cursor=offset),
        fresh(text, offset),
        ScriptedEngine(output, piece=piece),
        CancelToken(),
        on_text,
    )
    assert completion.text.startswith(shown[-1]), f"{shown[-1]!r} became {completion.text!r}"
    return completion


def check(marked: str, output: str, expected: str) -> None:
    """Assert that ``output`` at the cursor of ``marked`` shows ``expected``, however it arrives."""
    for piece in (1, 3, 1000):
        assert ghost(marked, output, piece=piece).text == expected
