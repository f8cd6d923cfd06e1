"""Explanations: how soon a hover is answered, and what a stream of them costs who types.

python -m benchmarks.explaining [--model ID]... [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

if not __package__:
    # Started by its path: then Python looks for modules in this folder, and not in the checkout.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.explaining_places import (
    PACKAGE,
    Place,
    copied_project,
    functions_in,
    names_in,
)
from benchmarks.explaining_session import (
    Hovered,
    Hovers,
    Streamed,
    Turn,
    hovers,
    open_files,
    stream,
    turn,
)
from benchmarks.midfill_typist import MidfillTypist, open_midfill
from benchmarks.problems import DataError
from benchmarks.provenance import about, warn_if_busy
from benchmarks.replay import Keystroke, play
from benchmarks.report import (
    Figure,
    Goal,
    Progress,
    as_json,
    short,
    spread,
    table,
    tell_result,
)
from benchmarks.server_session import ServerFailedError
from benchmarks.typing_scripts import code_sources, line_scripts
from midfill_engine.errors import MidfillError
from midfill_engine.machine import probe_machine
from midfill_engine.registry import EMBEDDED_MODELS

__all__ = ["HOVER", "SLOWED", "Pair", "hover_figures", "main", "stream_figures", "typing_figures"]

HOVER = Goal(bound=150, of="p99")
"""Milliseconds to the answer of a hover, whatever the model does."""
SLOWED = Goal(bound=1.3)
"""A completion's p95 while an explanation streams ÷ without."""

_PARTS = ("hovers", "typing", "streams")
_NAMES_PER_FILE = 10
_READ_FILES = 20
_INDEXING_S = 60.0
_WARM_UP_SEED = 1000
_LENGTHS = ("short", "medium")


