"""``midfill complete FILE:LINE:COL``: one completion, in the terminal."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from midfill_engine.errors import MidfillError
from midfill_server.commands import Subparsers
from midfill_server.commands.explanation import explanation, explanation_as_json

if TYPE_CHECKING:
    from midfill_engine.engine import Engine
    from midfill_engine.options import EngineOptions
    from midfill_engine.progress import ProgressSink
    from midfill_server.document import Snapshot
    from midfill_server.pipeline import Completion, Query
    from midfill_server.scheduler import EngineOpener
    from midfill_server.settings import Settings

__all__ = ["Location", "add_parser", "parse_location", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A place in a file as editors show it: ``line`` and ``column`` count from 1."""

    file: str
    line: int
    column: int


def add_parser(subparsers: Subparsers) -> None:
    """Declare the options."""
    parser = subparsers.add_parser(
        "complete",
        help="complete at FILE:LINE:COL and print the result",
        description="Complete the code at one place and print what would be inserted there. "
        "Other files are not looked at, as the language server does.",
    )
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument(
        "location",
        nargs="?",
        metavar="FILE:LINE:COL",
        help="line and column count from 1, the column in characters",
    )
    # For argparse "-:3:5" is an option of one letter with its value; so it is declared as one.
    place.add_argument(
        "-:", dest="standard_input", metavar="LINE:COL", help="the same in standard input: -:3:5"
    )
    parser.add_argument("--json", action="store_true", help="print text, model and timings as JSON")
    parser.add_argument(
        "--explain", action="store_true", help="tell what the model wrote, and what became of it"
    )
    parser.add_argument("--model", help="a model's id, a file or folder that holds one, or auto")
    parser.add_argument("--backend", help="onnx, torch, llama or optimum; or auto")
    parser.add_argument("--device", help="cpu, gpu or auto")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="longest completion, in tokens")
    parser.add_argument("--download", action="store_true", help="fetch the model if it is missing")


def run(args: argparse.Namespace, open_engine: EngineOpener | None = None) -> int:
    """Complete and print; ``open_engine`` stands in for the real one in tests."""
    from midfill_engine.cancel import CancelToken
    from midfill_engine.progress import silent
    from midfill_server.anchors import Anchors
    from midfill_server.commands.terminal import progress_sink
    from midfill_server.pipeline import complete
    from midfill_server.scenes import Scenes
    from midfill_server.settings import engine_options

    location = parse_location(args.location or f"-:{args.standard_input}")
    settings = _settings(args)
    snapshot = _read(location.file)
    offset = _offset(snapshot, location)
    query = _query(snapshot, offset, settings)
    _refuse(query, settings)
    opener = open_engine or _open_engine
    # One completion is worth waiting for the model that was chosen.
    options = replace(engine_options(settings), stand_in="never")
    with progress_sink(sys.stderr, transient=True) as progress:
        engine = opener(options, progress if sys.stderr.isatty() else silent)
    try:
        scenes = Scenes()
        query = scenes.seen(query)
        split = Anchors().split(query.uri, query.text, query.cursor, scenes.of(query))
        live = sys.stdout.isatty() and not (args.json or args.explain)
        on_text, finish = _typewriter() if live else (_ignore, print)
        completion = complete(query, split, engine, CancelToken(), on_text)
        if args.json:
            print(json.dumps(_as_json(query, completion, args.explain), ensure_ascii=False))
        else:
            finish(explanation(query, completion) if args.explain else completion.text)
    finally:
        engine.close()
    return 0


def parse_location(text: str) -> Location:
    """Split ``FILE:LINE:COL``, where FILE may hold colons itself. Raises ``MidfillError``."""
    match = re.fullmatch(r"(?s)(.+):([0-9]{1,9}):([0-9]{1,9})", text)
    if match is None:
        raise MidfillError(f"{text!r} is not FILE:LINE:COL, for example src/main.py:12:5")
    line, column = int(match[2]), int(match[3])
    if line < 1 or column < 1:
        raise MidfillError(f"{text!r}: lines and columns count from 1")
    return Location(file=match[1], line=line, column=column)


def _refuse(query: Query, settings: Settings) -> None:
    """Raise ``MidfillError`` where the server would never suggest anything either."""
    from midfill_server.judgement.places import refusal

    path = str(Path(query.uri).absolute()) if query.uri != "-" else ""
    reason = refusal(
        path=path,
        language_id=query.language_id,
        text=query.text,
        cursor=query.cursor,
        settings=settings.completion,
        roots=(str(Path.cwd()),),
        invoked=True,
    )
    if reason is not None:
        raise MidfillError(f"nothing is suggested there: {reason}")


def _settings(args: argparse.Namespace) -> Settings:
    from midfill_server.settings import load_settings, parse

    settings, problems = load_settings()
    given = {
        "model": args.model,
        "engine": {"backend": args.backend, "device": args.device},
        "completion": {"max_tokens": args.max_tokens},
    }
    settings, wrong = parse(given, settings)
    if wrong:
        raise MidfillError("; ".join(map(str, wrong)))
    for problem in problems:
        print(f"midfill: {problem}", file=sys.stderr)
    return replace(settings, download=True) if args.download else settings


def _read(file: str) -> Snapshot:
    from midfill_server.document import Snapshot

    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise MidfillError(f"cannot read {file}: {error.strerror or error}") from error
    # A byte order mark is no character of the first line; bytes that are not UTF-8 become one
    # replacement character each, since some answer is better than none.
    return Snapshot.of(data.decode("utf-8-sig", "replace"), uri=file)


def _query(snapshot: Snapshot, offset: int, settings: Settings) -> Query:
    """Return what is asked for: by hand, so whatever there is is shown."""
    from midfill_server.pipeline import Query
    from midfill_server.postprocess import Length
    from midfill_server.syntax import language_of

    language = language_of("", snapshot.uri)
    return Query(
        uri=snapshot.uri,
        text=snapshot.text,
        cursor=offset,
        language_id=language.id if language else "",
        length=Length(settings.completion.length),
        eagerness=settings.completion.eagerness,
        invoked=True,
        max_tokens=settings.completion.max_tokens,
        request_id="command line",
    )


def _offset(snapshot: Snapshot, location: Location) -> int:
    from midfill_server.document import PositionEncoding, offset_at

    count = snapshot.lines.count
    if location.line > count:
        noun = "line" if count == 1 else "lines"
        raise MidfillError(f"{location.file} has {count} {noun}, not {location.line}")
    return offset_at(
        snapshot.text,
        snapshot.lines,
        location.line - 1,
        location.column - 1,
        PositionEncoding.UTF32,
    )


def _open_engine(options: EngineOptions, progress: ProgressSink) -> Engine:
    from midfill_engine.loading import open_engine

    return open_engine(options, progress)


def _ignore(text: str) -> None:
    """Take no notice of text that is still growing."""


def _typewriter() -> tuple[Callable[[str], None], Callable[[str], None]]:
    """Return what prints the growing text, and what ends the line after the last of it."""
    shown = ""

    def grow(text: str) -> None:
        nonlocal shown
        print(text[len(shown) :], end="", flush=True)
        shown = text

    def finish(text: str) -> None:
        grow(text)
        print()

    return grow, finish


def _as_json(query: Query, completion: Completion, explain: bool) -> dict[str, object]:
    timings = completion.timings
    found: dict[str, object] = {
        "text": completion.text,
        "finish": completion.finish.value,
        "model": completion.model_id,
        "timings": timings and {**asdict(timings), "tokens_per_s": timings.tokens_per_s},
    }
    return {**found, "explanation": explanation_as_json(query, completion)} if explain else found
