"""Second thoughts: where the model hesitated, what follows the cursor decides.

A small model hardly looks at the text after the cursor while it writes. Where another token was
nearly as probable, the line that begins with that one is written as well, and the line is taken
behind which the text after the cursor is the most probable (a likelihood ratio, as in noisy-channel
decoding). ``benchmarks/LOG.md`` has what that gained.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.types import CompletionRequest, TokenScore

__all__ = ["Line", "hesitates", "is_whole", "moved", "reconsidered"]

# Natural logarithm of how much less probable another token may have been. Beyond this the first
# choice was right about twice as often, and few lines changed for the better.
_MOST_MARGIN = 1.2
_MOST_OTHERS = 2

# A line end where the line is empty already is of no use: any other beginning is tried.
_BLANK_MARGIN = 6.0

# How much what follows counts against the line itself, and how much better another has to be.
_WEIGHT = 1.0
_BETTER = 0.25

_FOLLOWING_CHARACTERS = 40
_LINE_TOKENS = 48

_FIRST_LINE = re.compile(r"\s*\S[^\r\n]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A text that the model wrote, at least up to the end of its first line, with its scores."""

    raw: str
    scores: tuple[TokenScore, ...]

    @property
    def first(self) -> str:
        """The first line with something in it, and what is before it."""
        return self.raw[: _first_line_end(self.raw)]

    @property
    def logprob(self) -> float:
        """The logarithm of the probability of the first line."""
        end = len(self.first)
        return sum(score.logprob for score in self.scores if score.at < end)


def is_whole(raw: str) -> bool:
    """Whether the first line with something in it has come to its end."""
    return 0 < _first_line_end(raw) < len(raw)


def moved(scores: Iterable[TokenScore], by: int) -> tuple[TokenScore, ...]:
    """Return the scores of what stands behind so many characters more."""
    return tuple(replace(score, at=score.at + by) for score in scores)


def hesitates(line: Line, request: CompletionRequest) -> bool:
    """Whether another line is worth a look, once the first line of ``line`` is whole."""
    return bool(_following(request.suffix) and _others(line))


def reconsidered(
    request: CompletionRequest, line: Line, engine: Engine, cancel: CancelToken
) -> Line:
    """Return ``line``, or another one that what follows the cursor goes on from better.

    ``line`` answers ``request``. Costs nothing where the model did not hesitate.
    """
    then = _following(request.suffix)
    starts = _others(line) if then else ()
    if not starts:
        return line
    lines = [line]
    for start in starts:
        other = _written(request, start, line, engine, cancel)
        if cancel.cancelled:
            return line
        if other.first.strip() and all(
            other.first.strip() != known.first.strip() for known in lines
        ):
            lines.append(other)
    if len(lines) == 1:
        return line
    fits = engine.fit(request, [each.first for each in lines], then, cancel)
    if len(fits) < len(lines):
        return line
    worth = [
        each.logprob + _WEIGHT * fit.logprob - (0.0 if each is line else _BETTER)
        for each, fit in zip(lines, fits, strict=True)
    ]
    useful = [each.first.strip() != "" and not each.raw.startswith(("\n", "\r")) for each in lines]
    best = max(range(len(lines)), key=lambda at: (useful[at], worth[at]))
    return lines[best]


def _others(line: Line) -> tuple[Line, ...]:
    """Return what the line could have begun with just as well, the nearest miss first."""
    end, found = max(_first_line_end(line.raw), 1), list[tuple[float, Line]]()
    for index, score in enumerate(line.scores):
        if score.at >= end:
            break
        margin = score.logprob - score.runner_up_logprob
        begins_blank = not line.raw[: score.at].strip(" \t") and line.raw[score.at :][:1] in "\r\n"
        if not score.runner_up.strip() and not (begins_blank and score.runner_up.strip("\r\n")):
            continue
        if margin <= (_BLANK_MARGIN if begins_blank else _MOST_MARGIN):
            taken = replace(score, logprob=score.runner_up_logprob)
            raw = line.raw[: score.at] + score.runner_up
            found.append((margin, Line(raw=raw, scores=(*line.scores[:index], taken))))
    found.sort(key=lambda each: each[0])
    return tuple(each for _, each in found[:_MOST_OTHERS])


def _written(
    request: CompletionRequest, start: Line, known: Line, engine: Engine, cancel: CancelToken
) -> Line:
    """Write on from ``start`` to the end of its first line. Mostly that meets ``known`` again."""
    if is_whole(start.raw):
        return start
    enough, raw, scores = cancel.child(), start.raw, list(start.scores)
    # The token that it branches off with is whole.
    begun = replace(
        request,
        typed=request.typed + start.raw,
        heal=False,
        hints=(request.typed + known.raw,),
        max_tokens=_LINE_TOKENS,
    )
    for chunk in engine.stream(begun, enough):
        raw += chunk.text
        scores += moved(chunk.scores, len(start.raw))
        if is_whole(raw):
            enough.cancel()
    return Line(raw=raw, scores=tuple(scores))


def _first_line_end(raw: str) -> int:
    """Return where the first line ends that has something in it; 0 while there is none."""
    found = _FIRST_LINE.match(raw)
    return found.end() if found else 0


def _following(suffix: str) -> str:
    """Return so much of what follows the cursor as tells whether it goes on well; may be ``""``."""
    bare = suffix.lstrip()
    return suffix[: len(suffix) - len(bare) + _FOLLOWING_CHARACTERS] if bare else ""
