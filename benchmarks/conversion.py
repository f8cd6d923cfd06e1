"""Converts each pulled model once, in a process of its own, and tells time and peak memory."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.provenance import about
from benchmarks.report import Figure, Goal, as_json, json_line, spread, table, write_json
from midfill_engine.loading import choose_model
from midfill_engine.options import EngineOptions
from midfill_engine.registry import MODELS
from midfill_engine.store import ModelStore

__all__ = ["main"]

_SECONDS = {"qwen2.5-coder-0.5b": 20.0, "qwen2.5-coder-1.5b": 60.0}
_PEAK_GB = 1.0

# Runs in a new process, so that its peak memory is the conversion's own.
_WORK = """
import sys
from pathlib import Path
from midfill_engine.cancel import CancelToken
from midfill_engine.gguf.weights import GgufWeights
from midfill_engine.onnx.convert import convert
from midfill_engine.onnx.layouts import find_layout
from midfill_engine.progress import silent
path, folder, layout, sha256 = sys.argv[1:]
convert(GgufWeights(Path(path)), Path(folder), layout=find_layout(layout), source_sha256=sha256,
        progress=silent, cancel=CancelToken())
import os
from benchmarks.server_session import peak_resident_bytes
print(peak_resident_bytes(os.getpid()))
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Convert every pulled model into a temporary folder; 1 if none is there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conversion", description=__doc__)
    parser.add_argument("--model", action="append", metavar="ID", help="may be repeated; all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the line of JSON here")
    args = parser.parse_args(argv)
    store = ModelStore()
    found: dict[str, object] = {}
    for model_id in args.model or [spec.id for spec in MODELS]:
        chosen = choose_model(EngineOptions(model=model_id), store)
        path = store.model_path(chosen.spec)
        if path is None:
            print(f"{model_id} is not here: midfill models pull {model_id}", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory() as folder:
            began_s = time.perf_counter()
            sha256 = chosen.spec.files[0].sha256
            words = [str(path), folder, chosen.layout, sha256]
            done = subprocess.run(
                [sys.executable, "-c", _WORK, *words], check=True, stdout=subprocess.PIPE, text=True
            )
            took_s = time.perf_counter() - began_s
        figures = (
            Figure(
                key="conversion",
                name="conversion",
                unit="s",
                value=spread([took_s]),
                goal=Goal(bound=_SECONDS[model_id]) if model_id in _SECONDS else None,
            ),
            Figure(
                key="peak_memory",
                name="peak memory",
                unit="GB",
                value=spread([int(done.stdout) / 1e9]),
                goal=Goal(bound=_PEAK_GB),
            ),
        )
        print(table(f"\n{model_id}, {chosen.layout} weights", figures))
        found[model_id] = {"layout": chosen.layout, **as_json(figures)}
    line = json_line("conversion", about(peer_version=None), found)
    print(f"\n{line}")
    if args.json:
        write_json(args.json, line)
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
