"""Speed on a GPU: decoding against the memory's bandwidth, drafts, kernels, transformers, ONNX.

python -m benchmarks.gpu [--part decode,speculation,kernels,onnx] [--minutes N] [--json FILE]

Weights are synthetic, in the true shapes of Code Llama. Each part stands for itself; the result is
written after everything that was measured, and a further run adds to it. What it has shown so far
it has shown on a processor, with tiny shapes (--device cpu --shape tiny): it was not run on a GPU
yet.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if not __package__:
    # Started by its path: then Python looks for modules in this folder, and not in the checkout.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.gpu_figures import Found, compare_weights
from benchmarks.gpu_parts import PARTS, Plan
from benchmarks.gpu_setting import Bandwidth, Setting, measure_bandwidth
from benchmarks.provenance import about
from benchmarks.report import Figure, Progress, as_json, json_line, spread, table, write_json
from midfill_engine.cancel import CancelToken
from midfill_engine.errors import MidfillError

__all__ = ["main"]

_WEIGHTS = ("bf16", "int8", "int4")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and tell; 0 whether the targets are met or not, 1 if nothing could be measured."""
    args = _arguments(argv)
    try:
        device_name = _device_name(args.device)
    except (ImportError, RuntimeError) as error:
        print(f"error: {args.device}: {error}", file=sys.stderr)
        return 1
    began_s = time.monotonic()
    end_s = began_s + 60 * args.minutes
    setting = Setting(
        device=args.device,
        prompt_tokens=args.prompt_tokens,
        answer_tokens=args.answer_tokens,
        rounds=args.rounds,
        seed=args.seed,
        cancel=CancelToken(deadline_s=end_s),
    )
    plan = Plan(
        shapes=tuple(args.shape),
        weights=tuple(args.weights),
        targets=tuple(args.target),
        drafts=tuple(args.draft),
        layouts=tuple(args.layout),
        with_peer=not args.no_peer,
        enough=lambda: time.monotonic() >= end_s,
    )
    machine = {
        **about(peer_version=None),
        "gpu": device_name,
        **_versions(),
        "asked": _what_was_asked(args),
    }
    result = _Result(machine, args.json)
    report = Progress()
    report("bandwidth")
    bandwidth = measure_bandwidth(setting)
    result.add(_bandwidth(bandwidth, device_name))
    for part in args.part:
        report.label = part
        report("begins")
        try:
            for found in PARTS[part](plan, setting, bandwidth):
                report.clear()
                result.add(found)
                report("goes on")
        except MidfillError as error:
            # One part that does not fit takes no other with it.
            report.clear()
            result.add(Found(name=part, missing=str(error)))
    report.clear()
    result.finish()
    return 0


class _Result:
    """What was found, on the screen and in the file, which is whole at any time."""

    def __init__(self, machine: dict[str, object], path: Path | None) -> None:
        self._machine, self._path = machine, path
        self._figures: dict[str, Any] = _earlier(path, machine)

    def add(self, found: Found) -> None:
        """Tell one more thing and keep it."""
        if found.missing:
            print(f"\n{found.name}: not measured: {found.missing}", flush=True)
        else:
            print(f"\n{table(found.name, found.figures)}", flush=True)
        kept = {**as_json(found.figures), **found.data}
        self._figures[found.name] = {"missing": found.missing} if found.missing else kept
        self._write()

    def finish(self) -> None:
        """Tell what needs several of the things, and then all of it in one line."""
        compared = compare_weights(self._speeds())
        if compared:
            self.add(Found(name="weights compared", figures=tuple(compared)))
        print(f"\n{self._line()}")

    def _speeds(self) -> dict[str, dict[str, float]]:
        """Return tokens per second by shape and weights, those of earlier runs too."""
        speeds: dict[str, dict[str, float]] = {}
        for name, kept in self._figures.items():
            part, *which = name.split()
            if part == "decode" and "missing" not in kept:
                shape, weights = which
                speeds.setdefault(shape, {})[weights] = kept["tokens_per_s"]["value"]["p50"]
        return speeds

    def _line(self) -> str:
        return json_line("gpu", self._machine, self._figures)

    def _write(self) -> None:
        if self._path is None:
            return
        # A kill in the midst of writing leaves the file that was there.
        new = self._path.with_name(f"{self._path.name}.new")
        write_json(new, self._line())
        os.replace(new, self._path)


