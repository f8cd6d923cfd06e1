"""What the GPU benchmark measures with: shapes, what a step reads, and how fast the device reads.

A decode step has to read every weight once. What that takes at the bandwidth that the device
reaches in a probe is the floor that steps are compared with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from midfill_engine.backends.base import Backend, Logits
from midfill_engine.cache.sequence import CachedSequence
from midfill_engine.cancel import CancelToken
from midfill_engine.decode.drafters import Drafter, NoDraft
from midfill_engine.decode.loop import Limits, Outcome, decode, prefill
from midfill_engine.decode.sampling import Sampler
from midfill_engine.progress import silent
from midfill_engine.registry import find_model
from midfill_engine.synthetic_weights import SyntheticWeights
from midfill_engine.types import Sampling
from midfill_engine.weights import ModelConfig

if TYPE_CHECKING:
    import torch

__all__ = [
    "Bandwidth",
    "Generation",
    "Model",
    "Setting",
    "arbitrary_prompt",
    "floor_ms",
    "generate",
    "measure_bandwidth",
    "median_ms",
    "open_model",
    "shape",
    "step_bytes",
]

_TINY = ModelConfig(
    architecture="llama",
    layers=2,
    hidden=256,
    ffn=512,
    heads=4,
    kv_heads=2,
    head_dim=64,
    vocab=512,
    context_tokens=4096,
    rope_theta=1e6,
    rope_interleaved=False,
    norm_epsilon=1e-5,
)
# Bytes of a weight in the layers and in the output head. A row of 8-bit weights has one scale,
# which is nothing; each 128 of 4 bits have a scale and a zero of 2 bytes.
_BYTES = {
    "float32": (4.0, 4.0),
    "bf16": (2.0, 2.0),
    "fp16": (2.0, 2.0),
    "int8": (1.0, 1.0),
    "int4": (0.5 + 4 / 128, 1.0),
}
_KV_BYTES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where and how much is measured. ``prompt_tokens`` are computed before each answer of
    ``answer_tokens``; each measurement is repeated ``rounds`` times. ``cancel`` stops loading; what
    is being measured is never cut short."""

    device: str
    prompt_tokens: int
    answer_tokens: int
    rounds: int
    seed: int
    cancel: CancelToken

    @property
    def capacity(self) -> int:
        """Positions that a cache needs: the longest draft may stand behind the answer."""
        return self.prompt_tokens + self.answer_tokens + 32

    @property
    def on_gpu(self) -> bool:
        """Whether CUDA is measured."""
        return self.device.startswith("cuda")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model of a shape, with synthetic weights, on the device."""

    name: str
    weights: str
    config: ModelConfig
    backend: Backend
    sequence: CachedSequence
    load_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandwidth:
    """Bytes per second: copying counts what is read and what is written."""

    copy: float
    read: float

    @property
    def best(self) -> float:
        """What floors are computed with."""
        return max(self.copy, self.read)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One answer: seconds until its first token, and from there to its last."""

    tokens: tuple[int, ...]
    first_s: float
    rest_s: float
    outcome: Outcome

    @property
    def tokens_per_s(self) -> float:
        """Speed after the first token."""
        return (len(self.tokens) - 1) / self.rest_s


def shape(name: str) -> ModelConfig:
    """Return the shape ``"tiny"``, or that of a Code Llama size (``"7b"``) or registry id."""
    if name == "tiny":
        return _TINY
    return find_model(name if "-" in name else f"codellama-{name}").config


def step_bytes(config: ModelConfig, weights: str, context_tokens: int) -> float:
    """Return how many bytes a step of one token reads at least: weights, and the KV cache."""
    embedding = config.vocab * config.hidden
    layers = config.matrix_weights - embedding * (1 if config.tied else 2)
    of_layers, of_head = _BYTES[weights]
    kv = config.kv_values * context_tokens * _KV_BYTES
    return layers * of_layers + embedding * of_head + kv


