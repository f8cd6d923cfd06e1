"""Questions that have a model fill in anew what is wrong: a stretch, a line, arguments, a return.

The model sees the text before and behind as it is; that it is wrong is what it is not told, since
small models then write about it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from midfill_engine.types import CompletionRequest, Landmark, Sampling
from midfill_server.fixing.brackets import closing_at, is_balanced
from midfill_server.fixing.case import Asked, Case
from midfill_server.syntax import enclosing
from midfill_server.syntax.spans import arguments_at, statement_at

__all__ = [
    "MAX_LINE_TOKENS",
    "fim_request",
    "first_line",
    "has_line",
    "line",
    "range_anew",
    "statement",
    "tail",
    "within_arguments",
]

MAX_PROMPT_TOKENS = 384
MAX_LINE_TOKENS = 48
_MAX_RANGE_TOKENS = 24
_MAX_STATEMENT_LINES = 12
_CONTEXT_CHARS = 8000


def has_line(answer: str) -> bool:
    """Return whether the first line of an answer is whole."""
    return "\n" in answer


def range_anew(case: Case, sampling: Sampling) -> Iterator[Asked]:
    """Yield a question for what the diagnostic points at, within its line."""
    start, end = _range(case)
    line_start, line_end = case.line_span(start)
    rest = case.text[end:line_end]

    def read(answer: str) -> Iterator[str]:
        first = first_line(answer)
        if not first.strip():
            return
        cut = _cut_at(first, rest)
        if cut is not None:
            yield case.replaced(start, end, cut)
        else:
            # The model wrote the line to its end in another way, or stopped where it should.
            yield case.replaced(start, end, first.rstrip())
            yield case.replaced(start, line_end, first.rstrip())

    def enough(answer: str) -> bool:
        return has_line(answer) or (bool(rest.strip()) and _cut_at(answer, rest) is not None)

    yield _asked(case, line_start, start, end, _MAX_RANGE_TOKENS, sampling, read, enough)


def tail(case: Case, sampling: Sampling) -> Iterator[Asked]:
    """Yield a question for the line from the diagnostic on."""
    start = _range(case)[0]
    line_start, line_end = case.line_span(start)

    def read(answer: str) -> Iterator[str]:
        first = first_line(answer).rstrip()
        if first:
            yield case.replaced(start, line_end, first)

    yield _asked(case, line_start, start, line_end, MAX_LINE_TOKENS, sampling, read)


def line(case: Case, sampling: Sampling) -> Iterator[Asked]:
    """Yield a question for the whole line."""
    line_start, line_end = case.line_span(case.diagnostic.start)
    old = case.text[line_start:line_end]
    start = line_start + len(old) - len(old.lstrip())

    def read(answer: str) -> Iterator[str]:
        first = first_line(answer).rstrip()
        if first:
            yield case.replaced(start, line_end, first)

    yield _asked(case, line_start, start, line_end, MAX_LINE_TOKENS, sampling, read)


def statement(case: Case, sampling: Sampling) -> Iterator[Asked]:
    """Yield a question for the statement around the diagnostic, where it has several lines."""
    held = statement_at(case.tree, *_range(case))
    if held is None:
        return
    lines = case.snapshot.lines
    height = lines.line_of(held.end) - lines.line_of(held.start) + 1
    if not 1 < height <= _MAX_STATEMENT_LINES:
        return
    line_start, end = case.line_span(held.start)[0], case.line_span(held.end)[1]
    following = case.text[end:].lstrip().partition("\n")[0].strip()

    def read(answer: str) -> Iterator[str]:
        written: list[str] = []
        for one in answer.split("\n")[: height + 2]:
            if following and one.strip() == following:
                break
            written.append(one.rstrip())
            if is_balanced("\n".join(written)) and "\n".join(written).strip():
                yield case.replaced(held.start, end, "\n".join(written).rstrip())
                break

    def enough(answer: str) -> bool:
        return answer.count("\n") >= height + 2

    size = min(40 * height, 200)
    yield _asked(case, line_start, held.start, end, size, sampling, read, enough)


def within_arguments(case: Case, sampling: Sampling) -> Iterator[Asked]:
    """Yield a question for what stands between the brackets of the call that is wrong."""
    given = arguments_at(case.tree, case.diagnostic.start, case.diagnostic.end)
    if given is None:
        return
    line_start = case.line_span(given.start)[0]
    place = (given.start, given.end)

    def read(answer: str) -> Iterator[str]:
        end = closing_at(answer)
        inside = answer[:end] if end is not None else first_line(answer)
        if answer and ("\n" not in inside or end is not None):
            yield case.replaced(*place, inside.rstrip())

    def enough(answer: str) -> bool:
        return has_line(answer) or closing_at(answer) is not None

    yield _asked(case, line_start, *place, MAX_LINE_TOKENS, sampling, read, enough)


def _range(case: Case) -> tuple[int, int]:
    """Return where the diagnostic is; of one with several lines, what is in its first."""
    start = min(case.diagnostic.start, len(case.text))
    line_end = case.line_span(start)[1]
    start = min(start, line_end)
    return start, max(start, min(case.diagnostic.end, line_end))


def _asked(
    case: Case,
    line_start: int,
    start: int,
    end: int,
    max_tokens: int,
    sampling: Sampling,
    read: Callable[[str], Iterable[str]],
    enough: Callable[[str], bool] = has_line,
) -> Asked:
    """Return a question for ``[start, end)``; what of its line stands before counts as typed."""
    text = case.text
    typed = text[line_start:start]
    request = fim_request(
        case, text[:line_start], typed, text[end:], max_tokens, sampling, line_start
    )
    return Asked(request=request, read=read, enough=enough)


def fim_request(
    case: Case,
    prefix: str,
    typed: str,
    suffix: str,
    max_tokens: int,
    sampling: Sampling,
    at: int,
) -> CompletionRequest:
    """Return the request; line ends are plain, as models know them."""
    marks: list[Landmark] = []
    near = max(len(prefix) - _CONTEXT_CHARS, 0)
    plain = _plain(prefix[near:])
    for unit in reversed(enclosing(case.tree, at)):
        if near <= unit.start < unit.header_end <= at:
            first, last = (
                len(_plain(prefix[near : unit.start])),
                len(_plain(prefix[near : unit.header_end])),
            )
            marks.append(Landmark(start=first, end=last))
    return CompletionRequest(
        prefix=plain,
        suffix=_plain(suffix[:_CONTEXT_CHARS]),
        typed=_plain(typed),
        context=case.context,
        landmarks=tuple(marks),
        path=os.path.basename(case.path),
        comment=case.language.line_comment if case.language is not None else "",
        max_tokens=max_tokens,
        max_prompt_tokens=MAX_PROMPT_TOKENS,
        sampling=sampling,
    )


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def first_line(answer: str) -> str:
    """Return the first line of an answer, without its end."""
    return answer.partition("\n")[0]


def _cut_at(answer: str, rest: str) -> str | None:
    """Return the answer up to where the rest of the line begins in it; ``None`` if nowhere."""
    wanted = rest.strip()
    if not wanted:
        return answer.rstrip()
    head = wanted[:6] if len(wanted) > 6 else wanted
    at = answer.find(head)
    while at >= 0:
        # A bracket of the answer's own is not that of the rest.
        if is_balanced(answer[:at]) or head[0] not in ")]}":
            return answer[:at].rstrip() if rest[:1].isspace() else answer[:at]
        at = answer.find(head, at + 1)
    return None
