"""``midfill stats``: how fast the user's own completions were, and what was made of them."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from midfill_engine.errors import MidfillError
from midfill_server.source import Source
from midfill_server.statistics import (
    Acceptance,
    Calibration,
    Figures,
    Percentiles,
    Reception,
    Record,
    Summary,
    Tokens,
    clear_records,
    read_feedback,
    read_records,
    summarise,
    summarise_feedback,
)

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["add_parser", "run"]

_DAY_S = 24 * 60 * 60

_TEACHING = """\
what the figures mean:
  shown              the answer had text and was still wanted. The others were overtaken by the
                     next keystroke, or the model had nothing to add.
  typed through      what you typed agreed with the text shown before, so the rest of it was
                     there at once.
  computed ahead     it was ready before you asked.
  joined             the model was already at work on it for an earlier keystroke.
  to first text      from the request until some text was there; to complete text: until all was.
  p50, p95, p99      half of the times, 95 % and 99 % of them were no longer than this.
  drafts             tokens that were guessed from your code and checked several at a time.
  suggestions        each counts once, however many keys it was typed along. They are those that
                     your editor said it showed. Of an editor that never says so, they are what it
                     was given and still wanted: "not confirmed".
  accepted           taken to its end; "in part": some words or lines of it. What you typed
                     yourself, as it stood there, is not accepted.
  on screen          half of them stood there no longer than this.
  how sure           the first line was right with this probability, as midfill saw it; beside it,
                     how many of those you took, whole or in part. You need not take all that is
                     right: what to look at is whether more is taken where midfill is surer.

examples:
  midfill stats                    all that is kept: 90 days, or 100,000 completions
  midfill stats --days 1           the last 24 hours
  midfill stats --model qwen2.5-coder-0.5b --json
  midfill stats --clear            delete what was recorded

