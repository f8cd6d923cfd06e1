"""What of a long text to show: the part at one end, in whole lines, that fits a token budget.

What can be reused of the last prompt decides the latency, so the far end of a window must not
slide with every line typed. It may lie anywhere between "just fits" and "three quarters of that";
of the lines there, the one with the roundest number is taken (most trailing zero bits, counted
from the far end of the whole text). Typing then moves it seldom, and by a jump. Where a syntactic
unit starts or ends is better than any other line.

The cost does not depend on the length of the text, but for counting its newlines.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from midfill_engine.tokenizer import Tokenizer

__all__ = ["CHARS_PER_TOKEN", "Window", "head_window", "tail_window"]

CHARS_PER_TOKEN = 5
"""Code has 3 to 4 of them; looking at more than this costs time and gains little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The tokens shown, at most the budget; ``dropped_chars`` of the text are not among them."""

    tokens: Sequence[int]
    dropped_chars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """A place to cut at the start of a line.

    ``far_lines`` lines lie beyond it; the near side has about ``tokens`` tokens and ends, or
    starts, at the character ``offset`` of the looked-at part.
    """

    far_lines: int
    tokens: int
    offset: int


def tail_window(
    text: str,
    budget_tokens: int,
    *,
    tokenizer: Tokenizer,
    fragment: bool = False,
    starts: Collection[int] = (),
) -> Window:
    """Show the end of ``text`` (the prefix, up to the cursor).

    ``fragment``: text precedes it. It preferably starts at one of ``starts``, starts of lines.
    """
    encode = tokenizer.encode_fragment if fragment else tokenizer.encode
    if budget_tokens <= 0:
        return Window(tokens=(), dropped_chars=len(text))
    far = max(0, len(text) - CHARS_PER_TOKEN * budget_tokens)
    start = text.find("\n", far, len(text) - 1) + 1 if far else 0
    # No line starts in the nearer half of what we look at: the line there is too long to drop.
    if not far or far < start <= (far + len(text)) // 2:
        near = text[start:]
        ids = encode(near)
        if start == 0 and len(ids) <= budget_tokens:
            return Window(tokens=ids, dropped_chars=0)
        cuts = _cuts_before_lines(near, ids, text.count("\n", 0, start), tokenizer)
        best = {at - start for at in starts}
        cut = _stable_cut(cuts, min(budget_tokens, len(ids)), best)
        if cut is not None:
            ids = encode(near[cut.offset :])
            # Cutting text can change the tokens at the cut, so by a hair it may be too much.
            return Window(tokens=ids[-budget_tokens:], dropped_chars=start + cut.offset)
    return _inside_line(len(text), budget_tokens, lambda dropped: encode(text[dropped:]))


def head_window(
    text: str, budget_tokens: int, *, tokenizer: Tokenizer, ends: Collection[int] = ()
) -> Window:
    """Show the start of ``text`` (the suffix, from the cursor on; a file given as context).

    It preferably ends at one of ``ends``, each right after the end of a line.
    """
    encode = tokenizer.encode_fragment
    if budget_tokens <= 0:
        return Window(tokens=(), dropped_chars=len(text))
    size = CHARS_PER_TOKEN * budget_tokens
    whole = len(text) <= size
    end = len(text) if whole else text.rfind("\n", 0, size) + 1
    if whole or end * 2 > size:
        near = text[:end]
        ids = encode(near)
        if whole and len(ids) <= budget_tokens:
            return Window(tokens=ids, dropped_chars=0)
        far_lines = text.count("\n", end) + (not whole and not text.endswith("\n"))
        cuts = _cuts_after_lines(near, ids, far_lines, tokenizer)
        cut = _stable_cut(cuts, min(budget_tokens, len(ids)), ends)
        if cut is not None:
            ids = encode(near[: cut.offset])
            dropped = len(text) - cut.offset
            return Window(tokens=ids[:budget_tokens], dropped_chars=dropped)
    return _inside_line(
        len(text), budget_tokens, lambda dropped: encode(text[: len(text) - dropped])
    )


def _cuts_before_lines(
    near: str, ids: Sequence[int], far_lines: int, tokenizer: Tokenizer
) -> list[_Cut]:
    """List the cuts that keep the end of ``near``, whose tokens are ``ids``, longest first."""
    cuts = [_Cut(far_lines=far_lines, tokens=len(ids), offset=0)]
    offset = 0
    for at, newlines in _newline_tokens(ids, tokenizer):
        for _ in range(newlines):
            offset = near.index("\n", offset) + 1
        far_lines += newlines
        if offset < len(near):
            cuts.append(_Cut(far_lines=far_lines, tokens=len(ids) - at - 1, offset=offset))
    return cuts


def _cuts_after_lines(
    near: str, ids: Sequence[int], far_lines: int, tokenizer: Tokenizer
) -> list[_Cut]:
    """List the cuts that keep the start of ``near``, whose tokens are ``ids``, longest first."""
    cuts: list[_Cut] = []
    offset = len(near)
    if not near.endswith("\n"):
        cuts.append(_Cut(far_lines=far_lines, tokens=len(ids), offset=offset))
        far_lines += 1
    for at, newlines in reversed(_newline_tokens(ids, tokenizer)):
        line_end = near.rindex("\n", 0, offset) + 1
        cuts.append(_Cut(far_lines=far_lines, tokens=at + 1, offset=line_end))
        far_lines += newlines
        for _ in range(newlines):
            offset = near.rindex("\n", 0, offset)
    return cuts


def _newline_tokens(ids: Sequence[int], tokenizer: Tokenizer) -> list[tuple[int, int]]:
    """List the tokens that hold newlines: (index, how many)."""
    counts = map(tokenizer.newlines_in, ids)
    return [(at, count) for at, count in enumerate(counts) if count]


def _stable_cut(cuts: Sequence[_Cut], budget_tokens: int, best: Collection[int]) -> _Cut | None:
    """Choose the cut whose line number is roundest, of those at ``best`` offsets if there are any.

    ``None`` when a line is too long for this.
    """
    fitting = [cut for cut in cuts if cut.tokens <= budget_tokens]
    if not fitting or fitting[0].tokens * 2 < budget_tokens:
        return None
    least = fitting[0].tokens * 3 // 4
    return max(
        (cut for cut in fitting if cut.tokens >= least),
        key=lambda cut: (cut.offset in best, _roundness(cut.far_lines)),
    )


def _roundness(number: int) -> int:
    """Return the largest power of two that divides ``number``; 0 is the roundest of all."""
    return number & -number or 1 << 62


def _inside_line(
    chars: int, budget_tokens: int, encode_without: Callable[[int], Sequence[int]]
) -> Window:
    """Cut inside a line: drop a multiple of some step at the far end, so that the cut holds still.

    ``encode_without(dropped)`` encodes the text of ``chars`` characters without that many.
    """
    kept = CHARS_PER_TOKEN * budget_tokens
    while kept > 0:
        step = max(1, kept // 4)
        dropped = -(-max(0, chars - kept) // step) * step
        ids = encode_without(min(dropped, chars))
        if len(ids) <= budget_tokens:
            return Window(tokens=ids, dropped_chars=min(dropped, chars))
        kept //= 2
    return Window(tokens=(), dropped_chars=chars)
