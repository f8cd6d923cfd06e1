"""Where somebody worked lately: the places that were edited or looked at, as their text is now."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from midfill_server.context.edits import Edit, edit_between
from midfill_server.context.passages import MAX_LINES, Lines, block_around, words_of
from midfill_server.document import Snapshot
from midfill_server.syntax import language_of

__all__ = ["RecentPlace", "RecentPlaces"]

_MAX_PLACES = 24
_MAX_CLOSED = 16
# Places so near to each other are one.
_NEAR_LINES = 15
# A text that is larger is hardly one that somebody writes, and not worth to be kept.
_MAX_CHARACTERS = 512 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentPlace:
    """Lines of a document, 0-based, the last one included, and when somebody was there last.

    ``text`` is that of the block around them, at most sixty lines, and starts at ``text_line``;
    ``words`` are the names in it.
    """

    uri: str
    language_id: str
    first_line: int
    last_line: int
    when_s: float
    edited: bool
    text_line: int = 0
    text: str = ""
    words: frozenset[str] = frozenset()


class RecentPlaces:
    """The last places in all documents, those of closed ones included. Belongs to one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: dict[str, Snapshot] = {}
        self._closed: OrderedDict[str, Snapshot] = OrderedDict()
        # The latest is at the end.
        self._places: list[RecentPlace] = []
        self._told: dict[RecentPlace, tuple[Snapshot, RecentPlace]] = {}

    def opened(self, snapshot: Snapshot) -> None:
        """Know a document, its places from before it was closed included."""
        self._closed.pop(snapshot.uri, None)
        self._open[snapshot.uri] = snapshot

    def changed(self, snapshot: Snapshot) -> Edit | None:
        """Take the document as it is now; returns what was edited, ``None`` for nothing."""
        old = self._open.get(snapshot.uri)
        self._open[snapshot.uri] = snapshot
        edit = None if old is None else edit_between(old, snapshot)
        if edit is not None:
            self._places = [_moved(place, edit, snapshot.uri) for place in self._places]
            self._add(snapshot, edit.first, edit.new_last, edited=True)
        return edit

    def visited(self, uri: str, line: int) -> None:
        """Hear that the cursor rests in a line."""
        snapshot = self._open.get(uri)
        if snapshot is not None:
            self._add(snapshot, line, line, edited=False)

    def closed(self, uri: str) -> None:
        """Keep the text of a closed document for a while, if somebody was there."""
        snapshot = self._open.pop(uri, None)
        if snapshot is None or all(place.uri != uri for place in self._places):
            return
        self._closed[uri] = snapshot
        if len(self._closed) > _MAX_CLOSED:
            gone, _ = self._closed.popitem(last=False)
            self._places = [place for place in self._places if place.uri != gone]

    def places(self, *, without: str = "") -> Iterator[RecentPlace]:
        """Yield the places with their texts, the latest first, none in the document ``without``."""
        if len(self._told) > 4 * _MAX_PLACES:
            # Each holds a text. Not at the end: who has enough does not come to it.
            self._told.clear()
        for place in reversed(self._places):
            snapshot = self._open.get(place.uri) or self._closed.get(place.uri)
            if place.uri == without or snapshot is None:
                continue
            told = self._told.get(place)
            if told is None or told[0] is not snapshot:
                told = self._told[place] = snapshot, _with_text(place, snapshot)
            yield told[1]

    def snapshots(self) -> tuple[Snapshot, ...]:
        """Return the documents that are open, as they are now."""
        return tuple(self._open.values())

    def _add(self, snapshot: Snapshot, first: int, last: int, *, edited: bool) -> None:
        if len(snapshot.text) > _MAX_CHARACTERS:
            return
        # A whole file that was put in is no place: only where its end was typed is.
        first = max(first, last - _NEAR_LINES)
        near = [
            place
            for place in self._places
            if place.uri == snapshot.uri
            and place.first_line - _NEAR_LINES <= last
            and first <= place.last_line + _NEAR_LINES
            and (edited or not place.edited)
        ]
        if not edited and any(
            place.uri == snapshot.uri
            and place.edited
            and place.first_line <= first <= place.last_line
            for place in self._places
        ):
            return
        for place in near:
            # A place that grows with every edit would become the whole file.
            if place.edited and max(last, place.last_line) - min(first, place.first_line) < 40:
                first, last = min(first, place.first_line), max(last, place.last_line)
            self._places.remove(place)
        self._places.append(
            RecentPlace(
                uri=snapshot.uri,
                language_id=snapshot.language_id,
                first_line=first,
                last_line=last,
                when_s=self._clock(),
                edited=edited,
            )
        )
        del self._places[:-_MAX_PLACES]


def _with_text(place: RecentPlace, snapshot: Snapshot) -> RecentPlace:
    # A large file need not be split into lines as a whole for a few of them.
    top = max(place.first_line - 2 * MAX_LINES, 0)
    bottom = min(place.last_line + 2 * MAX_LINES, snapshot.lines.count - 1)
    top = min(top, bottom)
    start, (_, end) = snapshot.lines.start_of(top), snapshot.lines.span(bottom, snapshot.text)
    lines = Lines.of(snapshot.text[start:end])
    block = block_around(lines, place.first_line - top, place.last_line - top)
    text = lines.text(block.start, block.stop).strip("\r\n") + "\n"
    words = words_of(text, language_of(place.language_id, place.uri))
    return replace(place, text_line=top + block.start, text=text, words=words)


def _moved(place: RecentPlace, edit: Edit, uri: str) -> RecentPlace:
    """Return where a place is after an edit of ``uri``; what was replaced shrinks to its start."""
    if place.uri != uri:
        return place
    first, last = edit.moved(place.first_line), edit.moved(place.last_line)
    first = edit.first if first is None else first
    last = edit.new_last if last is None else last
    return replace(place, first_line=first, last_line=max(first, last))
