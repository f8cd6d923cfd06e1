"""Converts models, each in a process of its own, and tells time, peak memory and size.

Without ``--shape``: the models that were pulled. With it: checkpoints with made-up weights in the
true shapes of Code Llama, larger than memory if need be, which are written first and deleted after.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.large_checkpoints import SHAPES, SOURCES, open_source, write_checkpoint
from benchmarks.provenance import about
from benchmarks.report import Figure, Goal, Progress, as_json, spread, table, tell_result

__all__ = ["Conversion", "convert_alone", "convert_here", "large_figures", "main"]

_SECONDS = {"qwen2.5-coder-0.5b": 20.0, "qwen2.5-coder-1.5b": 60.0}
_PEAK_GB, _LARGE_PEAK_GB = 1.0, 3.0
_USUAL_SOURCE = {"7b": "safetensors", "13b": "gguf", "34b": "synthetic"}
# Runs in a new process, so that its peak memory is the conversion's own.
_WORK = "import sys; from benchmarks.conversion import convert_here; convert_here(*sys.argv[1:])"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What one conversion cost: pages of files that the process had mapped count as its memory."""

    took_s: float
    peak_bytes: int
    written_bytes: int


def convert_here(source: str, path: str, shape: str, folder: str, layout: str, sha: str) -> None:
    """Convert in this process and print what it cost as JSON; ``shape`` is "" for real files."""
    from benchmarks.server_session import peak_resident_bytes
    from midfill_engine.cancel import CancelToken
    from midfill_engine.onnx.convert import convert
    from midfill_engine.onnx.layouts import find_layout
    from midfill_engine.progress import silent

    began_s = time.perf_counter()
    convert(
        open_source(source, path, SHAPES.get(shape)),
        Path(folder),
        layout=find_layout(layout),
        source_sha256=sha,
        progress=silent,
        cancel=CancelToken(),
    )
    written_bytes = sum(file.stat().st_size for file in Path(folder).iterdir())
    done = Conversion(
        took_s=time.perf_counter() - began_s,
        peak_bytes=peak_resident_bytes(os.getpid()),
        written_bytes=written_bytes,
    )
    print(json.dumps(asdict(done)))


def convert_alone(
    source: str, path: Path | None, layout: str, *, within: Path, shape: str = "", sha256: str = ""
) -> Conversion:
    """Convert in a process of its own, into a temporary folder in ``within``."""
    with tempfile.TemporaryDirectory(dir=within) as folder:
        words = [source, str(path or ""), shape, folder, layout, sha256]
        done = subprocess.run(
            [sys.executable, "-c", _WORK, *words], check=True, stdout=subprocess.PIPE, text=True
        )
    return Conversion(**json.loads(done.stdout))


def large_figures(done: Conversion) -> tuple[Figure, ...]:
    """Return what one conversion of a large model is told by."""
    return (
        Figure(key="conversion", name="conversion", unit="s", value=spread([done.took_s])),
        Figure(
            key="peak_memory",
            name="peak memory",
            unit="GB",
            value=spread([done.peak_bytes / 1e9]),
            goal=Goal(bound=_LARGE_PEAK_GB),
        ),
        Figure(key="size", name="converted", unit="GB", value=spread([done.written_bytes / 1e9])),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Convert what was asked for; 1 if there was nothing to convert."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conversion", description=__doc__)
    parser.add_argument("--model", action="append", metavar="ID", help="may be repeated; all")
    parser.add_argument("--shape", action="append", choices=SHAPES, help="may be repeated")
    parser.add_argument("--source", choices=SOURCES, help="what a shape is read from")
    parser.add_argument("--layout", action="append", metavar="NAME", help="of a shape; int4, mixed")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()), metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the line of JSON here")
    args = parser.parse_args(argv)
    # Asked before the work: afterwards, this would be what keeps the processor busy.
    origin = about(peer_version=None)
    found: dict[str, object] = {}
    if args.shape:
        for shape in args.shape:
            source = args.source or _USUAL_SOURCE[shape]
            found[shape] = _convert_shape(
                shape, source, args.layout or ["int4", "mixed"], args.work
            )
    else:
        found = _convert_pulled(args.model, args.work)
    tell_result("conversion", origin, found, args.json)
    return 0 if found else 1


def _convert_pulled(model_ids: Sequence[str] | None, work: Path) -> dict[str, object]:
    # Not at the top: the process that is measured imports this file, and would carry them all.
    from midfill_engine.options import EngineOptions
    from midfill_engine.registry import MODELS, find_model
    from midfill_engine.select import choose_model
    from midfill_engine.store import ModelStore

    store = ModelStore()
    found: dict[str, object] = {}
    for spec in [find_model(model_id) for model_id in model_ids or ()] or MODELS:
        path = store.model_path(spec)
        if path is None:
            if model_ids:
                print(f"{spec.id} is not here: midfill models pull {spec.id}", file=sys.stderr)
            continue
        options = EngineOptions(model=spec.id, backend="onnx", device="cpu")
        chosen = choose_model(options, store)
        source = "safetensors" if path.is_dir() else "gguf"
        identity = store.identity(spec)
        done = convert_alone(source, path, chosen.layout, within=work, sha256=identity)
        figures = (
            Figure(
                key="conversion",
                name="conversion",
                unit="s",
                value=spread([done.took_s]),
                goal=Goal(bound=_SECONDS[spec.id]) if spec.id in _SECONDS else None,
            ),
            Figure(
                key="peak_memory",
                name="peak memory",
                unit="GB",
                value=spread([done.peak_bytes / 1e9]),
                goal=Goal(bound=_PEAK_GB),
            ),
        )
        print(table(f"\n{spec.id}, {chosen.layout} weights", figures))
        found[spec.id] = {"layout": chosen.layout, **as_json(figures)}
    return found


def _convert_shape(
    shape: str, source: str, layouts: Sequence[str], work: Path
) -> dict[str, object]:
    """Write the checkpoint once and convert it to each layout."""
    config, tell = SHAPES[shape], Progress()
    tell.label = f"{shape} from {source}"
    found: dict[str, object] = {}
    with _folder_in(work) as folder:
        tell("writing the checkpoint")
        checkpoint = write_checkpoint(config, source, folder)
        source_gb = checkpoint.size_bytes / 1e9
        for layout in layouts:
            tell(f"converting to {layout}")
            done = convert_alone(source, checkpoint.path, layout, within=work, shape=shape)
            figures = large_figures(done)
            tell.clear()
            print(table(f"\n{shape} from {source} ({source_gb:.1f} GB) to {layout}", figures))
            found[layout] = as_json(figures)
    return {
        "source": source,
        "source_gb": round(source_gb, 2),
        "weights": config.matrix_weights,
        **found,
    }


@contextmanager
def _folder_in(work: Path) -> Generator[Path]:
    """Make a folder that is gone afterwards: what lies in it may be half of the disk."""
    folder = Path(tempfile.mkdtemp(prefix="midfill-checkpoint-", dir=work))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
