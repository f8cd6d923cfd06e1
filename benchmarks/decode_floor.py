"""How near a decode step comes to reading its weights, keys and values once, at full bandwidth.

The floor of a step is the bytes that it must read, divided by the bandwidth. The bytes: all
matrices that the step multiplies by, as stored (codes, scales, zero points), and the keys and
values of the context. The bandwidth: as many threads as the step has each find the maximum of
their part of 512 MB of float32, which numpy does faster than memory delivers; the best of several
passes. Both are taken in turn, so that what else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx

from benchmarks.engine_speed import CONTEXT_TOKENS, OurSpeed, rounds
from benchmarks.provenance import about, warn_if_busy
from benchmarks.report import Figure, Goal, as_json, spread, table, tell_result
from midfill_engine.backends.onnx_backend import OnnxBackend
from midfill_engine.machine import probe_machine
from midfill_engine.onnx.convert import OnnxManifest
from midfill_engine.options import EngineOptions
from midfill_engine.registry import EMBEDDED_MODELS
from midfill_engine.runtimes import find_runtime
from midfill_engine.select import choose_model
from midfill_engine.store import ModelStore

__all__ = ["ReadSpeed", "main", "step_bytes"]

_SHARES = {"qwen2.5-coder-0.5b": 0.85, "qwen2.5-coder-1.5b": 0.80}
_READ_BYTES = 512 * 1024 * 1024
_PASSES = 4
_WIDTHS = (2, 4, 8)
_VALUE_BYTES = 4


class ReadSpeed:
    """Times reading of memory by ``threads`` threads at once."""

    def __init__(self, threads: int, size_bytes: int = _READ_BYTES) -> None:
        self._parts = np.array_split(np.ones(size_bytes // 4, np.float32), threads)
        self._bytes = size_bytes

    def bytes_per_s(self) -> float:
        """Read all once in each pass; the best pass counts."""
        times_s: list[float] = []
        with ThreadPoolExecutor(len(self._parts)) as pool:
            for _ in range(_PASSES):
                began_s = time.perf_counter()
                list(pool.map(np.max, self._parts))
                times_s.append(time.perf_counter() - began_s)
        return self._bytes / min(times_s)


def step_bytes(folder: Path, context_tokens: int) -> int:
    """Return how many bytes one decode step has to read after ``context_tokens`` others."""
    manifest = OnnxManifest.read(folder)
    assert manifest is not None
    model = onnx.ModelProto.FromString(OnnxManifest.graph_path(folder).read_bytes())
    stored = {
        tensor.name: int(entry.value)
        for tensor in model.graph.initializer
        for entry in tensor.external_data
        if entry.key == "length"
    }
    products = (node for node in model.graph.node if node.op_type in ("MatMulNBits", "Transpose"))
    weights = sum(stored.get(name, 0) for node in products for name in node.input)
    config = manifest.config
    per_token = 2 * config.layers * config.kv_heads * config.head_dim * _VALUE_BYTES
    return weights + per_token * context_tokens


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every converted model; 1 if none is there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decode_floor", description=__doc__)
    parser.add_argument("--model", action="append", metavar="ID", help="may be repeated; all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=probe_machine().cores)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the line of JSON here")
    args = parser.parse_args(argv)
    machine = about(peer_version=None)
    warn_if_busy(machine)
    store = ModelStore()
    found: dict[str, object] = {}
    for model_id in args.model or [spec.id for spec in EMBEDDED_MODELS]:
        chosen = choose_model(EngineOptions(model=model_id, backend="onnx", device="cpu"), store)
        folder = find_runtime(chosen.runtime).prepared(chosen, store)
        if folder is None:
            print(f"{model_id} is not ready: midfill models pull {model_id}", file=sys.stderr)
            continue
        figures = _measure(folder, model_id, args.threads, args.rounds)
        print(table(f"\n{model_id}, {chosen.layout} weights", figures))
        found[model_id] = {"layout": chosen.layout, **as_json(figures)}
    tell_result("decode_floor", machine, found, args.json)
    return 0 if found else 1


def _measure(folder: Path, model_id: str, threads: int, count: int) -> Sequence[Figure]:
    needed = step_bytes(folder, CONTEXT_TOKENS)
    reading = ReadSpeed(threads)
    backend = OnnxBackend(folder, threads=threads)
    speeds: list[float] = []
    steps_ms: list[float] = []
    widths_ms: dict[int, list[float]] = {width: [] for width in _WIDTHS}
    try:
        ours = OurSpeed(backend)
        for _ in rounds(count):
            speeds.append(reading.bytes_per_s())
            steps_ms.append(ours.step_ms())
            for width in _WIDTHS:
                widths_ms[width].append(ours.width_ms(width))
    finally:
        backend.close()
    # A pass that was disturbed says nothing about the memory: the best one of all is its speed.
    floor_ms = needed / max(speeds) * 1000
    return (
        Figure(key="bytes", name="read per step", unit="MB", value=spread([needed / 1e6])),
        Figure(
            key="bandwidth",
            name="memory reads",
            unit="GB/s",
            value=spread([speed / 1e9 for speed in speeds]),
        ),
        Figure(key="floor", name="floor of a step", unit="ms", value=spread([floor_ms])),
        Figure(key="step", name="decode step", unit="ms", value=spread(steps_ms)),
        *(
            Figure(key=f"step_{width}", name=f"step of {width}", unit="ms", value=spread(times_ms))
            for width, times_ms in widths_ms.items()
        ),
        Figure(
            key="share",
            name="floor ÷ step",
            unit="",
            value=spread([floor_ms / step_ms for step_ms in steps_ms]),
            goal=Goal(bound=_SHARES[model_id], at_least=True) if model_id in _SHARES else None,
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
