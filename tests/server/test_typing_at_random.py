"""Somebody types, deletes, jumps and accepts at random: what must hold whatever they do."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midfill_engine.types import CompletionRequest
from midfill_server.pipeline import Completion, Query
from midfill_server.scheduler import SupersededError
from tests.server.desk import Desk, tell, turns

pytestmark = pytest.mark.slow

TRUTH = "def f(a):\n    return g(a, [1])\n\n\nprint(f('x'))\n"

Edit = tuple[str, int]


def oracle(said: list[tuple[str, str]]) -> Callable[[CompletionRequest], str]:
    """Return a script that often knows how the text goes on; what it says is kept in ``said``."""

    def script(request: CompletionRequest) -> str:
        before = request.prefix + request.typed
        luck = zlib.crc32(f"{before}|{request.suffix}".encode())
        tail = before[-4:]
        place = TRUTH.find(tail) if tail else 0
        if luck % 4 == 0 or place < 0:
            text = ("", "a)", "x = (1\ny = 2\n", "  \n")[luck // 4 % 4]
        else:
            text = TRUTH[place + len(tail) :][: luck // 4 % 30]
        if request.max_tokens:
            said.append((before, text))
        return text

    return script


def bare(text: str) -> str:
    """Return ``text`` without what the document decides: line ends, and blanks before them."""
    return re.sub(r"[ \t]*\r?\n", "\n", text)


@dataclass
class Writer:
    """A document, a cursor in it, and the ghost text that is on the screen there."""

    desk: Desk
    said: list[tuple[str, str]]
    line_end: str
    text: str = ""
    cursor: int = 0
    ghost: str = ""
    told: bool = True
    waiting: list[asyncio.Task[Completion]] = field(default_factory=list)

    def insert(self, keys: str, behind: str = "") -> None:
        keys = keys.replace("\n", self.line_end)
        self.text = self.text[: self.cursor] + keys + behind + self.text[self.cursor :]
        self.cursor += len(keys)

    def outside(self, offset: int) -> int:
        """Return ``offset``, or the one before: no editor puts a cursor into a line end."""
        return offset - (self.text[max(offset - 1, 0) : offset + 1] == "\r\n")

    def ask(self) -> asyncio.Task[Completion]:
        shown: list[str] = [""]

        def on_line(line: Completion) -> None:
            assert line.text.startswith(shown[-1])
            shown.append(line.text)

        query = Query(uri="a", text=self.text, cursor=self.cursor)
        return asyncio.ensure_future(self.desk.completer.complete(query, on_line))

    async def look(self) -> None:
        """Ask, and see that the answer is one that the model has given for this place."""
        completion = await self.ask()
        for earlier in await asyncio.gather(*self.waiting, return_exceptions=True):
            assert isinstance(earlier, Completion | SupersededError | asyncio.CancelledError)
        self.waiting.clear()
        self.ghost = completion.text
        # Not one line end of it is another than those of the file; while that had none, a text
        # may have been kept whose line ends could not be known.
        self.told = self.told and "\n" in self.text
        if self.told:
            assert self.ghost.count("\n") == self.ghost.count(self.line_end)
        assert self.line_end == "\r\n" or "\r" not in self.ghost
        whole = bare(self.text[: self.cursor] + self.ghost)
        assert not self.ghost or any(
            whole.startswith(bare(before)) and bare(before + one).startswith(whole)
            for before, text in self.said
            # An indentation that is there is not written once more.
            for one in (text, text.lstrip(" \t"))
        )

    async def do(self, kind: str, number: int) -> None:
        if kind == "along" and self.ghost.strip():
            # One key writes a whole line end.
            key = "\n" if self.ghost.startswith(("\n", "\r\n")) else self.ghost[0]
            rest = self.ghost.removeprefix("\r" if key == "\n" else "").removeprefix(key)
            self.insert(key)
            await self.look()
            # What agrees does not change what is shown.
            assert self.ghost == rest or not rest.strip()
        elif kind == "accept":
            self.insert(self.ghost)
        elif kind == "key":
            self.insert("a(1\n ')"[number % 7])
        elif kind == "bracket":
            self.insert("(['"[number % 3], ")]'"[number % 3])
        elif kind == "delete":
            start = self.outside(max(self.cursor - 1 - number % 4, 0))
            self.text, self.cursor = self.text[:start] + self.text[self.cursor :], start
        elif kind == "jump":
            self.cursor = self.outside(number % (len(self.text) + 1))
            self.desk.completer.rest(Query(uri="a", text=self.text, cursor=self.cursor))
        elif kind == "time":
            self.desk.timers.elapse(number % 3 * 0.12)
        elif kind == "hurry":
            self.waiting.append(self.ask())
            await turns(number % 5)
            if number % 2:
                self.waiting[-1].cancel()
            self.insert("a")
        await self.look()


kinds = st.sampled_from(
    ["along", "along", "along", "accept", "key", "bracket", "delete", "jump", "time", "hurry"]
)


@settings(max_examples=25, deadline=None)
@given(edits=st.lists(st.tuples(kinds, st.integers(0, 200)), max_size=40), crlf=st.booleans())
def test_every_answer_is_one_that_the_model_gave_for_this_text(
    edits: Sequence[Edit], crlf: bool
) -> None:
    said: list[tuple[str, str]] = []

    async def story(desk: Desk) -> None:
        writer = Writer(desk, said, "\r\n" if crlf else "\n", text="\r\n" if crlf else "\n")
        for kind, number in edits:
            await writer.do(kind, number)

    tell(story, oracle(said))
