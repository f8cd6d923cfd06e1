"""Where the lines of a text begin, kept up to date by edits without a new scan."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

__all__ = ["LineTable"]

# LSP knows these three line ends only. str.splitlines would also split at form feeds and U+2028,
# after which every position behind them is on the wrong line.
_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LineTable:
    """Offsets (in code points) at which the lines of one text start; the first is always 0.

    Line ``n`` starts at ``base[n]``, and ``moved_by`` further on if it is ``moved_from`` or one
    behind it. So a key changes one number and not the starts of all lines behind the cursor. One
    text has many tables, hence no equality.
    """

    base: tuple[int, ...]
    moved_from: int
    moved_by: int
    length: int

    @classmethod
    def of(cls, text: str) -> LineTable:
        """Scan ``text``."""
        starts = (0, *(match.end() for match in _LINE_END.finditer(text)))
        return cls(base=starts, moved_from=len(starts), moved_by=0, length=len(text))

    @property
    def count(self) -> int:
        """How many lines there are; at least one."""
        return len(self.base)

    def edited(self, new_text: str, start: int, old_end: int) -> LineTable:
        """Return the table of ``new_text``, which differs from the old text in one place.

        ``[start, old_end)`` of the old text was replaced; how long the replacement is follows from
        the lengths. Only the neighbourhood of the edit is scanned.
        """
        delta = len(new_text) - self.length
        new_end = old_end + delta
        # An inserted "\n" may complete a lone "\r" just before it, so the scan begins with the
        # character before the edit.
        before = max(start - 1, 0)
        kept = self.line_of(before) + 1
        # A start behind old_end follows a line end that the edit did not touch.
        tail = self.line_of(old_end) + 1
        # One character more than the edit is looked at, since it may turn "\r" into "\r\n".
        fresh = tuple(
            match.end()
            for match in _LINE_END.finditer(new_text, before, new_end + 1)
            if match.end() <= new_end
        )
        base = self._base_moved_from(tail)
        # Most edits stay within a line: the two tables can share their starts.
        if fresh != base[kept:tail]:
            base = base[:kept] + fresh + base[tail:]
        return LineTable(
            base=base,
            moved_from=kept + len(fresh),
            moved_by=self.moved_by + delta,
            length=len(new_text),
        )

    def start_of(self, line: int) -> int:
        """Return where ``line`` starts; an ``IndexError`` if there is no such line."""
        return self.base[line] + (self.moved_by if line >= self.moved_from else 0)

    def line_of(self, offset: int) -> int:
        """Return the 0-based line that holds ``offset``."""
        behind = bisect_right(self.base, offset, 0, self.moved_from)
        if behind == self.moved_from:
            behind = bisect_right(self.base, offset - self.moved_by, behind)
        return behind - 1

    def span(self, line: int, text: str) -> tuple[int, int]:
        """Return where the content of ``line`` starts and ends, its line end left out."""
        start = self.start_of(line)
        if line + 1 == self.count:
            return start, self.length
        end = self.start_of(line + 1) - 1
        if end > start and text[end] == "\n" and text[end - 1] == "\r":
            end -= 1
        return start, end

    def _base_moved_from(self, line: int) -> tuple[int, ...]:
        """Return the base of the same table if it were moved from ``line`` on."""
        base, low, high, moved_by = self.base, self.moved_from, line, self.moved_by
        if high < low:
            low, high, moved_by = high, low, -moved_by
        if low == high or moved_by == 0:
            return base
        # Only the lines between the two places change, and few are between two edits.
        return base[:low] + tuple(start + moved_by for start in base[low:high]) + base[high:]
