"""Plays scripts to typists, in turns, and notes what each keystroke brought."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import psutil

from benchmarks.typing_scripts import Edit, Script

__all__ = [
    "Keystroke",
    "PacedKeystroke",
    "Played",
    "Processor",
    "Shown",
    "Typist",
    "play",
    "type_turn",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What is on the screen after a keystroke, and what it cost.

    ``text`` is the complete ghost text, from the cursor on; ``""`` if there is none. ``first_ms``:
    from the keystroke to the first text, or to the answer that there is none. ``source`` is how
    the text was had; only ``model`` and ``joined`` mean that a model had to compute first. Of the
    ``prompt_tokens``, the ``prefilled_tokens`` were computed for this answer.
    """

    text: str
    first_ms: float
    complete_ms: float
    source: str = "model"
    prompt_tokens: int = 0
    prefilled_tokens: int = 0
    generated_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Keystroke:
    """One key and what it brought.

    ``expected`` is what should be left of the text that was on the screen, if the key agreed with
    it; ``None`` if it did not, or nothing was there. ``rested``: it was the first key at a place
    where the cursor had rested.
    """

    typed: str
    shown: Shown
    expected: str | None = None
    rested: bool = False

    @property
    def needed_model(self) -> bool:
        """Whether a model had to compute before the text was complete."""
        return self.shown.source in ("model", "joined")

    @property
    def along(self) -> bool:
        """Whether the key followed the text on the screen, and some of that is left."""
        return bool(self.expected)

    @property
    def flickered(self) -> bool:
        """Whether the text on the screen changed although the key agreed with it.

        More text at its end is no change.
        """
        return self.along and not self.shown.text.startswith(self.expected or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class PacedKeystroke:
    """A key that did not wait for the one before; ``None`` where the next key came first."""

    complete_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What one typist saw of one script.

    ``keys`` has one entry for each key after which an editor asks, ``None`` where this one does
    not. ``cpu_s`` covers its server's work afterwards, too.
    """

    script: Script
    keys: tuple[Keystroke | None, ...]
    cpu_s: float

    @property
    def keystrokes(self) -> list[Keystroke]:
        """The keys after which it asked."""
        return [key for key in self.keys if key is not None]


class Typist(Protocol):
    """An editor with its server, into which keys are typed one at a time."""

    @property
    def name(self) -> str:
        """Which one it is."""
        ...

    @property
    def processor(self) -> Processor:
        """What its server uses of the machine."""
        ...

    def open(self, script: Script) -> None:
        """Open the script's file."""
        ...

    def type(self, edit: Edit) -> Shown | None:
        """Make the edit and wait for the complete text; ``None`` if it does not ask here."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class Processor:
    """Processor time and memory of a server's process."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)

    @property
    def used_s(self) -> float:
        """Seconds of all cores together, since the process began."""
        times = self._process.cpu_times()
        return times.user + times.system

    def settle(self, *, limit_s: float = 5.0, window_s: float = 0.15) -> None:
        """Wait until the process is at rest, or ``limit_s`` are over.

        Work that goes on behind an answer would slow the other server down, and belongs to the
        one that began it.
        """
        end_s = time.monotonic() + limit_s
        while time.monotonic() < end_s:
            before_s = self.used_s
            time.sleep(window_s)
            # The clock of processor time ticks a hundred times a second.
            if self.used_s - before_s < 0.015:
                return

    def idle_percent(self, seconds: float) -> float:
        """Measure for so long; return per cent of one core."""
        before_s = self.used_s
        time.sleep(seconds)
        return (self.used_s - before_s) / seconds * 100


def play(script: Script, typists: Sequence[Typist]) -> list[Played]:
    """Let each typist make the whole script, turn by turn; who begins changes with the turn."""
    found: dict[str, list[Keystroke | None]] = {typist.name: [] for typist in typists}
    cpu_s = dict.fromkeys(found, 0.0)
    for number, turn in enumerate(script.turns):
        order = list(typists) if number % 2 == 0 else list(reversed(typists))
        for typist in order:
            before_s = typist.processor.used_s
            if number == 0:
                typist.open(script)
            found[typist.name] += type_turn(turn, typist)
            typist.processor.settle()
            cpu_s[typist.name] += typist.processor.used_s - before_s
    for typist in typists:
        typist.close()
    return [
        Played(script=script, keys=tuple(found[typist.name]), cpu_s=cpu_s[typist.name])
        for typist in typists
    ]


def type_turn(turn: Sequence[Edit], typist: Typist) -> list[Keystroke | None]:
    """Make the edits one after the other; return an entry for each after which one asks."""
    keys: list[Keystroke | None] = []
    text, cursor = "", None
    for edit in turn:
        follows = edit.deleted == 0 and edit.offset == cursor
        agrees = follows and text != "" and text.startswith(edit.inserted)
        expected = text[len(edit.inserted) :] if agrees else None
        shown = typist.type(edit)
        cursor = edit.offset + len(edit.inserted)
        text = shown.text if shown is not None else ""
        if not edit.asks:
            continue
        if shown is None:
            keys.append(None)
            continue
        rested = edit.rest_s > 0
        keys.append(Keystroke(typed=edit.inserted, shown=shown, expected=expected, rested=rested))
    return keys
