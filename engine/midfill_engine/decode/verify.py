"""How much of a draft the model itself would have written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from midfill_engine.backends.base import Logits
from midfill_engine.decode.sampling import Sampler

__all__ = ["Verdict", "verify"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``accepted`` leading ids of the draft stand; ``token`` follows them."""

    accepted: int
    token: int


def verify(draft: Sequence[int], logits: Logits, sampler: Sampler) -> Verdict:
    """Check ``draft`` against ``logits``, ``[len(draft) + 1, vocabulary]``.

    Row ``i`` is the model's opinion of what stands where ``draft[i]`` does; the last row follows
    the whole draft. With an empty draft this is one plain step.
    """
    for index, proposed in enumerate(draft):
        token = sampler.accept(logits[index], proposed)
        if token != proposed:
            return Verdict(accepted=index, token=token)
    return Verdict(accepted=len(draft), token=sampler.choose(logits[len(draft)]))
