"""PyTorch, on NVIDIA GPUs and on the CPU: any ``WeightSource`` as it is, cast or quantised.

torch is imported when a backend is made. Long runs of tokens go through the model as they are,
decode steps through ``torch_steps``.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Literal, TypeAlias

from midfill_engine.backends.base import KVCache, Logits
from midfill_engine.cancel import CancelToken
from midfill_engine.errors import BackendUnavailableError, OutOfMemoryError
from midfill_engine.progress import ProgressSink
from midfill_engine.weights import ModelConfig, WeightSource

if TYPE_CHECKING:
    import torch

    from midfill_engine.backends.torch_cache import TorchKVCache
    from midfill_engine.backends.torch_steps import StepRunner
    from midfill_engine.models.decoder import Decoder

__all__ = ["TorchBackend", "WeightKind", "weight_bytes"]

WeightKind: TypeAlias = Literal["float32", "bf16", "fp16", "int8", "int4"]
"""How weights are held; with 8 and 4 bits what is computed between them is bfloat16."""

_KINDS: tuple[WeightKind, ...] = ("float32", "bf16", "fp16", "int8", "int4")
# With a scale and a zero of 16 bits for 128 weights.
_BITS = (32.0, 16.0, 16.0, 8.0, 4.25)


def weight_bytes(config: ModelConfig, weights: WeightKind) -> int:
    """Return what a model's weights take on the device.

    Embeddings are looked up rather than multiplied, so they keep 16 bits; the output head keeps 8.
    """
    bits = _BITS[_KINDS.index(weights)]
    ends = config.vocab * config.hidden
    inner = config.matrix_weights - ends * (1 if config.tied else 2)
    total = int(inner * bits / 8)
    if bits >= 16:
        return total + int(ends * bits / 8) * (1 if config.tied else 2)
    return total + ends * 2 + ends


class TorchBackend:
    """A model on one device, and room for ``capacity`` positions of one sequence in use.

    ``device`` is ``"cpu"``, ``"cuda"`` or ``"cuda:N"``. ``kernel`` multiplies by quantised weights
    (``torch_linear.linear_kernels``; ``None`` takes the first that works). ``compile`` lets decode
    steps go through ``torch.compile``, which takes a minute at first and is cached where torch
    caches it (``TORCHINDUCTOR_CACHE_DIR``). Raises ``BackendUnavailableError`` without torch or
    without the device, ``OutOfMemoryError`` where it does not fit, ``ModelFormatError`` for an
    architecture without a module, and ``WorkCancelledError``.
    """

    def __init__(
        self,
        source: WeightSource,
        *,
        device: str = "cpu",
        weights: WeightKind = "bf16",
        capacity: int,
        progress: ProgressSink,
        cancel: CancelToken,
        compile: bool = False,
        kernel: str | None = None,
    ) -> None:
        self._device = _open_device(device)
        if weights not in _KINDS:
            raise ValueError(f"no weights {weights!r}; there are {', '.join(_KINDS)}")
        # Here, because these import torch.
        from midfill_engine.backends.torch_cache import SPARE_ROWS, KVBuffer
        from midfill_engine.backends.torch_linear import choose_kernels
        from midfill_engine.backends.torch_steps import StepRunner
        from midfill_engine.backends.torch_weights import DTYPES, TorchWeights
        from midfill_engine.models.architectures import build_model

        self._config, self._on_gpu = source.config, self._device.type == "cuda"
        self._host_logits: torch.Tensor | None = None
        with self._on_device(f"{weights} weights and {capacity} positions do not fit"):
            place, dtype = self._device, DTYPES[weights]
            reader = TorchWeights(
                source, device=place, kind=weights, progress=progress, cancel=cancel
            )
            model = build_model(source.config, reader, capacity + SPARE_ROWS)
            choose_kernels(model, kernel, place.type)
            self._buffer = KVBuffer(source.config, capacity, dtype=dtype, device=place)
            if compile:
                model.compile_layers()
            self._model: Decoder | None = model
            self._steps: StepRunner | None = StepRunner(model, self._buffer.values)
            if compile or self._on_gpu:
                self._steps.warm_up(progress, cancel)

    @property
    def vocab_size(self) -> int:
        """Width of a row of logits."""
        return self._config.vocab

    def new_cache(self, capacity: int) -> TorchKVCache:
        """Make an empty cache, at most as long as the backend's; it takes memory as it fills."""
        from midfill_engine.backends.torch_cache import TorchKVCache

        return TorchKVCache(self._buffer, min(capacity, self._buffer.capacity))

    def forward(self, tokens: Sequence[int], cache: KVCache, logits_for: int) -> Logits:
        """Run one step; see ``Backend.forward``. A step that fails changes nothing."""
        from midfill_engine.backends.torch_cache import TorchKVCache

        if not isinstance(cache, TorchKVCache):
            raise TypeError(f"a cache of another backend: {type(cache).__name__}")
        count, start = len(tokens), cache.length
        if count == 0 or not 0 <= logits_for <= count:
            raise ValueError(f"{logits_for} rows of logits asked of {count} tokens")
        if start + count > cache.capacity:
            raise ValueError(f"{start + count} positions in a cache of {cache.capacity}")
        with self._on_device(f"{count} tokens after {start} need more"):
            logits = self._run(tokens, cache, logits_for)
        cache.extend(count)
        return logits

    def close(self) -> None:
        """Release the weights and the buffer. Idempotent."""
        import torch

        self._model = self._steps = self._host_logits = None
        self._buffer.release()
        if self._on_gpu:
            torch.cuda.empty_cache()

    def _run(self, tokens: Sequence[int], cache: TorchKVCache, logits_for: int) -> Logits:
        import torch

        from midfill_engine.backends.torch_steps import width_for

        model, steps = self._model, self._steps
        if model is None or steps is None:
            raise ValueError("the backend is closed")
        self._buffer.bring(cache)
        if width_for(len(tokens)) is not None:
            return self._to_host(steps.run(tokens, cache.length)[len(tokens) - logits_for :])
        ids = torch.tensor(tokens, device=self._device)
        return self._to_host(model.wide_step(ids, cache.length, self._buffer.values, logits_for))

    def _to_host(self, rows: torch.Tensor) -> Logits:
        """Wait for the device and return float32 rows."""
        import torch

        if not self._on_gpu:
            return rows.numpy()
        kept = self._host_logits
        if kept is None or len(kept) < len(rows):
            # Memory that the device can write to directly; kept, because it is slow to get.
            kept = torch.empty((max(len(rows), 16), self.vocab_size), pin_memory=True)
            self._host_logits = kept
        kept[: len(rows)].copy_(rows, non_blocking=True)
        # Also where no logits are wanted: a cancel token is looked at when work is done, not when
        # it is queued.
        torch.cuda.current_stream().synchronize()
        return kept[: len(rows)].numpy()

    @contextmanager
    def _on_device(self, what: str) -> Generator[None]:
        """Run on the device; where it has no memory left, say so, and ``what`` needed some."""
        import torch

        # The current device is that of a thread, and a model is seldom loaded by the thread that
        # runs it.
        chosen = torch.cuda.device(self._device) if self._on_gpu else nullcontext()
        try:
            with chosen:
                yield
        except RuntimeError as error:
            # On the CPU the same failure is a plain RuntimeError, known by its words alone.
            if not isinstance(error, torch.OutOfMemoryError) and "allocate" not in str(error):
                raise
            message = f"No memory left on {self._device}: {what}. {_what_would_fit(self._config)}"
            raise OutOfMemoryError(message) from error


def _open_device(name: str) -> torch.device:
    try:
        import torch
    except ImportError as error:
        raise BackendUnavailableError(
            "torch is not installed. Run: pip install 'midfill[torch]'"
        ) from error
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BackendUnavailableError(
            f"PyTorch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices, so there "
            f"is no {name!r}. Is the driver there, and is this a build of PyTorch with CUDA?"
        )
    return device


def _what_would_fit(config: ModelConfig) -> str:
    """Say what the model takes in each form: the one who reads it knows what else is running."""
    sizes = ", ".join(f"{kind} {weight_bytes(config, kind) / 1e9:.1f}" for kind in _KINDS[1:])
    per_thousand = 1000 * config.kv_values * 2 / 1e9
    return (
        f"Its weights take, in GB: {sizes}; every 1000 tokens of context {per_thousand:.2f} GB. "
        "Choose a smaller form, model or context."
    )
