"""Answers with drafts beside plain ones: how much sooner, and whether they differ.

python -m benchmarks.speculation [--model ID]... [--draft ID] [--rounds N] [--quick] [--json FILE]

With --draft the ways "draft" (by that model alone) and "both" (lookup, or the model where that
promises more) are measured in the same run. Its prompts are computed beforehand, as where it has
answered there as a stand-in; with --cold-draft it has to compute them itself, which counts.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

if not __package__:
    # Started by its path: then Python looks for modules in this folder, and not in the checkout.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.chats import chats
from benchmarks.edits import CASES, Case, request_at
from benchmarks.provenance import about
from benchmarks.report import Progress, as_json, table, tell_result
from benchmarks.sites import SITES
from benchmarks.speculation_report import (
    KINDS,
    PLAIN,
    Answer,
    Comparison,
    Difference,
    case_json,
    differing,
    expected_table,
    first_difference,
    quality_table,
    speed_figures,
)
from midfill_engine.cache.sequence import CachedSequence
from midfill_engine.cache.store import PrefixStore
from midfill_engine.cancel import CancelToken
from midfill_engine.decode.draft_model import ModelDrafter
from midfill_engine.decode.drafters import Drafter, NoDraft
from midfill_engine.decode.loop import prefill
from midfill_engine.decode.pace import StepCosts
from midfill_engine.drafting import draft_model, drafter_for
from midfill_engine.errors import MidfillError
from midfill_engine.loading import load_model
from midfill_engine.local import LoadedModel, LocalEngine
from midfill_engine.machine import probe_machine
from midfill_engine.options import EngineOptions
from midfill_engine.progress import silent
from midfill_engine.select import choose_model
from midfill_engine.store import ModelStore
from midfill_engine.types import EngineInfo, Request, Timings

__all__ = ["main"]

_MODELS = ("qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b")
_TOKENS, _QUICK_TOKENS = 64, 32
_CHAT_TOKENS = 160
_QUICK_CASES = 3


class _Watched:
    """Passes on what a drafter hears and says, and keeps the ids of the last generation."""

    def __init__(self, drafter: Drafter) -> None:
        self._drafter = drafter
        self.prompt: Sequence[int] = ()
        self.tokens: Sequence[int] = ()

    def begin(self, prompt: Sequence[int], hints: Sequence[Sequence[int]]) -> None:
        self.prompt = self.tokens = prompt
        self._drafter.begin(prompt, hints)

    def propose(self, tokens: Sequence[int], limit: int, cancel: CancelToken) -> Sequence[int]:
        # The loop goes on to fill this list, so at the end it has the whole answer.
        self.tokens = tokens
        return self._drafter.propose(tokens, limit, cancel)

    def observe(self, drafted: int, accepted: int, step_ms: float) -> None:
        self._drafter.observe(drafted, accepted, step_ms)


class _Places:
    """What the draft model has computed: the prompt of each answer, or nothing of it."""

    def __init__(self, model: LoadedModel, *, cold: bool) -> None:
        self._model = model
        self._cold = cold
        self._store = PrefixStore(model.backend, model.context_tokens)

    def prepare(self, prompt: Sequence[int]) -> None:
        """Compute ``prompt``, as the model does where it answers as a stand-in."""
        if self._cold:
            self._store = PrefixStore(self._model.backend, self._model.context_tokens)
        else:
            prefill(self._store.take(prompt), prompt, CancelToken(), self._model.prefill_chunk)

    def shared_with(self, tokens: Sequence[int]) -> int:
        return self._store.shared_with(tokens)

    def take(self, tokens: Sequence[int], typed_tokens: int = 0) -> CachedSequence:
        return self._store.take(tokens, typed_tokens)


class _Side:
    """An engine with one way to draft."""

    def __init__(self, model: LoadedModel, drafter: Drafter, places: _Places | None = None) -> None:
        info = EngineInfo(model_id="", backend="", device="cpu")
        self.watched = _Watched(drafter)
        self._places = places
        self._engine = LocalEngine(model, info, drafter=self.watched)

    def answer(self, request: Request) -> Answer:
        """Compute the prompt, and then time the answer."""
        for _ in self._engine.stream(replace(request, max_tokens=0), CancelToken()):
            pass
        if self._places is not None:
            self._places.prepare(self.watched.prompt)
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
    machine = about(peer_version=None)
    found: dict[str, object] = {}
    draft: LoadedModel | None = None
    try:
        if args.draft:
            draft = _load(args.draft, args.threads)[0]
        for model_id in args.model or _MODELS:
            report.label = model_id
            report("loading")
            model, form = _load(model_id, args.threads)
            try:
                found[model_id] = {"form": form, **_measured(model, draft, args, report)}
            finally:
                model.backend.close()
    except MidfillError as error:
        report.clear()
        print(f"error: {error}", file=sys.stderr)
        return 1
    about_run = {**machine, "threads": args.threads, "rounds": args.rounds, "quick": args.quick}
    if args.draft:
        about_run |= {"draft": args.draft, "cold_draft": args.cold_draft}
    tell_result("speculation", about_run, found, args.json)
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speculation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", action="append", metavar="ID", help="may be repeated; both Qwen")
    parser.add_argument("--draft", metavar="ID", help="a model that drafts as well; none")
    parser.add_argument("--cold-draft", action="store_true", help="it computes its prompts itself")
    parser.add_argument("--expected", action="store_true", help="only compute, from cost of steps")
    parser.add_argument("--rounds", type=int, default=3, help="answers of each kind per case (3)")
    parser.add_argument("--kind", action="append", choices=tuple(KINDS), help="of cases; all")
    parser.add_argument("--quick", action="store_true", help="few cases, short answers, one round")
    parser.add_argument(
        "--threads", type=int, default=probe_machine().cores, help="of the engine (all cores)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here too")
    args = parser.parse_args(argv)
    if args.rounds < 1 or args.threads < 1:
        parser.error("rounds and threads count from 1")
    if args.expected and not args.draft:
        parser.error("--expected needs --draft")
    args.rounds = 1 if args.quick else args.rounds
    return args


def _load(model_id: str, threads: int) -> tuple[LoadedModel, str]:
    store = ModelStore()
    options = EngineOptions(model=model_id, download=False, threads=threads)
    chosen = choose_model(options, store)
    return load_model(chosen, store, options, silent, CancelToken()), str(chosen.layout)


def _measured(
    model: LoadedModel,
    draft: LoadedModel | None,
    args: argparse.Namespace,
    report: Progress,
) -> dict[str, object]:
    """Measure one model by all ways, and print it; return what goes into the result."""
    found: dict[str, object] = {}
    if draft is not None and model.speed is not None and draft.speed is not None:
        target_ms = StepCosts(model.speed.steps_ms).ms
        draft_ms = draft.speed.steps_ms[0][1]
        print(expected_table(target_ms, draft_ms), flush=True)
        found["target_step_ms"] = [round(ms, 2) for ms in target_ms]
        found["draft_step_ms"] = round(draft_ms, 2)
    if args.expected:
        return found
    sides = _sides(model, draft, args)
    compared = list(_compare(model, sides, args, report))
    report.clear()
    for way in list(sides)[1:]:
        figures = speed_figures(compared, way)
        print(table(f"\n{report.label}, {args.threads} threads, drafts by {way}", figures))
        print(quality_table(compared, way), flush=True)
        found[way] = {**as_json(figures), "differing": differing(compared, way)}
    found["cases"] = [case_json(case) for case in compared]
    return found


def _sides(
    model: LoadedModel, draft: LoadedModel | None, args: argparse.Namespace
) -> dict[str, _Side]:
    """Return an engine per way; each learns for itself, and has its own draft sequences."""
    sides = {PLAIN: _Side(model, NoDraft()), "lookup": _Side(model, drafter_for(model))}
    if draft is None:
        return sides
    for way in ("draft", "both"):
        places = _Places(draft, cold=args.cold_draft)
        guessing = draft_model(model, draft, places)
        if guessing is None or model.speed is None:
            continue
        if way == "both":
            drafter = drafter_for(model, guessing)
        else:
            drafter = ModelDrafter(StepCosts(model.speed.steps_ms), guessing, model.stop_ids)
        sides[way] = _Side(model, drafter, places)
    return sides


def _compare(
    model: LoadedModel,
    sides: Mapping[str, _Side],
    args: argparse.Namespace,
    report: Callable[[str], None],
) -> Iterator[Comparison]:
    plain = sides[PLAIN]
    for name, kind, request in _requests(plain, args.kind or list(KINDS), args.quick):
        report(name)
        case = Comparison(name=name, kind=kind)
        for index in range(args.rounds):
            # The others first in every second round: a drift then favours none.
            turns = list(sides.items())
            for way, side in turns if index % 2 == 0 else turns[::-1]:
                case.answers.setdefault(way, []).append(side.answer(request))
        truth = case.answers[PLAIN][0]
        for way, answers in case.answers.items():
            difference = _difference(model, plain.watched.prompt, truth, answers[0])
            if difference is not None:
                case.differences[way] = difference
        yield case


def _requests(
    plain: _Side, kinds: Sequence[str], quick: bool
) -> Iterator[tuple[str, str, Request]]:
    """Yield name, kind and request of each case; stale answers are what the model itself says."""
    taken: Counter[str] = Counter()
    for name, kind, make in _cases(plain, _QUICK_TOKENS if quick else _TOKENS):
        taken[kind] += 1
        if kind in kinds and not (quick and taken[kind] > _QUICK_CASES):
            yield name, kind, make()


def _cases(plain: _Side, max_tokens: int) -> Iterator[tuple[str, str, Callable[[], Request]]]:
    def after_stale(case: Case) -> Request:
        earlier = case.stale_request(max_tokens)
        return case.request(max_tokens, plain.answer(earlier).text if earlier else None)

    for case in CASES:
        yield case.name, case.kind, partial(after_stale, case)
    for site in SITES:
        place = site.open()
        request = request_at(place.before, place.behind, max_tokens)
        yield f"{site.file}: {site.kind}", "ordinary", partial(replace, request)
    for name, kind, chat in chats(min(_CHAT_TOKENS, max_tokens * 4)):
        yield name, kind, partial(replace, chat)


def _difference(
    model: LoadedModel, prompt: Sequence[int], plain: Answer, drafted: Answer
) -> Difference | None:
    """Where the answers part, ask plain decoding again what it thinks of either token."""
    at = first_difference(plain.tokens, drafted.tokens)
    if at is None:
        return None
    sequence = CachedSequence(model.backend, len(prompt) + at + 1)
    row = prefill(sequence, prompt, CancelToken(), model.prefill_chunk)
    for token in plain.tokens[:at]:
        row = sequence.forward([token], 1)
    if row is None:
        return None
    gap = float(row[0][plain.tokens[at]] - row[0][drafted.tokens[at]])
    return Difference(after=at, gap=gap)


if __name__ == "__main__":
    sys.exit(main())
