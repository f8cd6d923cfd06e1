"""From a choice of model to an engine that answers: choose, prepare, load, measure."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from midfill_engine.backends.base import Backend
from midfill_engine.cancel import CancelToken
from midfill_engine.drafting import draft_model, drafter_for, own_draft
from midfill_engine.engine import Engine
from midfill_engine.errors import (
    BackendUnavailableError,
    ModelMissingError,
    OutOfMemoryError,
)
from midfill_engine.local import LoadedModel, LocalEngine
from midfill_engine.local_models import resolve_model
from midfill_engine.machine import BUSY_PERCENT, probe_machine, watch_processor
from midfill_engine.options import EngineOptions
from midfill_engine.plan import LEAST_CONTEXT_TOKENS, MemoryPlan, plan_memory
from midfill_engine.progress import Progress, ProgressSink
from midfill_engine.prompt import resolve, resolve_chat
from midfill_engine.registry import MODELS, Capability
from midfill_engine.runtimes import (
    ChosenModel,
    Device,
    Opened,
    Opening,
    conversion_folder,
    find_runtime,
)
from midfill_engine.select import available_bytes, choose_model, footprint_of, memory_needed
from midfill_engine.speed import Speed, load_speed, measure_speed, save_speed
from midfill_engine.stand_in import COSTLY_MS, StandInEngine
from midfill_engine.store import ModelStore
from midfill_engine.types import EngineInfo

__all__ = [
    "load_model",
    "open_chosen",
    "open_engine",
    "plan_for",
    "prefill_chunk_for",
    "prepare",
    "prompt_tokens_for",
    "remembered_speed",
]

# A cancelled request holds the worker up to this long, except where the model is so slow that its
# chunks would become inefficient.
_CHUNK_S = 0.25
_MIN_CHUNK, _MAX_CHUNK = 64, 256
# What a GPU computes at once it computes nearly for free.
_MAX_GPU_CHUNK = 1024
# So many times the memory that two models need is plenty: then both may stay.
_PLENTY = 3
# A prompt that has to be computed from nothing may take this long; what fits is the default
# prompt. Below the floor a completion sees too little to be any good, whatever it costs.
_COLD_PROMPT_S = 1.0
_MIN_PROMPT_TOKENS, _MAX_PROMPT_TOKENS, _PROMPT_STEP = 384, 2048, 128


def open_engine(
    options: EngineOptions, progress: ProgressSink, cancel: CancelToken | None = None
) -> Engine:
    """Return an engine that is ready to answer.

    With ``options.stand_in`` that may be a smaller model, until the chosen one is loaded, and
    later on where the chosen one would take long to begin.

    Fetches a missing model only where ``options.download`` allows it, and converts it once.
    Raises ``UnknownModelError``, ``ModelMissingError`` (which names the command that pulls it),
    and what fetching and converting may raise.
    """
    store = ModelStore(options.home)
    chosen = choose_model(options, store)
    cancel = cancel or CancelToken()
    small = _stand_in_for(chosen, store, options)
    if small is None:
        return open_chosen(chosen, store, options, progress, cancel)

    both_may_stay = _both_may_stay(chosen, small, options)
    # It has fewer places to remember: it only begins what the better one goes on with.
    less = replace(options, cache_mb=options.cache_mb // 2, draft="never")
    engine = open_chosen(small, store, less, progress, cancel)

    def open_better(closing: CancelToken) -> Engine:
        beside = engine if both_may_stay else None
        return open_chosen(chosen, store, options, progress, closing, beside=beside)

    def stays(better: Engine) -> bool:
        # Where no prompt is costly and nothing is drafted, the small one has nothing to do.
        if not isinstance(better, LocalEngine):
            return False
        return both_may_stay and (better.cold_prompt_ms > COSTLY_MS or better.drafts_beside)

    return StandInEngine(engine, open_better, progress, stays=stays)


def _stand_in_for(
    chosen: ChosenModel, store: ModelStore, options: EngineOptions
) -> ChosenModel | None:
    """Return the smallest model that is worse than ``chosen`` and only has to be loaded.

    It runs on the CPU, also beside a GPU: that one's memory is for the better model.
    """
    obtainable = options.download or store.model_path(chosen.spec) is not None
    if options.stand_in == "never" or not obtainable:
        return None
    reason = f"stands in until {chosen.spec.id} is ready"
    smaller = (
        ChosenModel(spec=spec, layout=spec.layout, reason=reason)
        for spec in sorted(MODELS, key=lambda spec: spec.size_bytes)
        if spec.rank < chosen.spec.rank and Capability.FIM in spec.capabilities and spec.embedded
    )
    free = probe_machine().available_bytes
    for one in smaller:
        # For a moment at least both are there.
        fits = _memory_of_both(chosen, one) <= free
        if fits and find_runtime(one.runtime).prepared(one, store) is not None:
            return one
    return None


def _both_may_stay(chosen: ChosenModel, small: ChosenModel, options: EngineOptions) -> bool:
    """Whether the memory is there to keep ``small`` once ``chosen`` is loaded."""
    if options.stand_in == "auto":
        return probe_machine().available_bytes >= _PLENTY * _memory_of_both(chosen, small)
    return options.stand_in == "always"


def _memory_of_both(chosen: ChosenModel, small: ChosenModel) -> int:
    """Return what the processor's memory has to hold."""
    large = memory_needed(chosen) if chosen.device == "cpu" else 0
    return large + memory_needed(small)


