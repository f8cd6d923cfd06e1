"""Finds a key in a long file: a function returns a constant, and the file ends asking for it.

As in the Code Llama paper (arXiv 2308.12950, "Long context evaluations"), with files of made-up
functions: the key stands at some place of the file, which is as long as the prompt may be. Told are
how many keys are found exactly, how fast prompts of each length are computed, and the memory that
this takes.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count, islice
from pathlib import Path
from random import Random

from benchmarks.provenance import about, warn_if_busy
from benchmarks.report import Figure, Progress, as_json, spread, table, tell_result
from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.options import EngineOptions
from midfill_engine.prompt import MAX_TYPED_TOKENS
from midfill_engine.types import CompletionRequest, EngineInfo

__all__ = ["Case", "Found", "context_tokens_for", "figures_of", "fitted", "main", "retrieve"]

_PLACES = (0.0, 0.2, 0.4, 0.6, 0.8)
_LENGTHS = (2048, 4096, 8192)
_ANSWER_TOKENS = 12
# What stands around a text in a prompt: its begin, and up to three markers.
_MARKER_TOKENS = 8
_SAMPLE_FUNCTIONS = 24

_VERBS = (
    "collect",
    "merge",
    "scale",
    "count",
    "filter",
    "sort",
    "trim",
    "round",
    "split",
    "rank",
    "fold",
    "shift",
    "pack",
    "align",
)
_KINDS = (
    "hourly",
    "open",
    "stale",
    "linked",
    "nested",
    "paid",
    "remote",
    "queued",
    "signed",
    "hidden",
    "daily",
    "local",
)
_NOUNS = (
    "orders",
    "tickets",
    "sensors",
    "routes",
    "invoices",
    "packets",
    "samples",
    "users",
    "parcels",
    "readings",
)
_FIELDS = ("price", "weight", "delay", "score", "level", "offset", "ratio", "age", "depth", "width")
_KEYS = ("amber", "basil", "cedar", "delta", "ember", "fjord", "grove", "heron", "ivory", "jasper")

_BODIES = (
    '''def {name}({nouns}: list[dict[str, float]], limit: int = {small}) -> float:
    """{Verb} the {field} of the first {nouns}."""
    total = 0.0
    for entry in {nouns}[:limit]:
        if entry["{field}"] > {small}:
            total += entry["{field}"] * {large}
    return total
''',
    '''def {name}({nouns}: dict[str, int], {field}: int) -> dict[str, int]:
    """Keep the {kind} {nouns} whose {field} is high enough."""
    kept = {{}}
    for name, value in sorted({nouns}.items()):
        if value % {small} == 0 or value >= {field}:
            kept[name] = value - {small}
    return kept
''',
    '''def {name}(path: str, {field}: float = {small}.5) -> list[str]:
    """{Verb} {kind} {nouns} from a file, one to a line."""
    with open(path, encoding="utf-8") as lines:
        parts = [line.rstrip().split(",") for line in lines]
    return [part[0] for part in parts if len(part) > {small} and float(part[1]) < {field}]
''',
    '''def {name}(first: list[int], second: list[int]) -> list[int]:
    """{Verb} two lists of {kind} {nouns} by their {field}."""
    {field} = {large}
    while first and second:
        {field} = max({field} - {small}, first.pop() + second.pop())
    return [{field}, *first, *second]
''',
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A file up to the cursor; what follows is ``key``, which stands at ``place`` (0 to 1).

    It has ``tokens`` tokens, and its prompt at most ``length``.
    """

    prefix: str
    key: str
    place: float
    length: int
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one case gave. ``grown_bytes``: the process's memory since it computed nothing long."""

    place: float
    key: str
    answer: str
    prompt_tokens: int
    prefill_tokens_per_s: float
    grown_bytes: int

    @property
    def exact(self) -> bool:
        """Whether the answer begins with the key, and with no other number."""
        number = re.match(r"\s*(\d+)", self.answer)
        return number is not None and number.group(1) == self.key


