"""Filters that compare a text with what stands around the cursor already."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile

from midfill_server.postprocess.brackets import CLOSERS
from midfill_server.postprocess.case import Case
from midfill_server.postprocess.lines import Line, alike, is_trivial, lines_of, within_edits
from midfill_server.postprocess.site import Site
from midfill_server.syntax import join

__all__ = [
    "follows_already",
    "overlaps_end",
    "overlaps_inside",
    "passes_over",
    "repeats_above",
    "repeats_next_line",
    "repeats_rest",
]

# So many characters in a row are the same by accident in no two places (Continue takes as many).
_OVERLAP_CHARACTERS = 20
# The beginning of what follows in so many lines, with so many characters exchanged (Tabby's).
_FIRST_LINES = 3
_EDITS = 0.05
# Comments are prose: a tenth of another one is the same said once more (Continue's).
_COMMENT_EDITS = 0.1
# Lines that are the same as some further down, one or two of them with so many characters in all,
# are that place once more: shorter ones are the same in many places.
_RUN = 2
_RUN_CHARACTERS = 12
_WITHIN_WORD = re.compile(r"\w\w")


def repeats_next_line(text: str, case: Case) -> int:
    """Return where a whole line of ``text`` is the next line of the file."""
    site = case.site
    if not site.next_line:
        return len(text)
    for line in lines_of(text):
        # The last line may still grow: it counts only when its line end has come.
        if line.ending and _is_next(site.whole(line), site) and not _is_missing(text, line, site):
            return line.start
    return len(text)


def passes_over(text: str, case: Case) -> int:
    """Return where ``text`` begins to say in other words what follows the cursor.

    A line that is the third of those that follow, say, had two before it that stand for the first
    two, be they like them or not. One line at least stays.
    """
    lines = [line for line in lines_of(text) if not line.is_blank]
    after = () if case.met or not lines else _of_the_definition(lines[0], case.site)
    whole = [case.site.whole(line).rstrip() for line in lines]
    for at in range(1, len(after)):
        for index in range(1, len(lines)):
            if _is_same_place(whole[index:], after[at:]):
                return lines[max(index - at, 1) - 1].stop
    return len(text)


def _of_the_definition(first: Line, site: Site) -> Sequence[str]:
    """Return the lines that follow within the definition that ``first`` is in.

    Those of the next one may be alike for good reasons.
    """
    at = site.width(site.whole(first))
    outside = next((width for width in site.definition_widths if width < at), None)
    if outside is None:
        return site.after_lines
    return tuple(takewhile(lambda line: site.width(line) > outside, site.after_lines))


def _is_same_place(lines: Sequence[str], others: Sequence[str]) -> bool:
    """Whether the first of two runs of lines are the same, and no accident."""
    same = 0
    for line, other in zip(lines[:_RUN], others[:_RUN], strict=False):
        if line.strip() != other.strip():
            break
        same += len(line.strip())
    return same >= _RUN_CHARACTERS


def repeats_rest(text: str, case: Case) -> int:
    """Return where an end of ``text`` repeats what follows the cursor on its line or the next.

    With its leading blank: "a + b" before " + b" should leave "a", not "a ". Closing brackets are
    not among it: whether they repeat is seen from what they close.
    """
    site = case.site
    *_, last = lines_of(text)
    if site.next_line and _is_next(site.whole(last), site) and not _is_missing(text, last, site):
        return last.start
    if not site.rest or site.rest[0] in CLOSERS:
        return len(text)
    if site.open_quote and site.rest.startswith(site.open_quote):
        # A quote within the string is none that ends it.
        return len(text)
    bare = text.rstrip()
    # The text may have been cut where it closes a bracket that is closed there as well.
    unclosed = site.rest.rstrip(f"{CLOSERS};")
    ends = (site.line_after.rstrip(), site.rest, unclosed if is_trivial(unclosed[:1]) else "")
    for end in ends:
        start = len(bare) - len(end)
        parts_word = start > 0 and _WITHIN_WORD.match(bare, start - 1)
        if end and bare.endswith(end) and not parts_word:
            return start
    return len(text)


def overlaps_end(text: str, case: Case) -> int:
    """Return where the end of ``text`` is the beginning of the lines that follow, as many as are.

    The last of them may be unfinished.
    """
    lines = [line for line in lines_of(text) if not line.is_blank]
    after = case.site.after_lines
    for count in range(min(len(lines), len(after)), 0, -1):
        first = len(lines) - count
        mine = [case.site.whole(line).rstrip() for line in lines[first:]]
        if count == 1 and is_trivial(mine[0]):
            continue
        unfinished = count > 1 and after[count - 1].startswith(mine[-1])
        if mine[:-1] == list(after[: count - 1]) and (mine[-1] == after[count - 1] or unfinished):
            return lines[first].start
    return len(text)


def overlaps_inside(text: str, case: Case) -> int:
    """Return where ``text`` comes to the beginning of what follows the cursor's line.

    Looked for behind the first line: there a likeness is another call of the same.
    """
    beginning = " ".join(case.site.next_line.split())[:_OVERLAP_CHARACTERS]
    if len(beginning) < _OVERLAP_CHARACTERS or is_trivial(beginning):
        return len(text)
    for index, line in enumerate(lines_of(text)):
        same = " ".join(line.content.split()).startswith(beginning)
        if index and same and alike(line.content, case.site.next_line):
            return line.start
    return len(text)


def follows_already(text: str, case: Case) -> int:
    """Drop ``text`` if its first lines are those that follow, but for a few characters."""
    site = case.site
    lines = [line for line in lines_of(text) if not line.is_blank][:_FIRST_LINES]
    after = site.after_lines[: len(lines)]
    if not lines or len(after) < len(lines):
        return len(text)
    mine = [site.whole(line).strip() for line in lines]
    theirs = [line.strip() for line in after]
    if len(lines) == 1:
        # One line more that is nearly the next: mostly it is a sibling, which is as it should be.
        same = _is_next(site.whole(lines[0]), site) and not _is_missing(text, lines[0], site)
        return 0 if same else len(text)
    ours, those = "\n".join(mine), "\n".join(theirs)
    most = max(1, int(_EDITS * len(those)))
    same = _signs(ours) == _signs(those) and within_edits(ours, those, most)
    return 0 if same and not case.met else len(text)


def repeats_above(text: str, case: Case) -> int:
    """Drop ``text`` if its first line is the line above once more."""
    site = case.site
    first = next((line for line in lines_of(text) if not line.is_blank), None)
    if first is None or not site.before_lines:
        return len(text)
    at_end_of_line = first.start > 0 and not site.is_empty_line
    above = site.line_before.rstrip() if at_end_of_line else site.before_lines[-1]
    mine = site.whole(first).rstrip()
    return 0 if mine == above and not is_trivial(mine) else len(text)


def _signs(text: str) -> str:
    """Return what no typing error changes; rows of a table differ in it and in little else."""
    return "".join(sign for sign in text if not (sign.isalpha() or sign.isspace()))


def _is_next(line: str, site: Site) -> bool:
    """Whether ``line`` says what the next line of the file says."""
    ours, theirs = line.rstrip(), site.next_line
    if ours == theirs:
        return True
    if site.width(ours) != site.width(theirs):
        return False
    marker = site.language.line_comment if site.language else ""
    if marker and ours.lstrip().startswith(marker) and theirs.lstrip().startswith(marker):
        return within_edits(ours, theirs, int(_COMMENT_EDITS * len(theirs)))
    return not is_trivial(ours) and alike(ours, theirs)


def _is_missing(text: str, line: Line, site: Site) -> bool:
    """Whether a line of brackets is one that the file lacks, although the next looks like it."""
    if site.tree is None or not site.tree.errors or not is_trivial(line.content):
        return False
    joined = join(site.tree, site.cursor, text[: line.stop])
    return joined is not None and joined.new_errors < 0
