"""An engine that remembers: what it was asked once, it answers without the model ever after.

Answers are kept by what the model was asked, so that a change in the text that is shown to it asks
again, and a change in what is made of its answers does not. They are kept as far as the server read
them, and farther where that is asked for: what a better cut would have shown can then be told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import cast

import midfill_engine.prompt
from benchmarks.kept import KeptRows, key_of
from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.errors import MidfillError
from midfill_engine.types import (
    Chunk,
    CompletionRequest,
    Cost,
    EngineInfo,
    FinishReason,
    Fit,
    Request,
    Timings,
    TokenScore,
)

__all__ = ["KeptAnswer", "KeptEngine", "NotKeptError", "prompt_digest"]

# What decides only how long or how fast an answer is, not what it says.
_NOT_ASKED = frozenset({"max_tokens", "hints", "awaited", "request_id", "scored"})
_LEAST_LOGPROB = -1000.0


class NotKeptError(MidfillError):
    """An answer is not in the file, and there is no model to ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """What the model wrote. ``steps`` are the lengths of text and scores of each chunk.

    ``finish`` is ``CANCELLED`` where nobody wanted to know how it goes on. ``seconds`` is what it
    took as far as the server read it.
    """

    text: str
    finish: FinishReason
    tokens: int
    scores: tuple[TokenScore, ...]
    steps: tuple[tuple[int, int], ...]
    seconds: float

    @property
    def ends(self) -> tuple[int, ...]:
        """Where the tokens of the text end, in characters."""
        found = {score.at for score in self.scores} or set(
            accumulate(length for length, _ in self.steps)
        )
        return tuple(sorted((found | {len(self.text)}) - {0}))


@dataclass(slots=True, kw_only=True, eq=False)
class _Tape:
    """An answer as it is read. ``live`` is the model, while it may have more to say.

    ``asked_anew``: it does not come from the file.
    """

    key: str
    chunks: list[Chunk] = field(default_factory=list[Chunk])
    live: Iterator[Chunk] | None = None
    stop: CancelToken = field(default_factory=CancelToken)
    seconds: float = 0.0
    asked_anew: bool = False

    def read(self) -> None:
        """Read one more chunk from the model, if it has more to say."""
        began_s = time.perf_counter()
        chunk = None if self.live is None else next(self.live, None)
        self.seconds += time.perf_counter() - began_s
        if chunk is None or chunk.finish is not None:
            self.live = None
        if chunk is not None:
            self.chunks.append(chunk)


