"""ONNX Runtime: a model is converted once into a graph of our own, and loaded from that."""

from __future__ import annotations

import errno
import importlib.util
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from midfill_engine.cancel import CancelToken
from midfill_engine.errors import BackendUnavailableError, DiskFullError, ModelError
from midfill_engine.onnx.convert import CONVERTER_VERSION, OnnxManifest, Precision, convert
from midfill_engine.onnx.layouts import find_layout
from midfill_engine.progress import ProgressSink
from midfill_engine.registry import ModelSpec
from midfill_engine.runtimes.base import (
    ChosenModel,
    Device,
    Layout,
    Opened,
    Opening,
    conversion_folder,
    made_once,
)
from midfill_engine.runtimes.layouts import onnx_layouts
from midfill_engine.store import ModelStore
from midfill_engine.tokenizer import load_tokenizer

__all__ = ["OnnxRuntime"]

_TOKENIZER = "tokenizer.json"


class OnnxRuntime:
    """Graphs in the layouts of ``onnx.layouts``; float32 on the CPU, float16 on a GPU."""

    def layouts(self, spec: ModelSpec, device: Device) -> tuple[Layout, ...]:
        """Return the model's own layout first, then narrower ones; see ``Runtime.layouts``."""
        if importlib.util.find_spec("onnxruntime") is None:
            extra = "cpu" if device == "cpu" else "cuda"
            raise BackendUnavailableError(
                f"onnxruntime is not installed. Run: pip install 'midfill[{extra}]'"
            )
        if device == "gpu" and not _drives_cuda():
            raise BackendUnavailableError(
                "this onnxruntime drives no GPU. Run: pip uninstall onnxruntime, "
                "and then pip install 'midfill[cuda]'"
            )
        return onnx_layouts(spec, device)

    def prepared(self, chosen: ChosenModel, store: ModelStore) -> Path | None:
        """Return the folder of a finished conversion of just this, by today's converter."""
        folder = conversion_folder(chosen, store)
        manifest = OnnxManifest.read(folder)
        is_current = (
            manifest is not None
            and manifest.source_sha256 == store.identity(chosen.spec)
            and manifest.converter_version == CONVERTER_VERSION
            and manifest.layout == chosen.layout
            and manifest.precision == _precision(chosen.device)
        )
        return folder if is_current else None

    def prepare(
        self,
        chosen: ChosenModel,
        store: ModelStore,
        *,
        download: bool,
        progress: ProgressSink,
        cancel: CancelToken,
    ) -> Path:
        """Fetch and convert what is missing.

        A conversion is made in a folder of its own, and renamed into place when it is whole.
        """

        def make(path: Path, folder: Path) -> None:
            _convert(path, folder, chosen, store.identity(chosen.spec), progress, cancel)

        return made_once(
            self, chosen, store, make, download=download, progress=progress, cancel=cancel
        )

    def open(self, prepared: Path, chosen: ChosenModel, opening: Opening) -> Opened:
        """Load the graph and the tokenizer beside it."""
        from midfill_engine.backends.onnx_backend import OnnxBackend

        device = "cuda" if chosen.device == "gpu" else "cpu"
        # Both spend their time outside of the interpreter's lock, and a first answer waits for
        # both.
        with ThreadPoolExecutor(1) as pool:
            tokenizer = pool.submit(load_tokenizer, prepared / _TOKENIZER)
            backend = OnnxBackend(prepared, threads=opening.threads, device=device)
            return Opened(backend=backend, tokenizer=tokenizer.result())


def _drives_cuda() -> bool:
    """Whether the installed onnxruntime is the one for CUDA, without importing it."""
    from importlib import metadata

    try:
        metadata.version("onnxruntime-gpu")
    except metadata.PackageNotFoundError:
        return False
    return True


def _precision(device: Device) -> Precision:
    return "float16" if device == "gpu" else "float32"


def _convert(
    path: Path,
    folder: Path,
    chosen: ChosenModel,
    identity: str,
    progress: ProgressSink,
    cancel: CancelToken,
) -> None:
    from midfill_engine.runtimes.checkpoint import open_checkpoint

    layouts = onnx_layouts(chosen.spec, chosen.device)
    needed = next(one for one in layouts if one.name == chosen.layout).footprint.weights_bytes
    making = folder.with_name(f"{folder.name}.new")
    # What a killed conversion left; the lock says that nobody is at it.
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    free = shutil.disk_usage(making).free
    try:
        if free < needed:
            raise OSError(errno.ENOSPC, "not enough room")
        checkpoint = open_checkpoint(path, chosen.spec)
        checkpoint.tokenizer.save(making / _TOKENIZER)
        convert(
            checkpoint.source,
            making,
            layout=find_layout(chosen.layout),
            source_sha256=identity,
            progress=progress,
            cancel=cancel,
            precision=_precision(chosen.device),
            positions=chosen.spec.reach_tokens,
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
