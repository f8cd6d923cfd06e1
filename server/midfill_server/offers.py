"""What stands on the screen of an editor, and what became of it.

An **offer** is one suggestion as the editor knows it: it keeps its id while it is typed along,
while it grows, and when it comes back after a backspace. So what is answered at ten keys is one
offer. What became of it is told once it can hardly change any more.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from midfill_server.statistics import Feedback

__all__ = ["Offers", "Place"]

_MOST = 64
_MOST_UNTOLD = 1000

# An offer that has gone may come back: somebody types on, takes that back, and accepts.
_GONE_FOR_GOOD_S = 30.0
# One that nothing more is heard of; somebody may look at a text for long before accepting it.
_FORGOTTEN_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where texts are offered: they replace what follows offset ``start`` of ``text``, or nothing.

    ``at_s`` is when somebody asked, by the clock of the offers.
    """

    uri: str
    text: str
    start: int
    language_id: str
    invoked: bool
    at_s: float


@dataclass(slots=True, kw_only=True, eq=False)
class _Offer:
    """One suggestion. ``text`` is all of it, from ``start`` of its document, with plain line ends.

    ``offsets`` are where in ``text`` the answers began that offered it; ``taken`` are the parts
    that were accepted. ``confirmed``: the editor said that it was shown. ``first``: of several for
    one place it is the one that an editor shows by itself.
    """

    offer_id: str
    uri: str
    start: int
    text: str
    language_id: str
    model_id: str
    invoked: bool
    first: bool
    when_s: int
    shown_s: float
    heard_s: float
    sureness: float | None = None
    offsets: list[int] = field(default_factory=lambda: [0])
    taken: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    confirmed: bool = False
    gone_s: float | None = None

    def typed(self, place: Place) -> int | None:
        """Return how much of it stands before the place already; ``None``: it is not offered there.

        At its end it is not: what comes then is another suggestion.
        """
        # Twice, since a line end may be two characters there.
        if place.uri != self.uri or not 0 <= place.start - self.start <= 2 * len(self.text):
            return None
        before = _plain(place.text[self.start : place.start])
        is_on_the_way = len(before) < len(self.text) and self.text.startswith(before)
        return len(before) if is_on_the_way else None

    def says(self, text: str, offset: int) -> bool:
        """Whether it says ``text`` from ``offset`` on, or will, or did as far as it goes."""
        return text.startswith(self.text[offset:]) or self.text.startswith(text, offset)

    def offset_of(self, text: str) -> int | None:
        """Return where in it an answer began that offered ``text``, the latest of such."""
        found = (at for at in reversed(self.offsets) if self.text.startswith(text, at))
        return next(found, None)

    @property
    def taken_characters(self) -> int:
        return len({index for start, end in self.taken for index in range(start, end)})

    @property
    def is_whole(self) -> bool:
        return any(end == len(self.text) for _, end in self.taken)


