"""ONNX Runtime itself: what of it is used, and how a session is opened on each device."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, cast

import numpy as np

from midfill_engine.errors import BackendUnavailableError, ModelFormatError, OutOfMemoryError
from midfill_engine.onnx.convert import OnnxManifest

__all__ = ["Binding", "OnnxDevice", "Session", "memory_fault", "open_session"]

OnnxDevice: TypeAlias = Literal["cpu", "cuda"]

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
# How the runtime's own allocators, CUDA and C++ say that there is no memory left.
_MEMORY_FAULTS = ("failed to allocate memory", "out of memory", "bad allocation", "bad_alloc")


class Binding(Protocol):
    """The part of ``onnxruntime.IOBinding`` that is used; the library carries no types."""

    def bind_cpu_input(self, name: str, arr_on_cpu: object) -> None:
        """Take an input from an array."""
        ...

    def bind_ortvalue_input(self, name: str, ortvalue: object) -> None:
        """Take an input from a tensor where it lies."""
        ...

    def bind_ortvalue_output(self, name: str, ortvalue: object) -> None:
        """Write an output into a tensor where it lies."""
        ...

    def bind_output(
        self,
        name: str,
        device_type: str,
        device_id: int,
        element_type: type[np.float32],
        shape: tuple[int, ...],
        buffer_ptr: int,
    ) -> None:
        """Write an output to memory at an address."""
        ...


class Session(Protocol):
    """The part of ``onnxruntime.InferenceSession`` that is used."""

    def io_binding(self) -> Binding:
        """Make an empty binding."""
        ...

    def run_with_iobinding(self, iobinding: Binding) -> None:
        """Run the graph on what is bound."""
        ...

    def get_providers(self) -> list[str]:
        """Tell what the session runs on, preferred first."""
        ...


class _Options(Protocol):
    """The part of ``onnxruntime.SessionOptions`` that is used."""

    log_severity_level: int
    intra_op_num_threads: int
    inter_op_num_threads: int
    graph_optimization_level: object

    def add_session_config_entry(self, key: str, value: str) -> None: ...


class _Levels(Protocol):
    """The part of ``onnxruntime.GraphOptimizationLevel`` that is used."""

    ORT_DISABLE_ALL: object


class _Runtime(Protocol):
    """The part of ``onnxruntime`` itself that is used, under its own names."""

    GraphOptimizationLevel: _Levels

    def get_available_providers(self) -> list[str]: ...
    def preload_dlls(self) -> None: ...
    def SessionOptions(self) -> _Options: ...
    def InferenceSession(
        self, path: str, sess_options: _Options, *, providers: list[tuple[str, dict[str, str]]]
    ) -> Session: ...


def open_session(folder: Path, threads: int | None, device: OnnxDevice) -> Session:
    """Load the graph of a converted folder.

    Raises ``BackendUnavailableError`` without a runtime for ``device``, ``OutOfMemoryError`` where
    the weights do not fit, and ``ModelFormatError`` for a graph that cannot be loaded.
    """
    runtime = _load_runtime(device)
    options = _options(runtime, threads)
    providers: list[tuple[str, dict[str, str]]] = [(_CPU, {})]
    if device == "cuda":
        # The arena would double itself with each growth. No CUDA graph: one replays a step of one
        # width and one length of the cache, and both change from step to step here.
        providers.insert(0, (_CUDA, {"arena_extend_strategy": "kSameAsRequested"}))
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    try:
        path = str(OnnxManifest.graph_path(folder))
        session = runtime.InferenceSession(path, options, providers=providers)
    except Exception as error:
        # onnxruntime raises classes of its own that share no base but Exception.
        if fault := memory_fault(error):
            raise fault from error
        raise ModelFormatError(
            f"{folder} cannot be loaded ({error}). Delete the folder; it is made again."
        ) from error
    # Where CUDA's libraries are missing the runtime falls back to the processor and says nothing.
    if device == "cuda" and _CUDA not in session.get_providers():
        raise BackendUnavailableError(
            "ONNX Runtime finds no usable GPU, or not the CUDA and cuDNN libraries it was built "
            "for. `nvidia-smi` shows the driver; pip install 'midfill[cuda]' brings the libraries."
        )
    return session


def memory_fault(error: Exception) -> OutOfMemoryError | None:
    """Return the error to raise instead, where ``error`` says that memory is exhausted."""
    said = str(error).lower()
    if isinstance(error, MemoryError) or any(sign in said for sign in _MEMORY_FAULTS):
        return OutOfMemoryError(f"there is no memory left for this model ({error})")
    return None


def _load_runtime(device: OnnxDevice) -> _Runtime:
    # The library collects events about its use and sends them to its maker. It looks at this once,
    # when it is imported; its function of that purpose comes too late, when a thread is at work.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    extra = {"cpu": "cpu", "cuda": "cuda"}[device]
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendUnavailableError(
            f"onnxruntime is not installed. Run: pip install 'midfill[{extra}]'"
        ) from error
    runtime = cast("_Runtime", onnxruntime)
    if device == "cuda":
        if _CUDA not in runtime.get_available_providers():
            raise BackendUnavailableError(
                "the onnxruntime that is installed is the one without CUDA. Both own the same "
                "module: pip uninstall onnxruntime, then pip install 'midfill[cuda]'"
            )
        # Finds the CUDA libraries that came as Python packages; without them the system's serve.
        runtime.preload_dlls()
    return runtime


def _options(runtime: _Runtime, threads: int | None) -> _Options:
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    # The graph is written as it is to run: looking for something to fuse took 0.1 s and found none.
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Between two operators of a step a thread that sleeps comes back too late: spinning takes a
    # decode step from 18 to 13 ms. When a step is over they would spin on for 30 ms, in which the
    # processor may have something better to do; waking them for the next step costs nothing seen.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options
