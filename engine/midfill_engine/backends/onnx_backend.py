"""ONNX Runtime on a processor or an NVIDIA GPU, through IO binding, keys and values in place.

What is said here of GPUs follows the runtime's documentation and was not run on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from midfill_engine.backends.base import KVCache, Logits
from midfill_engine.backends.onnx_cache import (
    CacheType,
    DeviceMemory,
    HostMemory,
    OnnxKVCache,
)
from midfill_engine.backends.onnx_session import (
    Binding,
    OnnxDevice,
    Session,
    memory_fault,
    open_session,
)
from midfill_engine.errors import ModelFormatError
from midfill_engine.onnx.convert import OnnxManifest

__all__ = ["OnnxBackend", "OnnxDevice", "OnnxKVCache"]


class OnnxBackend:
    """A converted model, loaded.

    ``threads=None`` takes what ONNX Runtime finds to be the physical cores. On ``"cuda"`` weights
    and caches are in the GPU's memory and only logits come back; the conversion must be of
    precision float16. Raises ``BackendUnavailableError`` without an onnxruntime for the device,
    ``OutOfMemoryError``, and ``ModelFormatError`` for a folder that holds no conversion that fits.
    """

    def __init__(
        self, folder: Path, *, threads: int | None = None, device: OnnxDevice = "cpu"
    ) -> None:
        manifest = OnnxManifest.read(folder)
        if manifest is None:
            raise ModelFormatError(f"{folder} holds no finished conversion.")
        if device == "cuda" and manifest.precision != "float16":
            raise ModelFormatError(
                f"{folder} was converted for a processor: a GPU needs the precision float16."
            )
        self.manifest = manifest
        self._device: OnnxDevice = device
        self._session: Session | None = open_session(folder, threads, device)
        # Reused between steps: a fresh array of the vocabulary's width costs page faults.
        self._logits = np.zeros((1, manifest.config.vocab), np.float32)

    @property
    def vocab_size(self) -> int:
        """Width of a row of logits."""
        return self.manifest.config.vocab

    def new_cache(self, capacity: int) -> OnnxKVCache:
        """Make an empty cache; at most as long as the model's rotary tables reach."""
        config = self.manifest.config
        shape = (1, config.kv_heads, min(capacity, self.manifest.positions), config.head_dim)
        dtype = np.float16 if self.manifest.precision == "float16" else np.float32
        return OnnxKVCache(
            self._opened().io_binding(), self._take_memory(shape, dtype, 2 * config.layers)
        )

    def _take_memory(
        self, shape: tuple[int, ...], dtype: CacheType, count: int
    ) -> HostMemory | DeviceMemory:
        if self._device == "cpu":
            return HostMemory(shape, dtype, count)
        return DeviceMemory(shape, dtype, count, device=self._device)

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
        _run(session, binding)
        cache.extend(count)
        return logits[rows - logits_for :]

    def close(self) -> None:
        """Release the weights. Idempotent."""
        self._session = None

    def _opened(self) -> Session:
        if self._session is None:
            raise ValueError("the backend is closed")
        return self._session


def _run(session: Session, binding: Binding) -> None:
    try:
        session.run_with_iobinding(binding)
    except Exception as error:
        # onnxruntime raises classes of its own that share no base but Exception.
        if fault := memory_fault(error):
            raise fault from error
        raise
