"""The one helper through which tests say: this model output at this place shows that text."""

from __future__ import annotations

from midfill_engine.cancel import CancelToken
from midfill_engine.fake import ScriptedEngine
from midfill_engine.types import FinishReason, TokenScore
from midfill_server.anchors import fresh
from midfill_server.pipeline import Completion, Query, complete
from midfill_server.postprocess import Length, Outcome, Site, finish
from midfill_server.syntax import SyntaxTree, language_of

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


def site_at(marked: str, language: str = "", *, length: Length = Length.AUTO) -> Site:
    """Return what the filters see at the cursor mark; ``language`` is an id, ``""`` for none."""
    offset = marked.index(CURSOR)
    text = marked.replace(CURSOR, "", 1)
    known = language_of(language)
    tree = SyntaxTree.parse(text, known)
    return Site.around(text, offset, tree=tree, language=known, length=length)


def judged(
    marked: str,
    output: str,
    language: str = "",
    *,
    reason: FinishReason = FinishReason.STOP,
    scores: tuple[TokenScore, ...] = (),
) -> Outcome:
    """Finish ``output`` at the cursor mark: what is shown of it, and which filters acted."""
    return finish(output, site_at(marked, language), reason, scores)


def check_cut(marked: str, output: str, expected: str, language: str = "", by: str = "") -> None:
    """Assert that the filters leave ``expected`` of ``output``, and that ``by`` was among them."""
    outcome = judged(marked, output, language)
    names = [step.name for step in outcome.steps]
    assert outcome.text == expected, names
    assert not by or by in names, names