def fitted(length: int, place: float, seed: int, tokens_of: Callable[[str], int]) -> Case:
    """Make the longest file of at most ``length`` tokens, markers included; the same each time.

    ``tokens_of`` counts those of a text. Raises ``ValueError`` where not even a short one fits.
    """
    most = length - _MARKER_TOKENS
    functions = _SAMPLE_FUNCTIONS
    sample = tokens_of(_case(functions, length, place, seed).prefix)
    functions = functions * most // sample + 1
    while functions:
        case = _case(functions, length, place, seed)
        tokens = tokens_of(case.prefix)
        if tokens <= most:
            return replace(case, tokens=tokens)
        functions -= 1
    raise ValueError(f"no file fits into {length} tokens")


def retrieve(engine: Engine, case: Case, memory_bytes: Callable[[], int], base_bytes: int) -> Found:
    """Ask for the key; ``base_bytes`` is what ``memory_bytes`` said before all cases.

    Raises ``ValueError`` where the model was not shown the whole file.
    """
    text, timings = "", None
    for chunk in engine.stream(_request(case, case.length), CancelToken()):
        text += chunk.text
        timings = chunk.timings or timings
    if timings is None or timings.prompt_tokens < case.tokens:
        raise ValueError(f"of {case.tokens} tokens the engine's prompt has only a part: {timings}")
    prefill_s = (timings.ttft_ms or 0.0) / 1000
    return Found(
        place=case.place,
        key=case.key,
        answer=text,
        prompt_tokens=timings.prompt_tokens,
        prefill_tokens_per_s=timings.prefilled_tokens / prefill_s if prefill_s else 0.0,
        grown_bytes=memory_bytes() - base_bytes,
    )


def figures_of(length: int, found: Sequence[Found], kv_bytes: int) -> tuple[Figure, ...]:
    """Return the lines of one length; ``kv_bytes`` is what a position takes in the cache."""
    longest = max(one.prompt_tokens for one in found)
    at = f"{length} tokens"
    return (
        Figure(
            key="exact",
            name=f"keys found, {at}",
            unit="%",
            value=spread([100 * sum(one.exact for one in found) / len(found)]),
            note=f"{sum(one.exact for one in found)} of {len(found)}",
        ),
        Figure(
            key="prefill",
            name=f"prefill, {at}",
            unit="tokens/s",
            value=spread([one.prefill_tokens_per_s for one in found]),
        ),
        Figure(
            key="cache",
            name=f"cache, {at}, computed",
            unit="GB",
            value=spread([longest * kv_bytes / 1e9]),
            note=f"{kv_bytes} bytes for each of {longest} positions",
        ),
        Figure(
            key="memory",
            name=f"memory, {at}, measured",
            unit="GB",
            value=spread([max(one.grown_bytes for one in found) / 1e9]),
        ),
    )