def open_chosen(
    chosen: ChosenModel,
    store: ModelStore,
    options: EngineOptions,
    progress: ProgressSink,
    cancel: CancelToken,
    *,
    beside: LocalEngine | None = None,
) -> LocalEngine:
    """Do what ``open_engine`` does, for a model that is chosen already.

    ``beside`` is an engine that stays and never works at the same time: it may draft for this one.
    """
    model = load_model(chosen, store, options, progress, cancel)
    info = EngineInfo(
        model_id=chosen.spec.id,
        backend=f"{chosen.runtime}, {chosen.layout} weights",
        device=chosen.device,
        reason=chosen.reason,
    )
    if beside is not None and options.draft == beside.info.model_id:
        companion, draft = None, draft_model(model, beside.model, beside.sequences)
    else:
        companion = _companion(chosen, store, options, progress, cancel)
        draft = draft_model(model, companion) if companion is not None else None
    return LocalEngine(
        model,
        info,
        drafter=drafter_for(model, draft),
        companion=companion,
        drafts_beside=draft is not None and companion is None,
    )


def _companion(
    chosen: ChosenModel,
    store: ModelStore,
    options: EngineOptions,
    progress: ProgressSink,
    cancel: CancelToken,
) -> LoadedModel | None:
    """Load the model that drafts for ``chosen``, where one was named or there is a GPU for it.

    On two cores a model a third as large saved no more than lookup alone (measured, see
    ``benchmarks/LOG.md``), so there none drafts unasked.
    """
    if options.draft == "never" or (options.draft == "auto" and chosen.device == "cpu"):
        return None
    own = options.draft == "auto"
    spec = own_draft(chosen.spec, store) if own else resolve_model(options.draft)
    if spec is None or spec.id == chosen.spec.id:
        return None
    beside = replace(
        options,
        model=spec.id if spec.path is None else str(spec.path),
        backend=chosen.runtime,
        device=chosen.device,
        # A draft is only worth what it costs less than the model that checks it.
        weights="int4" if chosen.runtime == "torch" else "auto",
        cache_mb=options.cache_mb // 2,
    )
    try:
        form = choose_model(beside, store)
        return load_model(form, store, beside, progress, cancel)
    except (OutOfMemoryError, ModelMissingError, BackendUnavailableError):
        if not own:
            raise
        # Nobody asked for it, and it is no reason to do without the model itself.
        return None


def load_model(
    chosen: ChosenModel,
    store: ModelStore,
    options: EngineOptions,
    progress: ProgressSink,
    cancel: CancelToken,
) -> LoadedModel:
    """Return what an engine answers with; raises what ``open_engine`` does."""
    spec, runtime = chosen.spec, find_runtime(chosen.runtime)
    path = runtime.prepare(
        chosen, store, download=options.download, progress=progress, cancel=cancel
    )
    plan = plan_for(chosen, options)
    progress(Progress(task=f"Loading {spec.id}", done=0, total=1, unit="model"))
    opened = runtime.open(
        path,
        chosen,
        Opening(
            threads=options.threads,
            context_tokens=plan.context_tokens,
            cache_bytes=options.cache_mb * 1_000_000,
            progress=progress,
            cancel=cancel,
        ),
    )
    speed = remembered_speed(opened.backend, conversion_folder(chosen, store))
    progress(Progress(task=f"Loading {spec.id}", done=1, total=1, unit="model"))
    return _loaded(chosen, opened, plan, options, speed)