class KeptEngine:
    """Answers from ``kept``; what is not there is asked of ``inner`` and kept.

    ``settings`` name the model, as far as its answers depend on it. Since ``begin``: ``requests``
    are those that came, ``busy_s`` is the time that calls took, ``fit_s`` what of it the model took
    (now, or when it was asked) to tell how well the text goes on; ``asked_anew`` says whether the
    model was asked for an answer. ``too_short`` counts answers that were wanted longer than they
    are kept, while there was no model.
    """

    def __init__(
        self, inner: Engine | None, kept: KeptRows, settings: Sequence[object], info: EngineInfo
    ) -> None:
        self.requests: list[CompletionRequest] = []
        self.busy_s = 0.0
        self.fit_s = 0.0
        self.asked_anew = False
        self.too_short = 0
        self._info = info
        self._inner = inner
        self._kept = kept
        self._settings = list(settings)
        self._tape: _Tape | None = None

    @property
    def info(self) -> EngineInfo:
        """Which model it is that answers, or answered."""
        return self._info

    def begin(self) -> None:
        """Begin a case."""
        self.settle()
        self.busy_s = self.fit_s = 0.0
        self.requests = []
        self.asked_anew = False

    def stream(self, request: Request, cancel: CancelToken) -> Iterator[Chunk]:
        """Yield what is kept, or what the model says; see ``Engine.stream``."""
        if not isinstance(request, CompletionRequest):
            raise NotKeptError("only completions are kept")
        self.requests.append(request)
        chunks = self._stream(request, cancel)
        while True:
            began_s = time.perf_counter()
            chunk = next(chunks, None)
            self.busy_s += time.perf_counter() - began_s
            if chunk is None:
                return
            yield chunk

    def fit(
        self, request: CompletionRequest, answers: Sequence[str], then: str, cancel: CancelToken
    ) -> tuple[Fit, ...]:
        """Tell what is kept, or what the model says; see ``Engine.fit``."""
        began_s = time.perf_counter()
        self.settle()
        asked = self._key(request)
        keys = [key_of(asked, answer, then) for answer in answers]
        missing = [at for at, key in enumerate(keys) if self._kept.get(key) is None]
        if missing:
            self._fit(request, [(keys[at], answers[at]) for at in missing], then, cancel)
        rows = [row for key in keys if (row := self._kept.get(key)) is not None]
        self.fit_s += sum(float(str(row["seconds"])) for row in rows)
        self.busy_s += time.perf_counter() - began_s
        return tuple(
            Fit(logprob=float(str(row["logprob"])), tokens=int(str(row["tokens"]))) for row in rows
        )

    def estimate(self, request: Request) -> Cost:
        """Return no cost at all: nothing is put off for it."""
        return Cost()

    def close(self) -> None:
        """Keep what is still being read, and close the model."""
        self.settle()
        if self._inner is not None:
            self._inner.close()

    def settle(self) -> None:
        """Keep the latest answer, as far as it was read."""
        tape, self._tape = self._tape, None
        if tape is not None:
            tape.stop.cancel()
            while tape.live is not None:
                tape.read()
            self._kept.add(_row(tape, tape.seconds))

    def answer(self, request: CompletionRequest) -> KeptAnswer:
        """Return what is kept of the answer to ``request``. Raises ``NotKeptError``."""
        self.settle()
        row = self._kept.get(self._key(request))
        if row is None:
            raise NotKeptError("the answer is not kept")
        return _answer(row)

    def read_on(
        self, request: CompletionRequest, limit: int, enough: Callable[[str], bool]
    ) -> KeptAnswer:
        """Return an answer up to ``limit`` tokens, or until ``enough`` is true of its text.

        Without a model it is what is kept. Raises ``NotKeptError`` if that is nothing.
        """
        known = self.answer(request)
        if self._inner is None or not _is_short(known, limit) or enough(known.text):
            return known
        tape = self._record(replace(request, max_tokens=limit))
        self._tape = None
        while tape.live is not None:
            if enough("".join(chunk.text for chunk in tape.chunks)):
                tape.stop.cancel()
            tape.read()
        longer = _row(tape, known.seconds)
        if not str(longer["text"]).startswith(known.text):
            # Other kernels, other rounding: the server saw the first one.
            return known
        self._kept.add(longer)
        return _answer(longer)

    def _stream(self, request: CompletionRequest, cancel: CancelToken) -> Iterator[Chunk]:
        tape = self._open(request)
        tokens = position = 0
        while not cancel.cancelled:
            chunk = self._chunk(tape, position, request)
            position += 1
            tokens += max(len(chunk.scores), 1) if chunk.text else 0
            finish = chunk.finish
            if finish is FinishReason.CANCELLED or (
                finish is None and tokens >= request.max_tokens
            ):
                finish = FinishReason.LENGTH
            yield Chunk(
                text=chunk.text,
                finish=finish,
                timings=None if finish is None else Timings(generated_tokens=tokens),
                scores=chunk.scores if request.scored else (),
            )
            if finish is not None:
                return
        yield Chunk(
            text="", finish=FinishReason.CANCELLED, timings=Timings(generated_tokens=tokens)
        )

    def _chunk(self, tape: _Tape, position: int, request: CompletionRequest) -> Chunk:
        """Return the chunk at ``position``, from the model where not so much is kept."""
        if position == len(tape.chunks):
            tape.read()
        chunk = tape.chunks[position]
        wanted = chunk.finish is FinishReason.CANCELLED or (
            chunk.finish is FinishReason.LENGTH and position < request.max_tokens
        )
        if wanted and not tape.asked_anew:
            if self._inner is None:
                self.too_short += 1
                return chunk
            # The same chunks come once more, one for each token, and then those after them.
            again = self._record(request)
            tape.chunks, tape.live, tape.asked_anew = again.chunks, again.live, True
            self._tape = tape
            while len(tape.chunks) <= position and tape.live is not None:
                tape.read()
            return tape.chunks[min(position, len(tape.chunks) - 1)]
        return chunk

    def _open(self, request: CompletionRequest) -> _Tape:
        self.settle()
        row = self._kept.get(self._key(request))
        if row is not None:
            return _Tape(key=self._key(request), chunks=_chunks(_answer(row)))
        return self._record(request)

    def _record(self, request: CompletionRequest) -> _Tape:
        if self._inner is None:
            raise NotKeptError("the answer is not kept")
        self.asked_anew = True
        tape = self._tape = _Tape(key=self._key(request), asked_anew=True)
        tape.live = self._inner.stream(replace(request, scored=True), tape.stop)
        return tape

    def _fit(
        self,
        request: CompletionRequest,
        answers: Sequence[tuple[str, str]],
        then: str,
        cancel: CancelToken,
    ) -> None:
        if self._inner is None:
            raise NotKeptError("how well the text goes on after an answer is not kept")
        began_s = time.perf_counter()
        found = self._inner.fit(request, [answer for _, answer in answers], then, cancel)
        each_s = (time.perf_counter() - began_s) / len(answers)
        for (key, _), fit in zip(answers, found, strict=False):
            self._kept.add({"key": key, **asdict(fit), "seconds": round(each_s, 6)})

    def _key(self, request: CompletionRequest) -> str:
        asked = {name: value for name, value in asdict(request).items() if name not in _NOT_ASKED}
        return key_of(self._settings, asked)


