"""What every runtime looks like to those who choose and open one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from midfill_engine.backends.base import Backend
from midfill_engine.cancel import CancelToken
from midfill_engine.errors import ModelMissingError
from midfill_engine.plan import Footprint
from midfill_engine.progress import ProgressSink
from midfill_engine.registry import ModelSpec
from midfill_engine.store import ModelStore
from midfill_engine.tokenizer import Tokenizer

__all__ = [
    "ChosenModel",
    "Device",
    "Layout",
    "Opened",
    "Opening",
    "RunsAsItIs",
    "Runtime",
    "conversion_folder",
    "fetched",
    "made_once",
]

Device: TypeAlias = Literal["cpu", "gpu"]
"""``gpu`` is whatever accelerator the runtime drives: CUDA, for llama.cpp also Metal or Vulkan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One form that a runtime keeps a model's weights in, and the memory that this takes.

    ``only_by_name``: it is there for who asks for it, and never the best choice.
    """

    name: str
    footprint: Footprint
    only_by_name: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenModel:
    """A model, how it runs, and why that was chosen."""

    spec: ModelSpec
    layout: str
    reason: str
    runtime: str = "onnx"
    device: Device = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What an open backend is to do: ``context_tokens`` is the longest sequence.

    ``cache_bytes``: what the sequences that are not in use may hold together.
    """

    threads: int | None
    context_tokens: int
    cache_bytes: int
    progress: ProgressSink
    cancel: CancelToken


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A model that is ready to compute, and its vocabulary."""

    backend: Backend
    tokenizer: Tokenizer


class Runtime(Protocol):
    """One way to run models. Making one imports and probes nothing."""

    def layouts(self, spec: ModelSpec, device: Device) -> tuple[Layout, ...]:
        """Return the forms that ``spec`` can take here, the best first.

        Raises ``BackendUnavailableError`` where it is not installed or drives no such device, and
        ``ModelFormatError`` for a model that it cannot run: both say why.
        """
        ...

    def prepared(self, chosen: ChosenModel, store: ModelStore) -> Path | None:
        """Return what ``open`` needs if it only has to be loaded."""
        ...

    def prepare(
        self,
        chosen: ChosenModel,
        store: ModelStore,
        *,
        download: bool,
        progress: ProgressSink,
        cancel: CancelToken,
    ) -> Path:
        """Fetch (where ``download`` allows it) and convert what is missing; return the same.

        Safe beside other processes and kills. Raises ``ModelMissingError``, which says what to
        pull, and what fetching and converting may raise.
        """
        ...

    def open(self, prepared: Path, chosen: ChosenModel, opening: Opening) -> Opened:
        """Load it. Raises ``OutOfMemoryError`` where the device has no room after all."""
        ...


class RunsAsItIs:
    """The part of a runtime that makes nothing of a model's files but fetches them."""

    def prepared(self, chosen: ChosenModel, store: ModelStore) -> Path | None:
        """Return the files, if they are here."""
        return store.model_path(chosen.spec)

    def prepare(
        self,
        chosen: ChosenModel,
        store: ModelStore,
        *,
        download: bool,
        progress: ProgressSink,
        cancel: CancelToken,
    ) -> Path:
        """Fetch the files where they are missing."""
        return fetched(chosen.spec, store, download=download, progress=progress, cancel=cancel)


def made_once(
    runtime: Runtime,
    chosen: ChosenModel,
    store: ModelStore,
    make: Callable[[Path, Path], None],
    *,
    download: bool,
    progress: ProgressSink,
    cancel: CancelToken,
) -> Path:
    """Return the folder that ``make(files, folder)`` makes of a model, now if it is missing.

    That happens under the model's lock. What is made must appear in its place by a rename.
    """
    if folder := runtime.prepared(chosen, store):
        return folder
    folder = conversion_folder(chosen, store)
    path = fetched(chosen.spec, store, download=download, progress=progress, cancel=cancel)
    with store.lock(chosen.spec.id, progress, cancel=cancel):
        # Another process may have made it while this one waited for the lock.
        if runtime.prepared(chosen, store) is None:
            make(path, folder)
    return folder


def conversion_folder(chosen: ChosenModel, store: ModelStore) -> Path:
    """Return the folder for what is made of a model, and learned about it, in this form.

    A model that is run as it is has one too: its speed is noted there.
    """
    if (chosen.runtime, chosen.device) == ("onnx", "cpu"):
        return store.conversion_dir(chosen.spec.id, chosen.layout)
    key = f"{chosen.runtime}-{chosen.device}-{chosen.layout}"
    return store.conversion_dir(chosen.spec.id, key)


def fetched(
    spec: ModelSpec,
    store: ModelStore,
    *,
    download: bool,
    progress: ProgressSink,
    cancel: CancelToken,
) -> Path:
    """Return where a model's files are, fetching them where ``download`` allows it."""
    path = store.model_path(spec)
    if path is not None:
        return path
    if not download:
        raise ModelMissingError(
            f"{spec.id} is not on this machine yet ({spec.size_bytes / 1e9:.1f} GB). "
            f"Run: midfill models pull {spec.id}",
            model_id=spec.id,
            download_bytes=spec.size_bytes,
        )
    return store.pull(spec, progress=progress, cancel=cancel)
