"""Says what code means: what is at a cursor, and what a model makes of it.

Owns: symbols with their definitions and documentation, the prompts that ask for explanations, what
of an answer may be rendered, and what was explained already.
Must never know: LSP message types, tools that check code, who shows what it says.
"""

from midfill_server.explaining.cache import (
    ExplanationCache,
    clear_explanations,
    explanations_beside,
)
from midfill_server.explaining.explainer import Explainer, Explanation, Pending, Unavailable
from midfill_server.explaining.files import Files
from midfill_server.explaining.grounding import Grounding, ground, ground_selection
from midfill_server.explaining.hover import hover_markdown
from midfill_server.explaining.markdown import safe_markdown
from midfill_server.explaining.meaning import Meaning, Symbol
from midfill_server.explaining.prompts import (
    Length,
    Question,
    ask_about_diagnostic,
    ask_about_selection,
    ask_about_symbol,
)
from midfill_server.explaining.symbol import symbol_at, with_sources

__all__ = [
    "Explainer",
    "Explanation",
    "ExplanationCache",
    "Files",
    "Grounding",
    "Length",
    "Meaning",
    "Pending",
    "Question",
    "Symbol",
    "Unavailable",
    "ask_about_diagnostic",
    "ask_about_selection",
    "ask_about_symbol",
    "clear_explanations",
    "explanations_beside",
    "ground",
    "ground_selection",
    "hover_markdown",
    "safe_markdown",
    "symbol_at",
    "with_sources",
]
