"""Which model, and which way to run it: the best one that fits this machine and is fast enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from midfill_engine.errors import MidfillError, ModelError, OutOfMemoryError
from midfill_engine.estimate import Estimate, predicted_speed
from midfill_engine.local_models import resolve_model
from midfill_engine.machine import Machine, probe_machine, read_bandwidth
from midfill_engine.options import EngineOptions
from midfill_engine.plan import LEAST_CONTEXT_TOKENS, Footprint, plan_memory
from midfill_engine.registry import MODELS, Capability, ModelSpec
from midfill_engine.runtimes import (
    ChosenModel,
    Device,
    Layout,
    conversion_folder,
    find_runtime,
    runtimes_for,
)
from midfill_engine.speed import load_speed
from midfill_engine.store import ModelStore

__all__ = [
    "Form",
    "available_bytes",
    "choose_model",
    "footprint_of",
    "forms_of",
    "memory_needed",
    "recommend",
]

# Another way to run a model is taken only if it is faster by this: what was measured varies.
_CLEARLY_FASTER = 1.1
_SUGGESTIONS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One way to run a model here: in the widest layout that fits, or why it cannot be.

    ``chosen`` and ``footprint`` are there where ``error`` is not.
    """

    runtime: str
    device: Device
    chosen: ChosenModel | None = None
    footprint: Footprint | None = None
    error: MidfillError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Situation:
    """What a choice depends on besides the model."""

    options: EngineOptions
    store: ModelStore
    machine: Machine
    bandwidth_of: Callable[[int], float]

    def bandwidth(self) -> float:
        """Return the bytes per second that this machine reads from memory."""
        return self.bandwidth_of(self.machine.cores)


def choose_model(
    options: EngineOptions,
    store: ModelStore,
    *,
    machine: Machine | None = None,
    bandwidth_of: Callable[[int], float] = read_bandwidth,
) -> ChosenModel:
    """Resolve ``options``: the model, its runtime and device, and the layout of its weights.

    ``machine=None`` looks at this one; ``bandwidth_of`` tells the bytes per second that so many
    cores read from memory. Raises ``UnknownModelError``, ``BackendUnavailableError`` and
    ``OutOfMemoryError`` for what was named and cannot be had here.
    """
    situation = _situation(options, store, machine, bandwidth_of)
    if options.model == "auto":
        chosen = _best_of(_considered(store), situation)
        installed = [
            spec
            for spec in _considered(store, only_installed=True)
            if _regardless(spec, situation) is not None
        ]
        if installed and store.model_path(chosen.spec) is None and not options.download:
            reason = (
                f"the best one that is installed; {chosen.spec.id} would suit this machine "
                f"better: midfill models pull {chosen.spec.id}"
            )
            return replace(_best_of(installed, situation), reason=reason)
        return chosen
    spec = resolve_model(options.model)
    best, objections = _best_form(spec, situation)
    chosen = best.chosen if best is not None else None
    if chosen is None and spec.embedded:
        # The small ones are tried anyway: a computer that is short of memory pages others out.
        chosen = _regardless(spec, situation)
    if chosen is None:
        raise _refusal(objections, situation)
    return replace(chosen, reason="named in the settings")


def recommend(
    options: EngineOptions,
    store: ModelStore,
    *,
    machine: Machine | None = None,
    bandwidth_of: Callable[[int], float] = read_bandwidth,
) -> ChosenModel:
    """Return what ``auto`` means: of the models that are installed or may be fetched unasked.

    Takes about 0.1 s where nothing was measured yet.
    """
    return _best_of(_considered(store), _situation(options, store, machine, bandwidth_of))


def _situation(
    options: EngineOptions,
    store: ModelStore,
    machine: Machine | None,
    bandwidth_of: Callable[[int], float],
) -> _Situation:
    return _Situation(
        options=options,
        store=store,
        machine=machine or probe_machine(),
        bandwidth_of=cache(bandwidth_of),
    )


def _best_of(specs: Sequence[ModelSpec], situation: _Situation) -> ChosenModel:
    """Return the first of ``specs`` that fits and is fast enough, else the last that can run.

    Raises the reason where none can.
    """
    passed_over: list[str] = []
    last: ChosenModel | None = None
    errors: list[MidfillError] = []
    for spec in specs:
        best, objections = _best_form(spec, situation)
        if best is None:
            errors = objections
            passed_over.append(str(objections[0]))
            last = _regardless(spec, situation) or last
            continue
        objection = best.objection
        if objection is None:
            reason = "; ".join([f"the best one that fits: {best}", *passed_over])
            return replace(best.chosen, reason=reason)
        last = best.chosen
        passed_over.append(f"{spec.id} {objection}")
    if last is None:
        raise errors[0]
    reason = "; ".join(["the smallest there is, and slow here", *passed_over])
    return replace(last, reason=reason)


def forms_of(spec: ModelSpec, options: EngineOptions, machine: Machine) -> list[Form]:
    """Return each runtime and device that ``options`` allow, in the order of preference."""
    return [
        _form(spec, options, machine, name, device)
        for device in _devices(options, machine)
        for name in runtimes_for(options.backend)
    ]


