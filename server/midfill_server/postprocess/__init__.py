"""What is done to generated text before a person sees it: pure functions from text to text.

Owns: how much of it is offered, where it ends given the text around it, and how it is spelled.
Must never know: engines (but for the values they give), LSP, threads.
"""

from midfill_server.postprocess.cut import Cut, Outcome, Step, finish, first_line, truncate
from midfill_server.postprocess.extent import RULES, Extent, Rule, extent_of
from midfill_server.postprocess.filters import FILTERS, Filter, Stage
from midfill_server.postprocess.site import Length, Site

__all__ = [
    "FILTERS",
    "RULES",
    "Cut",
    "Extent",
    "Filter",
    "Length",
    "Outcome",
    "Rule",
    "Site",
    "Stage",
    "Step",
    "extent_of",
    "finish",
    "first_line",
    "truncate",
]
