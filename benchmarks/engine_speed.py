"""Our engine beside llama.cpp on the same file: prefill, and decode steps in a filled context.

Both use the same threads, and take turns: ours, the peer's, the peer's, ours, and so on. Each
neighbouring pair gives one ratio, so that what else the machine does falls on both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peer_llama import LlamaBench, PeerError
from midfill_engine.backends.base import Backend, KVCache
from midfill_engine.decode.loop import PREFILL_CHUNK
from midfill_engine.loading import prefill_chunk_for, remembered_speed

__all__ = ["CONTEXT_TOKENS", "EngineSpeed", "OurSpeed", "arbitrary_ids", "measure_engine", "rounds"]

CONTEXT_TOKENS = 512
"""Tokens of the prompt that is prefilled, and of the context in which a step is timed."""

_STEPS = 16
_REPEATS = 3
_WIDTHS = (2, 4, 8)
_WIDTH_REPEATS = 5


@dataclass(kw_only=True)
class EngineSpeed:
    """One entry per round in each list; the peer's are empty where it is absent.

    ``width_ms`` has the time of a step that computes so many tokens at once.
    """

    prefill_tokens_per_s: list[float] = field(default_factory=list[float])
    step_ms: list[float] = field(default_factory=list[float])
    width_ms: dict[int, list[float]] = field(default_factory=dict[int, list[float]])
    peer_prefill_tokens_per_s: list[float] = field(default_factory=list[float])
    peer_step_ms: list[float] = field(default_factory=list[float])
    peer_failure: str = ""


class OurSpeed:
    """Times one backend the way llama-bench times itself: a warm-up, then one token after the
    other from the same depth, the mean of all steps."""

    def __init__(
        self,
        backend: Backend,
        *,
        chunk: int = PREFILL_CHUNK,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._backend = backend
        self._chunk = chunk
        self._clock = clock
        self._ids = arbitrary_ids(backend.vocab_size, CONTEXT_TOKENS)
        self._cache = backend.new_cache(CONTEXT_TOKENS + max(_STEPS, *_WIDTHS))

    def prefill_tokens_per_s(self) -> float:
        """Compute a prompt of ``CONTEXT_TOKENS`` from nothing, in the chunks of the real loop."""
        self._warm_up()
        self._cache.truncate(0)
        began_s = self._clock()
        self._fill()
        return CONTEXT_TOKENS / (self._clock() - began_s)

    def step_ms(self) -> float:
        """Decode after ``CONTEXT_TOKENS`` others; the median of the repeats' means."""
        self._refill()
        found: list[float] = []
        for _ in range(_REPEATS):
            self._cache.truncate(CONTEXT_TOKENS)
            began_s = self._clock()
            for index in range(_STEPS):
                self._backend.forward(self._ids[index : index + 1], self._cache, 1)
            found.append((self._clock() - began_s) / _STEPS * 1000)
        return sorted(found)[_REPEATS // 2]

    def width_ms(self, width: int) -> float:
        """Compute ``width`` tokens in one step, with logits for each; the median of some."""
        self._refill()
        found: list[float] = []
        for _ in range(_WIDTH_REPEATS):
            self._cache.truncate(CONTEXT_TOKENS)
            began_s = self._clock()
            self._backend.forward(self._ids[:width], self._cache, width)
            found.append((self._clock() - began_s) * 1000)
        return sorted(found)[_WIDTH_REPEATS // 2]

    def _warm_up(self) -> None:
        self._cache.truncate(0)
        self._backend.forward(self._ids[: self._chunk], self._cache, 0)

    def _refill(self) -> None:
        """Fill the context, if it is not filled yet: its content does not change the times."""
        if self._cache.length < CONTEXT_TOKENS:
            self._cache.truncate(0)
            self._fill()
        _step(self._backend, self._cache, self._ids)

    def _fill(self) -> None:
        for start in range(0, CONTEXT_TOKENS, self._chunk):
            stop = min(start + self._chunk, CONTEXT_TOKENS)
            wanted = 1 if stop == CONTEXT_TOKENS else 0
            self._backend.forward(self._ids[start:stop], self._cache, wanted)


def measure_engine(
    folder: Path,
    gguf: Path,
    *,
    peer: LlamaBench | None,
    threads: int,
    count: int,
    report: Callable[[str], None],
) -> EngineSpeed:
    """Measure the converted model in ``folder``, and the peer on the ``gguf`` it was made from.

    A peer that fails is left out from then on; what it said is in ``peer_failure``.
    """
    from midfill_engine.backends.onnx_backend import OnnxBackend

    report("loading")
    backend = OnnxBackend(folder, threads=threads)
    try:
        chunk = prefill_chunk_for(remembered_speed(backend, folder))
        ours = OurSpeed(backend, chunk=chunk)
        found = EngineSpeed(width_ms={width: [] for width in _WIDTHS})
        for index in rounds(count):
            report(f"round {index + 1} of {count}: prefill")
            _pair(
                index,
                lambda: found.prefill_tokens_per_s.append(ours.prefill_tokens_per_s()),
                _peers_turn(found, peer, lambda bench: _peer_prefill(found, bench, gguf, threads)),
            )
            report(f"round {index + 1} of {count}: decode")
            _pair(
                index,
                lambda: found.step_ms.append(ours.step_ms()),
                _peers_turn(found, peer, lambda bench: _peer_step(found, bench, gguf, threads)),
            )
            for width, times_ms in found.width_ms.items():
                times_ms.append(ours.width_ms(width))
    finally:
        backend.close()
    return found


def rounds(count: int) -> range:
    """Return the numbers of the rounds; at least one."""
    return range(max(count, 1))


def arbitrary_ids(vocab_size: int, count: int) -> Sequence[int]:
    """Return ids without meaning: a step costs the same whatever the text says."""
    return [(7919 * index) % vocab_size for index in range(count)]


def _pair(index: int, ours: Callable[[], None], peers: Callable[[], None]) -> None:
    """Run both, the other one first in every second round: a drift then favours neither."""
    for turn in (ours, peers) if index % 2 == 0 else (peers, ours):
        turn()


def _peers_turn(
    found: EngineSpeed, peer: LlamaBench | None, work: Callable[[LlamaBench], None]
) -> Callable[[], None]:
    def turn() -> None:
        if peer is None or found.peer_failure:
            return
        try:
            work(peer)
        except PeerError as error:
            found.peer_failure = str(error)

    return turn


def _peer_prefill(found: EngineSpeed, bench: LlamaBench, gguf: Path, threads: int) -> None:
    speed = bench.prefill_tokens_per_s(gguf, CONTEXT_TOKENS, threads)
    found.peer_prefill_tokens_per_s.append(speed)


def _peer_step(found: EngineSpeed, bench: LlamaBench, gguf: Path, threads: int) -> None:
    found.peer_step_ms.append(bench.step_ms(gguf, _STEPS, CONTEXT_TOKENS, threads, _REPEATS))


def _step(backend: Backend, cache: KVCache, ids: Sequence[int]) -> None:
    """One step that is not timed: the runtime's threads have slept while the peer ran."""
    cache.truncate(CONTEXT_TOKENS)
    backend.forward(ids[:1], cache, 1)
