"""llama.cpp in this process: GGUF files as they are, on the CPU, Metal, CUDA or Vulkan.

All caches are sequences of one context and share its cells. Copying the beginning of one costs
nothing, neither time nor memory, as both then hold the same cells.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from midfill_engine.backends.base import KVCache, Logits
from midfill_engine.backends.llama_library import (
    KvType,
    LlamaContext,
    LlamaOptions,
    offloads,
    open_llama,
)
from midfill_engine.errors import OutOfMemoryError
from midfill_engine.machine import probe_machine

__all__ = ["LlamaBackend", "LlamaKVCache", "offloads"]

# Each costs a row of logits of the library's own.
_PLACES = 64


class _Cells:
    """How many sequences hold each cell: the library knows, and does not tell.

    The numbers are our own. Which cell of the library is meant does not matter for counting them.
    """

    def __init__(self, count: int) -> None:
        self._holders = np.zeros(count, np.int32)
        self._free = list(range(count))

    @property
    def free(self) -> int:
        """How many cells nobody holds."""
        return len(self._free)

    def take(self, count: int) -> list[int]:
        """Hold ``count`` free cells."""
        taken = [self._free.pop() for _ in range(count)]
        self._holders[taken] = 1
        return taken

    def share(self, cells: Sequence[int]) -> None:
        """Hold cells that another sequence holds already."""
        self._holders[cells] += 1

    def drop(self, cells: Sequence[int]) -> None:
        """Hold them no longer."""
        self._holders[cells] -= 1
        self._free += [cell for cell in cells if self._holders[cell] == 0]

    def shares_of(self, cells: Sequence[int]) -> float:
        """Add up the cells, those that several sequences hold in equal parts."""
        return float((1 / self._holders[cells]).sum()) if cells else 0.0


class _Pool:
    """What the caches of one backend share: the context, its cells, and its sequence numbers."""

    def __init__(self, context: LlamaContext, places: int) -> None:
        self.context = context
        self.cells = _Cells(context.cells)
        self._free = list(range(places))
        # Caches go when Python lets go of them, which may be in the midst of a step on another
        # thread. They only leave word here.
        self._gone: deque[tuple[int, list[int]]] = deque()

    def enter(self, cells: list[int], cache: LlamaKVCache) -> int:
        """Return a sequence number for ``cache``, whose cells ``cells`` lists at any time."""
        self.collect()
        if not self._free:
            raise OutOfMemoryError("llama.cpp has no room for another sequence of tokens")
        place = self._free.pop()
        leave = weakref.finalize(cache, self._gone.append, (place, cells))
        leave.atexit = False
        return place

    def collect(self) -> None:
        """Take back what caches that are gone have held."""
        while self._gone:
            place, cells = self._gone.popleft()
            if not self.context.closed:
                self.context.remove(place, 0)
            self.cells.drop(cells)
            self._free.append(place)


class LlamaKVCache:
    """One sequence of a context. Its cells are free again when nobody refers to it any more."""

    def __init__(self, pool: _Pool, capacity: int) -> None:
        self.capacity = capacity
        self._pool = pool
        self._cells: list[int] = []
        self.place = pool.enter(self._cells, self)

    @property
    def length(self) -> int:
        """Positions filled."""
        return len(self._cells)

    @property
    def nbytes(self) -> int:
        """Bytes of its cells; of those that it shares with other caches, its part.

        So the caches together take what the cells in use take. What all cells take is reserved
        when the model is loaded.
        """
        return round(self._pool.cells.shares_of(self._cells) * self._pool.context.cell_bytes)

    def truncate(self, length: int) -> None:
        """Forget positions from ``length`` on."""
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot truncate a cache of {self.length} to {length}")
        if length < self.length:
            self._pool.context.remove(self.place, length)
            self._pool.cells.drop(self._cells[length:])
            del self._cells[length:]

    def copy_beginning(self, other: KVCache, length: int) -> None:
        """Hold the first ``length`` positions of ``other``; see ``KVCache.copy_beginning``."""
        if not isinstance(other, LlamaKVCache) or other._pool is not self._pool:
            raise TypeError(f"a cache of another backend: {type(other).__name__}")
        if not 0 <= length <= min(other.length, self.capacity):
            raise ValueError(
                f"cannot copy {length} positions of {other.length} to a cache of {self.capacity}"
            )
        if other is self:
            self.truncate(length)
            return
        self.truncate(0)
        self._pool.context.copy(other.place, self.place, length)
        shared = other._cells[:length]
        self._pool.cells.share(shared)
        self._cells += shared

    def extend(self, count: int) -> None:
        """Note that ``count`` positions were written."""
        self._cells += self._pool.cells.take(count)


class LlamaBackend:
    """A GGUF file, loaded by llama.cpp.

    A cache has at most ``capacity`` positions. All caches together, of which there may be
    ``places`` at a time, have ``cells`` positions: what is wanted of caches that are kept, and
    ``capacity`` for the one in use. These are reserved at once, as ``kv_type``.

    ``threads=None`` takes the physical cores, ``gpu_layers=None`` puts all layers on the GPU that
    the library was built for. Raises as ``open_llama`` does.
    """

    def __init__(
        self,
        path: Path,
        *,
        capacity: int,
        cells: int,
        places: int = _PLACES,
        threads: int | None = None,
        gpu_layers: int | None = 0,
        kv_type: KvType = "f16",
    ) -> None:
        options = LlamaOptions(
            cells=max(cells, capacity),
            places=places,
            threads=threads or probe_machine().cores,
            gpu_layers=gpu_layers,
            kv_type=kv_type,
        )
        self._context = open_llama(path, options)
        self._pool = _Pool(self._context, places)
        self._capacity = min(capacity, self._context.reach or capacity)
        # Reused between steps: a fresh array of the vocabulary's width costs page faults.
        self._logits = np.zeros((1, self.vocab_size), np.float32)

    @property
    def vocab_size(self) -> int:
        """Width of a row of logits."""
        return self._context.vocab_size

    def new_cache(self, capacity: int) -> LlamaKVCache:
        """Make an empty cache. Raises ``OutOfMemoryError`` where all places are taken."""
        return LlamaKVCache(self._pool, min(capacity, self._capacity))

    def forward(self, tokens: Sequence[int], cache: KVCache, logits_for: int) -> Logits:
        """Run one step; see ``Backend.forward``.

        Raises ``OutOfMemoryError`` where the caches together hold too many positions.
        """
        if not isinstance(cache, LlamaKVCache):
            raise TypeError(f"a cache of another backend: {type(cache).__name__}")
        count, total = len(tokens), cache.length + len(tokens)
        if count == 0 or not 0 <= logits_for <= count:
            raise ValueError(f"{logits_for} rows of logits asked of {count} tokens")
        if total > cache.capacity:
            raise ValueError(f"{total} positions in a cache of {cache.capacity}")
        self._pool.collect()
        if count > self._pool.cells.free:
            raise OutOfMemoryError(
                f"{count} more tokens do not fit: of the {self._context.cells} positions that "
                f"llama.cpp has room for, {self._pool.cells.free} are free"
            )
        if logits_for > len(self._logits):
            self._logits = np.zeros((logits_for, self.vocab_size), np.float32)
        logits = self._logits[:logits_for]
        self._context.decode(tokens, cache.place, cache.length, logits)
        cache.extend(count)
        return logits

    def close(self) -> None:
        """Release the weights and all caches. Idempotent."""
        self._context.close()
