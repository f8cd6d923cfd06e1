"""The models that a user may choose from, with what each would mean on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from midfill_engine.errors import MidfillError
from midfill_engine.options import EngineOptions

if TYPE_CHECKING:
    from midfill_engine.machine import Machine
    from midfill_engine.registry import ModelSpec

__all__ = ["ModelRow", "model_rows", "own_model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """One model. ``model_id`` is what the setting ``model`` takes: an id, or the user's own path.

    ``memory_bytes`` is what serving it takes; ``None`` where this machine cannot serve it, and
    ``note`` says why. ``recommended``: it is what ``auto`` would use.
    """

    model_id: str
    installed: bool
    download_bytes: int
    memory_bytes: int | None = None
    recommended: bool = False
    note: str = ""


def model_rows(
    options: EngineOptions, *, bandwidth_of: Callable[[int], float] | None = None
) -> list[ModelRow]:
    """Return the models of the registry, smaller files of one only if they are here.

    A model of the user's own that ``options`` name comes first. ``bandwidth_of`` tells the bytes
    per second that so many cores read from memory; measuring that takes 0.1 s.
    """
    # All of this is imported by the time that an engine is open, and takes a second before.
    from midfill_engine.machine import probe_machine, read_bandwidth
    from midfill_engine.registry import MODELS
    from midfill_engine.select import recommend
    from midfill_engine.store import ModelStore

    store, machine = ModelStore(options.home), probe_machine()
    automatic = replace(options, model="auto")
    try:
        best = recommend(
            automatic, store, machine=machine, bandwidth_of=bandwidth_of or read_bandwidth
        ).spec.id
    except MidfillError:
        # None can be served here, and each says why.
        best = None
    rows: list[ModelRow] = []
    if own_model(options.model):
        rows.append(
            ModelRow(
                model_id=options.model, installed=True, download_bytes=0, note="named by its path"
            )
        )
    for spec in MODELS:
        installed = store.model_path(spec) is not None
        if installed or spec.variant_of is None:
            memory_bytes, obstacle = _memory(spec, automatic, machine)
            agreed = installed or store.has_accepted(spec.licence)
            rows.append(
                ModelRow(
                    model_id=spec.id,
                    installed=installed,
                    download_bytes=spec.size_bytes,
                    memory_bytes=memory_bytes,
                    recommended=spec.id == best,
                    note="; ".join(_notes(spec, obstacle, agreed=agreed)),
                )
            )
    return rows


def own_model(model: str) -> bool:
    """Whether the setting names a file or folder of the user's own that is there."""
    from midfill_engine.registry import MODELS

    known = {"auto", *(spec.id for spec in MODELS)}
    try:
        return model not in known and Path(model).expanduser().exists()
    except RuntimeError:
        # Whose home folder is meant cannot be found out.
        return False


def _memory(
    spec: ModelSpec, options: EngineOptions, machine: Machine
) -> tuple[int | None, str | None]:
    """Return the bytes that it takes to serve a model, or why that cannot be."""
    from midfill_engine.plan import LEAST_CONTEXT_TOKENS
    from midfill_engine.select import forms_of

    forms = forms_of(spec, options, machine)
    for form in forms:
        if form.footprint is not None:
            return form.footprint.total_bytes(LEAST_CONTEXT_TOKENS), None
    return None, next((str(form.error) for form in forms if form.error is not None), None)


def _notes(spec: ModelSpec, obstacle: str | None, *, agreed: bool) -> Iterator[str]:
    from midfill_engine.registry import Capability

    if obstacle is not None:
        yield obstacle
    if Capability.FIM not in spec.capabilities:
        yield "completes from the text before the cursor only"
    if not agreed:
        yield (
            f"its licence ({spec.licence.name}) has to be agreed to in a terminal first: "
            f"midfill models pull {spec.id}"
        )
