"""Where code goes that a comment or docstring asks for."""

from __future__ import annotations

import re

from midfill_server.fixing import TextEdit
from midfill_server.syntax import Kind, Language, SyntaxTree, outside_of_text, place_at

__all__ = ["place_for_code"]

_PROSE = frozenset({Kind.COMMENT, Kind.DOCSTRING})
_EOL = re.compile(r"\r\n|\n|\r")


def place_for_code(
    text: str, cursor: int, tree: SyntaxTree | None, language: Language | None
) -> TextEdit | None:
    """Return the edit after which code can be written, in a line of its own below the prose.

    The prose is what the cursor is in, on the line of, or right below. ``None``: there is none.
    """
    start, end = _line(text, cursor)
    if not text[start:end].strip() and start:
        # Below the prose somebody has made room already.
        above = _end_of_prose(text, start - 1, tree, language)
        return None if above is None else TextEdit(start=cursor, end=cursor, new="")
    prose_end = _end_of_prose(text, cursor, tree, language)
    if prose_end is None:
        return None
    start, end = _line(text, prose_end)
    line = text[start:end]
    indent = line[: len(line) - len(line.lstrip())]
    found = _EOL.search(text)
    return TextEdit(start=end, end=end, new=(found[0] if found else "\n") + indent)


def _end_of_prose(
    text: str, cursor: int, tree: SyntaxTree | None, language: Language | None
) -> int | None:
    """Return where the comments or the docstring end that are on the line of ``cursor``."""
    start, end = _line(text, cursor)
    marker = language.line_comment if language is not None else ""
    if marker and text[start:end].lstrip().startswith(marker):
        while end < len(text):
            below = _line(text, _below(text, end))
            if below[0] <= end or not text[slice(*below)].lstrip().startswith(marker):
                break
            end = below[1]
        return end
    if tree is None:
        return None
    # Behind its last quote the cursor is in it no more, and means it all the same.
    last = start + len(text[start:end].rstrip()) - 1
    for at in (cursor, last, last - 2):
        if start < at < end and place_at(tree, text, at).kind in _PROSE:
            return outside_of_text(tree, at)
    return None


def _line(text: str, offset: int) -> tuple[int, int]:
    """Return where the content of a line starts and ends."""
    start = max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1
    found = _EOL.search(text, max(offset, start))
    return start, found.start() if found else len(text)


def _below(text: str, end: int) -> int:
    found = _EOL.match(text, end)
    return found.end() if found else end
