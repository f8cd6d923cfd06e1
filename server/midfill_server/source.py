"""Where an answer came from: what decides how long its user waited."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Source"]


class Source(StrEnum):
    """What was done for an answer; the value is what clients and the figures see."""

    MODEL = "model"
    """The model computed it for this request."""
    TYPED_THROUGH = "typed-through"
    """What was typed agrees with a text shown before: the rest of that text, at once."""
    JOINED = "joined"
    """The model was already generating it for an earlier request, which this one waited for."""
    PREFETCHED = "prefetched"
    """It was computed ahead, before anybody asked: that text, at once."""

    @property
    def waited_for_model(self) -> bool:
        """Whether the user had to wait for the model to generate."""
        return self in (Source.MODEL, Source.JOINED)
