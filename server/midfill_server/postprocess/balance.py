"""Filters for brackets, quotes and stray punctuation."""

from __future__ import annotations

import re

from midfill_server.postprocess.brackets import (
    CLOSERS,
    OPENER_OF,
    OPENERS,
    brackets,
    unmatched,
)
from midfill_server.postprocess.case import Case
from midfill_server.postprocess.lines import is_trivial
from midfill_server.postprocess.site import Site
from midfill_server.syntax import join

__all__ = ["closes_again", "closes_nothing", "is_stray", "says_nothing"]

# A text shorter than that without a word is punctuation (Tabby's figure).
_STRAY_CHARACTERS = 4
# Their patterns end with brackets that nothing opens.
_UNOPENED = frozenset({"shellscript"})
# So begins a line of an enumeration.
_ITEM = re.compile(r"\s*\w{1,3}")


def closes_again(text: str, case: Case) -> int:
    """Return where ``text`` closes the bracket that the text after the cursor closes already."""
    site = case.site
    if site.open_quote and site.rest.startswith(site.open_quote):
        return _closes_string(text, site.open_quote)
    awaited, _ = unmatched(site.rest, site.language, site.open_quote)
    if not awaited:
        return len(text)
    opened = unmatched(site.line_before, site.language)[1]
    # What the line opened beyond that is for the completion to close.
    free = max(len(opened) - len(awaited), 0)
    depth = 0
    *found, _ = brackets(text, site.language, site.open_quote)
    for index, character in found:
        if character in OPENERS:
            depth += 1
        elif depth:
            depth -= 1
        elif free:
            free -= 1
        elif character == awaited[0]:
            return index
    return len(text)


def _closes_string(text: str, quote: str) -> int:
    escaped = False
    for index, character in enumerate(text):
        if not escaped and text.startswith(quote, index):
            return index
        escaped = character == "\\" and not escaped
    return len(text)


def closes_nothing(text: str, case: Case) -> int:
    """Return where ``text`` closes a round or square bracket that nothing has opened.

    Braces close what was opened far above, beyond what is looked at; so do brackets that begin a
    line.
    """
    site = case.site
    if site.is_prose or (site.language is not None and site.language.id in _UNOPENED):
        return len(text)
    opened = list(site.open_brackets)
    *found, _ = brackets(text, site.language, site.open_quote)
    for index, character in found:
        if character in OPENERS:
            opened.append(character)
        elif OPENER_OF[character] in opened:
            while opened.pop() != OPENER_OF[character]:
                pass
        elif character != "}" and not _may_close_afar(text, index, site):
            return index
    return len(text)


def _may_close_afar(text: str, index: int, site: Site) -> bool:
    """Whether a bracket may close what cannot be seen, or is the sign of an item."""
    start = max(text.rfind("\n", 0, index), text.rfind("\r", 0, index)) + 1
    head = text[start:index] if start else site.line_before + text[:index]
    if not head.strip():
        return len(site.before) < site.cursor
    return site.language is None and text[index] == ")" and bool(_ITEM.fullmatch(head))


def is_stray(text: str, case: Case) -> int:
    """Drop a few signs on a line of their own that close nothing."""
    site, bare = case.site, text.strip()
    if len(bare) >= _STRAY_CHARACTERS or not is_trivial(bare) or not site.is_empty_line:
        return len(text)
    joined = join(site.tree, site.cursor, text)
    if joined is not None:
        return len(text) if joined.new_errors <= 0 else 0
    return len(text) if bare[:1] in CLOSERS and OPENER_OF[bare[0]] in site.open_brackets else 0


def says_nothing(text: str, case: Case) -> int:
    """Drop a comment of nothing but its own sign at the end of ``text``, or all that there is."""
    marker = case.site.language.line_comment if case.site.language else ""
    bare = text.rstrip()
    if not marker or not bare.endswith(marker):
        return len(text)
    start = max(bare.rfind("\n"), bare.rfind("\r")) + 1
    return start if bare[start:].strip() == marker else len(text)