def prompt_digest() -> str:
    """Return what changes when the code that packs prompts does."""
    folder = Path(midfill_engine.prompt.__file__).parent
    return key_of([path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py"))])


def _is_short(known: KeptAnswer, limit: int) -> bool:
    return known.finish is FinishReason.CANCELLED or (
        known.finish is FinishReason.LENGTH and known.tokens < limit
    )


def _row(tape: _Tape, seconds: float) -> dict[str, object]:
    last = tape.chunks[-1]
    timings = last.timings or Timings()
    return {
        "key": tape.key,
        "text": "".join(chunk.text for chunk in tape.chunks),
        "finish": last.finish or FinishReason.CANCELLED,
        "tokens": timings.generated_tokens,
        "seconds": round(seconds, 6),
        "steps": [[len(chunk.text), len(chunk.scores)] for chunk in tape.chunks],
        "scores": [
            [
                score.at,
                _short(score.logprob),
                _short(score.stop_logprob),
                score.runner_up,
                _short(score.runner_up_logprob),
            ]
            for chunk in tape.chunks
            for score in chunk.scores
        ],
    }


def _short(logprob: float) -> float:
    """Drop the digits that decide nothing; JSON has no infinity."""
    return round(max(logprob, _LEAST_LOGPROB), 4)


def _answer(row: Mapping[str, object]) -> KeptAnswer:
    scores = cast("list[tuple[int, float, float, str, float]]", row["scores"])
    steps = cast("list[tuple[int, int]]", row["steps"])
    return KeptAnswer(
        text=str(row["text"]),
        finish=FinishReason(str(row["finish"])),
        tokens=int(str(row["tokens"])),
        scores=tuple(
            TokenScore(
                at=at,
                logprob=logprob,
                stop_logprob=stop_logprob,
                runner_up=runner_up,
                runner_up_logprob=runner_up_logprob,
            )
            for at, logprob, stop_logprob, runner_up, runner_up_logprob in scores
        ),
        steps=tuple((text, count) for text, count in steps),
        seconds=float(str(row["seconds"])),
    )


def _chunks(answer: KeptAnswer) -> list[Chunk]:
    """Return the answer in the pieces in which it came."""
    chunks: list[Chunk] = []
    at = scored = 0
    for number, (length, count) in enumerate(answer.steps, start=1):
        last = number == len(answer.steps)
        chunks.append(
            Chunk(
                text=answer.text[at : at + length],
                finish=answer.finish if last else None,
                scores=answer.scores[scored : scored + count],
            )
        )
        at, scored = at + length, scored + count
    return chunks
