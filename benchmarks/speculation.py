"""Answers with drafts by lookup beside plain ones: how much sooner, and whether they differ.

python -m benchmarks.speculation [--model ID]... [--rounds N] [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

if not __package__:
    # Started by its path: then Python looks for modules in this folder, and not in the checkout.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.edits import CASES, request_at
from benchmarks.provenance import about
from benchmarks.report import (
    Figure,
    Goal,
    Progress,
    as_json,
    json_line,
    spread,
    table,
    write_json,
)
from benchmarks.sites import SITES
from midfill_engine.cache.sequence import CachedSequence
from midfill_engine.cancel import CancelToken
from midfill_engine.decode.drafters import Drafter, NoDraft
from midfill_engine.decode.loop import prefill
from midfill_engine.errors import MidfillError
from midfill_engine.loading import choose_model, drafter_for, load_model
from midfill_engine.local import LoadedModel, LocalEngine
from midfill_engine.machine import probe_machine
from midfill_engine.options import EngineOptions
from midfill_engine.progress import silent
from midfill_engine.registry import MODELS
from midfill_engine.store import ModelStore
from midfill_engine.types import CompletionRequest, EngineInfo, Timings

__all__ = [
    "Answer",
    "Comparison",
    "Difference",
    "differing",
    "first_difference",
    "main",
    "speed_figures",
]

_TOKENS, _QUICK_TOKENS = 64, 32
_QUICK_CASES = 3
_GOALS = {"edit": Goal(bound=1.8, at_least=True)}
_FLOOR = Goal(bound=0.97, at_least=True, of="least")
_NAMES = {"edit": "like an edit", "ordinary": "ordinary", "adversarial": "nothing to copy"}


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
    """A case with one entry per round in each list; ``difference`` is that of the first round."""

    name: str
    kind: str
    plain: list[Answer] = field(default_factory=list[Answer])
    lookup: list[Answer] = field(default_factory=list[Answer])
    difference: Difference | None = None

    @property
    def ratio(self) -> float:
        """Tokens per second with drafts, divided by those without: the median of the rounds."""
        pairs = zip(self.lookup, self.plain, strict=True)
        return spread([_tokens_per_s(ours) / _tokens_per_s(plain) for ours, plain in pairs]).p50


class _Watched:
    """Passes on what a drafter hears and says, and keeps the ids of the last generation."""

    def __init__(self, drafter: Drafter) -> None:
        self._drafter = drafter
        self.prompt: Sequence[int] = ()
        self.tokens: Sequence[int] = ()

    def begin(self, prompt: Sequence[int], hints: Sequence[Sequence[int]]) -> None:
        self.prompt = self.tokens = prompt
        self._drafter.begin(prompt, hints)

    def propose(self, tokens: Sequence[int], limit: int) -> Sequence[int]:
        # The loop goes on to fill this list, so at the end it has the whole answer.
        self.tokens = tokens
        return self._drafter.propose(tokens, limit)

    def observe(self, drafted: int, accepted: int) -> None:
        self._drafter.observe(drafted, accepted)


class _Side:
    """An engine with one way to draft."""

    def __init__(self, model: LoadedModel, drafter: Drafter) -> None:
        info = EngineInfo(model_id="", backend="", device="cpu")
        self.watched = _Watched(drafter)
        self._engine = LocalEngine(model, info, drafter=self.watched)

    def answer(self, request: CompletionRequest) -> Answer:
        """Compute the prompt, and then time the answer."""
        for _ in self._engine.stream(replace(request, max_tokens=0), CancelToken()):
            pass
        text, timings = "", Timings()
        began_s = time.perf_counter()
        for chunk in self._engine.stream(request, CancelToken()):
            text += chunk.text
            timings = chunk.timings or timings
        seconds = time.perf_counter() - began_s
        tokens = tuple(self.watched.tokens[len(self.watched.prompt) :])
        return Answer(tokens=tokens, text=text, seconds=seconds, timings=timings)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and tell; 0 whether the targets are met or not, 1 if it could not be measured."""
    args = _arguments(argv)
    report = Progress()
    store = ModelStore()
    machine = about(peer_version=None)
    found: dict[str, object] = {}
    try:
        for model_id in args.model or [spec.id for spec in MODELS]:
            report.label = model_id
            options = EngineOptions(model=model_id, download=False, threads=args.threads)
            chosen = choose_model(options, store)
            report("loading")
            model = load_model(chosen, store, options, silent, CancelToken())
            try:
                compared = list(_compare(model, args, report))
            finally:
                model.backend.close()
            report.clear()
            figures = speed_figures(compared)
            title = f"\n{chosen.spec.id}, {chosen.layout} weights, {args.threads} threads"
            print(table(title, figures), flush=True)
            print(_cases_table(compared), flush=True)
            found[chosen.spec.id] = {
                "layout": chosen.layout,
                **as_json(figures),
                "differing": differing(compared),
                "cases": [_case_json(case) for case in compared],
            }
    except MidfillError as error:
        report.clear()
        print(f"error: {error}", file=sys.stderr)
        return 1
    about_run = {**machine, "threads": args.threads, "rounds": args.rounds, "quick": args.quick}
    line = json_line("speculation", about_run, found)
    print(f"\n{line}")
    if args.json:
        write_json(args.json, line)
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speculation", description=__doc__)
    parser.add_argument("--model", action="append", metavar="ID", help="may be repeated; all")
    parser.add_argument("--rounds", type=int, default=3, help="answers of each kind per case (3)")
    parser.add_argument("--kind", action="append", choices=tuple(_NAMES), help="of cases; all")
    parser.add_argument("--quick", action="store_true", help="few cases, short answers, one round")
    parser.add_argument(
        "--threads", type=int, default=probe_machine().cores, help="of the engine (all cores)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here too")
    args = parser.parse_args(argv)
    if args.rounds < 1 or args.threads < 1:
        parser.error("rounds and threads count from 1")
    args.rounds = 1 if args.quick else args.rounds
    return args


