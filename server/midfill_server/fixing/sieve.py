"""Which texts are worth a check: new ones that change no more than they may."""

from __future__ import annotations

import math

from midfill_server.fixing.case import Case
from midfill_server.fixing.closing import only_closes
from midfill_server.fixing.diagnostic import Kind
from midfill_server.fixing.edits import edits_between

__all__ = ["Sieve"]

# A fix is not a new program.
_MAX_ADDED_CHARS = 2000
_MAX_PARSE_S = 2.0


class Sieve:
    """Knows which texts were there already, and which are no fixes at a glance.

    ``tried`` counts those that may be some.
    """

    def __init__(self, case: Case) -> None:
        self._case = case
        self._seen = {case.text}
        self.tried = 0

    def keeps(self, text: str, limit_s: float = math.inf) -> bool:
        """Return whether a text is new, differs where it may, and is no worse in its syntax.

        After ``limit_s`` seconds it is taken for one whose syntax is no worse.
        """
        if text in self._seen:
            return False
        self._seen.add(text)
        if not self._is_allowed(text) or not self._is_sound(text, min(limit_s, _MAX_PARSE_S)):
            return False
        self.tried += 1
        return True

    def _is_allowed(self, text: str) -> bool:
        case, edits = self._case, edits_between(self._case.text, text)
        if sum(len(edit.new) for edit in edits) > _MAX_ADDED_CHARS:
            return False
        # A bracket that is noticed at the end of a file may be missing anywhere in it.
        return case.scope.holds(edits) or (case.kind is Kind.SYNTAX and only_closes(edits))

    def _is_sound(self, text: str, limit_s: float) -> bool:
        case = self._case
        if case.tree is None:
            return True
        tree = case.tree.edited_within(text, limit_s=limit_s)
        if tree is None:
            # A busy machine is no reason to refuse what a checker will look at.
            return True
        if case.kind is Kind.SYNTAX and case.tree.errors == tree.errors > 0:
            # A checker may only say something else of the same mistake.
            return False
        return tree.errors <= case.tree.errors
