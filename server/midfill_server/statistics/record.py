"""What is remembered of one completion."""

from __future__ import annotations

from dataclasses import dataclass

from midfill_server.source import Source

__all__ = ["Record"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One request and what it cost; no code and no file name, by design.

    ``when_s`` is in whole seconds since 1970. ``first_ms`` runs from the arrival of the request
    until its first text was there (``None``: there never was any), ``total_ms`` until it was
    answered. ``shown``: the answer had text and was still wanted. The tokens are what the model did
    for this very request, so they are 0 for an answer without model work, and for one that joined.
    """

    when_s: int
    language_id: str
    model_id: str
    source: Source
    first_ms: float | None
    total_ms: float
    shown: bool
    prefilled_tokens: int = 0
    reused_tokens: int = 0
    generated_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
