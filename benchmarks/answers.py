"""Answers of a model to problems, kept in a file of lines: what is there is not asked again."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.kept import KeptRows, key_of
from benchmarks.problems import Problem, ProblemSet
from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.errors import ModelError
from midfill_engine.local import LoadedModel, LocalEngine
from midfill_engine.options import EngineOptions
from midfill_engine.prompt import FimOrder, resolve
from midfill_engine.types import CompletionRequest, EngineInfo, FinishReason

__all__ = [
    "Answer",
    "AnswerFile",
    "Asker",
    "ask",
    "engine_options",
    "file_name",
    "open_asker",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model wrote, as it is. ``key`` names model, settings and problem.

    ``tokens`` were generated in ``seconds``, the prompt's time included.
    """

    key: str
    problem: str
    text: str
    finish: FinishReason
    tokens: int
    seconds: float


class AnswerFile:
    """Answers by key; each is on disk before the next one is asked for."""

    def __init__(self, path: Path) -> None:
        self._rows = KeptRows(path)

    def __len__(self) -> int:
        """How many answers there are."""
        return len(self._rows)

    def get(self, key: str) -> Answer | None:
        """Return the answer of that key, if it was given."""
        row = self._rows.get(key)
        try:
            return None if row is None else _answer(row)
        except (ValueError, KeyError):
            # Not an answer: it will be asked for again.
            return None

    def add(self, answer: Answer) -> None:
        """Keep an answer."""
        self._rows.add(asdict(answer))


class Asker:
    """One engine asked in one way; ``settings`` name it, as far as its answers depend on them.

    ``order`` is that of the prompt, ``psm`` or ``spm``, ``""`` where there is no gap to fill.
    ``heal``: the last tokens of a prefix may be spelled anew; the papers do not do that.
    """

    def __init__(
        self, engine: Engine, settings: tuple[str, ...], *, order: str = "", heal: bool = False
    ) -> None:
        self.order = order
        self._engine = engine
        self._heal = heal
        self._settings = (*settings, order, heal)

    def key(self, problem: Problem, which: ProblemSet) -> str:
        """Name the answer: it is another one if anything that it depends on changes."""
        return key_of(
            *self._settings, which.max_tokens, problem.prefix, problem.suffix, problem.ends
        )

    def answer(self, problem: Problem, which: ProblemSet) -> Answer:
        """Ask: greedy, with no limit but the set's."""
        request = CompletionRequest(
            prefix=problem.prefix,
            suffix=problem.suffix,
            heal=self._heal,
            max_tokens=which.max_tokens,
        )
        began_s = time.perf_counter()
        text, finish, tokens = _read(self._engine, request, problem)
        return Answer(
            key=self.key(problem, which),
            problem=problem.id,
            text=text,
            finish=finish,
            tokens=tokens,
            seconds=round(time.perf_counter() - began_s, 4),
        )


def engine_options(args: argparse.Namespace, prompt_tokens: int | None) -> EngineOptions:
    """Return how a model is opened that is asked once at each place, and drafts nothing."""
    return EngineOptions(
        model=args.model,
        backend=args.backend,
        device=args.device,
        weights=args.weights,
        threads=args.threads,
        draft="never",
        context_tokens=args.context_tokens,
        prompt_tokens=prompt_tokens,
        # No prompt comes back to.
        cache_mb=0,
        download=args.download,
    )


def file_name(model_id: str) -> str:
    """Return what a model's file of answers is called after."""
    return re.sub(r"[^\w.-]+", "-", model_id).strip("-")


def open_asker(
    model: LoadedModel, info: EngineInfo, *, infills: bool, fim: str | None, heal: bool
) -> Asker:
    """Return an asker of ``model``, which drafts nothing.

    ``fim`` names a format of ``prompt.FIM_FORMATS``, ``None`` takes the model's own. Where nothing
    is to be filled in, a model that could is shown the prefix without any marker, as the papers
    do. Raises ``ModelError`` where the model cannot fill in, or not in that format.
    """
    settings = (info.model_id, info.backend, info.device)
    if not infills:
        return Asker(LocalEngine(replace(model, fim=None), info), settings)
    if fim is not None:
        resolved = resolve(fim, model.tokenizer)
        model = replace(model, fim=resolved, stop_ids=model.stop_ids | resolved.stop_ids)
    if model.fim is None:
        raise ModelError("the model was not trained to fill in")
    first = model.fim.format.order is FimOrder.PREFIX_FIRST
    engine = LocalEngine(model, info)
    return Asker(engine, (*settings, fim or ""), order="psm" if first else "spm", heal=heal)


def ask(
    asker: Asker, problems: Sequence[Problem], which: ProblemSet, kept: AnswerFile
) -> Iterator[Answer]:
    """Yield the answer to each problem, in order, asking for those that are not kept yet."""
    for problem in problems:
        answer = kept.get(asker.key(problem, which))
        if answer is None:
            answer = asker.answer(problem, which)
            kept.add(answer)
        yield answer


def _read(
    engine: Engine, request: CompletionRequest, problem: Problem
) -> tuple[str, FinishReason, int]:
    """Return the text up to what ends it, why it ended, and how many tokens it took."""
    enough = CancelToken()
    text, finish, tokens = "", FinishReason.CANCELLED, 0
    ended = False
    for chunk in engine.stream(request, enough):
        if chunk.finish is not None:
            finish = FinishReason.STOP if ended else chunk.finish
            tokens = chunk.timings.generated_tokens if chunk.timings else 0
        if ended:
            continue
        text += chunk.text
        ends = [at for end in problem.ends if (at := text.find(end)) >= 0]
        if ends:
            text = text[: min(ends)]
        # Of these sets only the first line with something in it counts.
        if ends or (problem.expected and "\n" in text.lstrip()):
            ended = True
            enough.cancel()
    return text, finish, tokens


def _answer(row: Mapping[str, object]) -> Answer:
    return Answer(
        key=str(row["key"]),
        problem=str(row["problem"]),
        text=str(row["text"]),
        finish=FinishReason(str(row["finish"])),
        tokens=int(str(row["tokens"])),
        seconds=float(str(row["seconds"])),
    )
