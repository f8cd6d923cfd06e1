"""What is remembered of one suggestion after it was answered: what somebody made of it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Feedback"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One suggestion, however often it was answered while it was typed along; no code, by design.

    ``when_s`` is when it was answered first, in whole seconds since 1970. ``sureness`` is how
    probably its first line was right, as it was judged before anything of it was typed (``None``:
    nothing told). ``invoked``: somebody asked by hand. ``confirmed``: the editor said that it was
    on the screen; without that the editor never says so, and it was answered and still wanted.
    ``shown_ms`` runs until it was accepted or gave way to something else (``None``: not known).
    ``accepted``: it was accepted to its end. ``accepted_characters`` are those of it that were
    accepted and not typed, also of one that was accepted in part only.
    """

    when_s: int
    language_id: str
    model_id: str
    sureness: float | None
    invoked: bool
    characters: int
    lines: int
    confirmed: bool
    shown_ms: float | None
    accepted: bool
    accepted_characters: int
