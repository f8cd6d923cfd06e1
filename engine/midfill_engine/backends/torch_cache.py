"""Keys and values on a device: one buffer that steps run on, and what is set aside of the others.

A CUDA graph is bound to addresses, so all steps use one buffer of full length. The cache in use
lies in it; the others wait in tensors just as long as they are, so that many places cost what
they hold. Exchanging two is a copy of some milliseconds on a GPU.
"""

from __future__ import annotations

import weakref

import torch
from torch import Tensor

from midfill_engine.backends.base import KVCache
from midfill_engine.weights import ModelConfig

__all__ = ["SPARE_ROWS", "KVBuffer", "TorchKVCache"]

SPARE_ROWS = 16
"""Rows beyond the capacity: a step that is padded to its width at the very end writes there."""


class KVBuffer:
    """``values`` is ``[layers, 2, kv_heads, capacity + SPARE_ROWS, head_dim]``, keys first."""

    def __init__(
        self, config: ModelConfig, capacity: int, *, dtype: torch.dtype, device: torch.device
    ) -> None:
        shape = (config.layers, 2, config.kv_heads, capacity + SPARE_ROWS, config.head_dim)
        # Zeros, because a row that a mask hides is still multiplied by zero: it must be finite.
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.capacity = capacity
        self.position_bytes = config.kv_values * self.values.element_size()
        self._holder: weakref.ref[TorchKVCache] | None = None

    def holds(self, cache: TorchKVCache) -> bool:
        """Whether ``cache`` is the one that lies in the buffer."""
        return self._holder is not None and self._holder() is cache

    def bring(self, cache: TorchKVCache) -> None:
        """Set aside what lies in the buffer, and put ``cache`` there.

        Where there is no memory to set it aside, nothing has changed.
        """
        if self.holds(cache):
            return
        holder = self._holder() if self._holder is not None else None
        # A cache that nobody refers to any more needs not be kept.
        if holder is not None:
            holder.parked = self.beginning(holder.length).clone()
        self._holder = None
        if cache.parked is not None:
            self.beginning(cache.length).copy_(cache.parked[:, :, :, : cache.length])
            cache.parked = None
        self._holder = weakref.ref(cache)

    def release(self) -> None:
        """Give the memory back; no cache can be used any more."""
        self.values = self.values[:, :, :, :0].clone()
        self._holder = None

    def beginning(self, length: int) -> Tensor:
        """Return the first ``length`` positions, a view."""
        return self.values[:, :, :, :length]


class TorchKVCache:
    """One sequence's keys and values, in the buffer or set aside in ``parked``."""

    def __init__(self, buffer: KVBuffer, capacity: int) -> None:
        self._buffer = buffer
        self._length = 0
        self.capacity = capacity
        self.parked: Tensor | None = None

    @property
    def length(self) -> int:
        """Positions filled."""
        return self._length

    @property
    def nbytes(self) -> int:
        """Bytes of its own while it is set aside; in the buffer, those it would then take."""
        if self.parked is not None:
            return self.parked.numel() * self.parked.element_size()
        return self._length * self._buffer.position_bytes

    def truncate(self, length: int) -> None:
        """Forget positions from ``length`` on."""
        if not 0 <= length <= self._length:
            raise ValueError(f"cannot truncate a cache of {self._length} to {length}")
        self._length = length
        if length == 0:
            self.parked = None

    def copy_beginning(self, other: KVCache, length: int) -> None:
        """Hold the first ``length`` positions of ``other``; see ``KVCache.copy_beginning``."""
        if not isinstance(other, TorchKVCache):
            raise TypeError(f"a cache of another backend: {type(other).__name__}")
        if not 0 <= length <= min(other.length, self.capacity):
            raise ValueError(
                f"cannot copy {length} of {other.length} positions to a cache of {self.capacity}"
            )
        if other is self:
            return self.truncate(length)
        theirs = other.parked
        theirs = self._buffer.beginning(length) if theirs is None else theirs[:, :, :, :length]
        if self._buffer.holds(self):
            self._buffer.beginning(length).copy_(theirs)
        else:
            self.parked = theirs.clone() if length else None
        self._length = length
        return None

    def extend(self, count: int) -> None:
        """Note that ``count`` positions were written."""
        self._length += count
