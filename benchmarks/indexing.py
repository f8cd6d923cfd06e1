"""What indexing a large workspace costs: time, memory, and what it delays.

A repository of small and large files in four languages is generated in a temporary folder, and
indexed as the server does it, by a thread that has another process read the files. Meanwhile the
main thread wakes every five milliseconds, as an event loop does that has something to do: how late
it wakes, and how long a look-up takes then, is what a key may be delayed by. Every half second the
index is paused for as long, so that what else the machine does is in both figures. Memory is what
Python allocates for the index, in a run of its own without a thread, as counting takes time.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.provenance import about, warn_if_busy
from benchmarks.report import Figure, Goal, Progress, as_json, spread, table, tell_result
from midfill_server.context.index import WorkspaceIndex

__all__ = ["main", "write_repository"]

_TICK_S = 0.005
_TICKS_IN_TURN = 100
_FILES_OF_A_FOLDER = 20
_MEBIBYTE = 1024 * 1024

_NOUNS = (
    "order cart item price total user session token cache queue worker event handler message "
    "buffer stream parser lexer node edge graph matrix vector index table column record field "
    "value config option result error status request response client server socket channel "
    "window widget button layout style theme color image pixel sound track album artist"
)
_WORDS = _NOUNS.split()


@dataclass(slots=True, kw_only=True)
class _Ticks:
    """How late the main thread woke, and how long it looked something up, in milliseconds."""

    late_ms: list[float] = field(default_factory=list[float])
    look_up_ms: list[float] = field(default_factory=list[float])

    def take(self, look_up: Callable[[], object]) -> None:
        """Wake a hundred times."""
        due_s = time.perf_counter() + _TICK_S
        for _ in range(_TICKS_IN_TURN):
            time.sleep(max(due_s - time.perf_counter(), 0.0))
            woke_s = time.perf_counter()
            look_up()
            done_s = time.perf_counter()
            self.late_ms.append((woke_s - due_s) * 1000)
            self.look_up_ms.append((done_s - woke_s) * 1000)
            due_s = done_s + _TICK_S


def write_repository(root: Path, count: int, seed: int) -> int:
    """Write ``count`` source files of seeded text below ``root``; returns their bytes."""
    rng = random.Random(seed)
    written = 0
    for number in range(count):
        folder = root / f"part_{number // (_FILES_OF_A_FOLDER * 20)}"
        folder = folder / f"group_{number // _FILES_OF_A_FOLDER}"
        folder.mkdir(parents=True, exist_ok=True)
        ending, write = _LANGUAGES[number % len(_LANGUAGES)]
        # Most files are small, and some are not: half have less than 5 KB, one in a hundred 70.
        functions = max(1, min(round(rng.lognormvariate(2.6, 1.0)), 400))
        text = "".join(write(rng, number, each) for each in range(functions))
        data = text.encode()
        (folder / f"{rng.choice(_WORDS)}_{number}.{ending}").write_bytes(data)
        written += len(data)
    (root / ".gitignore").write_text("*.log\n/private/\ngenerated/\n!generated/keep.py\n")
    return written


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print the table and the line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.indexing", description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--root", type=Path, help="index this folder and generate nothing")
    parser.add_argument("--switch-ms", type=float, help="Python's switch interval; 5 by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the line of JSON here")
    args = parser.parse_args(argv)
    if args.switch_ms is not None:
        sys.setswitchinterval(args.switch_ms / 1000)
    machine = about(peer_version=None)
    warn_if_busy(machine)
    progress = Progress()
    with tempfile.TemporaryDirectory(prefix="midfill-indexing-") as folder:
        root: Path = args.root or Path(folder)
        if args.root is None:
            progress(f"writing {args.files} files")
            written = write_repository(root, args.files, args.seed)
            progress(f"wrote {written / 1e6:.0f} MB")
        figures = _measure(root, progress)
    progress.clear()
    title = f"Indexing {args.root or f'{args.files} generated files'}"
    print(table(title, figures))
    found = {"files": args.files, "switch_ms": sys.getswitchinterval() * 1000, **as_json(figures)}
    tell_result("indexing", machine, found, args.json)
    return 0


def _measure(root: Path, progress: Progress) -> list[Figure]:
    progress("indexing, and ticking")
    ticks, alone, index = _Ticks(), _Ticks(), WorkspaceIndex()
    wall_s, processor_s = 0.0, time.process_time()
    before_s = os.times().children_user + os.times().children_system
    index.start([str(root)])
    while not index.state.complete:
        began_s = time.perf_counter()
        ticks.take(lambda: index.definitions_named("load_order_0"))
        wall_s += time.perf_counter() - began_s
        index.pause()
        alone.take(lambda: index.definitions_named("load_order_0"))
        index.resume()
    processor_s = time.process_time() - processor_s
    state = index.state
    index.stop()
    # Known once it has ended; Windows does not tell.
    times = os.times()
    reader_s = times.children_user + times.children_system - before_s
    progress("walking again")
    again_s = time.perf_counter()
    index.open([str(root)])
    while index.step():
        pass
    again_s = time.perf_counter() - again_s
    progress("counting memory")
    kept_bytes, peak_bytes = _memory(root)
    return [
        Figure(key="wall", name="until all is read", unit="s", value=spread([wall_s])),
        Figure(key="processor", name="processor time", unit="s", value=spread([processor_s])),
        Figure(key="reader", name="of the process", unit="s", value=spread([reader_s])),
        Figure(key="files", name="files in the index", unit="", value=spread([state.files])),
        Figure(
            key="late",
            name="ticks come late by",
            unit="ms",
            value=spread(ticks.late_ms),
            goal=Goal(bound=5.0, of="p95"),
            note=f"median of the worst ten: {_worst(ticks.late_ms):.1f} ms",
        ),
        Figure(
            key="late_paused",
            name="while it is paused",
            unit="ms",
            value=spread(alone.late_ms),
            note=f"median of the worst ten: {_worst(alone.late_ms):.1f} ms",
        ),
        Figure(
            key="look_up",
            name="a look-up meanwhile",
            unit="ms",
            value=spread(ticks.look_up_ms),
            goal=Goal(bound=1.0, of="p95"),
        ),
        Figure(key="again", name="walking it again, unpaced", unit="s", value=spread([again_s])),
        Figure(
            key="estimated",
            name="memory, estimated",
            unit="MiB",
            value=spread([state.bytes / _MEBIBYTE]),
            goal=Goal(bound=64.0),
        ),
        Figure(
            key="kept", name="memory, counted", unit="MiB", value=spread([kept_bytes / _MEBIBYTE])
        ),
        Figure(
            key="peak", name="peak meanwhile", unit="MiB", value=spread([peak_bytes / _MEBIBYTE])
        ),
    ]


def _worst(values: Sequence[float]) -> float:
    return statistics.median(sorted(values)[-10:])


def _memory(root: Path) -> tuple[int, int]:
    """Return the bytes that Python has allocated for an index at the end, and at most."""
    tracemalloc.start()
    try:
        index = WorkspaceIndex()
        index.open([str(root)])
        while index.step():
            pass
        return tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()


def _name(rng: random.Random) -> str:
    return f"{rng.choice(_WORDS)}_{rng.choice(_WORDS)}"


def _python(rng: random.Random, number: int, each: int) -> str:
    a, b, c = (_name(rng) for _ in range(3))
    start = f"from ..group_{number % 7} import {a}\n\n\n" if each == 0 else ""
    return (
        f"{start}def load_{a}_{each}({b}: str, {c}: int = {each}) -> dict[str, int]:\n"
        f'    """Load {a} by its {b}."""\n'
        f"    {a} = {{}}\n    for {c} in range({c}):\n"
        f"        if {c} % {each + 2} == 0 and {b}.startswith('{b}'):\n"
        f"            {a}[{b}] = compute_{a}({b}, {c}) + {number}\n    return {a}\n\n\n"
    )


def _typescript(rng: random.Random, number: int, each: int) -> str:
    a, b, c = (_name(rng) for _ in range(3))
    start = f"import {{ {a} }} from '../group_{number % 7}/{a}';\n\n" if each == 0 else ""
    return (
        f"{start}export function load_{a}_{each}(\n"
        f"  {b}: string, {c}: number\n): Map<string, number> {{\n"
        f"  const {a} = new Map<string, number>();\n"
        f"  for (let i = 0; i < {c}; i++) {{\n    if (i % {each + 2} === 0) {{\n"
        f"      {a}.set({b}, compute_{a}({b}, i) + {number});\n    }}\n  }}\n  return {a};\n}}\n\n"
    )


def _go(rng: random.Random, number: int, each: int) -> str:
    a, b, c = (_name(rng) for _ in range(3))
    start = f"package group_{number % 7}\n\n" if each == 0 else ""
    return (
        f"{start}func Load_{a}_{each}({b} string, {c} int) map[string]int {{\n"
        f"\t{a} := map[string]int{{}}\n\tfor i := 0; i < {c}; i++ {{\n"
        f"\t\tif i%{each + 2} == 0 {{\n\t\t\t{a}[{b}] = compute({b}, i) + {number}\n"
        f"\t\t}}\n\t}}\n\treturn {a}\n}}\n\n"
    )


def _java(rng: random.Random, number: int, each: int) -> str:
    a, b, c = (_name(rng) for _ in range(3))
    start = f"package group_{number % 7};\n\nimport java.util.*;\n\n" if each == 0 else ""
    return (
        f"{start}class Load_{a}_{each} {{\n    int {a} = {each};\n\n"
        f"    Map<String, Integer> load(String {b}, int {c}) {{\n"
        f"        Map<String, Integer> found = new HashMap<>();\n"
        f"        for (int i = 0; i < {c}; i++) {{\n"
        f"            found.put({b}, compute({b}, i) + {number});\n        }}\n"
        f"        return found;\n    }}\n}}\n\n"
    )


_LANGUAGES: tuple[tuple[str, Callable[[random.Random, int, int], str]], ...] = (
    ("py", _python),
    ("ts", _typescript),
    ("go", _go),
    ("java", _java),
)

if __name__ == "__main__":
    sys.exit(main())
