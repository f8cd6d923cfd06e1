"""ONNX Runtime on the CPU, driven through IO binding with keys and values written in place."""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from midfill_engine.backends.base import KVCache, Logits
from midfill_engine.errors import BackendUnavailableError, ModelFormatError
from midfill_engine.onnx.convert import OnnxManifest

__all__ = ["OnnxBackend", "OnnxKVCache"]

_BYTES_PER_VALUE = 4


class _Binding(Protocol):
    """The part of ``onnxruntime.IOBinding`` that is used; the library carries no types."""

    def bind_cpu_input(self, name: str, arr_on_cpu: object) -> None: ...
    def bind_ortvalue_input(self, name: str, ortvalue: object) -> None: ...
    def bind_ortvalue_output(self, name: str, ortvalue: object) -> None: ...
    def bind_output(
        self,
        name: str,
        device_type: str,
        device_id: int,
        element_type: type[np.float32],
        shape: tuple[int, ...],
        buffer_ptr: int,
    ) -> None: ...


class _Options(Protocol):
    """The part of ``onnxruntime.SessionOptions`` that is used."""

    log_severity_level: int
    intra_op_num_threads: int
    inter_op_num_threads: int
    graph_optimization_level: object

    def add_session_config_entry(self, key: str, value: str) -> None: ...


class _Session(Protocol):
    """The part of ``onnxruntime.InferenceSession`` that is used."""

    def io_binding(self) -> _Binding: ...
    def run_with_iobinding(self, iobinding: _Binding) -> None: ...


class _Levels(Protocol):
    """The part of ``onnxruntime.GraphOptimizationLevel`` that is used."""

    ORT_DISABLE_ALL: object


class _Runtime(Protocol):
    """The part of ``onnxruntime`` itself that is used, under its own names."""

    GraphOptimizationLevel: _Levels

    def SessionOptions(self) -> _Options: ...
    def InferenceSession(
        self, path: str, sess_options: _Options, *, providers: list[str]
    ) -> _Session: ...


class OnnxKVCache:
    """One buffer per layer for keys and one for values, each ``[1, kv_heads, capacity, head_dim]``.

    The same memory is bound as past and as present, so nothing is copied from step to step, and
    pages that no token has reached yet are not resident.
    """

    def __init__(self, session: _Session, manifest: OnnxManifest, capacity: int) -> None:
        import onnxruntime as ort

        config = manifest.config
        shape = (1, config.kv_heads, capacity, config.head_dim)
        self._length = 0
        self._reached = 0
        self.capacity = capacity
        self.binding = session.io_binding()
        # The runtime keeps only addresses: these references keep the memory.
        self._buffers: list[object] = []
        self._arrays: list[npt.NDArray[np.float32]] = []
        self._position_bytes = 2 * config.layers * config.kv_heads * config.head_dim
        self._position_bytes *= _BYTES_PER_VALUE
        for layer in range(config.layers):
            for kind in ("key", "value"):
                array = _untouched(shape)
                buffer = ort.OrtValue.ortvalue_from_numpy(array)
                self._arrays.append(array)
                self._buffers.append(buffer)
                self.binding.bind_ortvalue_input(f"past.{layer}.{kind}", buffer)
                self.binding.bind_ortvalue_output(f"present.{layer}.{kind}", buffer)

    @property
    def length(self) -> int:
        """Positions filled."""
        return self._length

    @property
    def nbytes(self) -> int:
        """Bytes of the positions that were ever filled: what is resident."""
        return self._position_bytes * self._reached

    def truncate(self, length: int) -> None:
        """Forget positions from ``length`` on."""
        if not 0 <= length <= self._length:
            raise ValueError(f"cannot truncate a cache of {self._length} to {length}")
        self._length = length

    def copy_beginning(self, other: KVCache, length: int) -> None:
        """Hold the first ``length`` positions of ``other``; see ``KVCache.copy_beginning``."""
        if not isinstance(other, OnnxKVCache):
            raise TypeError(f"a cache of another backend: {type(other).__name__}")
        if not 0 <= length <= min(other.length, self.capacity):
            raise ValueError(
                f"cannot copy {length} positions of {other.length} to a cache of {self.capacity}"
            )
        self._length = 0
        for mine, theirs in zip(self._arrays, other._arrays, strict=True):
            np.copyto(mine[:, :, :length], theirs[:, :, :length])
        self.extend(length)

    def extend(self, count: int) -> None:
        """Note that ``count`` positions were written."""
        self._length += count
        self._reached = max(self._reached, self._length)


