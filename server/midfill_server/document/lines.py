"""Where the lines of a text begin, kept up to date by edits without a new scan."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

__all__ = ["LineTable"]

# LSP knows these three line ends only. str.splitlines would also split at form feeds and U+2028,
# after which every position behind them is on the wrong line.
_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class LineTable:
    """Offsets (in code points) at which the lines of one text start; the first is always 0."""

    starts: tuple[int, ...]
    length: int

    @classmethod
    def of(cls, text: str) -> LineTable:
        """Scan ``text``."""
        starts = (0, *(match.end() for match in _LINE_END.finditer(text)))
        return cls(starts=starts, length=len(text))

    def edited(self, new_text: str, start: int, old_end: int) -> LineTable:
        """Return the table of ``new_text``, which differs from the old text in one place.

        ``[start, old_end)`` of the old text was replaced; how long the replacement is follows from
        the lengths. Only the neighbourhood of the edit is scanned.
        """
        delta = len(new_text) - self.length
        new_end = old_end + delta
        # An inserted "\n" may complete a lone "\r" just before it, so the scan begins with the
        # line that holds the character before the edit.
        kept = bisect_right(self.starts, max(start - 1, 0))
        # A start behind old_end follows a line end that the edit did not touch.
        tail = self.starts[bisect_right(self.starts, old_end) :]
        # One character more than the edit is looked at, since it may turn "\r" into "\r\n".
        fresh = [
            match.end()
            for match in _LINE_END.finditer(new_text, self.starts[kept - 1], new_end + 1)
            if match.end() <= new_end
        ]
        shifted = [offset + delta for offset in tail] if delta else tail
        return LineTable(starts=(*self.starts[:kept], *fresh, *shifted), length=len(new_text))

    def line_of(self, offset: int) -> int:
        """Return the 0-based line that holds ``offset``."""
        return bisect_right(self.starts, offset) - 1

    def span(self, line: int, text: str) -> tuple[int, int]:
        """Return where the content of ``line`` starts and ends, its line end left out."""
        start = self.starts[line]
        if line + 1 == len(self.starts):
            return start, self.length
        end = self.starts[line + 1] - 1
        if end > start and text[end] == "\n" and text[end - 1] == "\r":
            end -= 1
        return start, end
