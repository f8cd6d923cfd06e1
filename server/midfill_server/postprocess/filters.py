"""The filters that a completion goes through, in one table: what, why, and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from midfill_server.postprocess import balance, following, repetition, scope, seam
from midfill_server.postprocess.case import Case
from midfill_server.postprocess.confidence import loses_confidence

__all__ = ["FILTERS", "NEXT_LINE", "Filter", "Stage"]

NEXT_LINE = "next line"
"""The filter whose cut tells that a text has come to what follows."""


class Stage(StrEnum):
    """When a filter is asked."""

    GROWING = "growing"
    """With every piece that comes: what it says depends on nothing that comes later."""
    LINE = "line"
    """With every line that is whole: what it says depends on whole lines only."""
    FINAL = "final"
    """Once, of the text that the others left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """``apply`` returns how many characters of a text stay; 0: nothing of it is worth showing.

    ``first``: it is also asked about the first line alone, before that is shown.
    """

    name: str
    reason: str
    stage: Stage
    apply: Callable[[str, Case], int]
    first: bool = False


def _growing(name: str, reason: str, apply: Callable[[str, Case], int]) -> Filter:
    return Filter(name=name, reason=reason, stage=Stage.GROWING, apply=apply)


def _line(name: str, reason: str, apply: Callable[[str, Case], int]) -> Filter:
    return Filter(name=name, reason=reason, stage=Stage.LINE, apply=apply)


def _final(
    name: str, reason: str, apply: Callable[[str, Case], int], *, first: bool = False
) -> Filter:
    return Filter(name=name, reason=reason, stage=Stage.FINAL, apply=apply, first=first)


FILTERS: tuple[Filter, ...] = (
    _growing("rest of the line", "text follows on the cursor's line", scope.leaves_line),
    _growing("one line", "one line is wanted here", scope.one_line),
    _growing("closed already", "the bracket is closed behind the cursor", balance.closes_again),
    _growing("closes nothing", "nothing has opened this bracket", balance.closes_nothing),
    _growing("block", "less indented than the cursor's block", scope.leaves_block),
    _growing("next unit", "another definition or paragraph begins", scope.next_unit),
    _growing("fence", "the end of a block of Markdown", scope.opens_fence),
    _line(NEXT_LINE, "the next line of the file", following.repeats_next_line),
    _line("equal lines", "the same line over and over", repetition.repeats_lines),
    _line("equal blocks", "the same lines once more", repetition.repeats_blocks),
    _final("half a line", "the text did not come to its end", scope.half_a_line),
    _final("period", "the same characters over and over", repetition.repeats_characters),
    _final("confidence", "the model was not sure of these lines", loses_confidence),
    _final("follows", "what follows the cursor already", following.follows_already, first=True),
    _final("lines below", "says what follows in other words", seam.says_again),
    _final("node closes", "the cursor's block ends before that", seam.leaves_node),
    _final("joint", "what follows goes on well behind an earlier line", seam.joins),
    _final("overlap", "ends with the lines that follow", following.overlaps_end),
    _final("overlap inside", "comes to the line that follows", following.overlaps_inside),
    _final("rest", "ends with what follows the cursor", following.repeats_rest, first=True),
    _final("line above", "the line above once more", following.repeats_above, first=True),
    _final("empty comment", "a comment that says nothing", balance.says_nothing, first=True),
    _final("stray", "punctuation that closes nothing", balance.is_stray, first=True),
)
"""In the order in which they are asked; each final one judges what those before it left."""
