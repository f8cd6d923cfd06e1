"""Graphs that optimum exported, on ONNX Runtime: their cache grows by a copy with every step.

Slower than ``onnx_backend``, whose own graphs write keys and values in place, and for those
architectures that have no such graph. Needs neither optimum nor torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from midfill_engine.backends.base import KVCache, Logits
from midfill_engine.errors import BackendUnavailableError, ModelFormatError
from midfill_engine.export import ExportManifest

__all__ = ["OptimumBackend", "OptimumKVCache"]

Floats: TypeAlias = npt.NDArray[np.float32]
Integers: TypeAlias = npt.NDArray[np.int64]

_PAST, _PRESENT = "past_key_values.", "present."
_KNOWN_INPUTS = {"input_ids", "attention_mask", "position_ids"}


class _Value(Protocol):
    """``onnxruntime.NodeArg``: an input or output of a graph; names are free dimensions."""

    name: str
    type: str
    shape: Sequence[int | str | None]


class _Binding(Protocol):
    """The part of ``onnxruntime.IOBinding`` that is used; the library carries no types."""

    def bind_cpu_input(self, name: str, arr_on_cpu: object) -> None: ...
    def bind_output(
        self,
        name: str,
        device_type: str,
        device_id: int,
        element_type: type[np.float32],
        shape: tuple[int, ...],
        buffer_ptr: int,
    ) -> None: ...


class _Session(Protocol):
    """The part of ``onnxruntime.InferenceSession`` that is used."""

    def get_inputs(self) -> Sequence[_Value]: ...
    def get_outputs(self) -> Sequence[_Value]: ...
    def io_binding(self) -> _Binding: ...
    def run_with_iobinding(self, iobinding: _Binding) -> None: ...


class _Options(Protocol):
    """The part of ``onnxruntime.SessionOptions`` that is used."""

    log_severity_level: int
    intra_op_num_threads: int
    inter_op_num_threads: int

    def add_session_config_entry(self, key: str, value: str) -> None: ...


class _Runtime(Protocol):
    """The part of ``onnxruntime`` itself that is used, under its own names."""

    def SessionOptions(self) -> _Options: ...
    def InferenceSession(
        self, path: str, sess_options: _Options, *, providers: list[str]
    ) -> _Session: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Past:
    """One array of the cache: keys, values, or both in one, as the graph has them.

    ``shape`` is that of a batch of one; the extent at ``axis`` is the number of positions.
    """

    name: str
    shape: tuple[int, ...]
    axis: int

    @property
    def present(self) -> str:
        """The output that holds this array after a step."""
        return _PRESENT + self.name.removeprefix(_PAST)

    def shape_of(self, positions: int) -> tuple[int, ...]:
        """The shape of so many positions."""
        return (*self.shape[: self.axis], positions, *self.shape[self.axis + 1 :])

    def beginning(self, array: Floats, positions: int) -> Floats:
        """The first ``positions`` of an array, without a copy."""
        return array[(*([slice(None)] * self.axis), slice(0, positions))]


class OptimumKVCache:
    """The arrays that a step returned, which are what the next one is given."""

    def __init__(self, pasts: Sequence[_Past], capacity: int) -> None:
        self._pasts = pasts
        self._arrays: list[Floats] = [np.empty(past.shape_of(0), np.float32) for past in pasts]
        self._length = 0
        self.capacity = capacity

    @property
    def length(self) -> int:
        """Positions filled."""
        return self._length

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays that are held; a step holds as much again while it runs."""
        return sum(array.nbytes for array in self._arrays)

    def truncate(self, length: int) -> None:
        """Forget positions from ``length`` on; the arrays are cut when they are next needed."""
        if not 0 <= length <= self._length:
            raise ValueError(f"cannot truncate a cache of {self._length} to {length}")
        self._length = length

    def copy_beginning(self, other: KVCache, length: int) -> None:
        """Hold the first ``length`` positions of ``other``; see ``KVCache.copy_beginning``."""
        if not isinstance(other, OptimumKVCache):
            raise TypeError(f"a cache of another backend: {type(other).__name__}")
        if not 0 <= length <= min(other.length, self.capacity):
            raise ValueError(
                f"cannot copy {length} positions of {other.length} to a cache of {self.capacity}"
            )
        arrays = zip(self._pasts, other._arrays, strict=True)
        self._arrays = [past.beginning(array, length).copy() for past, array in arrays]
        self._length = length

    def contents(self) -> Sequence[Floats]:
        """Return an array for each input of the graph, of ``length`` positions."""
        arrays = zip(self._pasts, self._arrays, strict=True)
        self._arrays = [
            np.ascontiguousarray(past.beginning(array, self._length)) for past, array in arrays
        ]
        return self._arrays

    def replace(self, arrays: Sequence[Floats], length: int) -> None:
        """Hold ``arrays``, of ``length`` positions."""
        self._arrays = list(arrays)
        self._length = length