def _form(
    spec: ModelSpec, options: EngineOptions, machine: Machine, runtime: str, device: Device
) -> Form:
    free = available_bytes(device, machine)
    try:
        layouts = _named(find_runtime(runtime).layouts(spec, device), options.weights, runtime)
        narrowest = min(layouts, key=lambda one: one.footprint.weights_bytes)
        layout = next((one for one in layouts if _fits(spec, one, free)), narrowest)
        _plan(spec, layout, free)
    except MidfillError as error:
        return Form(runtime=runtime, device=device, error=error)
    chosen = ChosenModel(spec=spec, layout=layout.name, reason="", runtime=runtime, device=device)
    return Form(runtime=runtime, device=device, chosen=chosen, footprint=layout.footprint)


def _fits(spec: ModelSpec, layout: Layout, free: int) -> bool:
    try:
        _plan(spec, layout, free)
    except OutOfMemoryError:
        return False
    return True


def _plan(spec: ModelSpec, layout: Layout, free: int) -> None:
    plan_memory(
        f"{spec.id} ({layout.name})",
        layout.footprint,
        wanted_tokens=LEAST_CONTEXT_TOKENS,
        available_bytes=free,
    )


def footprint_of(chosen: ChosenModel) -> Footprint:
    """Return what ``chosen`` takes."""
    layouts = find_runtime(chosen.runtime).layouts(chosen.spec, chosen.device)
    return next(layout.footprint for layout in layouts if layout.name == chosen.layout)


def memory_needed(chosen: ChosenModel) -> int:
    """Return the memory that a process needs to serve ``chosen``, in bytes."""
    return footprint_of(chosen).total_bytes(LEAST_CONTEXT_TOKENS)


def _refusal(objections: list[MidfillError], situation: _Situation) -> MidfillError:
    """Return why a named model cannot be had; where it is too large, with some that are not."""
    too_large = [error for error in objections if isinstance(error, OutOfMemoryError)]
    if not too_large:
        return objections[0]
    automatic = replace(situation.options, weights="auto")
    fitting = [
        spec.id
        for spec in sorted(MODELS, key=lambda spec: spec.rank, reverse=True)
        if _best_form(spec, replace(situation, options=automatic))[0] is not None
    ]
    hint = f". These would fit: {', '.join(fitting[:_SUGGESTIONS])}" if fitting else ""
    return OutOfMemoryError(f"{too_large[0]}{hint}")


def _considered(store: ModelStore, *, only_installed: bool = False) -> list[ModelSpec]:
    """Return the models that may be used unasked, the best first."""
    ranked = sorted(MODELS, key=lambda spec: spec.rank, reverse=True)
    return [
        spec
        for spec in ranked
        if Capability.FIM in spec.capabilities
        and ((spec.embedded and not only_installed) or store.model_path(spec) is not None)
    ]


def _best_form(
    spec: ModelSpec, situation: _Situation
) -> tuple[Estimate | None, list[MidfillError]]:
    """Return the first way to run ``spec`` that fits, or one that was measured to be faster."""
    errors: list[MidfillError] = []
    best: Estimate | None = None
    for form in forms_of(spec, situation.options, situation.machine):
        if form.chosen is None or form.footprint is None:
            errors += [form.error] if form.error else []
            continue
        found = _estimate(form.chosen, form.footprint, situation)
        if best is None or (
            best.chosen.device == found.chosen.device
            and best.measured
            and found.measured
            and found.drafting_ms * _CLEARLY_FASTER < best.drafting_ms
        ):
            best = found
    return best, errors


def _estimate(chosen: ChosenModel, footprint: Footprint, situation: _Situation) -> Estimate:
    folder = conversion_folder(chosen, situation.store)
    speed = load_speed(folder, situation.machine.fingerprint)
    predicted = speed or predicted_speed(footprint, chosen.device, situation.bandwidth)
    return Estimate(chosen=chosen, footprint=footprint, speed=predicted)


def _regardless(spec: ModelSpec, situation: _Situation) -> ChosenModel | None:
    """Return the way to run ``spec`` that one would choose with more memory."""
    plenty = replace(situation.machine, available_bytes=1 << 60)
    for form in forms_of(spec, situation.options, plenty):
        if form.chosen is not None:
            return form.chosen
    return None


def _named(layouts: tuple[Layout, ...], wanted: str, runtime: str) -> tuple[Layout, ...]:
    """Keep the layout called ``wanted``; ``"auto"`` keeps all that may be chosen unasked."""
    if wanted == "auto":
        return tuple(layout for layout in layouts if not layout.only_by_name)
    found = tuple(layout for layout in layouts if layout.name == wanted)
    if not found:
        known = ", ".join(layout.name for layout in layouts)
        raise ModelError(
            f"the backend {runtime} has no weight layout {wanted!r}; choose one of: {known}"
        )
    return found


def _devices(options: EngineOptions, machine: Machine) -> tuple[Device, ...]:
    match options.device:
        case "cpu":
            return ("cpu",)
        case "gpu":
            return ("gpu",)
        case _:
            return ("gpu", "cpu") if machine.has_gpu else ("cpu",)


def available_bytes(device: Device, machine: Machine) -> int:
    """Return the memory that a model on ``device`` could use now."""
    if device == "cpu":
        return machine.available_bytes
    # Without a driver that tells, the memory is shared with the processor, as on a Mac.
    return machine.accelerator_bytes or machine.available_bytes
