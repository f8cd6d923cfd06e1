"""Finds texts in which a diagnostic is gone: from cheap guesses and from a model.

Owns: what a diagnostic means, which part of a text may be changed for it, the guesses and prompts
that lead to new texts, the minimal edits between two texts, the order in which they are tried.
Must never know: LSP types, the event loop, how tools are run, how an engine computes. What stands
in a file or in an answer becomes text of that one file, and nothing else.
"""

from midfill_server.fixing.case import Case, Definitions
from midfill_server.fixing.diagnostic import Diagnostic, Kind, kind_of
from midfill_server.fixing.edits import TextEdit, edits_between
from midfill_server.fixing.fixer import Ask, Check, Fix, Limits, fix, steps

__all__ = [
    "Ask",
    "Case",
    "Check",
    "Definitions",
    "Diagnostic",
    "Fix",
    "Kind",
    "Limits",
    "TextEdit",
    "edits_between",
    "fix",
    "kind_of",
    "steps",
]
