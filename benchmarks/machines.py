"""Which model on which machine: what fits, and how fast it can be at best.

    python -m benchmarks.machines            print the page
    python -m benchmarks.machines --write    write MODELS.md

Memory and floors are computed, from the shapes in the registry and the published bandwidth of
each kind of memory: a decode step reads all weights once, and nothing reads them faster than that.
What was measured stands in ``results/`` and is quoted as such.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from midfill_engine.errors import ModelError
from midfill_engine.plan import Footprint
from midfill_engine.registry import MODELS, Capability, ModelSpec
from midfill_engine.runtimes.layouts import llama_layouts, onnx_layouts, torch_layouts

__all__ = ["MACHINES", "PAGE", "page"]

_ROOT = Path(__file__).resolve().parents[1]
PAGE = _ROOT / "MODELS.md"
"""Where the page lies."""

_RESULTS = _ROOT / "benchmarks" / "results"
_CONTEXT_TOKENS = 4096
# What a computer's system and an editor leave of its memory; a GPU has nothing else to do.
_CPU_SHARE, _GPU_SHARE = 0.6, 0.95
# A line of code, of 16 tokens, may take so long; and this share of the bandwidth is reached.
_LINE_MS, _LINE_TOKENS, _REACHED = 1500.0, 16, 0.55


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    """A kind of machine; ``bandwidth`` of its memory in GB per second, as published."""

    name: str
    runtime: Literal["onnx", "torch", "llama"]
    memory_gb: float
    bandwidth: float

    @property
    def usable_bytes(self) -> float:
        share = _GPU_SHARE if self.runtime == "torch" else _CPU_SHARE
        return self.memory_gb * 1e9 * share


MACHINES = (
    _Machine(name="laptop, 8 GB, two DDR4-3200", runtime="onnx", memory_gb=8, bandwidth=51),
    _Machine(name="desktop, 32 GB, two DDR5-5600", runtime="onnx", memory_gb=32, bandwidth=90),
    _Machine(name="Apple M2 Pro, 32 GB", runtime="llama", memory_gb=32, bandwidth=200),
    _Machine(name="RTX 3060, 12 GB", runtime="torch", memory_gb=12, bandwidth=360),
    _Machine(name="RTX 4090, 24 GB", runtime="torch", memory_gb=24, bandwidth=1008),
    _Machine(name="H100, 80 GB", runtime="torch", memory_gb=80, bandwidth=3350),
)
"""Kinds of machines that people have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """The widest form of a model that a machine holds, and the floor of a decode step there."""

    layout: str
    footprint: Footprint
    floor_ms: float

    @property
    def total_gb(self) -> float:
        return self.footprint.total_bytes(_CONTEXT_TOKENS) / 1e9


def _forms(spec: ModelSpec, runtime: str) -> Iterator[tuple[str, Footprint]]:
    """Yield the forms that make sense, the widest first."""
    try:
        if runtime == "llama":
            # Its quantised variants are rows of their own.
            files = [one for one in MODELS if spec.id in (one.id, one.variant_of)]
            for one in sorted(files, key=lambda one: one.size_bytes, reverse=True):
                if one.format == "gguf":
                    name = one.id.removeprefix(spec.id).removeprefix("-") or "q4_k_m"
                    yield name, llama_layouts(one, "gpu")[0].footprint
        elif runtime == "torch":
            wanted = ("bf16", "int8", "int4")
            for layout in torch_layouts(spec, "gpu"):
                if layout.name in wanted:
                    yield layout.name, layout.footprint
        else:
            for layout in onnx_layouts(spec, "cpu"):
                if layout.name in (spec.layout, "mixed", "int4"):
                    yield layout.name, layout.footprint
    except ModelError:
        return


def _fit(spec: ModelSpec, machine: _Machine) -> _Fit | None:
    for layout, footprint in _forms(spec, machine.runtime):
        if footprint.total_bytes(_CONTEXT_TOKENS) <= machine.usable_bytes:
            floor_ms = footprint.weights_bytes / (machine.bandwidth * 1e9) * 1000
            return _Fit(layout=layout, footprint=footprint, floor_ms=floor_ms)
    return None


def _best(machine: _Machine) -> tuple[ModelSpec, _Fit] | None:
    """Return the best model that fills in and is fast enough for typing."""
    for spec in sorted(_models(), key=lambda spec: spec.rank, reverse=True):
        fit = _fit(spec, machine) if Capability.FIM in spec.capabilities else None
        if fit is not None and fit.floor_ms / _REACHED * _LINE_TOKENS <= _LINE_MS:
            return spec, fit
    return None


def _models() -> list[ModelSpec]:
    return [spec for spec in MODELS if spec.variant_of is None]


def page() -> str:
    """Return the whole page in Markdown."""
    parts = (_introduction, _choice, _floors, _memory, _measured, _compared)
    return "\n".join(line for part in parts for line in [*part(), ""])


def _introduction() -> Iterator[str]:
    yield "# Which model on which machine"
    yield ""
    yield "Written by `python -m benchmarks.machines --write`; a test keeps it true to the code."
    yield ""
    yield (
        "**Computed** means: from a model's shape, and from the published bandwidth of a kind of "
        "memory. A decode step reads all weights once, so the floor is a time that no program "
        "beats; midfill has reached about half of it on the CPU where it was measured. No GPU "
        "figure here was measured: midfill has not been run on a GPU yet. "
        "**Measured** figures name the file that has them."
    )


