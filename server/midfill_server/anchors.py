"""Where the prompt stays split while somebody types: the policy of when to move that place.

A fill-in-the-middle prompt is ``prefix, suffix, middle``. Split at the cursor, every key changes
the prefix, and all of the suffix behind it has to be computed anew. Split at an **anchor** that
stays, what is typed since is the beginning of the middle: a key only appends. The figures by which
the places were chosen are in ``benchmarks/results/anchoring-0.5b.json``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from midfill_engine.types import ContextChunk, Landmark
from midfill_server.closers import ends_of_closers

__all__ = ["Anchors", "Scene", "SceneOf", "Split", "fresh"]

# Far more than any prompt holds, and little enough to copy at every keystroke.
_WINDOW_CHARACTERS = 64 * 1024

# A new anchor lies so many lines above the cursor, if they are not long.
_LINES_ABOVE = 4
_FRESH_CHARACTERS = 320

# What is typed has its room in a prompt: beyond the first of these the anchor moves in the next
# pause, beyond the second at once.
_LONG_CHARACTERS = 480
_MAX_TYPED_CHARACTERS = 640

# Each may hold two windows of text.
_MAX_DOCUMENTS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a model is shown beside the text around a cursor; see ``CompletionRequest``.

    It comes before that text in a prompt, so it stays as it is while somebody types.
    """

    context: tuple[ContextChunk, ...] = ()
    landmarks: tuple[Landmark, ...] = ()
    breaks: tuple[int, ...] = ()
    path: str = ""
    repo: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The text around a cursor as a model is shown it: ``typed`` stands between the two others.

    ``start`` is the offset of ``typed`` in the document.
    """

    prefix: str
    typed: str
    suffix: str
    start: int
    scene: Scene = field(default_factory=Scene)

    @property
    def is_long(self) -> bool:
        """Whether the anchor should move when there is time for it."""
        return len(self.typed) > _LONG_CHARACTERS


SceneOf: TypeAlias = Callable[[Split], Scene]
"""Finds what to show beside a new split."""


def _bare(split: Split) -> Scene:
    return Scene()


class Anchors:
    """Remembers for each document where its prompt is split, and with what beside it."""

    def __init__(self) -> None:
        self._splits: OrderedDict[str, Split] = OrderedDict()
        # New ones that were only looked at: the prompt there may be computed by now.
        self._looked: OrderedDict[str, Split] = OrderedDict()
        self._present = ""

    def split(self, uri: str, text: str, cursor: int, scene_of: SceneOf = _bare) -> Split:
        """Split ``text`` for the cursor; the anchor moves only if it no longer fits."""
        split = self.look(uri, text, cursor, scene_of)
        _keep(self._splits, uri, split)
        return split

    def look(self, uri: str, text: str, cursor: int, scene_of: SceneOf = _bare) -> Split:
        """Return what ``split`` would, and leave the anchor where it is."""
        came_back, self._present = uri != self._present, uri
        for held in (self._splits, self._looked):
            anchor = held.get(uri)
            if anchor is None or not _fits(anchor, text, cursor):
                continue
            split = replace(anchor, typed=text[anchor.start : cursor])
            if came_back:
                # What is shown of other documents may have been changed there.
                context = scene_of(split).context
                if context != split.scene.context:
                    split = replace(split, scene=replace(split.scene, context=context))
                    _keep(held, uri, split)
            return split
        split = fresh(text, cursor)
        split = replace(split, scene=scene_of(split))
        _keep(self._looked, uri, split)
        return split

    def move(self, uri: str, split: Split) -> None:
        """Move the anchor of a document: its prompt at the new place is computed."""
        _keep(self._splits, uri, split)

    def forget(self, uri: str) -> None:
        """Forget a document."""
        self._splits.pop(uri, None)
        self._looked.pop(uri, None)

    def forget_all(self) -> None:
        """Forget all documents: what is to be shown beside them is decided anew."""
        self._splits.clear()
        self._looked.clear()


def _keep(held: OrderedDict[str, Split], uri: str, split: Split) -> None:
    held[uri] = split
    held.move_to_end(uri)
    if len(held) > _MAX_DOCUMENTS:
        held.popitem(last=False)


def fresh(text: str, cursor: int) -> Split:
    """Split some whole lines above the cursor.

    Then the model goes on with a text that is under way: that was more often exact than any nearer
    split, and line ends can be typed with the split where it is. A split in the midst of a line is
    the last resort.
    """
    start = _line_start(text, cursor, max(cursor - _MAX_TYPED_CHARACTERS, 0))
    if start is None:
        start = cursor
    else:
        start = _lines_above(text, start, max(cursor - _FRESH_CHARACTERS, 0))
    return Split(
        prefix=_last_lines(text, start),
        typed=text[start:cursor],
        suffix=_first_lines(text, cursor),
        start=start,
    )


def _lines_above(text: str, start: int, least: int) -> int:
    """Return the start of a line some lines above that at ``start``, at ``least`` or behind it."""
    for _ in range(_LINES_ABOVE):
        above = _line_start(text, start - 1, least) if start > least else None
        if above is None:
            break
        start = above
    return start


def _line_start(text: str, offset: int, least: int) -> int | None:
    """Return where the line that holds ``offset`` starts, if that is at ``least`` or behind it."""
    # One character more: a line end right before ``least`` makes a line start there.
    looked = max(least - 1, 0)
    end = max(text.rfind("\n", looked, offset), text.rfind("\r", looked, offset))
    return end + 1 if end >= 0 or least == 0 else None


def _fits(anchor: Split, text: str, cursor: int) -> bool:
    if not anchor.start <= cursor <= anchor.start + _MAX_TYPED_CHARACTERS:
        return False
    # startswith and endswith with bounds compare in place, without a copy of the window.
    if not text.endswith(anchor.prefix, 0, anchor.start):
        return False
    # The model is shown the text without what an editor closed: it writes that, and the cut drops
    # what is there already. The second look is for text that was put behind a suffix that came to
    # the end of the file.
    return any(
        text.startswith(anchor.suffix, end) and _first_lines(text, end) == anchor.suffix
        for end in ends_of_closers(text, cursor)
    )


def _last_lines(text: str, end: int) -> str:
    """Return the whole lines of the window before ``end``, or the window if it has no line end."""
    start = max(end - _WINDOW_CHARACTERS, 0)
    if start == 0:
        return text[:end]
    line_end = text.find("\n", start, end)
    return text[start if line_end < 0 else line_end + 1 : end]


def _first_lines(text: str, start: int) -> str:
    """Return the whole lines of the window after ``start``, or the window without a line end."""
    end = start + _WINDOW_CHARACTERS
    if end >= len(text):
        return text[start:]
    line_end = text.rfind("\n", start, end)
    return text[start : end if line_end < 0 else line_end + 1]
