"""The markdown of a hover: what is known by syntax, then what a model makes of it."""

from __future__ import annotations

from midfill_server.explaining.explainer import Explanation, Outcome, Pending, Unavailable
from midfill_server.explaining.markdown import code_block, code_span, plain_text, safe_markdown
from midfill_server.explaining.meaning import Meaning, Symbol

__all__ = ["hover_markdown"]

_MAX_DOCUMENTATION_CHARS = 1500
_MAX_EXPLANATION_CHARS = 1200
_RULE = "\n\n---\n\n"


def hover_markdown(symbol: Symbol, outcome: Outcome | None = None, *, command: str = "") -> str:
    """Return what a hover shows; safe to render, whatever stands in the files.

    ``outcome`` is what there is of the explanation, ``None`` where none is wanted. ``command`` is
    what users call the command that opens the explanation as a document of its own; ``""``: there
    is none.
    """
    parts = ["\n\n".join(_meaning(one, symbol.language_id) for one in symbol.meanings)]
    if isinstance(outcome, Explanation):
        parts.append(safe_markdown(outcome.text, max_chars=_MAX_EXPLANATION_CHARS, top_heading=4))
    elif isinstance(outcome, Pending):
        begun = safe_markdown(outcome.text, max_chars=_MAX_EXPLANATION_CHARS, top_heading=4)
        other_way = f", or run {code_span(command)}" if command else ""
        status = f"*midfill is reading this… Hover again in a moment{other_way}.*"
        parts.append(f"{begun}\n\n{status}" if begun else status)
    elif isinstance(outcome, Unavailable):
        parts.append(f"*{plain_text(outcome.message)}*")
    return _RULE.join(part for part in parts if part)


def _meaning(meaning: Meaning, language_id: str) -> str:
    lines = [code_block(meaning.signature, language_id)]
    about = _about(meaning)
    if about:
        lines.append(about)
    if meaning.documentation:
        lines.append(
            safe_markdown(meaning.documentation, max_chars=_MAX_DOCUMENTATION_CHARS, top_heading=4)
        )
    return "\n\n".join(lines)


def _about(meaning: Meaning) -> str:
    """Return in which file it is, and what it belongs to."""
    of = f" of {code_span(meaning.owner)}" if meaning.owner else ""
    where = code_span(
        meaning.shown if meaning.line is None else f"{meaning.shown}:{meaning.line + 1}"
    )
    if meaning.kind in ("variable", "parameter"):
        return f"{meaning.kind}{of}"
    return f"{meaning.kind}{of}" + (f" in {where}" if meaning.shown else "")
