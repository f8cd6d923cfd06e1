"""llama.cpp as a library: one context, in which several sequences share a pool of cells.

The bindings are those of ``llama-cpp-python``, and of these only the C functions. It is compiled
where it is installed: for the processor it then runs on, with CUDA or Vulkan where
``CMAKE_ARGS`` asks for them, with Metal on a Mac. ``llama-cpp-py-sync`` has wheels, but those for
Linux are built against glibc 2.38, whatever their name says, and do not load on Debian 12, Ubuntu
22.04 or RHEL 9; there is none for ARM Linux; and they know AVX2 at most.
"""

from __future__ import annotations

import ctypes
import logging
import os
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NewType, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from midfill_engine.errors import BackendUnavailableError, ModelFormatError, OutOfMemoryError

__all__ = ["KvType", "LlamaContext", "LlamaOptions", "offloads", "open_llama"]

_log = logging.getLogger(__name__)

KvType: TypeAlias = Literal["f32", "f16", "q8_0"]
"""What keys and values are kept as, by ggml's names."""

# By ggml's numbers; with the bytes that one value takes.
_KV_TYPES = MappingProxyType({"f32": (0, 4.0), "f16": (1, 2.0), "q8_0": (8, 34 / 32)})
_BATCH_TOKENS = 512
# Rows of logits in one batch. The library makes room for them three times over, by default for as
# many as a batch has tokens: with a large vocabulary that is 1 GB.
_BATCH_ROWS = 64
_ALL_LAYERS = -1
_NEVER, _WHERE_IT_CAN = 0, -1
_NO_CELLS = 1
_META_CHARS = 128
_ERROR, _CONTINUED = 4, 5

_Handle = NewType("_Handle", int)


class _ModelParams(Protocol):
    """The part of ``llama_model_params`` that is set."""

    n_gpu_layers: int


class _ContextParams(Protocol):
    """The part of ``llama_context_params`` that is set."""

    n_ctx: int
    n_batch: int
    n_ubatch: int
    n_seq_max: int
    n_outputs_max: int
    n_threads: int
    n_threads_batch: int
    type_k: int
    type_v: int
    flash_attn_type: int
    offload_kqv: bool
    op_offload: bool
    swa_full: bool
    kv_unified: bool


class _Batch(Protocol):
    """``llama_batch``: arrays that begin at these pointers."""

    n_tokens: int
    token: ctypes.Array[ctypes.c_int32]
    pos: ctypes.Array[ctypes.c_int32]
    n_seq_id: ctypes.Array[ctypes.c_int32]
    seq_id: Sequence[ctypes.Array[ctypes.c_int32]]
    logits: ctypes.Array[ctypes.c_int8]


_LogCallback: TypeAlias = Callable[[int, bytes, object], None]


class _Library(Protocol):
    """The part of ``llama_cpp.llama_cpp`` that is used, under its own names."""

    def llama_log_callback(self, function: _LogCallback) -> object: ...
    def llama_log_set(self, log_callback: object, user_data: None) -> None: ...
    def llama_backend_init(self) -> None: ...
    def llama_supports_gpu_offload(self) -> bool: ...
    def llama_model_default_params(self) -> _ModelParams: ...
    def llama_context_default_params(self) -> _ContextParams: ...
    def llama_model_load_from_file(self, path: bytes, params: _ModelParams) -> _Handle | None: ...
    def llama_init_from_model(self, model: _Handle, params: _ContextParams) -> _Handle | None: ...
    def llama_model_free(self, model: _Handle) -> None: ...
    def llama_free(self, context: _Handle) -> None: ...
    def llama_model_get_vocab(self, model: _Handle) -> _Handle: ...
    def llama_vocab_n_tokens(self, vocab: _Handle) -> int: ...
    def llama_model_n_layer(self, model: _Handle) -> int: ...
    def llama_model_n_head(self, model: _Handle) -> int: ...
    def llama_model_n_head_kv(self, model: _Handle) -> int: ...
    def llama_model_n_embd(self, model: _Handle) -> int: ...
    def llama_model_n_swa(self, model: _Handle) -> int: ...
    def llama_model_is_recurrent(self, model: _Handle) -> bool: ...
    def llama_model_is_hybrid(self, model: _Handle) -> bool: ...
    def llama_model_meta_val_str(
        self, model: _Handle, key: bytes, buffer: object, size: int
    ) -> int: ...
    def llama_n_ctx(self, context: _Handle) -> int: ...
    def llama_get_memory(self, context: _Handle) -> _Handle: ...
    def llama_memory_seq_rm(self, memory: _Handle, place: int, start: int, stop: int) -> bool: ...
    def llama_memory_seq_cp(
        self, memory: _Handle, source: int, target: int, start: int, stop: int
    ) -> None: ...
    def llama_batch_init(self, tokens: int, embeddings: int, places: int) -> _Batch: ...
    def llama_batch_free(self, batch: _Batch) -> None: ...
    def llama_decode(self, context: _Handle, batch: _Batch) -> int: ...
    def llama_get_logits(self, context: _Handle) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaOptions:
    """How a context is made: ``cells`` positions for at most ``places`` sequences together.

    ``gpu_layers=None`` puts all layers on the device that the library was built for.
    """

    cells: int
    places: int
    threads: int
    gpu_layers: int | None
    kv_type: KvType


