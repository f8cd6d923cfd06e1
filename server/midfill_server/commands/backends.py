"""The ways to run a model that there are here: which are worth timing, and how they compare."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from midfill_server.commands.diagnosis import BackendReport

if TYPE_CHECKING:
    from midfill_engine.machine import Machine
    from midfill_engine.options import EngineOptions
    from midfill_engine.runtimes import ChosenModel
    from midfill_engine.select import Form
    from midfill_engine.store import ModelStore

__all__ = ["compare", "worth_trying"]

# They are there for exactness and for other architectures; to be told so takes long.
_SLOW_ON_CPU = ("torch", "optimum")


def worth_trying(
    options: EngineOptions, chosen: ChosenModel, store: ModelStore, machine: Machine
) -> list[ChosenModel]:
    """Return what might be chosen instead of ``chosen`` once it is timed.

    That is the same model by other backends, and better ones that ``auto`` would take if they were
    faster: a speed that was measured while the machine was busy would pass a model over for ever.
    """
    from midfill_engine.registry import MODELS
    from midfill_engine.runtimes import conversion_folder
    from midfill_engine.select import forms_of
    from midfill_engine.speed import load_speed

    here = store.model_path(chosen.spec) is not None
    others = [form.chosen for form in forms_of(chosen.spec, options, machine) if here]
    found = [
        form
        for form in others
        if form is not None
        and (form.runtime, form.device) != (chosen.runtime, chosen.device)
        and (form.device == "gpu" or form.runtime not in _SLOW_ON_CPU)
    ]
    for spec in MODELS if options.model == "auto" else ():
        if spec.rank <= chosen.spec.rank or store.model_path(spec) is None:
            continue
        better = [form.chosen for form in forms_of(spec, options, machine)]
        found += [
            form
            for form in better
            if form is not None
            and load_speed(conversion_folder(form, store), machine.fingerprint) is not None
        ]
    return found


def compare(
    options: EngineOptions, chosen: ChosenModel, store: ModelStore, machine: Machine
) -> tuple[BackendReport, ...]:
    """Put all ways to run the chosen model side by side, by what was measured last."""
    from midfill_engine.select import forms_of

    forms = forms_of(chosen.spec, options, machine)
    return tuple(_report(form, chosen, store, machine) for form in forms)


def _report(form: Form, used: ChosenModel, store: ModelStore, machine: Machine) -> BackendReport:
    from midfill_engine.estimate import line_ms
    from midfill_engine.runtimes import conversion_folder
    from midfill_engine.select import memory_needed
    from midfill_engine.speed import load_speed

    chosen = form.chosen
    speed = chosen and load_speed(conversion_folder(chosen, store), machine.fingerprint)
    return BackendReport(
        backend=form.runtime,
        device=form.device,
        layout=chosen.layout if chosen else "",
        objection=str(form.error or ""),
        is_used=chosen is not None and replace(chosen, reason=used.reason) == used,
        memory_bytes=memory_needed(chosen) if chosen else None,
        prefill_tokens_per_s=speed.prefill_tokens_per_s if speed else None,
        step_ms=speed.step_ms if speed else None,
        line_ms=line_ms(speed) if speed else None,
    )
