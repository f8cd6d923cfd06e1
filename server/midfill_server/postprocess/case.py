"""One completion that is judged: what a filter is given beside the text."""

from __future__ import annotations

from dataclasses import dataclass

from midfill_engine.types import TokenScore
from midfill_server.postprocess.site import Site

__all__ = ["Case"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Where a text goes, and what is known of it.

    ``half``: the model did not come to its end, so the last line may not be whole. ``met``: behind
    the text it wrote the very line that follows. ``scores`` are what it thought of its tokens,
    where it was asked; they count characters of the raw text.
    """

    site: Site
    half: bool = False
    met: bool = False
    scores: tuple[TokenScore, ...] = ()