Times, counts, probabilities, the language and the model are recorded: no code, no file names.
Nothing is ever sent anywhere, and nothing of it changes what is suggested. To record nothing, set
`statistics = false`. MIDFILL_STATE names another folder.
"""


def add_parser(
    # argparse has no public name for what add_subparsers returns.
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],  # pyright: ignore[reportPrivateUsage]
) -> None:
    """Declare the options."""
    parser = subparsers.add_parser(
        "stats",
        help="show how fast completions were, and how many were accepted",
        description="Show how fast your own completions were, how many of them were answered "
        "without waiting for the model, and how many you accepted. The figures are kept on this "
        "machine only.",
        epilog=_TEACHING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--days", type=_days, metavar="N", help="only the last N times 24 hours")
    parser.add_argument("--model", metavar="ID", help="only the completions of this model")
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    parser.add_argument("--clear", action="store_true", help="delete everything that was recorded")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask before deleting")


def run(args: argparse.Namespace, *, now_s: float | None = None) -> int:
    """Print or delete, and return the exit code; raises ``MidfillError``. Tests give the time."""
    from midfill_server.settings import STATE_VARIABLE, load_settings, statistics_path

    path = statistics_path()
    if path is None:
        raise MidfillError(f"{STATE_VARIABLE} is set to nothing, so nothing is recorded: unset it")
    if args.clear:
        if args.days is not None or args.model is not None or args.json:
            raise MidfillError("--clear deletes everything: leave out --days, --model and --json")
        return _clear(path, is_sure=args.yes)
    settings, _ = load_settings()
    now_s = time.time() if now_s is None else now_s
    since_s = None if args.days is None else now_s - args.days * _DAY_S
    records = read_records(path, since_s=since_s)
    feedback = read_feedback(path, since_s=since_s)
    if args.model is not None:
        records = _of_model(records, args.model)
        feedback = [each for each in feedback if each.model_id == args.model]
    summary, reception = summarise(records, now_s), summarise_feedback(feedback)
    if args.json:
        found = _as_json(summary, reception, path, is_on=settings.statistics)
        print(json.dumps(found, indent=2))
    elif records:
        _print(summary, reception, path)
    else:
        _print_how_to_begin(path, args.days)
    if not settings.statistics and not args.json:
        print("\nNothing new is recorded: the setting `statistics` is false.")
    return 0


def _days(text: str) -> int:
    days = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= days <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days, from 1")
    return days


def _of_model(records: list[Record], model_id: str) -> list[Record]:
    found = [record for record in records if record.model_id == model_id]
    if records and not found:
        others = ", ".join(sorted({record.model_id for record in records}))
        raise MidfillError(f"no completion of {model_id!r} is recorded; there are some of {others}")
    return found


def _clear(path: Path, *, is_sure: bool) -> int:
    if not is_sure:
        if not sys.stdin.isatty():
            raise MidfillError("not run from a terminal, so nothing can be asked: add --yes")
        answer = input(f"Delete all that was recorded in {path}? [y/N] ")
        if answer.strip().lower() not in ("y", "yes"):
            print("Nothing was deleted.")
            return 1
    from midfill_server.explaining import clear_explanations, explanations_beside

    count = clear_records(path)
    explanations = explanations_beside(path)
    if explanations is not None:
        clear_explanations(explanations)
    if count is None:
        print(f"The file was damaged, and was deleted: {path}")
    elif count:
        print(f"Deleted the figures of {_completions(count)}.")
    else:
        print("There was nothing to delete.")
    return 0


def _print_how_to_begin(path: Path, days: int | None) -> None:
    if days is not None and path.exists():
        print(f"Nothing was recorded in the last {days} days. Leave out --days to see all.")
        return
    print(
        "Nothing is recorded yet. Write some code in an editor that uses `midfill serve`, then\n"
        "come back: each completion adds a line of figures half a minute later at most.\n"
        f"They will be kept in {path}"
    )


def _print(summary: Summary, reception: Reception, path: Path) -> None:
    from rich.console import Console

    # Piped into another program, a row stays one line.
    width = None if sys.stdout.isatty() else 500
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    console.print(f"{_completions(summary.all.completions)}, {_period(summary)}\n")
    tables = [_shares(summary), _times(summary), _work(summary.tokens)]
    if reception.all.shown:
        tables.append(_acceptance(reception))
    if reception.calibration:
        tables.append(_calibration(reception.calibration))
    for table in tables:
        console.print(table)
        console.print()
    groups = {"model": summary.models, "language": summary.languages, "day": summary.days}
    for heading, members in groups.items():
        if members:
            console.print(_group_table(heading, members))
            console.print()
    console.print(f"Kept on this machine only: {path}", soft_wrap=True)


def _shares(summary: Summary) -> Table:
    every, of = summary.all, summary.all.completions
    counts = {
        "shown": every.shown,
        "without the model": every.without_model,
        "  typed through": every.by_source[Source.TYPED_THROUGH],
        "  computed ahead": every.by_source[Source.PREFETCHED],
        "joined a running answer": every.by_source[Source.JOINED],
        "computed when asked": every.by_source[Source.MODEL],
    }
    table = _table("answers", "", "")
    for name, count in counts.items():
        table.add_row(name, f"{count:,}", _share(count, of))
    return table


def _times(summary: Summary) -> Table:
    table = _table("times", "answers", "p50", "p95", "p99")
    rows = (
        ("to first text", summary.all.first),
        ("  waited for the model", summary.waited.first),
        ("to complete text", summary.all.complete),
        ("  waited for the model", summary.waited.complete),
    )
    for name, times in rows:
        cells = (_ms(times.p50_ms), _ms(times.p95_ms), _ms(times.p99_ms)) if times else ()
        table.add_row(name, f"{times.count if times else 0:,}", *cells)
    return table


def _work(tokens: Tokens) -> Table:
    table = _table("tokens per request to the model", "median")
    if tokens.prefilled_median is not None and tokens.generated_median is not None:
        table.add_row("prefilled", f"{tokens.prefilled_median:,g}")
        table.add_row("generated", f"{tokens.generated_median:,g}")
    table.add_row("reused of all prompts", _share(tokens.reused, tokens.reused + tokens.prefilled))
    table.add_row("drafts accepted", _share(tokens.accepted, tokens.drafted))
    return table


def _acceptance(reception: Reception) -> Table:
    headings = ("shown", "accepted", "in part", "characters accepted", "on screen")
    table = _table("suggestions", *headings)
    rows = [("all", reception.all)]
    if reception.invoked.shown:
        rows.append(("  asked for by hand", reception.invoked))
    rows += [(f"  in {name}", each) for name, each in reception.languages.items()]
    rows += [(f"  by {name}", each) for name, each in reception.models.items()]
    for name, each in rows:
        table.add_row(name, f"{each.shown:,}", *_taken(each))
    if unconfirmed := reception.all.shown - reception.all.confirmed:
        table.add_row("  not confirmed", f"{unconfirmed:,}")
    return table


def _taken(figures: Acceptance) -> tuple[str, ...]:
    median_ms = figures.shown_median_ms
    return (
        _share(figures.accepted, figures.shown),
        _share(figures.partly, figures.shown),
        f"{figures.accepted_characters:,}",
        "" if median_ms is None else f"{median_ms / 1000:.1f} s",
    )


def _calibration(ranges: tuple[Calibration, ...]) -> Table:
    table = _table("how sure", "shown", "on average", "taken")
    for each in ranges:
        table.add_row(
            f"{100 * each.low:.0f} to {100 * each.high:.0f} %",
            f"{each.shown:,}",
            f"{100 * each.promised:.0f} %",
            _share(each.accepted, each.shown),
        )
    return table


def _group_table(heading: str, members: Mapping[str, Figures]) -> Table:
    headings = ("answers", "shown", "no model", "first p50", "p95", "complete p50", "p95")
    table = _table(heading, *headings)
    for name, figures in members.items():
        table.add_row(
            name,
            f"{figures.completions:,}",
            _share(figures.shown, figures.completions),
            _share(figures.without_model, figures.completions),
            *_two_times(figures.first),
            *_two_times(figures.complete),
        )
    return table


def _two_times(times: Percentiles | None) -> tuple[str, str]:
    return (_ms(times.p50_ms), _ms(times.p95_ms)) if times else ("", "")


def _table(*headings: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for index, heading in enumerate(headings):
        # A name that is cut off says nothing: it folds instead.
        table.add_column(heading, overflow="fold", justify="right" if index else "left")
    return table


def _completions(count: int) -> str:
    return f"{count:,} completion" + ("" if count == 1 else "s")


def _period(summary: Summary) -> str:
    first, last = (
        datetime.fromtimestamp(second or 0).strftime("%Y-%m-%d")
        for second in (summary.first_s, summary.last_s)
    )
    return f"on {first}" if first == last else f"from {first} to {last}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "none"


def _ms(value_ms: float) -> str:
    return f"{value_ms:.1f} ms" if value_ms < 10 else f"{value_ms:,.0f} ms"


def _as_json(
    summary: Summary, reception: Reception, path: Path, *, is_on: bool
) -> dict[str, object]:
    figures = {**asdict(summary), "suggestions": asdict(reception)}
    return {"path": str(path), "recording": is_on, **figures}
