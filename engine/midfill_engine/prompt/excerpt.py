"""What of the file itself is shown: windows before and after the cursor, and landmarks.

Where the window before the cursor does not reach back to the start of the file, a part of its room
goes to lines farther back that say where the cursor is: the header of the function around it, of
the class, the imports. They stand before the window in the order of the file.

Nothing here looks at what was typed, and the landmarks are chosen by a smaller window that seldom
moves: so all of this holds still while somebody types.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from midfill_engine.prompt.window import CHARS_PER_TOKEN, Window, head_window, tail_window
from midfill_engine.tokenizer import Tokenizer
from midfill_engine.types import CompletionRequest, Landmark

__all__ = ["Excerpt", "Preceding", "excerpt"]

# The window has the rest: what is near says more than what is far.
_LANDMARKS_SHARE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Preceding:
    """What is shown of the text before the cursor: ids of landmarks, then the window.

    ``fragment``: some text precedes the window. ``dropped_chars`` of the text are not shown.
    """

    landmarks: Sequence[int] = ()
    window: Window
    fragment: bool
    dropped_chars: int

    @property
    def tokens(self) -> Sequence[int]:
        """All of it in one."""
        return [*self.landmarks, *self.window.tokens] if self.landmarks else self.window.tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """What is shown of a file, around the cursor."""

    prefix: Preceding
    suffix: Window


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lines:
    """Whole lines of a text, ``[start, end)`` in characters."""

    start: int
    end: int


def excerpt(
    request: CompletionRequest,
    room_tokens: int,
    suffix_tokens: int,
    *,
    tokenizer: Tokenizer,
    fragment: bool,
) -> Excerpt:
    """Give the suffix so much of the room, the prefix the rest, either what the other leaves.

    ``fragment``: text precedes the prefix. ``suffix_tokens=0``: the model is shown no suffix.
    """
    text = request.suffix
    ends = {_line_end(text, at) for at in request.breaks if 0 < at <= len(text)}
    suffix = head_window(text, suffix_tokens, tokenizer=tokenizer, ends=ends)
    prefix = _preceding(
        request, room_tokens - len(suffix.tokens), tokenizer=tokenizer, fragment=fragment
    )
    left_tokens = room_tokens - len(prefix.tokens)
    if suffix_tokens and suffix.dropped_chars and not prefix.dropped_chars:
        suffix = head_window(text, left_tokens, tokenizer=tokenizer, ends=ends)
    return Excerpt(prefix=prefix, suffix=suffix)


def _preceding(
    request: CompletionRequest, room_tokens: int, *, tokenizer: Tokenizer, fragment: bool
) -> Preceding:
    """Show the end of the prefix in at most ``room_tokens``, and landmarks that lie before it."""
    text = request.prefix
    marks = list(_whole_lines(text, request.landmarks))
    starts = {mark.start for mark in marks}

    def window(room: int, *, fragment: bool) -> Window:
        return tail_window(text, room, tokenizer=tokenizer, fragment=fragment, starts=starts)

    alone = window(room_tokens, fragment=fragment)
    share = room_tokens // _LANDMARKS_SHARE
    kept, near, taken = (), alone, ()
    if alone.dropped_chars and marks:
        hidden = window(room_tokens - share, fragment=fragment).dropped_chars
        taken = _chosen(text, marks, hidden, share, tokenizer)
        kept = _encoded(text, taken, share, tokenizer, fragment)
        near = window(room_tokens - len(kept), fragment=True)
        # The window may reach back farther than was expected.
        taken = tuple(_before(near.dropped_chars, taken))
        kept = _encoded(text, taken, len(kept), tokenizer, fragment)
    if not kept:
        return Preceding(window=alone, fragment=fragment, dropped_chars=alone.dropped_chars)
    return Preceding(
        landmarks=kept,
        window=near,
        fragment=True,
        dropped_chars=near.dropped_chars - sum(mark.end - mark.start for mark in taken),
    )


def _whole_lines(text: str, landmarks: Iterable[Landmark]) -> Iterator[_Lines]:
    """Yield the lines that the landmarks lie in; what lies outside of ``text`` is left out."""
    for mark in landmarks:
        start, end = max(mark.start, 0), min(mark.end, len(text))
        if start < end:
            yield _Lines(start=text.rfind("\n", 0, start) + 1, end=_line_end(text, end))


def _line_end(text: str, offset: int) -> int:
    """Return where the line ends that what is before ``offset`` lies in, its newline included."""
    newline = text.find("\n", offset - 1)
    return len(text) if newline < 0 else newline + 1


def _before(end: int, marks: Iterable[_Lines]) -> Iterator[_Lines]:
    """Yield what of ``marks`` lies before ``end``, which is the start of a line."""
    for mark in marks:
        if mark.start < end:
            yield _Lines(start=mark.start, end=min(mark.end, end))


def _chosen(
    text: str, marks: Iterable[_Lines], hidden: int, room_tokens: int, tokenizer: Tokenizer
) -> list[_Lines]:
    """Take of the first ``hidden`` characters the most important marks that fit, each once.

    The most important of all is cut to its first lines where it is too long. They are returned in
    the order of the file.
    """
    taken: list[_Lines] = []
    for mark in _before(hidden, marks):
        # A window that begins in the midst of a line leaves only the lines above it whole.
        end = text.rfind("\n", 0, mark.end) + 1
        if end <= mark.start or any(mark.start < one.end and one.start < end for one in taken):
            continue
        size = _tokens_up_to(room_tokens, text[mark.start : end], tokenizer)
        while size is None and not taken and end > mark.start:
            end = text.rfind("\n", 0, min(end - 1, mark.start + room_tokens * CHARS_PER_TOKEN)) + 1
            size = _tokens_up_to(room_tokens, text[mark.start : end], tokenizer)
        if size:
            room_tokens -= size
            taken.append(_Lines(start=mark.start, end=end))
    return sorted(taken, key=lambda mark: mark.start)


def _tokens_up_to(most: int, text: str, tokenizer: Tokenizer) -> int | None:
    """Count the tokens of ``text``; ``None`` where they are more than ``most``."""
    if len(text) > most * CHARS_PER_TOKEN:
        return None
    size = len(tokenizer.encode_fragment(text))
    return size if size <= most else None


def _encoded(
    text: str, marks: Iterable[_Lines], room_tokens: int, tokenizer: Tokenizer, fragment: bool
) -> list[int]:
    """Encode ``marks`` as one text; ``fragment``: other text precedes it."""
    encode = tokenizer.encode_fragment if fragment else tokenizer.encode
    shown = "".join(text[mark.start : mark.end] for mark in marks)
    # Joining lines seldom makes more tokens, but it can, and the room is a promise.
    return encode(shown)[:room_tokens] if shown else []
