"""What the keystrokes of a run say: times, tokens, shares, and how they compare."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.replay import Keystroke, PacedKeystroke, Played, Shown
from benchmarks.report import short

__all__ = [
    "Comparison",
    "Row",
    "Summary",
    "Target",
    "keystroke_rows",
    "paced_rows",
    "rows_as_json",
    "rows_table",
    "summary",
    "wasted_tokens",
]


_TIME_STATISTICS = ("mean", "p50", "p95", "p99")
_TOKEN_STATISTICS = ("mean", "p50")
_ALONG = "typing along the shown text"
_QUANTITIES: tuple[tuple[str, str, str, Callable[[Shown], float]], ...] = (
    ("complete", "key to complete text", "ms", lambda shown: shown.complete_ms),
    ("first", "key to first text", "ms", lambda shown: shown.first_ms),
    ("prompt", "tokens of the prompt", "", lambda shown: shown.prompt_tokens),
    ("prefilled", "tokens prefilled", "", lambda shown: shown.prefilled_tokens),
    ("generated", "tokens generated", "", lambda shown: shown.generated_tokens),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Many measurements of one thing; percentiles are nearest ranks, but for an even median."""

    mean: float
    p50: float
    p95: float
    p99: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A bound for our figure, or for the peer's divided by ours (``of_ratio``)."""

    bound: float
    at_least: bool = False
    of_ratio: bool = False

    def __str__(self) -> str:
        """Return the bound as the table shows it."""
        return f"{'≥' if self.at_least else '≤'} {short(self.bound)}{' x' * self.of_ratio}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure of both; ``None`` where there is none. ``key`` names it in the JSON."""

    key: str
    name: str
    unit: str
    ours: float | None
    peer: float | None = None
    target: Target | None = None

    @property
    def ratio(self) -> float | None:
        """The peer's figure divided by ours."""
        return self.peer / self.ours if self.peer is not None and self.ours else None

    @property
    def verdict(self) -> str:
        """``met``, ``missed``, ``not measured``, or nothing where there is no target."""
        if self.target is None:
            return ""
        value = self.ratio if self.target.of_ratio else self.ours
        if value is None:
            return "not measured"
        bound = self.target.bound
        return "met" if (value >= bound if self.target.at_least else value <= bound) else "missed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One part of the benchmark, as each side saw it; ``peer`` is empty without a peer."""

    part: str
    ours: Sequence[Played]
    peer: Sequence[Played]


def summary(values: Iterable[float]) -> Summary | None:
    """Summarise measurements; ``None`` if there are none."""
    ordered = sorted(values)
    if not ordered:
        return None
    count = len(ordered)
    middle = count // 2
    p50 = ordered[middle] if count % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return Summary(
        mean=sum(ordered) / count,
        p50=p50,
        p95=ordered[math.ceil(0.95 * count) - 1],
        p99=ordered[math.ceil(0.99 * count) - 1],
        count=count,
    )


def wasted_tokens(keystrokes: Sequence[Keystroke], count: Callable[[str], int]) -> int:
    """Return how many of the generated tokens came to nothing.

    A token is of use if its text was on the screen and was then typed, or was still on the screen
    at the end of the script. So what was cut away before it was shown is wasted, and what was
    generated again although it stood there already; ``count`` gives the tokens of a text.
    """
    useful = 0
    text, typed = "", 0
    for key in keystrokes:
        if key.expected is not None:
            typed += len(key.typed)
        if key.shown.generated_tokens == 0 and key.along and not key.flickered:
            text = text[:typed] + key.shown.text
            continue
        useful += count(text[:typed])
        text, typed = key.shown.text, 0
    useful += count(text)
    return max(0, sum(key.shown.generated_tokens for key in keystrokes) - useful)


def keystroke_rows(
    found: Comparison, count: Callable[[str], int], targets: Mapping[str, Target]
) -> list[Row]:
    """Return the figures of a part; ``targets`` are by the key of the row.

    ``count`` gives the tokens of a text. In the part about resting cursors only the first key at a
    place counts.
    """
    rested = found.part == "rest"
    ours, peer = _pairs(found, rested_only=rested)
    rows: list[Row] = []

    def add(key: str, name: str, unit: str, of: Callable[[list[Keystroke]], float | None]) -> None:
        key = f"{found.part}_{key}"
        theirs = of(peer) if peer else None
        target = targets.get(key)
        rows.append(Row(key=key, name=name, unit=unit, ours=of(ours), peer=theirs, target=target))

    for key, name, unit, values in _QUANTITIES:
        for which, group in (("all", "all keys"), ("model", "keys that need the model")):
            if rested and which == "model":
                # A first key at a place needs it, or else was computed ahead: both count.
                continue
            for statistic in _TIME_STATISTICS if unit else _TOKEN_STATISTICS:
                add(
                    f"{key}_{which}_{statistic}",
                    f"{name}, {group}, {statistic}",
                    unit,
                    lambda keys, values=values, which=which, statistic=statistic: _statistic(
                        (values(k.shown) for k in keys if which == "all" or k.needed_model),
                        statistic,
                    ),
                )
    if not rested:
        add("free", "answered without model work", "%", lambda keys: _percent(keys, _is_free))
        add("free_along", f"  {_ALONG}", "%", lambda keys: _percent(_along(keys), _is_free))
        add("flicker", f"shown text changed, {_ALONG}", "%", _flicker_percent)
        rows += _rows_of_work(found, count)
    return rows


