"""Filters for a text that repeats itself."""

from __future__ import annotations

from midfill_server.postprocess.case import Case
from midfill_server.postprocess.lines import is_trivial, lines_of

__all__ = ["repeats_blocks", "repeats_characters", "repeats_lines"]

# A table may have some equal rows; five in a row are a model in a loop (Tabby's figure).
_EQUAL_LINES = 5
# A block is so many lines; the second of two equal ones tells nothing (Tabby's figure).
_BLOCK_LINES = range(2, 11)
# The longest stretch that is looked for, and how much of the text its repetitions must be: short
# ones often are rulers and tables (Copilot's periods, in characters).
_LONGEST_PERIOD = 30
_LEAST_REPETITIONS = 3
_LEAST_CHARACTERS = 45


def repeats_lines(text: str, case: Case) -> int:
    """Return the end of the first of five equal lines in a row."""
    same = 0
    last, end = "", 0
    for line in lines_of(text):
        if line.is_blank:
            continue
        # With its indentation: what closes five blocks is another thing each time.
        whole = case.site.whole(line).rstrip()
        if whole == last:
            same += 1
        else:
            same, last, end = 1, whole, line.stop
        if same >= _EQUAL_LINES and line.ending:
            return end
    return len(text)


def repeats_blocks(text: str, case: Case) -> int:
    """Return the end of the first of two equal blocks of lines that ``text`` ends with."""
    lines = [line for line in lines_of(text) if not line.is_blank and line.ending]
    contents = [line.content.rstrip() for line in lines]
    for size in _BLOCK_LINES:
        first = len(lines) - 2 * size
        if first < 0:
            break
        block = contents[first : first + size]
        if len(set(block)) == 1 or all(map(is_trivial, block)):
            continue
        if block == contents[first + size :]:
            return lines[first + size - 1].stop
    return len(text)


def repeats_characters(text: str, case: Case) -> int:
    """Return the end of the first of some equal stretches that ``text`` ends with."""
    bare = text.rstrip()
    for period in range(1, _LONGEST_PERIOD + 1):
        # Rulers of comments and tables of blanks are meant.
        if is_trivial(bare[-period:]):
            continue
        length = period
        while length < len(bare) and bare[-length - 1] == bare[-length - 1 + period]:
            length += 1
        enough = max(_LEAST_REPETITIONS * period, _LEAST_CHARACTERS)
        if length >= enough:
            return len(bare) - length + period
    return len(text)
