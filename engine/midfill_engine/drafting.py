"""Which model guesses for another, and the chain of drafters that comes of it."""

from __future__ import annotations

import logging

from midfill_engine.cache.store import PrefixStore
from midfill_engine.decode.chain import ChainDrafter
from midfill_engine.decode.draft_model import DraftModel, ModelDrafter, Sequences
from midfill_engine.decode.drafters import Drafter, NoDraft
from midfill_engine.decode.lookup import LookupDrafter
from midfill_engine.decode.pace import StepCosts
from midfill_engine.decode.vocabularies import check_pair
from midfill_engine.errors import ModelError
from midfill_engine.local import LoadedModel
from midfill_engine.registry import MODELS, ModelSpec
from midfill_engine.store import ModelStore

__all__ = ["draft_model", "drafter_for", "own_draft"]

_log = logging.getLogger(__name__)

# A draft of half the size costs half as much to write as to check, and never pays.
_LEAST_RATIO = 2.5


def own_draft(spec: ModelSpec, store: ModelStore) -> ModelSpec | None:
    """Return the model that drafts best for ``spec`` of those that are here.

    That is the smallest of its family, and of these the one whose name is most alike: what was
    trained on Python guesses best what was trained on Python.
    """
    words = set(spec.id.split("-"))
    found = [
        other
        for other in MODELS
        if other.family == spec.family
        and other.parameters * _LEAST_RATIO <= spec.parameters
        and store.model_path(other) is not None
    ]
    return min(
        found,
        # Of one size, some have a few ids more.
        key=lambda other: (round(other.parameters, -8), len(words ^ set(other.id.split("-")))),
        default=None,
    )


def draft_model(
    target: LoadedModel, draft: LoadedModel, sequences: Sequences | None = None
) -> DraftModel | None:
    """Return ``draft`` as one that drafts for ``target``; ``None`` where steps were not timed.

    ``sequences`` are those of an engine that serves ``draft`` as well. Raises ``ModelError``
    where the two do not mean the same by an id, with the first that differs.
    """
    if draft.speed is None or not draft.speed.steps_ms:
        return None
    reason = check_pair(target.tokenizer, draft.tokenizer)
    if reason is not None:
        raise ModelError(f"this model cannot draft for the other: {reason}")
    return DraftModel(
        sequences=sequences or PrefixStore(draft.backend, draft.context_tokens, draft.cache_bytes),
        vocab_size=min(target.backend.vocab_size, draft.backend.vocab_size),
        context_tokens=draft.context_tokens,
        costs=StepCosts(draft.speed.steps_ms),
        prefill_ms=1000 / draft.speed.prefill_tokens_per_s,
        prefill_chunk=draft.prefill_chunk,
    )


def drafter_for(model: LoadedModel, draft: DraftModel | None = None) -> Drafter:
    """Return what guesses for ``model``: lookup first, then ``draft``.

    Nothing does where it is not known what checking guesses costs.
    """
    if model.speed is None or not model.speed.steps_ms:
        return NoDraft()
    costs = StepCosts(model.speed.steps_ms)
    lookup = LookupDrafter(costs, model.fim)
    if draft is None:
        return lookup
    stop_ids = model.stop_ids | (model.chat.stop_ids if model.chat else frozenset[int]())
    return ChainDrafter(lookup, ModelDrafter(costs, draft, stop_ids))
