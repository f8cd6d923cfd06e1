"""Converts a checkpoint into a folder that the ONNX backend opens.

The folder holds ``model.onnx`` (graph), ``model.bin`` (weights) and ``model.json`` (what it was
made from, and by which version of this code). ``model.json`` is written last: a folder without it,
or with one that does not match, is not a conversion.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from midfill_engine.cancel import CancelToken
from midfill_engine.errors import WorkCancelledError
from midfill_engine.onnx.layouts import WeightLayout
from midfill_engine.progress import Progress, ProgressSink
from midfill_engine.weights import ModelConfig, WeightSource

__all__ = ["CONVERTER_VERSION", "OnnxManifest", "Precision", "convert"]

Precision: TypeAlias = Literal["float32", "float16"]

CONVERTER_VERSION = 2
"""Raised whenever the written files change; older conversions are then made anew."""

_GRAPH, _DATA, _MANIFEST = "model.onnx", "model.bin", "model.json"
# Rotary tables for more positions than a cache will hold only cost memory: 52 MB for 100,000.
_USUAL_POSITIONS, _MAX_POSITIONS = 32768, 131072
# Quantising runs in numpy, which releases the interpreter: two threads nearly halve the time,
# and more would raise the peak memory for a step that is done once.
_WORKERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxManifest:
    """What a converted folder holds, and the key under which it is valid.

    ``precision`` is what the graph computes in: float32 for a processor, float16 for a GPU.
    """

    source_sha256: str
    layout: str
    converter_version: int
    positions: int
    config: ModelConfig
    precision: Precision = "float32"

    @staticmethod
    def read(folder: Path) -> OnnxManifest | None:
        """Read the manifest of a finished conversion; ``None`` for anything else."""
        try:
            fields = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
            fields["config"] = ModelConfig(**fields["config"])
            return OnnxManifest(**fields)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    @staticmethod
    def graph_path(folder: Path) -> Path:
        """Where the graph lies in a converted folder."""
        return folder / _GRAPH


def convert(
    source: WeightSource,
    folder: Path,
    *,
    layout: WeightLayout,
    source_sha256: str,
    progress: ProgressSink,
    cancel: CancelToken,
    precision: Precision = "float32",
    positions: int | None = None,
) -> OnnxManifest:
    """Write ``source`` into ``folder``, which must exist and be nobody else's.

    ``positions`` is how far a cache can reach, also beyond what the model was trained for
    (131072 at most); ``None`` is its context, up to 32768. ``precision`` is float16 for graphs
    that run on a GPU, whose attention knows nothing wider; the quantised weights are the same.

    Peak memory is a few slices of weights, whatever the model's size. Raises
    ``WorkCancelledError`` when cancelled, ``OSError`` when the disk is full.
    """
    # Imported late: the onnx package costs 0.2 s that only a conversion has to pay.
    from midfill_engine.onnx.graph import build_graph
    from midfill_engine.onnx.matrices import MatrixStream
    from midfill_engine.onnx.writer import GraphWriter

    config = source.config
    if positions is None:
        positions = min(config.context_tokens, _USUAL_POSITIONS)
    positions = min(positions, _MAX_POSITIONS)
    manifest = OnnxManifest(
        source_sha256=source_sha256,
        layout=layout.name,
        converter_version=CONVERTER_VERSION,
        positions=positions,
        config=config,
        precision=precision,
    )
    (folder / _MANIFEST).unlink(missing_ok=True)
    floats = np.float16 if precision == "float16" else np.float32
    count = _counter(source, layout, progress, cancel)
    with (folder / _DATA).open("w+b") as data, ThreadPoolExecutor(_WORKERS) as workers:
        writer = GraphWriter(data, _DATA, floats=floats)
        build_graph(writer, MatrixStream(writer, source, layout, workers, count), config, positions)
        data.flush()
        os.fsync(data.fileno())
    writer.save(folder / _GRAPH, name=config.architecture, metadata={"layout": layout.name})
    temporary = folder / f"{_MANIFEST}.tmp"
    temporary.write_text(json.dumps(asdict(manifest), indent=1), encoding="utf-8")
    os.replace(temporary, folder / _MANIFEST)
    return manifest


def _counter(
    source: WeightSource, layout: WeightLayout, progress: ProgressSink, cancel: CancelToken
) -> Callable[[int], None]:
    """Make the callback that reports finished weights and stops a cancelled conversion."""
    config = source.config
    # A tied embedding is written twice: to look rows up in, and to multiply by.
    total = config.matrix_weights + (config.vocab * config.hidden if config.tied else 0)
    done = 0

    def count(weights: int) -> None:
        nonlocal done
        if cancel.cancelled:
            raise WorkCancelledError("stopped; the conversion starts anew next time")
        done += weights
        progress(
            Progress(task=f"Converting to {layout.name}", done=done, total=total, unit="weights")
        )

    return count
