"""From a choice of model to an engine that answers: choose, fetch, convert, load, measure."""

from __future__ import annotations

import errno
import math
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from midfill_engine.backends.base import Backend
from midfill_engine.cancel import CancelToken
from midfill_engine.decode.drafters import Drafter, NoDraft
from midfill_engine.decode.lookup import LookupDrafter
from midfill_engine.decode.pace import StepCosts
from midfill_engine.engine import Engine
from midfill_engine.errors import DiskFullError, ModelError, ModelMissingError
from midfill_engine.local import LoadedModel, LocalEngine
from midfill_engine.machine import BUSY_PERCENT, probe_machine, watch_processor
from midfill_engine.onnx.convert import CONVERTER_VERSION, OnnxManifest, convert
from midfill_engine.onnx.layouts import find_layout
from midfill_engine.options import EngineOptions
from midfill_engine.progress import Progress, ProgressSink
from midfill_engine.prompt import resolve
from midfill_engine.registry import MODELS, ModelSpec, find_model
from midfill_engine.select import memory_needed, recommend
from midfill_engine.speed import Speed, load_speed, measure_speed, save_speed
from midfill_engine.stand_in import COSTLY_MS, StandInEngine
from midfill_engine.store import ModelStore
from midfill_engine.tokenizer import Tokenizer, build_tokenizer, load_tokenizer
from midfill_engine.types import EngineInfo

__all__ = [
    "ChosenModel",
    "choose_model",
    "drafter_for",
    "is_current",
    "load_model",
    "open_chosen",
    "open_engine",
    "prefill_chunk_for",
    "prepare",
    "prompt_tokens_for",
    "remembered_speed",
]