def _untouched(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Zeros that take memory page by page, as they are written.

    numpy asks for huge pages for 4 MB and more: one position would then take 2 MB per head, and
    a few nearly empty caches of the 1.5B would take 1 GB.
    """
    memory = mmap.mmap(-1, math.prod(shape) * _BYTES_PER_VALUE)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, np.float32).reshape(shape)


class OnnxBackend:
    """A converted model, loaded.

    ``threads=None`` takes what ONNX Runtime finds to be the physical cores. Raises
    ``BackendUnavailableError`` without onnxruntime and ``ModelFormatError`` for a folder that
    holds no finished conversion.
    """

    def __init__(self, folder: Path, *, threads: int | None = None) -> None:
        manifest = OnnxManifest.read(folder)
        if manifest is None:
            raise ModelFormatError(f"{folder} holds no finished conversion.")
        self.manifest = manifest
        self._session: _Session | None = _open_session(folder, threads)
        # Reused between steps: a fresh array of the vocabulary's width costs page faults.
        self._logits = np.zeros((1, manifest.config.vocab), np.float32)

    @property
    def vocab_size(self) -> int:
        """Width of a row of logits."""
        return self.manifest.config.vocab

    def new_cache(self, capacity: int) -> OnnxKVCache:
        """Make an empty cache; at most as long as the model's rotary tables reach."""
        return OnnxKVCache(self._opened(), self.manifest, min(capacity, self.manifest.positions))

    def forward(self, tokens: Sequence[int], cache: KVCache, logits_for: int) -> Logits:
        """Run one step; see ``Backend.forward``."""
        if not isinstance(cache, OnnxKVCache):
            raise TypeError(f"a cache of another backend: {type(cache).__name__}")
        count, total = len(tokens), cache.length + len(tokens)
        if count == 0 or not 0 <= logits_for <= count:
            raise ValueError(f"{logits_for} rows of logits asked of {count} tokens")
        if total > cache.capacity:
            raise ValueError(f"{total} positions in a cache of {cache.capacity}")
        session, binding = self._opened(), cache.binding
        # The graph always computes one row; one too many is cheaper than a second graph.
        rows = max(logits_for, 1)
        if rows > len(self._logits):
            self._logits = np.zeros((rows, self.vocab_size), np.float32)
        inputs = {
            "input_ids": np.asarray(tokens, np.int64).reshape(1, count),
            "wanted": np.arange(count - rows, count, dtype=np.int64),
            "seqlens_k": np.array([total - 1], np.int32),
            "total_sequence_length": np.array(total, np.int32),
        }
        for name, values in inputs.items():
            binding.bind_cpu_input(name, values)
        logits = self._logits[:rows]
        binding.bind_output(
            "logits", "cpu", 0, np.float32, (1, rows, self.vocab_size), logits.ctypes.data
        )
        session.run_with_iobinding(binding)
        cache.extend(count)
        return logits[rows - logits_for :]

    def close(self) -> None:
        """Release the weights. Idempotent."""
        self._session = None

    def _opened(self) -> _Session:
        if self._session is None:
            raise ValueError("the backend is closed")
        return self._session


def _open_session(folder: Path, threads: int | None) -> _Session:
    # The library collects events about its use and sends them to its maker. It looks at this once,
    # when it is imported; its function of that purpose comes too late, when a thread is at work.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendUnavailableError(
            "onnxruntime is not installed. Run: pip install 'midfill[cpu]'"
        ) from error
    runtime = cast("_Runtime", onnxruntime)
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
    try:
        path = str(OnnxManifest.graph_path(folder))
        return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # onnxruntime raises classes of its own that share no base but Exception.
        raise ModelFormatError(
            f"{folder} cannot be loaded ({error}). Delete the folder; it is made again."
        ) from error
