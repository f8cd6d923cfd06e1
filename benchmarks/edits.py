"""Cursors in code that is being edited: what follows resembles what is there already.

``CASES`` name files in ``edit_samples``, pieces of code with the cursor at ``<|>``. Where there
is a ``<^>``, the cursor stood there when an answer was shown, and then somebody typed something
else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from midfill_engine.types import CompletionRequest, ContextChunk

__all__ = ["CASES", "Case", "request_at"]

_FOLDER = Path(__file__).parent / "edit_samples"
_CURSOR, _EARLIER = "<|>", "<^>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One completion: ``kind`` is "edit" or "adversarial", ``file`` has the code.

    ``context`` is the path and the file of other code that is shown to the model; ``renamed`` is
    a name of the code and what it was called when the stale answer was shown.
    """

    file: str
    kind: str
    name: str
    renamed: tuple[str, str] | None = None
    context: tuple[str, str] | None = None

    def request(self, max_tokens: int, stale: str | None = None) -> CompletionRequest:
        """Return what a server would ask for; ``stale`` is the answer to ``stale_request``."""
        before, _, behind = _read(self.file).replace(_EARLIER, "").partition(_CURSOR)
        hints = (stale,) if stale else ()
        return request_at(before, behind, max_tokens, hints=hints, context=self._chunks())

    def stale_request(self, max_tokens: int) -> CompletionRequest | None:
        """Return what was asked before the last text was typed, if that is part of the case."""
        before, marker, rest = _read(self.file).partition(_EARLIER)
        if not marker:
            return None
        behind = rest.partition(_CURSOR)[2]
        if self.renamed is not None:
            before, behind = (text.replace(*self.renamed) for text in (before, behind))
        return request_at(before, behind, max_tokens, context=self._chunks())

    def _chunks(self) -> tuple[ContextChunk, ...]:
        if self.context is None:
            return ()
        path, file = self.context
        return (ContextChunk(path=path, text=_read(file)),)


def _read(file: str) -> str:
    return (_FOLDER / f"{file}.txt").read_text(encoding="utf-8")


def request_at(
    before: str,
    behind: str,
    max_tokens: int,
    *,
    hints: tuple[str, ...] = (),
    context: tuple[ContextChunk, ...] = (),
) -> CompletionRequest:
    """Split at the start of the cursor's line, as for somebody who types in it."""
    start = before.rfind("\n") + 1
    if not before[start:].strip():
        # Nothing of the line is there but its indentation.
        start = len(before)
    return CompletionRequest(
        prefix=before[:start],
        typed=before[start:],
        suffix=behind,
        hints=hints,
        context=context,
        max_tokens=max_tokens,
    )


CASES = (
    Case(
        file="async_client.py",
        kind="edit",
        name="async twin of a client in another file",
        context=("orders/client.py", "order_client.py"),
    ),
    Case(
        file="handler.go",
        kind="edit",
        name="the next handler of a Go service",
    ),
    Case(
        file="load_error.rs",
        kind="edit",
        name="one more conversion of errors in Rust",
    ),
    Case(
        file="vouchers.py",
        kind="edit",
        name="tests that follow one pattern",
    ),
    Case(
        file="reducer.ts",
        kind="edit",
        name="cases of a reducer in TypeScript",
    ),
    Case(
        file="operators.cpp",
        kind="edit",
        name="an operator beside its twin in C++",
    ),
    Case(
        file="overdue.py",
        kind="edit",
        name="stale answer, the name typed otherwise",
    ),
    Case(
        file="report_api.ts",
        kind="edit",
        name="stale answer, one argument more",
    ),
    Case(
        file="mean_duration.go",
        kind="edit",
        name="stale answer, a variable named otherwise",
    ),
    Case(
        file="parse_table.py",
        kind="edit",
        name="a parameter that was renamed",
        renamed=("source", "text"),
    ),
    Case(
        file="shipment.java",
        kind="edit",
        name="properties of a Java bean",
    ),
    Case(
        file="export.py",
        kind="edit",
        name="the same change in the next function",
    ),
    Case(
        file="ranked.cpp",
        kind="edit",
        name="stale answer, one letter of its name typed otherwise",
    ),
    Case(
        file="invoices.ts",
        kind="edit",
        name="stale answer, written anew under another name",
        renamed=("fetchInvoices", "loadInvoices"),
    ),
    Case(
        file="taps.c",
        kind="adversarial",
        name="a table of arbitrary constants",
    ),
    Case(
        file="lighthouse.md",
        kind="adversarial",
        name="prose about something new",
    ),
    Case(
        file="colours.py",
        kind="adversarial",
        name="words that recur with ever other neighbours",
    ),
    Case(
        file="subsequence.py",
        kind="adversarial",
        name="a new algorithm in an empty file",
    ),
)
"""Completions like those of an edit, and some where copying never helps."""
