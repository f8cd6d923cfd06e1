"""What the speculation benchmark found: by kind of text, by case, and what was to be expected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from benchmarks.report import Figure, Goal, spread
from midfill_engine.decode.pace import expected_speedup
from midfill_engine.types import Timings

__all__ = [
    "KINDS",
    "PLAIN",
    "Answer",
    "Comparison",
    "Difference",
    "case_json",
    "differing",
    "expected_table",
    "first_difference",
    "quality_table",
    "speed_figures",
]

_GOALS = {
    "edit": Goal(bound=1.8, at_least=True),
    "ordinary": Goal(bound=1.35, at_least=True),
}
_FLOOR = Goal(bound=0.97, at_least=True, of="least")
KINDS = {
    "edit": "like an edit",
    "ordinary": "ordinary code",
    "adversarial": "nothing to copy",
    "explain": "explain",
    "fix": "fix",
}
PLAIN = "plain"
"""The way without drafts; the first of each comparison."""
_ACCEPTANCES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer: its ids, and the seconds it took from a prompt that was computed already."""

    tokens: tuple[int, ...]
    text: str
    seconds: float
    timings: Timings


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where two greedy answers part: after how many tokens, and how much less plain decoding
    gives to what was written with drafts (logits)."""

    after: int
    gap: float


@dataclass(kw_only=True)
class Comparison:
    """A case: by each way to draft, one answer per round; where the first ones part from plain."""

    name: str
    kind: str
    answers: dict[str, list[Answer]] = field(default_factory=dict[str, list[Answer]])
    differences: dict[str, Difference] = field(default_factory=dict[str, Difference])

    def ratio(self, way: str) -> float:
        """Tokens per second with drafts, divided by those without: the median of the rounds."""
        pairs = zip(self.answers[way], self.answers[PLAIN], strict=True)
        return spread([_tokens_per_s(ours) / _tokens_per_s(plain) for ours, plain in pairs]).p50


def first_difference(left: Sequence[int], right: Sequence[int]) -> int | None:
    """Return how many ids agree before two answers part; ``None`` where one begins the other."""
    pairs = zip(left, right, strict=False)
    return next((at for at, (one, other) in enumerate(pairs) if one != other), None)


def speed_figures(compared: Sequence[Comparison], way: str) -> list[Figure]:
    """Return how many times as fast answers are with drafts, by kind of case, and the worst."""
    figures: list[Figure] = []
    for kind, name in KINDS.items():
        cases = [case for case in compared if case.kind == kind]
        if not cases:
            continue
        figures.append(
            Figure(
                key=kind,
                name=f"{name}, {len(cases)} cases",
                unit="tok/s",
                value=spread([case.ratio(way) for case in cases]),
                ours=spread([_tokens_per_s(one) for case in cases for one in case.answers[way]]),
                peer=spread([_tokens_per_s(one) for case in cases for one in case.answers[PLAIN]]),
                goal=_GOALS.get(kind),
            )
        )
    ratios = spread([case.ratio(way) for case in compared])
    note = "the peer is plain decoding by the same engine"
    worst = Figure(key="worst", name="all", unit="x", value=ratios, goal=_FLOOR, note=note)
    return [*figures, worst]


def expected_table(target_step_ms: Sequence[float], draft_step_ms: float) -> str:
    """Return what drafts of a model would gain, by how often each token stands, and their length.

    ``target_step_ms[i]`` is what a step costs that checks ``i`` ids.
    """
    lengths = [length for length in (1, 2, 3, 4, 6, 8, 12) if length < len(target_step_ms)]
    lines = [
        f"  expected speed-up; a plain step {target_step_ms[0]:.1f} ms, "
        f"one of the draft model {draft_step_ms:.1f} ms",
        "  stands  " + "".join(f"{f'k={length}':>7}" for length in lengths) + "   best",
    ]
    for acceptance in _ACCEPTANCES:
        gains = [
            expected_speedup(acceptance, length, target_step_ms, draft_step_ms)
            for length in lengths
        ]
        cells = "".join(f"{gain:7.2f}" for gain in gains)
        lines.append(f"  {acceptance:6.0%}  {cells}{max(gains):7.2f}")
    return "\n".join(lines)


def quality_table(compared: Sequence[Comparison], way: str) -> str:
    """Return a line for each kind of text and for each case: what was guessed, and what stood."""
    lines = ["  x plain  stood  a step  accepted/drafted/written"]
    for kind, name in KINDS.items():
        cases = [case for case in compared if case.kind == kind]
        if cases:
            timings = [case.answers[way][-1].timings for case in cases]
            ratio = spread([case.ratio(way) for case in cases]).p50
            lines.append(f"  {ratio:7.2f}  {_quality(timings)}  {name}")
    for case in compared:
        parts = f"  differs: {case.differences[way]}" if way in case.differences else ""
        quality = _quality([case.answers[way][-1].timings])
        lines.append(f"  {case.ratio(way):7.2f}  {quality}  {case.kind}: {case.name}{parts}")
    return "\n".join(lines)


def _quality(timings: Sequence[Timings]) -> str:
    accepted = sum(one.accepted_tokens for one in timings)
    drafted = sum(one.drafted_tokens for one in timings)
    written = sum(one.generated_tokens for one in timings)
    stood = f"{accepted / drafted:5.0%}" if drafted else "    -"
    # Each step gives what stood of its draft and one token more.
    a_step = written / max(written - accepted, 1)
    return f"{stood}  {a_step:6.2f}  {f'{accepted}/{drafted}/{written}':>12}"


def differing(compared: Sequence[Comparison], way: str) -> dict[str, object]:
    """Return how many answers there were, and those that differ from plain ones."""
    found = {case.name: case.differences[way] for case in compared if way in case.differences}
    return {
        "answers": len(compared),
        "differing": len(found),
        "largest_gap": max((one.gap for one in found.values()), default=None),
        "where": {name: asdict(one) for name, one in found.items()},
    }


def case_json(case: Comparison) -> dict[str, object]:
    """Return what was guessed in one case, and what that gained, by each way."""
    found: dict[str, object] = {"name": case.name, "kind": case.kind}
    for way in list(case.answers)[1:]:
        timings = case.answers[way][-1].timings
        found[way] = {
            "ratio": round(case.ratio(way), 3),
            "generated_tokens": timings.generated_tokens,
            "drafted_tokens": timings.drafted_tokens,
            "accepted_tokens": timings.accepted_tokens,
        }
    return found


def _tokens_per_s(answer: Answer) -> float:
    return answer.timings.generated_tokens / answer.seconds