def paced_rows(ours: Sequence[PacedKeystroke], peer: Sequence[PacedKeystroke]) -> list[Row]:
    """Return the figures of typing at a fixed pace: of those that the next key did not outrun."""

    def answered(keys: Sequence[PacedKeystroke]) -> list[float]:
        return [key.complete_ms for key in keys if key.complete_ms is not None]

    rows = [
        Row(
            key="paced_answered",
            name="answered before the next key",
            unit="%",
            ours=len(answered(ours)) / len(ours) * 100,
            peer=len(answered(peer)) / len(peer) * 100 if peer else None,
        )
    ]
    for statistic in ("mean", "p50", "p95"):
        rows.append(
            Row(
                key=f"paced_complete_{statistic}",
                name=f"key to complete text, those, {statistic}",
                unit="ms",
                ours=_statistic(answered(ours), statistic),
                peer=_statistic(answered(peer), statistic),
            )
        )
    return rows


def rows_table(sections: Mapping[str, Sequence[Row]]) -> str:
    """Return the figures as aligned lines below the titles of their sections.

    No line ends in spaces."""
    cells = [("", "midfill", "llama.vim", "ratio", "target", "")]
    for title, rows in sections.items():
        cells += [("",) * 6, (title, *[""] * 5), *map(_cells, rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(6)]
    lines: list[str] = []
    for line in cells:
        middle = [cell.rjust(width) for cell, width in zip(line[1:5], widths[1:5], strict=True)]
        lines.append("  ".join([line[0].ljust(widths[0]), *middle, line[5]]).rstrip())
    return "\n".join(lines)


def rows_as_json(rows: Sequence[Row]) -> dict[str, object]:
    """Return the rows by key; what a row does not have is left out."""
    found: dict[str, object] = {}
    for row in rows:
        fields: dict[str, object] = {"name": row.name, "unit": row.unit}
        for name, value in (("ours", row.ours), ("peer", row.peer), ("ratio", row.ratio)):
            if value is not None:
                fields[name] = float(f"{value:.5g}")
        if row.target is not None:
            fields |= {"target": str(row.target), "verdict": row.verdict}
        found[row.key] = fields
    return found


def _pairs(found: Comparison, *, rested_only: bool) -> tuple[list[Keystroke], list[Keystroke]]:
    """Return the keys after which both sides asked, as each side saw them."""
    ours: list[Keystroke] = []
    peer: list[Keystroke] = []
    others = found.peer or found.ours
    for our_script, other_script in zip(found.ours, others, strict=True):
        for our_key, other_key in zip(our_script.keys, other_script.keys, strict=True):
            if our_key is None or other_key is None or (rested_only and not our_key.rested):
                continue
            ours.append(our_key)
            peer.append(other_key)
    return ours, peer if found.peer else []


def _rows_of_work(found: Comparison, count: Callable[[str], int]) -> list[Row]:
    """Return what is known of whole scripts only: waste and processor time."""

    def share(side: Sequence[Played]) -> float | None:
        generated = sum(key.shown.generated_tokens for each in side for key in each.keystrokes)
        wasted = sum(wasted_tokens(each.keystrokes, count) for each in side)
        return wasted / generated * 100 if generated else None

    def per_key(side: Sequence[Played]) -> float | None:
        keys = sum(len(each.keystrokes) for each in side)
        return sum(each.cpu_s for each in side) / keys if keys else None

    return [
        Row(
            key=f"{found.part}_wasted",
            name="of the generated tokens, wasted",
            unit="%",
            ours=share(found.ours),
            peer=share(found.peer),
        ),
        Row(
            key=f"{found.part}_cpu_s",
            name="processor time per key",
            unit="s",
            ours=per_key(found.ours),
            peer=per_key(found.peer),
        ),
    ]


def _statistic(values: Iterable[float], statistic: str) -> float | None:
    found = summary(values)
    return None if found is None else float(getattr(found, statistic))


def _along(keys: Iterable[Keystroke]) -> list[Keystroke]:
    return [key for key in keys if key.along]


def _is_free(key: Keystroke) -> bool:
    return not key.needed_model


def _percent(keys: Sequence[Keystroke], of: Callable[[Keystroke], bool]) -> float | None:
    return sum(map(of, keys)) / len(keys) * 100 if keys else None


def _flicker_percent(keys: Sequence[Keystroke]) -> float | None:
    return _percent(_along(keys), lambda key: key.flickered)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        f"  {row.name}",
        _with_unit(row.ours, row.unit),
        _with_unit(row.peer, row.unit),
        f"{short(row.ratio)} x" if row.ratio is not None else "",
        str(row.target or ""),
        row.verdict.upper() if row.verdict == "missed" else row.verdict,
    )


def _with_unit(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{short(value)} {unit}".rstrip()