def _compare(
    model: LoadedModel, args: argparse.Namespace, report: Callable[[str], None]
) -> Iterator[Comparison]:
    plain, lookup = _Side(model, NoDraft()), _Side(model, drafter_for(model))
    max_tokens = _QUICK_TOKENS if args.quick else _TOKENS
    for name, kind, request in _requests(plain, max_tokens, args.kind or list(_NAMES), args.quick):
        report(name)
        case = Comparison(name=name, kind=kind)
        for index in range(args.rounds):
            turns = [(plain, case.plain), (lookup, case.lookup)]
            # The other one first in every second round: a drift then favours neither.
            for side, answers in turns if index % 2 == 0 else turns[::-1]:
                answers.append(side.answer(request))
        case.difference = _difference(model, plain.watched.prompt, case.plain[0], case.lookup[0])
        yield case


def _requests(
    plain: _Side, max_tokens: int, kinds: Sequence[str], quick: bool
) -> Iterator[tuple[str, str, CompletionRequest]]:
    """Yield name, kind and request of each case; stale answers are what the model itself says."""
    taken: Counter[str] = Counter()
    for case in CASES:
        taken[case.kind] += 1
        if case.kind not in kinds or (quick and taken[case.kind] > _QUICK_CASES):
            continue
        earlier = case.stale_request(max_tokens)
        stale = plain.answer(earlier).text if earlier else None
        yield case.name, case.kind, case.request(max_tokens, stale)
    sites = SITES[: _QUICK_CASES if quick else None] if "ordinary" in kinds else ()
    for site in sites:
        place = site.open()
        request = request_at(place.before, place.behind, max_tokens)
        yield f"{site.file}: {site.kind}", "ordinary", request


def first_difference(left: Sequence[int], right: Sequence[int]) -> int | None:
    """Return how many ids agree before two answers part; ``None`` where one begins the other."""
    pairs = zip(left, right, strict=False)
    return next((at for at, (one, other) in enumerate(pairs) if one != other), None)


def _difference(
    model: LoadedModel, prompt: Sequence[int], plain: Answer, lookup: Answer
) -> Difference | None:
    """Where the answers part, ask plain decoding again what it thinks of either token."""
    at = first_difference(plain.tokens, lookup.tokens)
    if at is None:
        return None
    sequence = CachedSequence(model.backend, len(prompt) + at + 1)
    row = prefill(sequence, prompt, CancelToken(), model.prefill_chunk)
    for token in plain.tokens[:at]:
        row = sequence.forward([token], 1)
    if row is None:
        return None
    gap = float(row[0][plain.tokens[at]] - row[0][lookup.tokens[at]])
    return Difference(after=at, gap=gap)


def speed_figures(compared: Sequence[Comparison]) -> list[Figure]:
    """Return how many times as fast answers are with drafts, by kind of case, and the worst."""
    figures: list[Figure] = []
    for kind, name in _NAMES.items():
        cases = [case for case in compared if case.kind == kind]
        if not cases:
            continue
        figures.append(
            Figure(
                key=kind,
                name=f"{name}, {len(cases)} cases",
                unit="tok/s",
                value=spread([case.ratio for case in cases]),
                ours=spread([_tokens_per_s(one) for case in cases for one in case.lookup]),
                peer=spread([_tokens_per_s(one) for case in cases for one in case.plain]),
                goal=_GOALS.get(kind),
            )
        )
    ratios = spread([case.ratio for case in compared])
    note = "the peer is plain decoding by the same engine"
    worst = Figure(key="worst", name="all", unit="x", value=ratios, goal=_FLOOR, note=note)
    return [*figures, worst]


def differing(compared: Sequence[Comparison]) -> dict[str, object]:
    """Return how many answers there were, and those that differ from plain ones."""
    found = {case.name: case.difference for case in compared if case.difference is not None}
    return {
        "answers": len(compared),
        "differing": len(found),
        "largest_gap": max((one.gap for one in found.values()), default=None),
        "where": {name: asdict(one) for name, one in found.items()},
    }


def _cases_table(compared: Sequence[Comparison]) -> str:
    lines = ["  x plain  accepted/drafted/written"]
    for case in compared:
        timings = case.lookup[-1].timings
        counts = f"{timings.accepted_tokens}/{timings.drafted_tokens}/{timings.generated_tokens}"
        parts = "" if case.difference is None else f"  differs: {case.difference}"
        lines.append(f"  {case.ratio:7.2f}  {counts:>10}  {case.kind}: {case.name}{parts}")
    return "\n".join(lines)


def _case_json(case: Comparison) -> dict[str, object]:
    timings = case.lookup[-1].timings
    return {
        "name": case.name,
        "kind": case.kind,
        "ratio": round(case.ratio, 3),
        "generated_tokens": timings.generated_tokens,
        "drafted_tokens": timings.drafted_tokens,
        "accepted_tokens": timings.accepted_tokens,
    }


def _tokens_per_s(answer: Answer) -> float:
    return answer.timings.generated_tokens / answer.seconds


if __name__ == "__main__":
    sys.exit(main())