class _Diary:
    """What the library says goes to the log, as details; its first complaint is kept.

    It would write to standard error, which belongs to whoever started this process.
    """

    def __init__(self) -> None:
        self.complaint = ""
        self._level = 0

    def __call__(self, level: int, text: bytes, _user_data: object) -> None:
        """Take one message, or the rest of one."""
        said = text.decode(errors="replace").rstrip("\n")
        self._level = self._level if level == _CONTINUED else level
        if self._level == _ERROR and said and not self.complaint:
            self.complaint = said
        _log.debug("%s", said)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """The library, and what it holds the address of as long as this process lives."""

    library: _Library
    diary: _Diary
    callback: object


@cache
def _load_library() -> _Loaded:
    try:
        bindings = import_module("llama_cpp.llama_cpp")
    except (ImportError, OSError, RuntimeError) as error:
        # The bindings raise the last two where their shared library is missing or does not fit.
        raise BackendUnavailableError(
            f"llama.cpp is not installed ({error}). Run: pip install 'midfill[llama]'"
        ) from error
    library = cast("_Library", bindings)
    diary = _Diary()
    loaded = _Loaded(library=library, diary=diary, callback=library.llama_log_callback(diary))
    library.llama_log_set(loaded.callback, None)
    library.llama_backend_init()
    return loaded


def offloads() -> bool:
    """Whether the installed library was built for a GPU.

    Raises ``BackendUnavailableError`` where it is not installed.
    """
    return _load_library().library.llama_supports_gpu_offload()


def open_llama(path: Path, options: LlamaOptions) -> LlamaContext:
    """Load the GGUF file at ``path``.

    Raises ``BackendUnavailableError`` without the library, or with one that drives no GPU where
    layers are to go to one; ``ModelFormatError`` for a file that it cannot load or whose sequences
    cannot be cut; ``OutOfMemoryError`` where the cells find no room.
    """
    loaded = _load_library()
    library, on_gpu = loaded.library, options.gpu_layers != 0
    if on_gpu and not library.llama_supports_gpu_offload():
        raise BackendUnavailableError(
            "this llama.cpp was built for the CPU only: layers cannot go to a GPU. "
            "The documentation of llama-cpp-python says how to build it for one."
        )
    loaded.diary.complaint = ""
    model_params = library.llama_model_default_params()
    model_params.n_gpu_layers = _ALL_LAYERS if options.gpu_layers is None else options.gpu_layers
    model = library.llama_model_load_from_file(os.fsencode(path), model_params)
    if not model:
        raise ModelFormatError(f"llama.cpp cannot load {path}: {loaded.diary.complaint}")
    if library.llama_model_is_recurrent(model) or library.llama_model_is_hybrid(model):
        library.llama_model_free(model)
        raise ModelFormatError(
            f"{path} is a recurrent model: what it computed cannot be taken back, "
            "which midfill does at every step."
        )
    context = library.llama_init_from_model(model, _context_params(library, options, on_gpu))
    if not context:
        library.llama_model_free(model)
        raise OutOfMemoryError(
            f"llama.cpp has no room for {options.cells} tokens of {path.name}: "
            f"{loaded.diary.complaint}"
        )
    return LlamaContext(loaded, model, context, options)


def _context_params(library: _Library, options: LlamaOptions, on_gpu: bool) -> _ContextParams:
    params = library.llama_context_default_params()
    params.n_ctx, params.n_seq_max = options.cells, options.places
    params.n_batch = params.n_ubatch = _BATCH_TOKENS
    params.n_outputs_max = _rows(options)
    params.n_threads = params.n_threads_batch = options.threads
    params.type_k = params.type_v = _KV_TYPES[options.kv_type][0]
    # Flash attention makes float16 of whatever it is given; who asks for float32 wants to have it.
    params.flash_attn_type = _NEVER if options.kv_type == "f32" else _WHERE_IT_CAN
    # A device that got no layers is not to compute large batches either.
    params.offload_kqv = params.op_offload = on_gpu
    # Of a cache that keeps only a sliding window, nothing could be cut off again.
    params.swa_full = True
    params.kv_unified = True
    return params


