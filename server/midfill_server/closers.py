"""Brackets and quotes that an editor puts behind the cursor by itself while somebody types."""

from __future__ import annotations

import re

__all__ = ["ends_of_closers"]

_CLOSERS = re.compile(r"[)\]}>'\"`]{1,8}")


def ends_of_closers(text: str, cursor: int) -> range:
    """Return the offsets at which what an editor may have put behind ``cursor`` can end.

    The first is ``cursor`` itself: it may have put nothing there. More than eight have not come by
    themselves.
    """
    found = _CLOSERS.match(text, cursor)
    return range(cursor, (found.end() if found else cursor) + 1)
