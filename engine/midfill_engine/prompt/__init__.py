"""Prompts as token ids: the fill-in-the-middle formats as data, and packing into a token budget.

Owns: where markers go, and what of a file and its context is shown. Must never know: caches,
devices, editors. Markers are placed by id and never written into text, so that text in a user's
file cannot pose as one.
"""

from midfill_engine.prompt.formats import (
    FIM_FORMATS,
    FimFormat,
    FimOrder,
    RepoFormat,
    ResolvedFim,
    resolve,
)
from midfill_engine.prompt.render import Dropped, Prompt, render

__all__ = [
    "FIM_FORMATS",
    "Dropped",
    "FimFormat",
    "FimOrder",
    "Prompt",
    "RepoFormat",
    "ResolvedFim",
    "render",
    "resolve",
]