def context_tokens_for(length: int) -> int:
    """Return the context that an engine needs for prompts of ``length`` tokens."""
    # A third of a context, and no more than this, is for what is typed on top of a prompt.
    return length + min(length // 2, MAX_TYPED_TOKENS) + _ANSWER_TOKENS + 2


def main(argv: Sequence[str] | None = None) -> int:
    """Measure one model."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_context", description=__doc__)
    parser.add_argument("--model", default="qwen2.5-coder-0.5b", metavar="ID")
    parser.add_argument("--length", type=int, action="append", metavar="TOKENS", help="repeatable")
    parser.add_argument("--place", type=float, action="append", metavar="0-1", help="repeatable")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the line of JSON here")
    args = parser.parse_args(argv)
    lengths = sorted(args.length or _LENGTHS)
    origin = about(peer_version=None)
    figures, kv_bytes = _measure(args.model, lengths, args.place or _PLACES, args.seed)
    told = {"model": args.model, "seed": args.seed, "kv_bytes": kv_bytes, **figures}
    tell_result("long-context", origin, told, args.json)
    warn_if_busy(origin)
    return 0


def _measure(
    model: str, lengths: Sequence[int], places: Sequence[float], seed: int
) -> tuple[dict[str, object], int]:
    from midfill_engine.loading import load_model
    from midfill_engine.local import LocalEngine
    from midfill_engine.progress import silent
    from midfill_engine.select import choose_model, footprint_of
    from midfill_engine.store import ModelStore

    # One sequence at a time: what the process grows by is then that one's cache.
    context_tokens = context_tokens_for(lengths[-1])
    options = EngineOptions(model=model, context_tokens=context_tokens, cache_mb=0)
    store, tell = ModelStore(), Progress()
    chosen = choose_model(options, store)
    kv_bytes = footprint_of(chosen).kv_bytes
    tell.label = chosen.spec.id
    tell("loading")
    figures: dict[str, object] = {}
    loaded = load_model(chosen, store, options, silent, CancelToken())
    info = EngineInfo(model_id=chosen.spec.id, backend=chosen.layout, device="this machine")
    engine = LocalEngine(loaded, info)

    def tokens_of(text: str) -> int:
        return len(loaded.tokenizer.encode(text))

    try:
        _warm_up(engine)
        base_bytes = _resident_bytes()
        for length in lengths:
            found: list[Found] = []
            for number, place in enumerate(places):
                tell(f"{length} tokens, key at {place}")
                # Another file each time: of a beginning that is known, nothing is computed.
                case = fitted(length, place, seed * 1000 + number, tokens_of)
                found.append(retrieve(engine, case, _resident_bytes, base_bytes))
            told = figures_of(length, found, kv_bytes)
            tell.clear()
            print(table(f"\n{chosen.spec.id}, {chosen.layout} weights", told), flush=True)
            answers = [{**asdict(one), "exact": one.exact} for one in found]
            figures[str(length)] = {**as_json(told), "answers": answers}
    finally:
        engine.close()
    return {"layout": chosen.layout, **figures}, kv_bytes


def _request(case: Case, prompt_tokens: int) -> CompletionRequest:
    return CompletionRequest(
        prefix=case.prefix,
        heal=False,
        max_tokens=_ANSWER_TOKENS,
        max_prompt_tokens=prompt_tokens,
    )


def _case(functions: int, length: int, place: float, seed: int) -> Case:
    """Write ``functions`` functions, and the one with the key where ``place`` of them are over."""
    random = Random(f"{seed}")
    key = str(random.randrange(10_000, 100_000))
    name = f"{random.choice(_KEYS)}_{random.choice(_KEYS)}_{random.randrange(10, 100)}"
    written = list(islice(_functions(random), functions))
    asked = f'def {name}() -> int:\n    """Return the code of this release."""\n    return {key}\n'
    written.insert(round(place * functions), asked)
    # The first line tells one file from another, so that no beginning is shared.
    head = f'"""Tools of release {seed}."""\n'
    test = f"def test_{name}() -> None:\n    assert {name}() == "
    return Case(prefix="\n\n".join([head, *written, test]), key=key, place=place, length=length)


def _functions(random: Random) -> Iterator[str]:
    """Yield functions of different names, without end."""
    for number in count(1):
        verb, kind, nouns = (random.choice(words) for words in (_VERBS, _KINDS, _NOUNS))
        yield random.choice(_BODIES).format(
            name=f"{verb}_{kind}_{nouns}_{number}",
            Verb=verb.capitalize(),
            kind=kind,
            nouns=nouns,
            field=random.choice(_FIELDS),
            small=random.randrange(2, 60),
            large=random.randrange(100, 1000),
        )


def _warm_up(engine: Engine) -> None:
    """Touch the weights, and buffers for prompts: what grows from here on is the cache."""
    case = _case(_SAMPLE_FUNCTIONS, 512, 0.0, 0)
    for _ in engine.stream(_request(case, 512), CancelToken()):
        pass


def _resident_bytes() -> int:
    import psutil

    return psutil.Process().memory_info().rss


if __name__ == "__main__":
    sys.exit(main())