class Offers:
    """The last offers of one session; belongs to the event loop's thread.

    An id that is not known (any more) is ignored everywhere.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.perf_counter,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.clock = clock
        self._wall_clock = wall_clock
        # An editor may still run what an earlier server gave it.
        self._session = secrets.token_hex(4)
        self._count = 0
        self._held: OrderedDict[str, _Offer] = OrderedDict()
        self._untold: deque[Feedback] = deque(maxlen=_MOST_UNTOLD)
        self._is_told_what_is_shown = False

    def __bool__(self) -> bool:
        """Whether there is something of which more may be heard."""
        return bool(self._held)

    def make(
        self, place: Place, texts: Sequence[str], *, model_id: str, sureness: float | None
    ) -> list[str]:
        """Note what is offered now, and return the ids; other offers in the document are gone.

        ``sureness`` is that of the first text: how probably its first line is right.
        """
        now: list[_Offer] = []
        for text in map(_plain, texts):
            offer = self._known(place, text, now)
            if offer is None:
                offer = self._new(place, text, model_id, first=not now)
            if offer.sureness is None and not now:
                offer.sureness = sureness
            now.append(offer)
        self._go(place.uri, place.at_s, but=now)
        while len(self._held) > _MOST:
            _, oldest = self._held.popitem(last=False)
            self._tell(oldest)
        return [offer.offer_id for offer in now]

    def leave(self, uri: str) -> None:
        """Hear that nothing of a document is on the screen any more."""
        self._go(uri, self.clock(), but=())

    def show(self, offer_id: str) -> None:
        """Hear that an offer is on the screen; of others that are not said to be, it is not."""
        self._is_told_what_is_shown = True
        offer = self._heard_of(offer_id)
        if offer is not None and not offer.confirmed:
            offer.confirmed, offer.shown_s = True, offer.heard_s

    def accept(self, offer_id: str) -> None:
        """Hear that what was left of an offer was accepted."""
        offer = self._heard_of(offer_id)
        if offer is not None:
            self._take(offer, offer.offsets[-1], len(offer.text))

    def accept_part(self, offer_id: str, text: str, characters: int) -> None:
        """Hear that so many characters of ``text``, which was offered, are accepted by now."""
        offer = self._heard_of(offer_id)
        at = None if offer is None else offer.offset_of(_plain(text))
        if offer is not None and at is not None and characters > 0:
            self._take(offer, at, at + len(_plain(text[:characters])))

    def settle(self, *, all_of_them: bool = False) -> list[Feedback]:
        """Return what became of offers that can hardly change any more, each once."""
        now_s = self.clock()
        for offer in list(self._held.values()):
            is_gone = offer.gone_s is not None and now_s - offer.gone_s >= _GONE_FOR_GOOD_S
            if all_of_them or is_gone or now_s - offer.heard_s >= _FORGOTTEN_S:
                del self._held[offer.offer_id]
                self._tell(offer)
        told = list(self._untold)
        self._untold.clear()
        return told

    def _go(self, uri: str, at_s: float, *, but: Sequence[_Offer]) -> None:
        for offer in self._held.values():
            if offer.uri == uri and offer.gone_s is None and offer not in but:
                offer.gone_s = at_s

    def _known(self, place: Place, text: str, taken: Sequence[_Offer]) -> _Offer | None:
        for offer in reversed(self._held.values()):
            offset = offer.typed(place)
            if offset is None or offer in taken or not offer.says(text, offset):
                continue
            offer.text = max(offer.text, offer.text[:offset] + text, key=len)
            if offset != offer.offsets[-1]:
                offer.offsets.append(offset)
            offer.heard_s = self.clock()
            if not offer.is_whole:
                offer.gone_s = None
            self._held.move_to_end(offer.offer_id)
            return offer
        return None

    def _new(self, place: Place, text: str, model_id: str, *, first: bool) -> _Offer:
        self._count += 1
        now_s = self.clock()
        offer = _Offer(
            offer_id=f"{self._session}-{self._count}",
            uri=place.uri,
            start=place.start,
            text=text,
            language_id=place.language_id,
            model_id=model_id,
            invoked=place.invoked,
            first=first,
            when_s=round(self._wall_clock()),
            shown_s=now_s,
            heard_s=now_s,
        )
        self._held[offer.offer_id] = offer
        return offer

    def _heard_of(self, offer_id: str) -> _Offer | None:
        offer = self._held.get(offer_id)
        if offer is not None:
            offer.heard_s = self.clock()
        return offer

    def _take(self, offer: _Offer, start: int, end: int) -> None:
        was_whole = offer.is_whole
        offer.taken.append((start, min(end, len(offer.text))))
        if offer.is_whole and not was_whole:
            offer.gone_s = offer.heard_s

    def _tell(self, offer: _Offer) -> None:
        # Where the editor says what it shows, the others were never seen; where it does not, it
        # shows the first of several.
        seen = offer.confirmed or (offer.first and not self._is_told_what_is_shown)
        if not seen and not offer.taken:
            return
        shown_ms = None if offer.gone_s is None else max(offer.gone_s - offer.shown_s, 0.0) * 1000
        self._untold.append(
            Feedback(
                when_s=offer.when_s,
                language_id=offer.language_id,
                model_id=offer.model_id,
                sureness=offer.sureness,
                invoked=offer.invoked,
                characters=len(offer.text),
                lines=offer.text.count("\n") + 1,
                confirmed=offer.confirmed,
                shown_ms=shown_ms,
                accepted=offer.is_whole,
                accepted_characters=offer.taken_characters,
            )
        )


def _plain(text: str) -> str:
    """Return ``text`` with the line ends that offers are compared with."""
    return text.replace("\r\n", "\n")