def _loaded(
    chosen: ChosenModel, opened: Opened, plan: MemoryPlan, options: EngineOptions, speed: Speed
) -> LoadedModel:
    spec, tokenizer = chosen.spec, opened.tokenizer
    fim = resolve(spec.fim, tokenizer) if spec.fim else None
    chat = resolve_chat(spec.chat, tokenizer) if spec.chat else None
    found = (tokenizer.special_id(text) for text in spec.stop_texts)
    stop_ids = frozenset(token for token in found if token is not None)
    return LoadedModel(
        backend=opened.backend,
        tokenizer=tokenizer,
        fim=fim,
        chat=chat,
        stop_ids=stop_ids | (fim.stop_ids if fim else frozenset[int]()),
        context_tokens=plan.context_tokens,
        prompt_tokens=options.prompt_tokens or prompt_tokens_for(speed),
        prefill_chunk=prefill_chunk_for(speed, chosen.device),
        cache_bytes=options.cache_mb * 1_000_000,
        speed=speed,
    )


def plan_for(chosen: ChosenModel, options: EngineOptions) -> MemoryPlan:
    """Return how much context ``chosen`` gets; ``OutOfMemoryError`` where it does not fit.

    A small model that is used for want of memory is tried with little context all the same.
    """
    need = footprint_of(chosen)
    wanted_tokens = min(options.context_tokens, chosen.spec.reach_tokens)
    free = available_bytes(chosen.device, probe_machine())
    try:
        return plan_memory(chosen.spec.id, need, wanted_tokens=wanted_tokens, available_bytes=free)
    except OutOfMemoryError:
        if chosen.device == "gpu" or not chosen.spec.embedded:
            raise
        return MemoryPlan(
            footprint=need,
            context_tokens=min(LEAST_CONTEXT_TOKENS, wanted_tokens),
            available_bytes=free,
            wanted_tokens=wanted_tokens,
        )


def prepare(
    chosen: ChosenModel,
    store: ModelStore,
    *,
    download: bool,
    progress: ProgressSink,
    cancel: CancelToken,
) -> Path:
    """Make ready what ``chosen`` needs on disk; see ``Runtime.prepare``."""
    runtime = find_runtime(chosen.runtime)
    return runtime.prepare(chosen, store, download=download, progress=progress, cancel=cancel)


def remembered_speed(backend: Backend, folder: Path) -> Speed:
    """Return the speed measured on this machine; measure it now if it never was.

    What was measured while others used the machine is measured again once they do not: costs,
    and with them the length of prompts and drafts, are predicted from it.
    """
    fingerprint = probe_machine().fingerprint
    speed = load_speed(folder, fingerprint)
    # Notes of an earlier version may not say what wide steps cost.
    usable = speed is not None and bool(speed.steps_ms)
    if speed is not None and usable and speed.busy_percent <= BUSY_PERCENT:
        return speed
    busy_percent = watch_processor()
    if speed is not None and usable and busy_percent > BUSY_PERCENT:
        return speed
    speed = replace(measure_speed(backend, fingerprint), busy_percent=busy_percent)
    save_speed(folder, speed)
    return speed


def prefill_chunk_for(speed: Speed, device: Device = "cpu") -> int:
    """Return how many tokens to compute between two looks at the cancel token: a power of two."""
    affordable = max(speed.prefill_tokens_per_s * _CHUNK_S, 1)
    most = _MAX_GPU_CHUNK if device == "gpu" else _MAX_CHUNK
    return max(_MIN_CHUNK, min(most, 1 << round(math.log2(affordable))))


def prompt_tokens_for(speed: Speed) -> int:
    """Return how long a prompt may be by default, in tokens, given how fast it is computed."""
    affordable = speed.prefill_tokens_per_s * _COLD_PROMPT_S
    stepped = int(affordable / _PROMPT_STEP) * _PROMPT_STEP
    return max(_MIN_PROMPT_TOKENS, min(_MAX_PROMPT_TOKENS, stepped))