def floor_ms(model: Model, setting: Setting, bandwidth: Bandwidth) -> float:
    """Return the least that a step in the midst of an answer can take."""
    context = setting.prompt_tokens + setting.answer_tokens // 2
    return step_bytes(model.config, model.weights, context) / bandwidth.best * 1000


def open_model(name: str, weights: str, setting: Setting) -> Model:
    """Make a model of a shape on the device; raises what the backend does."""
    from midfill_engine.backends.torch_backend import TorchBackend

    config = shape(name)
    began_s = time.perf_counter()
    backend = TorchBackend(
        SyntheticWeights(config, setting.seed),
        device=setting.device,
        weights=weights,
        capacity=setting.capacity,
        progress=silent,
        cancel=setting.cancel,
    )
    return Model(
        name=name,
        weights=weights,
        config=config,
        backend=backend,
        sequence=CachedSequence(backend, setting.capacity),
        load_s=time.perf_counter() - began_s,
    )


def arbitrary_prompt(config: ModelConfig, setting: Setting) -> list[int]:
    """Return ids that say nothing; the same each time."""
    ids = np.random.default_rng(setting.seed).integers(0, config.vocab, setting.prompt_tokens)
    return [int(token) for token in ids]


def generate(
    sequence: CachedSequence,
    prompt: Sequence[int],
    setting: Setting,
    *,
    chunk: int,
    drafter: Drafter | None = None,
    max_draft: int = 0,
    sampler: Sampler | None = None,
) -> Generation:
    """Time one answer from an empty cache, by the loop that the engine uses.

    ``sequence`` is emptied first: another one would have to be exchanged for it on the device.
    """
    sequence.truncate(0)
    drafter = drafter or NoDraft()
    drafter.begin(prompt, ())
    began_s = time.perf_counter()
    # The same as the loop's own start, so that its end can be timed.
    prefill(sequence, prompt, CancelToken(), chunk)
    limits = Limits(stop_ids=frozenset(), max_tokens=setting.answer_tokens, max_draft=max_draft)
    answer = decode(
        sequence,
        prompt,
        limits=limits,
        sampler=sampler or Sampler(Sampling()),
        drafter=drafter,
        cancel=CancelToken(),
    )
    tokens = [next(answer)]
    first_s = time.perf_counter()
    while True:
        try:
            tokens.append(next(answer))
        except StopIteration as end:
            outcome: Outcome = end.value
            break
    ended_s = time.perf_counter()
    return Generation(
        tokens=tuple(tokens),
        first_s=first_s - began_s,
        rest_s=ended_s - first_s,
        outcome=outcome,
    )


def median_ms(run: Callable[[], Logits | None], repeats: int) -> float:
    """Return the median time of ``run``, which returns when its result is there."""
    run()
    found: list[float] = []
    for _ in range(repeats):
        began_s = time.perf_counter()
        run()
        found.append((time.perf_counter() - began_s) * 1000)
    return float(np.median(found))


def measure_bandwidth(setting: Setting) -> Bandwidth:
    """Copy and read much more than any cache holds; the best of several times."""
    import torch

    count = (1 << 30 if setting.on_gpu else 1 << 24) // 4
    source = torch.ones(count, dtype=torch.float32, device=setting.device)
    target = torch.empty_like(source)

    def best_s(run: Callable[[], object]) -> float:
        found: list[float] = []
        for _ in range(3 + 5 * setting.rounds):
            _wait(setting)
            began_s = time.perf_counter()
            for _ in range(4):
                run()
            _wait(setting)
            found.append((time.perf_counter() - began_s) / 4)
        return min(found)

    size = source.nbytes
    copy = 2 * size / best_s(lambda: target.copy_(source))
    # A few thousand rows keep all of a GPU busy, one number would not.
    rows: torch.Tensor = source.view(4096, -1)
    return Bandwidth(copy=copy, read=size / best_s(lambda: rows.sum(1)))


def _wait(setting: Setting) -> None:
    if setting.on_gpu:
        import torch

        torch.cuda.synchronize()