class OptimumBackend:
    """An exported model, loaded; ``folder`` is one that ``export.export`` wrote.

    ``threads=None`` takes what ONNX Runtime finds to be the physical cores. Raises
    ``BackendUnavailableError`` without onnxruntime and ``ModelFormatError`` for a folder that
    holds no finished export, or a graph that is not as optimum writes them.
    """

    def __init__(self, folder: Path, *, threads: int | None = None) -> None:
        manifest = ExportManifest.read(folder)
        if manifest is None:
            raise ModelFormatError(f"{folder} holds no finished export.")
        self.manifest = manifest
        session = _open_session(folder, threads)
        inputs, outputs = session.get_inputs(), session.get_outputs()
        self._session: _Session | None = session
        self._inputs = {value.name for value in inputs if not value.name.startswith(_PAST)}
        self._pasts = [_past(value) for value in inputs if value.name.startswith(_PAST)]
        self._vocab_size = _vocabulary(outputs)
        missing = {past.present for past in self._pasts} - {value.name for value in outputs}
        strange = self._inputs - _KNOWN_INPUTS
        if missing or strange or not self._pasts:
            raise ModelFormatError(
                f"{folder} holds a graph that midfill cannot run: it lacks a cache or the outputs "
                f"{sorted(missing)}, or wants the inputs {sorted(strange)}"
            )

    @property
    def vocab_size(self) -> int:
        """Width of a row of logits."""
        return self._vocab_size

    def new_cache(self, capacity: int) -> OptimumKVCache:
        """Make an empty cache; at most as long as the model's positions reach."""
        self._opened()
        positions = self.manifest.positions
        return OptimumKVCache(
            self._pasts, capacity if positions is None else min(capacity, positions)
        )

    def forward(self, tokens: Sequence[int], cache: KVCache, logits_for: int) -> Logits:
        """Run one step; see ``Backend.forward``. The graph computes every token's logits."""
        if not isinstance(cache, OptimumKVCache):
            raise TypeError(f"a cache of another backend: {type(cache).__name__}")
        count, total = len(tokens), cache.length + len(tokens)
        if count == 0 or not 0 <= logits_for <= count:
            raise ValueError(f"{logits_for} rows of logits asked of {count} tokens")
        if total > cache.capacity:
            raise ValueError(f"{total} positions in a cache of {cache.capacity}")
        session = self._opened()
        binding = session.io_binding()
        for name, values in self._told(tokens, cache.length).items():
            binding.bind_cpu_input(name, values)
        held = cache.contents()
        for past, array in zip(self._pasts, held, strict=True):
            binding.bind_cpu_input(past.name, array)
        grown = [np.empty(past.shape_of(total), np.float32) for past in self._pasts]
        for past, array in zip(self._pasts, grown, strict=True):
            _bind_output(binding, past.present, array)
        logits = np.empty((1, count, self._vocab_size), np.float32)
        _bind_output(binding, "logits", logits)
        session.run_with_iobinding(binding)
        # Only now: a step that raised leaves the cache as it was.
        cache.replace(grown, total)
        return logits[0, count - logits_for :]

    def close(self) -> None:
        """Release the weights. Idempotent."""
        self._session = None

    def _told(self, tokens: Sequence[int], start: int) -> Mapping[str, Integers]:
        """What the graph is told besides the cache: of these, what it asks for."""
        total = start + len(tokens)
        told = {
            "input_ids": np.asarray(tokens, np.int64)[None],
            "attention_mask": np.ones((1, total), np.int64),
            "position_ids": np.arange(start, total, dtype=np.int64)[None],
        }
        return {name: values for name, values in told.items() if name in self._inputs}

    def _opened(self) -> _Session:
        if self._session is None:
            raise ValueError("the backend is closed")
        return self._session


def _past(value: _Value) -> _Past:
    """Read how the graph lays out one array of its cache: one free extent besides the batch's."""
    free = [axis for axis, extent in enumerate(value.shape) if not isinstance(extent, int)]
    axes = [axis for axis in free if axis != 0]
    if value.type != "tensor(float)" or len(axes) != 1:
        raise ModelFormatError(
            f"the graph's input {value.name} is {value.type} {value.shape}, which is no cache"
        )
    shape = (1, *(extent if isinstance(extent, int) else 0 for extent in value.shape[1:]))
    return _Past(name=value.name, shape=shape, axis=axes[0])


def _vocabulary(outputs: Sequence[_Value]) -> int:
    width = next((value.shape[-1] for value in outputs if value.name == "logits"), None)
    if not isinstance(width, int):
        raise ModelFormatError(f"the graph's logits have the width {width}")
    return width


def _bind_output(binding: _Binding, name: str, array: Floats) -> None:
    binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)


def _open_session(folder: Path, threads: int | None) -> _Session:
    # The library looks at this when it is imported; see onnx_backend.
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
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        path = str(ExportManifest.graph_path(folder))
        return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # onnxruntime raises classes of its own that share no base but Exception.
        raise ModelFormatError(
            f"{folder} cannot be loaded ({error}). Delete the folder; it is made again."
        ) from error
