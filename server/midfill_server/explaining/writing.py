"""Writes an answer part by part; what is written stays, where the work has to make way."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from midfill_engine.cancel import CancelToken
from midfill_engine.engine import Engine
from midfill_engine.types import FinishReason
from midfill_server.explaining.prompts import Question
from midfill_server.explaining.sections import Part

__all__ = ["Answer", "go_on"]

# A sentence that a small model says once more it will say for ever.
_MIN_REPEATED_CHARS = 24
_SENTENCE_END = re.compile(r"(?<!e\.g)(?<!i\.e)(?<!etc)[.!?][)`\"'*_]*(?=\s|\Z)")
# Where what was asked for ends, and another section, a list or an example would begin.
_NEXT_SECTION = re.compile(r"\n\s*#|\n?```|\n\s*\n|\n(?=[-*] )")
_NEXT_TITLE = re.compile(r"\n\s*#")
_FENCE = "```"


@dataclass(slots=True, kw_only=True, eq=False)
class Answer:
    """What is written so far. ``text`` ends with what a model said of the part that is next.

    ``said`` are the model's own words in it, ``steps`` how often it was heard.
    """

    text: str = ""
    said: str = ""
    steps: int = 0
    is_stood_in: bool = False
    is_cancelled: bool = False
    _part: int = 0
    _own: str | None = None

    def open(self, part: Part) -> str:
        """Begin a part, or go on with it, and return what was said in it."""
        if self._own is None:
            self.text = self.text.rstrip() + part.opening if self.text else part.opening
            self._own = ""
        return self._own

    def say(self, text: str) -> None:
        """Add what the model says."""
        self.text += text
        self._own = (self._own or "") + text
        self.steps += 1

    def close(self, part: Part, *, is_whole: bool) -> None:
        """End a part with the last whole sentence that belongs to it."""
        own = self._own or ""
        kept = _kept(own, part, is_whole=is_whole)
        self.text = self.text[: len(self.text) - len(own)] + kept
        if part.max_tokens and not kept.strip():
            self.text = self.text.rstrip().removesuffix(":")
        self.said += kept
        self._own = None
        self._part += 1

    def next_of(self, parts: tuple[Part, ...]) -> Part | None:
        """Return the part to go on with, ``None`` where all are written."""
        return parts[self._part] if self._part < len(parts) else None


def go_on(
    engine: Engine,
    cancel: CancelToken,
    question: Question,
    answer: Answer,
    emit: Callable[[str], None],
) -> None:
    """Write the rest of an answer, and ``emit`` all of its text again and again.

    Raises what the engine raises; what is written until then, or until ``cancel``, is kept.
    """
    answer.is_cancelled = False
    while not answer.is_cancelled and (part := answer.next_of(question.parts)) is not None:
        own = answer.open(part)
        is_whole = True
        if part.max_tokens:
            is_whole = _ask(engine, cancel, question, answer, part, own, emit)
        if not answer.is_cancelled:
            answer.close(part, is_whole=is_whole)
        emit(answer.text)


def _ask(
    engine: Engine,
    cancel: CancelToken,
    question: Question,
    answer: Answer,
    part: Part,
    own: str,
    emit: Callable[[str], None],
) -> bool:
    """Have the model go on with a part; return whether it ended where it wanted to."""
    request = question.request
    left = min(part.max_tokens, request.max_tokens - answer.steps)
    if left <= 0:
        return False
    bound = request.max_prompt_tokens
    # No text has more tokens than characters: what is asked stays as it is, and is computed once.
    more = len(answer.text) - len(question.parts[0].opening)
    request = replace(
        request,
        answer_start=answer.text,
        max_tokens=left,
        max_prompt_tokens=bound and bound + more,
    )
    for chunk in engine.stream(request, cancel):
        answer.is_stood_in |= chunk.stood_in
        if chunk.text:
            answer.say(chunk.text)
            own += chunk.text
        if chunk.finish is FinishReason.CANCELLED:
            answer.is_cancelled = True
        elif _is_enough(own, part, answer.said):
            return True
        elif chunk.finish is not None:
            return chunk.finish is FinishReason.STOP
        emit(answer.text)
    return False


def _is_enough(own: str, part: Part, said: str) -> bool:
    """Whether nothing that follows would be kept."""
    begun = own.lstrip(" " if part.is_line else None)
    if part.may_quote:
        return own.count(_FENCE) > 1 or _NEXT_TITLE.search(begun) is not None
    if (part.is_line and "\n" in begun) or _NEXT_SECTION.search(begun):
        return True
    # Where a text ends with a full stop, it may be one within a word.
    ends = [match.end() for match in _SENTENCE_END.finditer(own) if match.end() < len(own)]
    return len(ends) >= part.max_sentences or bool(_said_again(said + "\n" + own))


def _kept(own: str, part: Part, *, is_whole: bool) -> str:
    """Return what belongs to a part of what was said in it."""
    begun = own.lstrip(" " if part.is_line else None)
    blank = own[: len(own) - len(begun)]
    if part.may_quote:
        return blank + _with_whole_blocks(begun, part.known, is_whole=is_whole)
    end = _NEXT_SECTION.search(begun)
    if part.is_line and "\n" in begun:
        begun, is_whole = begun.partition("\n")[0], True
    elif end is not None:
        begun, is_whole = begun[: end.start()], True
    ends = [match.end() for match in _SENTENCE_END.finditer(begun)]
    # What is announced with a colon does not come any more.
    is_whole &= not begun.rstrip().endswith(":")
    if len(ends) >= part.max_sentences or (ends and not is_whole):
        begun = begun[: ends[min(len(ends), part.max_sentences) - 1]]
    elif part.is_line and not is_whole:
        # Half a line says less than none.
        begun = ""
    return blank + _without_repeats(begun)


def _with_whole_blocks(begun: str, known: str, *, is_whole: bool) -> str:
    """Return a text with a block of code at most; with none that was not finished, or is known."""
    title = _NEXT_TITLE.search(begun)
    if title is not None:
        begun = begun[: title.start()]
    before, *blocks = begun.split(_FENCE)
    if len(blocks) > 1 and blocks[0].partition("\n")[2].split() != known.split():
        return _FENCE.join([before, blocks[0], ""])
    ends = [match.end() for match in _SENTENCE_END.finditer(before)]
    return before[: ends[-1]] if ends and (blocks or not is_whole) else before


def _said_again(text: str) -> str:
    """Return the last whole sentence if it was said before; ``""`` else."""
    said = re.split(r"(?<=[.!?])\s+|\n+", text)
    if not text.rstrip().endswith((".", "!", "?")):
        said.pop()
    said = [one for one in said if len(one) >= _MIN_REPEATED_CHARS]
    return said[-1] if said and said[-1] in said[:-1] else ""


def _without_repeats(text: str) -> str:
    last = _said_again(text)
    return text[: text.index(last, text.index(last) + 1)].rstrip() if last else text
