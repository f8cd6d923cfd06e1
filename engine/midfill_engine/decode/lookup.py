"""Prompt lookup: what was written last stands somewhere already, and may go on as it does there.

Near a cursor the next tokens are often a copy: of a twin of this function, of the text after
the cursor, of the answer that was shown before somebody typed something else. It takes no model
to find them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from midfill_engine.cancel import CancelToken
from midfill_engine.decode.pace import HitRates, Origin, Prospect, StepCosts, best_prospect
from midfill_engine.prompt import ResolvedFim

__all__ = ["LookupDrafter"]

_LONGEST_MATCH = 12
# How far after the place where a copy was left its rest is looked for, and for how many tokens.
_NEARBY = 12
_PATIENCE = 16
# At most so many typed tokens are compared with a hint, so that beginning stays cheap.
_REPLAYED = 12
# Stands between texts, and for markers: nothing matches it, and it is never drafted.
_GAP = -1
_ROOM = 256

_Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Place:
    """A position in the row of texts that may be what comes next; ``matched`` ids led there."""

    at: int
    origin: Origin
    matched: int

    def next(self) -> _Place:
        return _Place(self.at + 1, self.origin, self.matched + 1)


class LookupDrafter:
    """Copies what followed the last tokens elsewhere in the prompt, the answer or the hints.

    ``costs`` says what a step costs, and learns from each one. Every token that is written is
    compared with what would have been guessed, drafted or not: so drafts stop where they do not
    pay, and return where they begin to.
    """

    def __init__(self, costs: StepCosts, fim: ResolvedFim | None = None) -> None:
        self._costs = costs
        self._fim = fim
        self._rates = HitRates()
        # All texts in one row, filled up to ``_end``: the hints, then the prompt and the answer.
        self._row: _Ids = np.empty(0, np.int64)
        self._end = self._hints_end = self._consumed = 0
        self._place: _Place | None = None
        self._found: Sequence[int] = ()
        # Where a copy was left that had gone well, and how many tokens ago.
        self._left_at: int | None = None
        self._left_ago = 0
        # Tokens that were there, or that were bound to spell typed text, teach nothing.
        self._learning = self._judged = False

    def begin(self, prompt: Sequence[int], hints: Sequence[Sequence[int]]) -> None:
        """Lay the texts out in one row; takes less than 1 ms for 2000 ids."""
        text, typed = self._as_read(np.asarray(prompt, np.int64))
        before = [_GAP] * _LONGEST_MATCH
        for hint in filter(len, hints):
            before += [*hint, _GAP]
        hint_at = _LONGEST_MATCH if len(before) > _LONGEST_MATCH else None
        self._hints_end = len(before)
        self._end = self._hints_end + len(text)
        self._row = np.concatenate([np.asarray(before, np.int64), text, _gaps(_ROOM)])
        self._consumed = len(prompt)
        self._rates.begin()
        self._learning = self._judged = False
        self._left_at, self._left_ago = None, 0
        self._place = None if hint_at is None else _Place(hint_at, Origin.HINT, 0)
        # A hint says what was to come before the last keys were typed: go along with them.
        replayed = self._row[self._end - typed : self._end].tolist()
        self._end -= typed
        for token in replayed:
            self._follow(token)
        if self._place is None or self._place.matched == 0:
            self._place = self._best([self._match(), self._place])

    def propose(self, tokens: Sequence[int], limit: int, cancel: CancelToken) -> Sequence[int]:
        """Return the ids that follow at the place found, as many as are expected to pay."""
        length = self._prospect(tokens, limit).length
        return self._found[:length]

    def rate(self, tokens: Sequence[int], limit: int) -> float:
        """Return the tokens per millisecond to expect; those of plain steps where none pays."""
        return self._prospect(tokens, limit).rate

    def _prospect(self, tokens: Sequence[int], limit: int) -> Prospect:
        for token in tokens[self._consumed :]:
            self._follow(token)
        self._consumed = len(tokens)
        self._learning, self._judged = True, False
        self._found = self._ahead(limit)
        place = self._place
        if place is None:
            return best_prospect((), self._costs.ms)
        odds = self._rates.ahead(place.origin, place.matched, len(self._found))
        return best_prospect(odds, self._costs.ms)

    def observe(self, drafted: int, accepted: int, step_ms: float) -> None:
        """Count what the step cost, and the guess that failed: at the end nothing else tells."""
        self._costs.learn(drafted, step_ms)
        if accepted < drafted and self._place is not None:
            self._rates.learn(self._place.origin, self._place.matched + accepted, False)
            self._judged = True

    def _ahead(self, limit: int) -> list[int]:
        """Return the ids at the place found, as many as there are to copy."""
        place = self._place
        if place is None:
            return []
        found: list[int] = self._row[place.at : min(place.at + limit, self._end)].tolist()
        if _GAP in found:
            found = found[: found.index(_GAP)]
        elif found and len(found) < limit:
            # The copy reaches its own end: what repeats is taken to go on repeating.
            found = (found * (limit // len(found) + 1))[:limit]
        return found

    def _follow(self, token: int) -> None:
        """Take in one token that was written: go on at the place, or find another."""
        place = self._place
        guess = _GAP if place is None else int(self._row[place.at])
        hit = guess == token
        if place is not None and guess != _GAP and self._learning and (hit or not self._judged):
            self._rates.learn(place.origin, place.matched, hit)
        if self._end == len(self._row):
            self._row = np.concatenate([self._row, _gaps(len(self._row))])
        self._row[self._end] = token
        self._end += 1
        self._left_ago += 1
        if place is not None and hit:
            self._place = place.next()
            return
        self._judged = False
        if place is not None and (place.matched >= 2 or self._left_at is None):
            self._left_at, self._left_ago = place.at, 0
        self._place = self._find()

    def _find(self) -> _Place | None:
        """Return the most promising place of those that the last tokens lead to."""
        return self._best([self._match(), *self._detours()])

    def _best(self, places: Sequence[_Place | None]) -> _Place | None:
        rate = self._rates.rate
        found = [place for place in places if place is not None]
        return max(found, key=lambda place: rate(place.origin, place.matched), default=None)

    def _match(self) -> _Place | None:
        """Where most of the last tokens stand already; in a hint first, else the latest place."""
        row, end = self._row, self._end
        if end == 0 or row[end - 1] == _GAP:
            return None
        places = np.flatnonzero(row[: end - 1] == row[end - 1])
        if not len(places):
            return None
        matched = 1
        while matched < _LONGEST_MATCH and row[end - 1 - matched] != _GAP:
            longer = places[row[places - matched] == row[end - 1 - matched]]
            if not len(longer):
                break
            places, matched = longer, matched + 1
        hinted = int(np.searchsorted(places, self._hints_end))
        if hinted:
            return _Place(int(places[hinted - 1]) + 1, Origin.HINT, matched)
        return _Place(int(places[-1]) + 1, Origin.TEXT, matched)

    def _detours(self) -> list[_Place]:
        """Where the copy that was left may go on: past one other token, or at this token again."""
        if self._left_at is None or self._left_ago > _PATIENCE:
            self._left_at = None
            return []
        places: list[_Place] = []
        start = self._left_at
        near = self._row[start : min(start + _NEARBY, self._end - 1)].tolist()
        token = int(self._row[self._end - 1])
        if token in near:
            places.append(_Place(start + near.index(token) + 1, Origin.DETOUR, 1))
        if self._left_ago == 0 and len(near) > 1:
            places.append(_Place(start + 1, Origin.DETOUR, 0))
        return places

    def _as_read(self, prompt: _Ids) -> tuple[_Ids, int]:
        """Return the prompt with the text before the cursor at its end, and what was typed there.

        Typed are at most the last few ids. Markers become gaps.
        """
        fim = self._fim
        if fim is None:
            return prompt, 0
        text, typed = prompt, 0
        middle = _last(prompt, fim.middle)
        if middle is not None:
            typed = min(len(prompt) - middle - 1, _REPLAYED)
            prefix, suffix = _last(prompt, fim.prefix), _last(prompt, fim.suffix)
            cut = middle
            if prefix is not None and suffix is not None and prefix < suffix < middle:
                cut = suffix
            text = np.concatenate(
                [prompt[cut:middle], _gaps(1), prompt[:cut], prompt[middle + 1 :]]
            )
        markers = np.array(sorted(fim.stop_ids), np.int64)
        return np.where(np.isin(text, markers), _GAP, text), typed


def _gaps(count: int) -> _Ids:
    return np.full(count, _GAP, np.int64)


def _last(ids: _Ids, marker: int | None) -> int | None:
    if marker is None:
        return None
    places = np.flatnonzero(ids == marker)
    return int(places[-1]) if len(places) else None
