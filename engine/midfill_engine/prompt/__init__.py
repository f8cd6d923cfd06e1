"""Prompts as token ids: the formats to fill in and to chat as data, and packing into a budget.

Owns: where markers go, and what of a file and its context is shown. Must never know: caches,
devices, editors. Markers are placed by id and never written into text, so that text in a user's
file cannot pose as one.
"""

from midfill_engine.prompt.chat import (
    CHAT_FORMATS,
    ChatFormat,
    ChatPrompt,
    ResolvedChat,
    render_chat,
    resolve_chat,
)
from midfill_engine.prompt.formats import (
    FIM_FORMATS,
    FimFormat,
    FimOrder,
    RepoFormat,
    ResolvedFim,
    resolve,
)
from midfill_engine.prompt.render import MAX_TYPED_TOKENS, Dropped, Prompt, render

__all__ = [
    "CHAT_FORMATS",
    "FIM_FORMATS",
    "MAX_TYPED_TOKENS",
    "ChatFormat",
    "ChatPrompt",
    "Dropped",
    "FimFormat",
    "FimOrder",
    "Prompt",
    "RepoFormat",
    "ResolvedChat",
    "ResolvedFim",
    "render",
    "render_chat",
    "resolve",
    "resolve_chat",
]
