"""Which lines an edit replaced: so places in a document stay where they are in its text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from midfill_server.document import Snapshot

__all__ = ["Edit", "edit_between"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Lines ``first`` to ``old_last`` of a text became ``first`` to ``new_last``; all 0-based."""

    first: int
    old_last: int
    new_last: int

    def moved(self, line: int) -> int | None:
        """Return where a line of the old text is now; ``None`` if the edit touched it."""
        if line < self.first:
            return line
        return None if line <= self.old_last else line + self.new_last - self.old_last


def edit_between(old: Snapshot, new: Snapshot) -> Edit | None:
    """Return the one edit that makes the new text of the old; ``None`` where they are equal."""
    before, after = old.text, new.text
    if before == after:
        return None
    limit = min(len(before), len(after))
    start = _same(limit, lambda low, high: before[low:high] == after[low:high])
    far, near = len(before), len(after)
    behind = _same(
        limit - start,
        lambda low, high: before[far - high : far - low] == after[near - high : near - low],
    )
    return Edit(
        first=old.lines.line_of(start),
        old_last=old.lines.line_of(far - behind),
        new_last=new.lines.line_of(near - behind),
    )


def _same(limit: int, equal: Callable[[int, int], bool]) -> int:
    """Return the length of the longest equal stretch, at most ``limit``."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if equal(low, middle):
            low = middle
        else:
            high = middle - 1
    return low
