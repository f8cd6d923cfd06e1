"""Tells how many mistakes were fixed: a table by class for people, the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.fix_path import Outcome
from benchmarks.report import short, spread
from benchmarks.scores import percent

__all__ = ["Group", "Run", "as_json", "lines", "write_cases"]

_HEADINGS = (
    "cases",
    "verified, %",
    "of these restored, %",
    "unverified",
    "wrong labels",
    "offer p50, s",
    "p95, s",
    "tried p50",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One set in one language, or why it was not measured (``missing``).

    ``about`` is what it was made of, such as versions.
    """

    name: str
    outcomes: tuple[Outcome, ...] = ()
    about: Mapping[str, object] | None = None
    missing: str = ""

    @property
    def groups(self) -> list[Group]:
        """All outcomes together, and those of each class."""
        kinds = dict.fromkeys(outcome.kind for outcome in self.outcomes)
        return [
            Group(name="all", outcomes=self.outcomes),
            *(
                Group(name=kind, outcomes=tuple(one for one in self.outcomes if one.kind == kind))
                for kind in kinds
            ),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Outcomes that are counted together; at least one."""

    name: str
    outcomes: tuple[Outcome, ...]

    @property
    def verified(self) -> tuple[Outcome, ...]:
        """Those with a fix that is said to be verified."""
        return tuple(one for one in self.outcomes if one.verified_by is not None)

    @property
    def unverified(self) -> tuple[Outcome, ...]:
        """Those with another one."""
        return tuple(
            one for one in self.outcomes if one.verified_by is None and one.text is not None
        )

    def as_json(self) -> dict[str, object]:
        """Return the figures: shares in per cent with standard errors, times in seconds."""
        verified, count = self.verified, len(self.outcomes)
        found: dict[str, object] = {
            "cases": count,
            "verified_percent": percent(len(verified), count),
            "unverified_percent": percent(len(self.unverified), count),
            "wrong_labels": sum(one.contradiction is not None for one in verified),
            "new_by_other_checkers": sum(one.elsewhere is not None for one in verified),
        }
        if verified:
            found["restored_of_verified_percent"] = percent(
                sum(one.restored for one in verified), len(verified)
            )
            found["offer_s"] = _rounded([one.seconds for one in verified])
            found["tried"] = _rounded([float(one.tried) for one in verified])
        if self.unverified:
            found["restored_of_unverified_percent"] = percent(
                sum(one.restored for one in self.unverified), len(self.unverified)
            )
        in_vain = [one.seconds for one in self.outcomes if one.text is None]
        if in_vain:
            found["in_vain_s"] = _rounded(in_vain)
        return found

    def row(self) -> tuple[str, ...]:
        """Return the cells of the table."""
        verified = self.verified
        times = spread([one.seconds for one in verified]) if verified else None
        tried = spread([float(one.tried) for one in verified]) if verified else None
        return (
            str(len(self.outcomes)),
            _share(len(verified), len(self.outcomes)),
            _share(sum(one.restored for one in verified), len(verified)),
            str(len(self.unverified)),
            str(sum(one.contradiction is not None for one in verified)),
            short(times.p50) if times else "-",
            short(times.p95) if times else "-",
            short(tried.p50) if tried else "-",
        )


def lines(runs: Sequence[Run]) -> list[str]:
    """Return aligned lines; no line ends in blanks."""
    rows: list[tuple[str, ...]] = [("", *_HEADINGS)]
    notes: list[str] = []
    for run in runs:
        if run.missing:
            notes.append(f"  {run.name}: not measured: {run.missing}")
        for group in run.groups if run.outcomes else ():
            name = run.name if group.name == "all" else f"  {group.name}"
            rows.append((name, *group.row()))
        for one in run.outcomes:
            if one.contradiction is not None:
                notes.append(f"  WRONG LABEL {one.id}: {one.contradiction}")
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    shown = [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        ).rstrip()
        for row in rows
    ]
    return [*shown, *notes]


def as_json(runs: Sequence[Run]) -> dict[str, object]:
    """Return the figures of all runs by their names."""
    return {
        run.name: {"missing": run.missing}
        if run.missing
        else {**(run.about or {}), **{group.name: group.as_json() for group in run.groups}}
        for run in runs
        if run.missing or run.outcomes
    }


def write_cases(path: Path, runs: Sequence[Run]) -> None:
    """Write each outcome as a line of JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"set": run.name, **asdict(one)} for run in runs for one in run.outcomes]
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    path.write_text(text, encoding="utf-8", newline="\n")


def _share(count: int, of: int) -> str:
    if not of:
        return "-"
    found = percent(count, of)
    return f"{found['value']:.1f} ± {found['standard_error']:.1f}"


def _rounded(values: Sequence[float]) -> dict[str, float]:
    found = asdict(spread(values))
    return {
        name: value if name == "count" else float(f"{value:.4g}") for name, value in found.items()
    }