_TOKENIZER = "tokenizer.json"
# A cancelled request holds the worker up to this long, except where the model is so slow that its
# chunks would become inefficient.
_CHUNK_S = 0.25
_MIN_CHUNK, _MAX_CHUNK = 64, 256
# So many times the memory that two models need is plenty: then both may stay.
_PLENTY = 3
# A prompt that has to be computed from nothing may take this long; what fits is the default
# prompt. Below the floor a completion sees too little to be any good, whatever it costs.
_COLD_PROMPT_S = 1.0
_MIN_PROMPT_TOKENS, _MAX_PROMPT_TOKENS, _PROMPT_STEP = 384, 2048, 128


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenModel:
    """A model of the registry, the layout of its weights, and why it was chosen."""

    spec: ModelSpec
    layout: str
    reason: str


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

    def open_better(closing: CancelToken) -> Engine:
        return open_chosen(chosen, store, options, progress, closing)

    def stays(better: Engine) -> bool:
        # Where no prompt is costly, the small one would have nothing to do.
        costly = isinstance(better, LocalEngine) and better.cold_prompt_ms > COSTLY_MS
        return both_may_stay and costly

    # It has fewer places to remember: it only begins what the better one goes on with.
    less = replace(options, cache_mb=options.cache_mb // 2)
    engine = open_chosen(small, store, less, progress, cancel)
    return StandInEngine(engine, open_better, progress, stays=stays)


def _stand_in_for(
    chosen: ChosenModel, store: ModelStore, options: EngineOptions
) -> ChosenModel | None:
    """Return the fastest model that is worse than ``chosen`` and only has to be loaded."""
    obtainable = options.download or store.model_path(chosen.spec) is not None
    if options.stand_in == "never" or not obtainable:
        return None
    reason = f"stands in until {chosen.spec.id} is ready"
    smaller = (
        ChosenModel(spec=spec, layout=spec.layout, reason=reason)
        for spec in sorted(MODELS, key=lambda spec: spec.size_bytes)
        if spec.rank < chosen.spec.rank
    )
    available_bytes = probe_machine().available_bytes
    for one in smaller:
        # For a moment at least both are there.
        fits = _memory_of_both(chosen, one) <= available_bytes
        if fits and is_current(store.conversion_dir(one.spec.id, one.layout), one):
            return one
    return None


def _both_may_stay(chosen: ChosenModel, small: ChosenModel, options: EngineOptions) -> bool:
    """Whether the memory is there to keep ``small`` once ``chosen`` is loaded."""
    if options.stand_in == "auto":
        return probe_machine().available_bytes >= _PLENTY * _memory_of_both(chosen, small)
    return options.stand_in == "always"


def _memory_of_both(chosen: ChosenModel, small: ChosenModel) -> int:
    return memory_needed(chosen.spec) + memory_needed(small.spec)


def open_chosen(
    chosen: ChosenModel,
    store: ModelStore,
    options: EngineOptions,
    progress: ProgressSink,
    cancel: CancelToken,
) -> LocalEngine:
    """Do what ``open_engine`` does, for a model that is chosen already."""
    model = load_model(chosen, store, options, progress, cancel)
    info = EngineInfo(
        model_id=chosen.spec.id,
        backend=f"onnxruntime, {chosen.layout} weights",
        device="cpu",
        reason=chosen.reason,
    )
    return LocalEngine(model, info, drafter=drafter_for(model))


def load_model(
    chosen: ChosenModel,
    store: ModelStore,
    options: EngineOptions,
    progress: ProgressSink,
    cancel: CancelToken,
) -> LoadedModel:
    """Return what an engine answers with; raises what ``open_engine`` does."""
    folder = prepare(chosen, store, download=options.download, progress=progress, cancel=cancel)
    progress(Progress(task=f"Loading {chosen.spec.id}", done=0, total=1, unit="model"))
    backend, tokenizer = _load(folder, options.threads)
    speed = remembered_speed(backend, folder)
    progress(Progress(task=f"Loading {chosen.spec.id}", done=1, total=1, unit="model"))
    fim = resolve(chosen.spec.fim, tokenizer) if chosen.spec.fim else None
    found = (tokenizer.special_id(text) for text in chosen.spec.stop_texts)
    stop_ids = frozenset(token for token in found if token is not None)
    context_tokens = min(options.context_tokens, chosen.spec.context_tokens)
    return LoadedModel(
        backend=backend,
        tokenizer=tokenizer,
        fim=fim,
        stop_ids=stop_ids | (fim.stop_ids if fim else frozenset[int]()),
        context_tokens=context_tokens,
        prompt_tokens=options.prompt_tokens or prompt_tokens_for(speed),
        prefill_chunk=prefill_chunk_for(speed),
        cache_bytes=options.cache_mb * 1_000_000,
        speed=speed,
    )


def drafter_for(model: LoadedModel) -> Drafter:
    """Return what guesses for ``model``: lookup, where it is known what checking guesses costs."""
    if model.speed is None or not model.speed.steps_ms:
        return NoDraft()
    return LookupDrafter(StepCosts(model.speed.steps_ms), model.fim)


def choose_model(options: EngineOptions, store: ModelStore) -> ChosenModel:
    """Resolve ``options.model``, ``"auto"`` included, and the layout of its weights."""
    if options.model == "auto":
        recommendation = recommend(store)
        spec, reason = find_model(recommendation.model_id), recommendation.reason
        if store.model_path(spec) is None and not options.download:
            spec, reason = _best_installed(store, spec) or (spec, reason)
    else:
        spec, reason = find_model(options.model), "named in the settings"
    layout = spec.layout if options.weights == "auto" else options.weights
    return ChosenModel(spec=spec, layout=find_layout(layout).name, reason=reason)


def _best_installed(store: ModelStore, wanted: ModelSpec) -> tuple[ModelSpec, str] | None:
    """The next best thing to a model that would have to be fetched first."""
    specs = [find_model(model.model_id) for model in store.installed()]
    if not specs:
        return None
    best = max(specs, key=lambda spec: spec.rank)
    return best, (
        f"the best one that is installed; {wanted.id} would suit this machine better: "
        f"midfill models pull {wanted.id}"
    )


def prepare(
    chosen: ChosenModel,
    store: ModelStore,
    *,
    download: bool,
    progress: ProgressSink,
    cancel: CancelToken,
) -> Path:
    """Return the folder of the converted model, fetching and converting what is missing.

    Safe beside other processes and kills: a conversion is made under the model's lock, in a
    folder of its own, and renamed into place when it is whole.
    """
    spec = chosen.spec
    folder = store.conversion_dir(spec.id, chosen.layout)
    if is_current(folder, chosen):
        return folder
    path = store.model_path(spec)
    if path is None:
        if not download:
            raise ModelMissingError(
                f"{spec.id} is not on this machine yet ({spec.size_bytes / 1e9:.1f} GB). "
                f"Run: midfill models pull {spec.id}"
            )
        path = store.pull(spec, progress=progress, cancel=cancel)
    with store.lock(spec.id, progress, cancel=cancel):
        # Another process may have converted it while this one waited for the lock.
        if not is_current(folder, chosen):
            _convert(path, folder, chosen, progress, cancel)
    return folder


def is_current(folder: Path, chosen: ChosenModel) -> bool:
    """Whether ``folder`` holds a finished conversion of just this, by today's converter."""
    manifest = OnnxManifest.read(folder)
    return (
        manifest is not None
        and manifest.source_sha256 == chosen.spec.files[0].sha256
        and manifest.converter_version == CONVERTER_VERSION
        and manifest.layout == chosen.layout
    )


def _convert(
    path: Path, folder: Path, chosen: ChosenModel, progress: ProgressSink, cancel: CancelToken
) -> None:
    from midfill_engine.gguf.weights import GgufWeights

    # 8 bits and their scales are up to 1.9 times a file of mixed 4 to 6 bits; float32 far more.
    needed = path.stat().st_size * (8 if chosen.layout == "float32" else 2)
    making = folder.with_name(f"{folder.name}.new")
    # What a killed conversion left; the lock says that nobody is at it.
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    free = shutil.disk_usage(making).free
    try:
        if free < needed:
            raise OSError(errno.ENOSPC, "not enough room")
        source = GgufWeights(path)
        build_tokenizer(source.file.metadata).save(making / _TOKENIZER)
        convert(
            source,
            making,
            layout=find_layout(chosen.layout),
            source_sha256=chosen.spec.files[0].sha256,
            progress=progress,
            cancel=cancel,
        )
        # What lies there is stale, or it would not be made anew.
        shutil.rmtree(folder, ignore_errors=True)
        making.rename(folder)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise ModelError(
                f"cannot convert {chosen.spec.id} into {folder}: {error}. If another program "
                "uses that folder, end it and try again."
            ) from error
        raise DiskFullError(
            f"converting {chosen.spec.id} needs {needed / 1e9:.1f} GB in {folder.parent}, "
            f"{free / 1e9:.1f} GB are free. Make room, or set MIDFILL_HOME to another disk."
        ) from error
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _load(folder: Path, threads: int | None) -> tuple[Backend, Tokenizer]:
    from midfill_engine.backends.onnx_backend import OnnxBackend

    # Both spend their time outside of the interpreter's lock, and a first answer waits for both.
    with ThreadPoolExecutor(1) as pool:
        tokenizer = pool.submit(load_tokenizer, folder / _TOKENIZER)
        backend = OnnxBackend(folder, threads=threads)
        return backend, tokenizer.result()


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


def prefill_chunk_for(speed: Speed) -> int:
    """Return how many tokens to compute between two looks at the cancel token: a power of two."""
    affordable = max(speed.prefill_tokens_per_s * _CHUNK_S, 1)
    return max(_MIN_CHUNK, min(_MAX_CHUNK, 1 << round(math.log2(affordable))))


def prompt_tokens_for(speed: Speed) -> int:
    """Return how long a prompt may be by default, in tokens, given how fast it is computed."""
    affordable = speed.prefill_tokens_per_s * _COLD_PROMPT_S
    stepped = int(affordable / _PROMPT_STEP) * _PROMPT_STEP
    return max(_MIN_PROMPT_TOKENS, min(_MAX_PROMPT_TOKENS, stepped))