def _earlier(path: Path | None, machine: dict[str, object]) -> dict[str, Any]:
    """Return what an earlier run found on the same device by the same commit."""
    if path is None or not path.exists():
        return {}
    try:
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    same = all(kept.get(key) == machine[key] for key in ("gpu", "commit", "asked"))
    return dict(kept["figures"]) if same else {}


def _what_was_asked(args: argparse.Namespace) -> dict[str, object]:
    """Return what figures of two runs must have in common to stand in one file."""
    return {
        "prompt_tokens": args.prompt_tokens,
        "answer_tokens": args.answer_tokens,
        "rounds": args.rounds,
    }


def _bandwidth(bandwidth: Bandwidth, device_name: str) -> Found:
    figures = [
        Figure(key=key, name=name, unit="GB/s", value=spread([rate / 1e9]))
        for key, name, rate in (
            ("copy", "copying", bandwidth.copy),
            ("read", "reading", bandwidth.read),
        )
    ]
    return Found(name=f"bandwidth of {device_name}", figures=tuple(figures))


def _device_name(device: str) -> str:
    import torch

    if not device.startswith("cuda"):
        return device
    if not torch.cuda.is_available():
        raise RuntimeError("PyTorch sees no CUDA device")
    return str(torch.cuda.get_device_name(device))


def _versions() -> dict[str, object]:
    import torch

    return {"torch": str(torch.__version__), "cuda": torch.version.cuda}


def _pair(text: str) -> tuple[str, str]:
    name, colon, weights = text.partition(":")
    if not colon or weights not in (*_WEIGHTS, "fp16", "float32"):
        raise argparse.ArgumentTypeError("a model is SHAPE:WEIGHTS, as in 34b:int4")
    return name, weights


def _list(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--part", type=_list, default=list(PARTS), metavar="NAME,…", help=", ".join(PARTS))
    add("--device", default="cuda", help="cuda, cuda:N or cpu (cuda)")
    add("--shape", type=_list, default=["7b", "13b"], metavar="NAME,…", help="7b,13b; tiny")
    add("--weights", type=_list, default=list(_WEIGHTS), metavar="NAME,…", help="bf16,int8,int4")
    add("--target", type=_pair, nargs="+", default=None, metavar="MODEL", help="34b:int4 34b:int8")
    add("--draft", type=_pair, nargs="+", default=None, metavar="MODEL", help="7b:int4 7b:bf16")
    add("--layout", type=_list, default=["int4"], metavar="NAME,…", help="of ONNX weights (int4)")
    add("--prompt-tokens", type=int, default=1000)
    add("--answer-tokens", type=int, default=128)
    add("--rounds", type=int, default=3)
    add("--seed", type=int, default=1)
    add("--minutes", type=float, default=30.0, help="begin nothing new after this (30)")
    add("--no-peer", action="store_true", help="leave transformers out")
    add("--json", type=Path, metavar="FILE", help="write the result here, and add to what is there")
    args = parser.parse_args(argv)
    tiny = args.shape == ["tiny"]
    args.target = args.target or [(("tiny" if tiny else "34b"), name) for name in ("int4", "int8")]
    args.draft = args.draft or [(("tiny" if tiny else "7b"), name) for name in ("int4", "bf16")]
    if unknown := set(args.part) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if unknown := set(args.weights) - set(_WEIGHTS):
        parser.error(f"no weights {', '.join(sorted(unknown))}; there are {', '.join(_WEIGHTS)}")
    if min(args.rounds, args.prompt_tokens) < 1 or args.answer_tokens < 2:
        parser.error("rounds and prompts count from 1, answers from 2")
    return args


if __name__ == "__main__":
    sys.exit(main())
