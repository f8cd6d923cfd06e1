"""The filter for the end of a model's confidence."""

from __future__ import annotations

from midfill_server.judgement.confidence import trusted_length
from midfill_server.postprocess.case import Case

__all__ = ["loses_confidence"]


def loses_confidence(text: str, case: Case) -> int:
    """Return where the model's confidence ends, by the eagerness that the user wants.

    The first line is for others to judge: whether anything is shown at all.
    """
    return trusted_length(case.scores, text, case.site.eagerness) if case.scores else len(text)