class LlamaContext:
    """A loaded model and its cells; sequences are numbered from 0 to ``places - 1``.

    Made by ``open_llama``. Everything raises ``ValueError`` once it is closed. ``cell_bytes`` is
    what a position takes, and ``reach`` up to which length the answers are the model's.
    """

    def __init__(
        self, loaded: _Loaded, model: _Handle, context: _Handle, options: LlamaOptions
    ) -> None:
        library = loaded.library
        self._library = library
        self._diary = loaded.diary
        self._context = context
        self._memory = library.llama_get_memory(context)
        self.vocab_size = library.llama_vocab_n_tokens(library.llama_model_get_vocab(model))
        self.cells = library.llama_n_ctx(context)
        self.cell_bytes = _cell_bytes(library, model, _KV_TYPES[options.kv_type][1])
        self.reach = _reach(library, model)
        self._rows = _rows(options)
        self._batch = library.llama_batch_init(_BATCH_TOKENS, 0, 1)
        self._tokens, self._positions, counts, self._wanted = (
            np.ctypeslib.as_array(pointer, (_BATCH_TOKENS,))
            for pointer in (
                self._batch.token,
                self._batch.pos,
                self._batch.n_seq_id,
                self._batch.logits,
            )
        )
        counts[:] = 1
        self._place = 0
        self._set_place(0)
        # Some devices must not be left to the end of the process: then they complain, and abort.
        self._release = weakref.finalize(self, _release, library, model, context, self._batch)

    def decode(
        self, tokens: Sequence[int], place: int, start: int, logits: npt.NDArray[np.float32]
    ) -> None:
        """Compute ``tokens`` at the positions from ``start`` on, all cells before being filled.

        Fills ``logits``, ``[rows, vocabulary]``, with those of the last ``rows`` tokens. Raises
        ``OutOfMemoryError`` where the cells do not suffice, with the sequence as it was.
        """
        self._check_open()
        self._diary.complaint = ""
        count = len(tokens)
        first, done = count - len(logits), 0
        while done < count:
            wanted = max(first, done)
            stop = min(done + _BATCH_TOKENS, count, wanted + self._rows)
            failure = self._decode_batch(tokens[done:stop], place, start + done, wanted - done)
            if failure:
                self._library.llama_memory_seq_rm(self._memory, place, start, -1)
                self._raise(failure, count)
            if stop > wanted:
                self._read(logits[wanted - first : stop - first])
            done = stop

    def _decode_batch(self, tokens: Sequence[int], place: int, start: int, wanted: int) -> int:
        """Compute one batch, with logits for the tokens from ``wanted`` on; 0 if all went well."""
        count = len(tokens)
        self._batch.n_tokens = count
        self._tokens[:count] = tokens
        self._positions[:count] = range(start, start + count)
        self._wanted[:count] = np.arange(count) >= wanted
        if place != self._place:
            self._set_place(place)
        return self._library.llama_decode(self._context, self._batch)

    def _set_place(self, place: int) -> None:
        for index in range(_BATCH_TOKENS):
            self._batch.seq_id[index][0] = place
        self._place = place

    def _read(self, into: npt.NDArray[np.float32]) -> None:
        pointer = self._library.llama_get_logits(self._context)
        found = cast("ctypes.Array[ctypes.c_float]", pointer)
        np.copyto(into, np.ctypeslib.as_array(found, into.shape))

    def remove(self, place: int, start: int) -> None:
        """Forget the positions of a sequence from ``start`` on."""
        self._check_open()
        if not self._library.llama_memory_seq_rm(self._memory, place, start, -1):
            raise ValueError(f"llama.cpp cannot cut a sequence of this model at {start}")

    def copy(self, source: int, target: int, length: int) -> None:
        """Let an empty sequence share the first ``length`` cells of another one."""
        self._check_open()
        self._library.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def close(self) -> None:
        """Release model and cells. Idempotent."""
        self._release()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return not self._release.alive

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the backend is closed")

    def _raise(self, failure: int, count: int) -> None:
        if failure == -1:
            raise ValueError(f"llama.cpp refuses the tokens: {self._diary.complaint}")
        why = "all cells are in use" if failure == _NO_CELLS else self._diary.complaint
        raise OutOfMemoryError(f"llama.cpp has no room for {count} more tokens: {why}")


def _rows(options: LlamaOptions) -> int:
    # It insists on a row for each sequence.
    return max(options.places, _BATCH_ROWS)


def _release(library: _Library, model: _Handle, context: _Handle, batch: _Batch) -> None:
    library.llama_batch_free(batch)
    library.llama_free(context)
    library.llama_model_free(model)


def _cell_bytes(library: _Library, model: _Handle, value_bytes: float) -> int:
    """Bytes of one position, keys and values of all layers."""
    usual = library.llama_model_n_embd(model) // library.llama_model_n_head(model)
    widths = (
        _attention_number(library, model, f"{kind}_length") or usual for kind in ("key", "value")
    )
    heads = library.llama_model_n_layer(model) * library.llama_model_n_head_kv(model)
    return round(heads * sum(widths) * value_bytes)


def _reach(library: _Library, model: _Handle) -> int | None:
    """Return the sliding window of a model whose window the library leaves out, else ``None``.

    It does so for StarCoder2. Up to its length, a window changes nothing.
    """
    window = _attention_number(library, model, "sliding_window")
    return None if library.llama_model_n_swa(model) else window


def _attention_number(library: _Library, model: _Handle, name: str) -> int | None:
    architecture = _metadata(library, model, "general.architecture")
    text = _metadata(library, model, f"{architecture}.attention.{name}")
    return int(text) if text else None


def _metadata(library: _Library, model: _Handle, key: str) -> str:
    """Return a value of the file as text; empty where there is none."""
    buffer = ctypes.create_string_buffer(_META_CHARS)
    size = library.llama_model_meta_val_str(model, key.encode(), buffer, _META_CHARS)
    return buffer.value.decode() if size > 0 else ""
