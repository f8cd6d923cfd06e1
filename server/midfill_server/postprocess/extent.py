"""How much is offered: the line that the cursor is in, one more line, or a block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from midfill_server.postprocess.site import Length, Site
from midfill_server.syntax import Kind

__all__ = ["RULES", "Extent", "Rule", "extent_of", "opens_block"]

_OPENERS = (":", "{", "(", "[", "=>", "->")
_OPENING_WORDS = ("then", "do", "else", "begin")


class Extent(StrEnum):
    """How much of a generated text is wanted."""

    LINE = "line"
    """What completes the cursor's line; where that is complete, one more line."""
    BLOCK = "block"
    """As many lines as belong together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """``extent`` is right wherever ``holds``; ``reason`` is for people."""

    extent: Extent
    reason: str
    holds: Callable[[Site], bool]


RULES: tuple[Rule, ...] = (
    Rule(
        extent=Extent.LINE,
        reason="text follows on the line",
        holds=lambda site: bool(site.rest.strip(")]}>'\"`;,:")),
    ),
    Rule(
        extent=Extent.LINE, reason="only lines are wanted", holds=lambda s: s.length is Length.LINE
    ),
    Rule(extent=Extent.BLOCK, reason="blocks are wanted", holds=lambda s: s.length is Length.BLOCK),
    Rule(
        extent=Extent.LINE,
        reason="in a comment",
        # Somebody who writes a comment judges it line by line; code in comments is no block.
        holds=lambda s: s.place.kind is Kind.COMMENT,
    ),
    Rule(
        extent=Extent.LINE,
        reason="in a string",
        holds=lambda s: s.place.kind is Kind.STRING or bool(s.open_quote),
    ),
    Rule(
        extent=Extent.BLOCK,
        reason="in an empty block",
        holds=lambda s: s.place.kind is Kind.EMPTY_BLOCK and s.is_empty_line,
    ),
    Rule(extent=Extent.BLOCK, reason="on an empty line", holds=lambda s: s.is_empty_line),
    Rule(
        extent=Extent.BLOCK,
        reason="behind the beginning of a block",
        holds=lambda s: opens_block(s.line_before) or s.place.kind is Kind.EMPTY_BLOCK,
    ),
    Rule(extent=Extent.LINE, reason="in the midst of a line", holds=lambda s: True),
)
"""In this order; the first that holds decides. The last always does."""


def extent_of(site: Site) -> Rule:
    """Return the rule that decides how much is wanted at ``site``."""
    return next(rule for rule in RULES if rule.holds(site))


def opens_block(line: str) -> bool:
    """Whether what follows ``line`` is inside of it, as far as its end tells."""
    bare = line.rstrip()
    return bare.endswith(_OPENERS) or bare.rpartition(" ")[2].strip() in _OPENING_WORDS