@dataclass(slots=True, kw_only=True)
class Pair:
    """The same scripts typed twice; the same places in both lists are the same script."""

    without: list[Turn] = field(default_factory=list[Turn])
    beside: list[Turn] = field(default_factory=list[Turn])


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and tell; 0 whether the targets are met or not, 1 if it could not be measured."""
    args = _arguments(argv)
    report = Progress()
    found: dict[str, object] = {}
    try:
        machine = about(peer_version=None)
        warn_if_busy(machine)
        for model_id in args.model or [spec.id for spec in EMBEDDED_MODELS]:
            report.label = model_id
            figures = _measure(model_id, args, report)
            report.clear()
            print(table(f"\n{model_id}, {args.threads} threads", figures), flush=True)
            found[model_id] = as_json(figures)
    except (DataError, MidfillError, ServerFailedError) as error:
        report.clear()
        print(f"error: {error}", file=sys.stderr)
        return 1
    conditions: dict[str, object] = {
        "threads": args.threads,
        "seed": args.seed,
        "pause_ms": args.pause_ms,
        "project": f"{PACKAGE} {metadata.version(PACKAGE)}, samples",
    }
    tell_result("explaining", {**machine, **conditions}, found, args.json)
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explaining", description=__doc__)
    parser.add_argument("--model", action="append", metavar="ID", help="may be repeated; all")
    parser.add_argument("--quick", action="store_true", help="few places: does it run at all?")
    parser.add_argument("--part", action="append", choices=_PARTS, help="may be repeated; all")
    parser.add_argument("--hovers", type=int, metavar="N", help="names pointed at (320)")
    parser.add_argument("--again", type=int, metavar="N", help="of these, come back to (10)")
    parser.add_argument("--lines", type=int, metavar="N", help="lines that are typed, twice (16)")
    parser.add_argument("--streams", type=int, metavar="N", help="explanations per length (6)")
    parser.add_argument(
        "--pause-ms", type=int, default=100, help="before each key and between hovers (100)"
    )
    parser.add_argument("--seed", type=int, default=1, help="chooses the places (1)")
    parser.add_argument(
        "--threads", type=int, default=probe_machine().cores, help="of the engine (all cores)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here too")
    args = parser.parse_args(argv)
    defaults = {"hovers": (320, 40), "again": (10, 2), "lines": (16, 2), "streams": (6, 2)}
    for name, (usual, quick) in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, quick if args.quick else usual)
        if getattr(args, name) < 1:
            parser.error(f"--{name} counts from 1")
    if args.threads < 1 or args.pause_ms < 0:
        parser.error("threads count from 1, and no pause is shorter than none")
    args.part = args.part or list(_PARTS)
    return args


def _measure(
    model_id: str, args: argparse.Namespace, report: Callable[[str], None]
) -> list[Figure]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())).resolve()
        project = folder / "project"
        files = copied_project(project, args.seed)
        engine = {"threads": args.threads, "stand_in": "never"}

        def server(name: str) -> MidfillTypist:
            report(f"starting {name}")
            log = folder / f"{name}.log"
            folders = [project.as_uri()]
            typist = stack.enter_context(open_midfill(model_id, engine, log, folders=folders))
            _warm_up(typist)
            return typist

        first = server("the server")
        figures: list[Figure] = []
        # What is explained is in files that are not pointed at.
        read, pointed = files[:_READ_FILES], files[_READ_FILES:]
        open_files(first.client, read)
        functions = functions_in(read, args.seed)
        streamed = 2 * len(_LENGTHS) * args.streams
        if "streams" in args.part:
            figures += stream_figures(_streams(first, functions[:streamed], args.streams, report))
        rest = iter(functions[streamed:])
        if "typing" in args.part:
            second = server("a second server")
            open_files(second.client, read)
            pair = _typing((first, second), args, rest, report)
            figures = typing_figures(pair) + figures
        if "hovers" in args.part:
            count = -(-args.hovers // _NAMES_PER_FILE)
            names = [(one, names_in(one, _NAMES_PER_FILE, args.seed)) for one in pointed[:count]]
            pause_s = args.pause_ms / 1000
            answers = hovers(
                first.client, names, rest, rest_s=pause_s, again=args.again, report=report
            )
            figures = hover_figures(answers) + figures
        return figures


def _warm_up(typist: MidfillTypist) -> None:
    """Let the server load the model and read the project, at a place that is not measured."""
    (script,) = line_scripts(code_sources(_WARM_UP_SEED), 1, _WARM_UP_SEED)
    play(script, [typist])
    typist.processor.settle(limit_s=_INDEXING_S)


def _streams(
    typist: MidfillTypist,
    places: Sequence[Place],
    count: int,
    report: Callable[[str], None],
) -> dict[str, list[Streamed]]:
    found: dict[str, list[Streamed]] = {length: [] for length in _LENGTHS}
    for index, place in enumerate(places[: count * len(_LENGTHS)]):
        length = _LENGTHS[index % len(_LENGTHS)]
        report(f"explanations: {index + 1} of {count * len(_LENGTHS)}")
        found[length].append(stream(typist.client, place, length))
    return found


def _typing(
    typists: tuple[MidfillTypist, MidfillTypist],
    args: argparse.Namespace,
    places: Iterator[Place],
    report: Callable[[str], None],
) -> Pair:
    """Type each script in both servers; which of them explains meanwhile, and when, changes."""
    found = Pair()
    scripts = line_scripts(code_sources(args.seed), args.lines, args.seed)
    pause_s = args.pause_ms / 1000
    for number, script in enumerate(scripts):
        report(f"lines: {number + 1} of {len(scripts)}")
        quiet, busy = typists if number % 2 == 0 else typists[::-1]
        # Four scripts bring each combination of server and order once.
        for typist in (quiet, busy) if number // 2 % 2 == 0 else (busy, quiet):
            asked = places if typist is busy else None
            side = found.beside if typist is busy else found.without
            side.append(turn(typist, script, pause_s, asked))
            typist.processor.settle()
    return found


def hover_figures(found: Hovers) -> list[Figure]:
    """Return how soon hovers were answered, and how much they said."""
    every = [*found.alone, *found.beside]
    figures = [
        _times("hover", "hover answered", every, goal=HOVER),
        _times("hover_alone", "  each begins an explanation", found.alone),
        _times("hover_beside", "  and others stream meanwhile", found.beside),
        _times("hover_again", "  where the explanation is there", found.again),
        _share("hover_any", "hovers that say something", [one.signature for one in every]),
        _share("hover_documentation", "  with documentation", [one.documentation for one in every]),
        _share(
            "hover_explained", "explained when come back to", [x.explained for x in found.again]
        ),
    ]
    if found.waited_s:
        figures.append(
            Figure(
                key="hover_wait",
                name="first hover to the one with all",
                unit="s",
                value=spread(found.waited_s),
            )
        )
    return figures


def typing_figures(found: Pair) -> list[Figure]:
    """Return what keys cost with and without a stream beside, and whether it was there."""
    pairs = [
        (without, beside)
        for quiet, busy in zip(found.without, found.beside, strict=True)
        for without, beside in zip(quiet.keys, busy.keys, strict=True)
    ]
    firsts = {id(turn.keys[0]) for turn in found.without if turn.keys}
    later = [pair for pair in pairs if id(pair[0]) not in firsts]
    groups = {"all": ("all keys", pairs), "later": ("but the first of a place", later)}
    figures: list[Figure] = []
    for key, (name, group) in groups.items():
        figures += _slowed(key, name, [x for x, _ in group], [y for _, y in group])
        without = [x for x, _ in group if x.needed_model]
        beside = [y for _, y in group if y.needed_model]
        figures += _slowed(f"{key}_model", f"{name}, those that need the model", without, beside)
    keys = [key for one in found.beside for key in one.keys]
    same = [x.shown.text == y.shown.text for x, y in pairs]
    watched = sum(one.watched for one in found.beside)
    grew = sum(one.grew for one in found.beside)
    computed = [
        sum(key.shown.prefilled_tokens for one in side for key in one.keys) / len(keys)
        for side in (found.beside, found.without)
    ]
    return [
        *figures,
        Figure(
            key="tokens_prefilled",
            name="tokens prefilled per key",
            unit="",
            value=spread([computed[0] / computed[1]]) if computed[1] else None,
            ours=spread([computed[0]]),
            peer=spread([computed[1]]),
        ),
        _share("same_text", "keys that show the same", same),
        Figure(
            key="watched",
            name="keys pressed while one streams",
            unit="%",
            value=spread([watched / len(keys) * 100]),
            note=f"{len(keys)} keys; the explanations grew {grew} times meanwhile",
        ),
    ]


def stream_figures(found: dict[str, list[Streamed]]) -> list[Figure]:
    """Return how long explanations take that somebody waits for."""
    figures: list[Figure] = []
    for length, streams in found.items():
        chars = spread([float(one.chars) for one in streams])
        for key, name, values in (
            ("first", "to its first text", [one.first_s for one in streams]),
            ("whole", "to the whole of it", [one.whole_s for one in streams]),
        ):
            figures.append(
                Figure(
                    key=f"{length}_{key}",
                    name=f"{length} explanation, {name}",
                    unit="s",
                    value=spread(values),
                    note=f"{short(chars.p50)} characters" if key == "whole" else "",
                )
            )
    return figures


def _slowed(
    key: str, name: str, without: Sequence[Keystroke], beside: Sequence[Keystroke]
) -> list[Figure]:
    """Return the ratios for a group of keys: ``ours`` is beside a stream, ``peer`` without."""
    if not without or not beside:
        return []
    ours = spread([one.shown.complete_ms for one in beside])
    peer = spread([one.shown.complete_ms for one in without])
    return [
        Figure(
            key=f"{key}_{statistic}",
            name=f"{name}, {statistic}",
            unit="ms",
            value=spread([getattr(ours, statistic) / getattr(peer, statistic)]),
            ours=spread([getattr(ours, statistic)]),
            peer=spread([getattr(peer, statistic)]),
            goal=SLOWED if statistic == "p95" else None,
            note=f"{ours.count} and {peer.count} keys" if statistic == "p95" else "",
        )
        for statistic in ("p50", "p95")
    ]


def _times(key: str, name: str, found: Sequence[Hovered], goal: Goal | None = None) -> Figure:
    value = spread([one.ms for one in found]) if found else None
    note = f"{value.count} hovers, p99 {short(value.p99)} ms" if value else "none was tried"
    return Figure(key=key, name=name, unit="ms", value=value, goal=goal, note=note)


def _share(key: str, name: str, are: Sequence[bool]) -> Figure:
    value = spread([sum(are) / len(are) * 100]) if are else None
    return Figure(key=key, name=name, unit="%", value=value, note=f"of {len(are)}")


if __name__ == "__main__":
    sys.exit(main())
