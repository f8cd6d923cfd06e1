"""The keys and values that ONNX Runtime's graphs read and write in place, on either device."""

from __future__ import annotations

import math
import mmap
from typing import Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from midfill_engine.backends.base import KVCache
from midfill_engine.backends.onnx_session import Binding, memory_fault
from midfill_engine.errors import OutOfMemoryError

__all__ = ["CacheType", "DeviceMemory", "HostMemory", "OnnxKVCache"]

_Values: TypeAlias = npt.NDArray[np.floating]
CacheType: TypeAlias = type[np.float32] | type[np.float16]
"""What keys and values are, which is what the graph computes in."""


class _Tensor(Protocol):
    """The part of an ``onnxruntime.OrtValue`` that is used: a tensor somewhere."""

    def numpy(self) -> _Values: ...
    def update_inplace(self, data: object) -> None: ...


class _Tensors(Protocol):
    """The part of the class ``onnxruntime.OrtValue`` that makes tensors."""

    def ortvalue_from_numpy(
        self, numpy_obj: _Values, device_type: str, device_id: int, /
    ) -> _Tensor: ...
    def ortvalue_from_shape_and_type(
        self, shape: tuple[int, ...], element_type: CacheType, device_type: str, device_id: int
    ) -> _Tensor: ...


class HostMemory:
    """``count`` tensors of one shape, ``[1, kv_heads, capacity, head_dim]``, in main memory.

    Pages that no token has reached yet are not resident. Raises ``OutOfMemoryError``.
    """

    def __init__(self, shape: tuple[int, ...], dtype: CacheType, count: int) -> None:
        import onnxruntime as ort

        self.capacity = shape[2]
        # The runtime keeps only addresses: these references keep the memory.
        self._arrays = [_untouched(shape, dtype) for _ in range(count)]
        self.values: list[object] = [
            ort.OrtValue.ortvalue_from_numpy(each) for each in self._arrays
        ]
        self._position_bytes = sum(each.nbytes for each in self._arrays) // shape[2]

    def nbytes(self, reached: int) -> int:
        """Bytes that are resident when the first ``reached`` positions were ever written."""
        return self._position_bytes * reached

    def copy_beginning(self, other: HostMemory, length: int) -> None:
        """Take over the first ``length`` positions of ``other``."""
        for mine, theirs in zip(self._arrays, other._arrays, strict=True):
            np.copyto(mine[:, :, :length], theirs[:, :, :length])


class DeviceMemory:
    """The same in the memory of ``device`` ("cuda"), all of it taken at once.

    Raises ``OutOfMemoryError``.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: CacheType, count: int, *, device: str
    ) -> None:
        import onnxruntime

        tensors = cast("_Tensors", onnxruntime.OrtValue)
        self.capacity = shape[2]
        self._bytes = count * math.prod(shape) * np.dtype(dtype).itemsize
        try:
            # Attention multiplies what lies behind the last position by zero, so that must be a
            # number: one tensor of zeros is sent, and the others are copied from it over there.
            self._tensors = [tensors.ortvalue_from_numpy(np.zeros(shape, dtype), device, 0)]
            for _ in range(count - 1):
                tensor = tensors.ortvalue_from_shape_and_type(shape, dtype, device, 0)
                tensor.update_inplace(self._tensors[0])
                self._tensors.append(tensor)
        except Exception as error:
            # onnxruntime raises classes of its own that share no base but Exception.
            if fault := memory_fault(error):
                raise fault from error
            raise
        self.values: list[object] = list(self._tensors)

    def nbytes(self, reached: int) -> int:
        """Bytes that are taken, however many positions were written."""
        return self._bytes

    def copy_beginning(self, other: DeviceMemory, length: int) -> None:
        """Take over the first ``length`` positions of ``other``."""
        for mine, theirs in zip(self._tensors, other._tensors, strict=True):
            if self.capacity == other.capacity:
                # Whole tensors are all that the runtime copies within a device; that takes
                # milliseconds for gigabytes.
                mine.update_inplace(theirs)
            else:
                values = np.array(mine.numpy())
                values[:, :, :length] = theirs.numpy()[:, :, :length]
                mine.update_inplace(values)


class OnnxKVCache:
    """One tensor per layer for keys and one for values.

    The same memory is bound as past and as present, so nothing is copied from step to step.
    """

    def __init__(self, binding: Binding, memory: HostMemory | DeviceMemory) -> None:
        self._length = 0
        self._reached = 0
        self._memory = memory
        self.capacity = memory.capacity
        self.binding = binding
        for index, value in enumerate(memory.values):
            name = f"{index // 2}.{('key', 'value')[index % 2]}"
            binding.bind_ortvalue_input(f"past.{name}", value)
            binding.bind_ortvalue_output(f"present.{name}", value)

    @property
    def length(self) -> int:
        """Positions filled."""
        return self._length

    @property
    def nbytes(self) -> int:
        """Bytes held: on the processor only those of positions that were ever filled."""
        return self._memory.nbytes(self._reached)

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
        match self._memory, other._memory:
            case HostMemory() as mine, HostMemory() as theirs:
                mine.copy_beginning(theirs, length)
            case DeviceMemory() as mine, DeviceMemory() as theirs:
                mine.copy_beginning(theirs, length)
            case _:
                raise TypeError("a cache on another device")
        self.extend(length)

    def extend(self, count: int) -> None:
        """Note that ``count`` positions were written."""
        self._length += count
        self._reached = max(self._reached, self._length)


def _untouched(shape: tuple[int, ...], dtype: CacheType) -> _Values:
    """Zeros that take memory page by page, as they are written.

    numpy asks for huge pages for 4 MB and more: one position would then take 2 MB per head, and
    a few nearly empty caches of the 1.5B would take 1 GB.
    """
    try:
        memory = mmap.mmap(-1, math.prod(shape) * np.dtype(dtype).itemsize)
    except (OSError, OverflowError) as error:
        raise OutOfMemoryError(
            f"there is no memory left for a cache of {shape[2]} tokens ({error})"
        ) from error
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, dtype).reshape(shape)