def _choice() -> Iterator[str]:
    yield "## In short (computed)"
    yield ""
    yield f"The best model that fills in, fits with {_CONTEXT_TOKENS} tokens of context, and"
    yield f"writes a line of {_LINE_TOKENS} tokens in {_LINE_MS / 1000:.1f} s at"
    yield f"{_REACHED * 100:.0f} % of the floor's speed."
    yield ""
    yield "| machine | backend | model | weights | memory | floor of a step |"
    yield "|---|---|---|---|---|---|"
    for machine in MACHINES:
        found = _best(machine)
        if found is None:
            yield f"| {machine.name} | {machine.runtime} | none | | | |"
            continue
        spec, fit = found
        yield (
            f"| {machine.name} | {machine.runtime} | `{spec.id}` | {fit.layout} "
            f"| {fit.total_gb:.1f} GB | {fit.floor_ms:.1f} ms |"
        )


def _floors() -> Iterator[str]:
    yield "## What fits, and the floor of a decode step (computed)"
    yield ""
    yield "The widest weights that fit, and the least time for one token; empty: does not fit."
    yield ""
    yield "| model | fills in | " + " | ".join(machine.name for machine in MACHINES) + " |"
    yield "|---|---|" + "---|" * len(MACHINES)
    for spec in _models():
        cells = [_cell(_fit(spec, machine)) for machine in MACHINES]
        can = "yes" if Capability.FIM in spec.capabilities else "no"
        yield f"| `{spec.id}` | {can} | " + " | ".join(cells) + " |"


def _cell(fit: _Fit | None) -> str:
    return "" if fit is None else f"{fit.layout} {fit.floor_ms:.1f} ms"


def _memory() -> Iterator[str]:
    yield "## Memory (computed)"
    yield ""
    yield "Weights, and 1,000 tokens of context, in GB. `mixed` and `int4` are layouts of the"
    yield "backend `onnx` on the CPU, with a float32 cache; the others of `torch`, with 16 bits."
    yield ""
    yield (
        "| model | parameters | bf16 | int8 | int4 | mixed (CPU) | int4 (CPU) "
        "| cache (GPU) | cache (CPU) |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for spec in _models():
        try:
            gpu = {layout.name: layout.footprint for layout in torch_layouts(spec, "gpu")}
            cpu = {layout.name: layout.footprint for layout in onnx_layouts(spec, "cpu")}
        except ModelError:
            continue
        weights = [gpu["bf16"], gpu["int8"], gpu["int4"], cpu["mixed"], cpu["int4"]]
        cells = [f"{one.weights_bytes / 1e9:.1f}" for one in weights]
        cells += [f"{one.kv_bytes / 1e6:.2f}" for one in (gpu["bf16"], cpu["mixed"])]
        yield f"| `{spec.id}` | {spec.parameters / 1e9:.2f} B | " + " | ".join(cells) + " |"


def _measured() -> Iterator[str]:
    yield "## Measured"
    yield ""
    found = json.loads((_RESULTS / "latency.json").read_text(encoding="utf-8"))
    machine = found["machine"]
    yield f"`benchmarks/results/latency.json`: {machine['processor']}, {machine['cores']} cores,"
    yield f"{machine['memory_gb']} GB, ONNX Runtime {found['versions']['onnxruntime']}."
    yield ""
    yield "| model | weights | prefill | decode step | start to first answer | peak memory |"
    yield "|---|---|---|---|---|---|"
    for model_id, figures in found["figures"].items():
        yield (
            f"| `{model_id}` | {figures['layout']} "
            f"| {figures['prefill']['ours']['p50']:.0f} tokens/s "
            f"| {figures['decode_step']['ours']['p50']:.1f} ms "
            f"| {figures['first_answer']['value']['p50']:.1f} s "
            f"| {figures['peak_memory']['value']['p50']:.1f} GB |"
        )


def _compared() -> Iterator[str]:
    """Quote the comparison of runtimes, of which each but the first is told as a ratio."""
    found = json.loads((_RESULTS / "backends.json").read_text(encoding="utf-8"))
    versions = found["versions"]
    yield "The runtimes on the same machine, in one run (`benchmarks/results/backends.json`,"
    yield f"llama-cpp-python {versions['llama-cpp-python']}):"
    yield ""
    yield "| model | backend | prefill | a step | a step of 4 tokens |"
    yield "|---|---|---|---|---|"
    for model_id, figures in found["figures"].items():
        for name in ("onnx", "llama"):
            prefill, step, wide = (
                figures[f"{name}.{key}"].get("ours", figures[f"{name}.{key}"]["value"])["p50"]
                for key in ("prefill_tokens_per_s", "step_1_ms", "step_4_ms")
            )
            yield (
                f"| `{model_id}` | {name} | {prefill:.0f} tokens/s "
                f"| {step:.1f} ms | {wide:.1f} ms |"
            )


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    if parser.parse_args().write:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(page(), end="")


if __name__ == "__main__":
    main()
