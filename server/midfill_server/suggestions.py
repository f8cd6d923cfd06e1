"""What was suggested lately, and what of it is still right after some more keys.

Most keys that are typed along a suggestion agree with it: the rest of it is the answer, with no
work for the model. The same store gives the longer text back after a backspace, knows a generation
that is still running for the state that the cursor is in, and holds what was computed ahead.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from midfill_engine.types import FinishReason
from midfill_server.closers import ends_of_closers

__all__ = ["Suggestion", "Suggestions"]

_MOST = 250

# So much around a place must be as it was; an edit further away changes no suggestion.
_BEFORE_CHARACTERS = 2048
_AFTER_CHARACTERS = 1024

_LINE_END = re.compile(r"\r?\n")
_OPENER_OF = {")": "(", "]": "[", "}": "{", ">": "<"}


@dataclass(slots=True, kw_only=True, eq=False)
class Suggestion:
    """One generation: where it was asked for, and its text, which grows until it is ``done``.

    ``text`` is what is shown of it. ``ahead``: it was computed before anybody asked. ``finish`` is
    ``None`` while it grows, and after it failed. ``sureness`` is how probably its first line is
    right.
    """

    uri: str
    start: int
    before: str
    after: str
    ahead: bool = False
    text: str = ""
    done: bool = False
    finish: FinishReason | None = None
    model_id: str = ""
    hidden: int = 0
    sureness: float | None = None

    @classmethod
    def at(cls, uri: str, text: str, cursor: int, *, ahead: bool = False) -> Suggestion:
        """Begin a suggestion for the cursor of a text."""
        return cls(
            uri=uri,
            start=cursor,
            before=text[max(cursor - _BEFORE_CHARACTERS, 0) : cursor],
            after=text[cursor : cursor + _AFTER_CHARACTERS],
            ahead=ahead,
        )

    def rest(self, text: str, cursor: int) -> str | None:
        """Return what of it is right at the cursor of ``text``; ``None`` if it is not right there.

        While it grows, ``""`` may also mean that it has not come to the cursor yet.
        """
        # Twice, since what an editor inserts for a line end is what its file has.
        if cursor < self.start or (self.done and cursor - self.start > 2 * len(self.text)):
            return None
        typed = text[self.start : cursor].replace("\r\n", "\n")
        shown = self.text.replace("\r\n", "\n")
        agrees = shown.startswith(typed)
        if not agrees and (self.done or not typed.startswith(shown)):
            return None
        closers = self._closers(text, cursor)
        if closers is None or not agrees:
            return None if closers is None else ""
        line_ends = _LINE_END.findall(self.text)[: typed.count("\n")]
        rest = self.text[len(typed) + "".join(line_ends).count("\r") :]
        if self.hides(cursor):
            return ""
        return _until_closed(rest, closers[0]) if closers else rest

    def hides(self, cursor: int) -> bool:
        """Whether it is known there, and too doubtful to be shown."""
        return self.start <= cursor < self.start + self.hidden

    def _closers(self, text: str, cursor: int) -> str | None:
        """Return what an editor has put behind the cursor since; ``None`` at another place."""
        if not text.endswith(self.before, 0, self.start):
            return None
        for end in ends_of_closers(text, cursor):
            whole = len(self.after) == _AFTER_CHARACTERS or end + len(self.after) == len(text)
            if whole and text.startswith(self.after, end):
                return text[cursor:end]
        return None


class Suggestions:
    """The last suggestions of all documents; belongs to the event loop's thread."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._held: OrderedDict[int, Suggestion] = OrderedDict()
        self._next = 0

    def add(self, suggestion: Suggestion) -> None:
        """Remember a suggestion; the one that was useful least lately makes room for it."""
        self._held[self._next] = suggestion
        self._next += 1
        while len(self._held) > self._most:
            self._held.popitem(last=False)

    def learn(self, uri: str, text: str, cursor: int, said: Sequence[str], model_id: str) -> None:
        """Remember several whole texts for one place; the first one is what is found there."""
        for one in reversed(said):
            suggestion = Suggestion.at(uri, text, cursor)
            suggestion.text, suggestion.model_id = one, model_id
            suggestion.done, suggestion.finish = True, FinishReason.STOP
            if one:
                self.add(suggestion)

    def find(self, uri: str, text: str, cursor: int) -> Suggestion | None:
        """Return the latest suggestion with something to say at the cursor of ``text``.

        One that says "nothing" says so where it was asked for, and nowhere else: once all of a
        suggestion is typed, what follows it is another question.
        """
        for key, suggestion in reversed(self._held.items()):
            if suggestion.uri != uri:
                continue
            rest = suggestion.rest(text, cursor)
            if rest is None:
                continue
            nothing_there = (
                not suggestion.text and cursor == suggestion.start
            ) or suggestion.hides(cursor)
            if rest.strip() or not suggestion.done or nothing_there:
                self._held.move_to_end(key)
                return suggestion
        return None

    def latest(self, uri: str, cursor: int) -> Suggestion | None:
        """Return the one that was made or useful last, of those that begin before the cursor."""
        newest = reversed(self._held.values())
        return next((held for held in newest if held.uri == uri and held.start <= cursor), None)

    def drop(self, suggestion: Suggestion) -> None:
        """Forget a suggestion that came to nothing."""
        for key, held in self._held.items():
            if held is suggestion:
                del self._held[key]
                return

    def forget(self, uri: str | None = None) -> None:
        """Forget those of one document, or of all."""
        for key, held in list(self._held.items()):
            if uri is None or held.uri == uri:
                del self._held[key]


def _until_closed(rest: str, closer: str) -> str:
    """Cut ``rest`` where it closes what the editor has closed already."""
    depth, escaped = 0, False
    for index, character in enumerate(rest):
        if escaped:
            escaped = False
        elif character == closer:
            if depth == 0:
                return rest[:index].rstrip("\r\n")
            depth -= 1
        elif character == _OPENER_OF.get(closer):
            depth += 1
        else:
            escaped = character == "\\"
    return rest
