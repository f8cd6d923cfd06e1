"""How a benchmark tells what it found: a table for people, then one line of JSON for machines."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

__all__ = [
    "Figure",
    "Goal",
    "Progress",
    "Spread",
    "as_json",
    "json_line",
    "short",
    "spread",
    "table",
    "tell_result",
    "write_json",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Several measurements of one thing; ``p95`` and ``p99`` are nearest ranks: were measured."""

    p50: float
    p95: float
    p99: float
    least: float
    most: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A bound, and the statistic of the figure (a field of ``Spread``) that it is for."""

    bound: float
    at_least: bool = False
    of: str = "p50"

    def is_met(self, figure: Spread) -> bool:
        """Whether the statistic keeps the bound."""
        value = float(getattr(figure, self.of))
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        """Return the bound as the table shows it."""
        of = "" if self.of == "p50" else f" {self.of}"
        return f"{'≥' if self.at_least else '≤'} {short(self.bound)}{of}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table; ``key`` names it in the JSON.

    ``value`` is what counts; where it is a ratio, ``ours`` and ``peer`` are what it was made of,
    in ``unit``. ``goal=None``: a figure that is only told. ``value=None``: it could not be
    measured, and ``note`` says why.
    """

    key: str
    name: str
    unit: str
    value: Spread | None
    ours: Spread | None = None
    peer: Spread | None = None
    goal: Goal | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """``met``, ``missed``, ``not measured``, or nothing where there is no goal."""
        if self.goal is None:
            return ""
        if self.value is None:
            return "not measured"
        return "met" if self.goal.is_met(self.value) else "missed"


def spread(values: Sequence[float]) -> Spread:
    """Summarise at least one measurement. Raises ``ValueError`` for none."""
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    middle = len(ordered) // 2
    p50 = ordered[middle]
    if len(ordered) % 2 == 0:
        p50 = (ordered[middle - 1] + p50) / 2
    return Spread(
        p50=p50,
        p95=ordered[math.ceil(0.95 * len(ordered)) - 1],
        p99=ordered[math.ceil(0.99 * len(ordered)) - 1],
        least=ordered[0],
        most=ordered[-1],
        count=len(ordered),
    )


def table(title: str, figures: Sequence[Figure]) -> str:
    """Return the figures as aligned lines below a title; no line ends in spaces."""
    rows = [("", "value", "min-max", "p95", "ours", "peer", "target", "")]
    rows += [_row(figure) for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [title]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:7], widths[1:7], strict=True)]
        lines.append("  ".join([*cells, row[7]]).rstrip())
    lines += [f"  {figure.name}: {figure.note}" for figure in figures if figure.note]
    return "\n".join(lines)


def json_line(name: str, about: Mapping[str, object], figures: Mapping[str, object]) -> str:
    """Return one line of JSON: which benchmark, where it ran and on what, and what it found."""
    return json.dumps({"benchmark": name, **about, "figures": figures}, ensure_ascii=False)


def write_json(path: Path, line: str) -> None:
    """Write the line, spread out: committed results are read as differences of text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(json.loads(line), ensure_ascii=False, indent=1)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def tell_result(
    name: str, about: Mapping[str, object], figures: Mapping[str, object], path: Path | None
) -> None:
    """Print the result as one line of JSON, below the tables; write it to ``path`` as well."""
    line = json_line(name, about, figures)
    print(f"\n{line}")
    if path is not None:
        write_json(path, line)


def as_json(figures: Sequence[Figure]) -> dict[str, object]:
    """Return figures by key, each with its verdict; what a figure does not have is left out."""
    found: dict[str, object] = {}
    for figure in figures:
        fields: dict[str, object] = {**asdict(figure), "verdict": figure.verdict}
        del fields["key"]
        found[figure.key] = {
            name: _rounded(value) for name, value in fields.items() if value not in (None, "")
        }
    return found


class Progress:
    """Tells on standard error what is measured just now; one line that changes in a terminal.

    ``label`` stands before each text.
    """

    def __init__(self) -> None:
        self._start_s = time.monotonic()
        self._live = sys.stderr.isatty()
        self.label = ""

    def __call__(self, text: str) -> None:
        """Tell."""
        what = f"{self.label}: {text}" if self.label else text
        stamp = f"[{time.monotonic() - self._start_s:4.0f} s] {what}"
        line = f"\r\x1b[K{stamp}" if self._live else f"{stamp}\n"
        print(line, end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Make room for the table."""
        if self._live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _rounded(value: object) -> object:
    """Drop the digits that no clock has."""
    if isinstance(value, Mapping):
        items = cast("Mapping[str, object]", value).items()
        return {name: _rounded(item) for name, item in items}
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _row(figure: Figure) -> tuple[str, ...]:
    is_ratio = figure.peer is not None
    unit = "x" if is_ratio else figure.unit
    return (
        figure.name,
        f"{short(figure.value.p50)} {unit}" if figure.value else "-",
        f"{short(figure.value.least)}-{short(figure.value.most)}" if figure.value else "-",
        short(figure.value.p95) if figure.value else "-",
        f"{short(figure.ours.p50)} {figure.unit}" if figure.ours else "",
        f"{short(figure.peer.p50)} {figure.unit}" if figure.peer else "",
        str(figure.goal or ""),
        figure.verdict.upper() if figure.verdict == "missed" else figure.verdict,
    )


def short(value: float) -> str:
    """Three significant figures, never an exponent."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
