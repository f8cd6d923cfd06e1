"""Questions in a chat: the model gets the unit with the diagnostic and writes it anew."""

from __future__ import annotations

import re
from collections.abc import Iterator

from midfill_engine.types import ChatRequest, Message, Role, Sampling
from midfill_server.fixing.case import Asked, Case
from midfill_server.fixing.edits import applied, hunks
from midfill_server.fixing.scope import function_of
from midfill_server.syntax.spans import statement_at

__all__ = ["rewritten"]

MAX_PROMPT_TOKENS = 900
_MAX_UNIT_CHARS = 2000
_WINDOW_LINES = 8
_MAX_MESSAGE_CHARS = 400
_MAX_RELATED = 3
_MAX_CONTEXT_CHARS = 600
_NEAR_LINES = 2


def rewritten(case: Case, sampling: Sampling) -> Iterator[Asked]:
    """Yield the question; of the answer the change next to the diagnostic comes first, then all."""
    start, end = _unit(case)
    old = case.text[start:end]
    unit = old.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    if not unit.strip():
        return
    lead = unit[: len(unit) - len(unit.lstrip())].rpartition("\n")[2]
    unit = unit.lstrip("\n")
    fence = "`" * max(3, *(len(run) + 1 for run in ["``", *re.findall("`+", unit)]))
    name = case.language.name if case.language is not None else ""
    line = case.snapshot.lines.line_of(case.diagnostic.start)
    number = line - case.snapshot.lines.line_of(start) + 1
    told = case.text[slice(*case.line_span(case.diagnostic.start))].strip()
    text = (
        f"{_known(case, fence)}This {name} code has an error in line {number}, `{told}`: "
        f"{_message(case)}\n\n{fence}{case.language_id}\n{unit}\n{fence}\n\n"
        "Write the code again with this error fixed. Change nothing else."
    )
    request = ChatRequest(
        messages=(Message(role=Role.USER, text=text),),
        answer_start=f"{fence}{case.language_id}\n{lead}",
        hints=(unit,),
        max_tokens=min(64 + len(unit) // 2, 700),
        max_prompt_tokens=MAX_PROMPT_TOKENS,
        sampling=sampling,
    )

    def read(answer: str) -> Iterator[str]:
        code = (lead + answer).partition(f"\n{fence}")[0].rstrip()
        if not code.strip():
            return
        tail = old[len(old.rstrip()) :]
        new = case.replaced(start, end - len(tail), _indented(code, unit))
        yield from _nearest_first(case, new, line)

    def enough(answer: str) -> bool:
        return f"\n{fence}" in answer

    yield Asked(request=request, read=read, enough=enough)


def _unit(case: Case) -> tuple[int, int]:
    """Return what is shown and written anew: whole lines, not too many."""
    lines = case.snapshot.lines
    unit = function_of(case.tree, case.diagnostic)
    spans = [(unit.start, unit.end)] if unit is not None else []
    held = statement_at(case.tree, case.diagnostic.start, case.diagnostic.end)
    spans += [(held.start, held.end)] if held is not None and unit is None else []
    for start, end in spans:
        if end - start <= _MAX_UNIT_CHARS:
            return case.line_span(start)[0], case.line_span(end)[1]
    line = lines.line_of(min(case.diagnostic.start, len(case.text)))
    first = max(line - _WINDOW_LINES, lines.line_of(case.scope.start))
    last = min(line + _WINDOW_LINES, lines.line_of(max(case.scope.end - 1, case.scope.start)))
    start, end = lines.start_of(first), lines.span(last, case.text)[1]
    return start, min(end, start + 2 * _MAX_UNIT_CHARS)


def _message(case: Case) -> str:
    said = [case.diagnostic.message, *case.diagnostic.related[:_MAX_RELATED]]
    return " ".join(" ".join(said).split())[:_MAX_MESSAGE_CHARS]


def _known(case: Case, fence: str) -> str:
    """Return what is defined elsewhere and used here, in a block before the question."""
    texts: list[str] = []
    room = _MAX_CONTEXT_CHARS
    for chunk in case.context:
        if len(chunk.text) <= room and fence not in chunk.text:
            room -= len(chunk.text)
            texts.append(chunk.text.rstrip("\n"))
    if not texts:
        return ""
    return f"{fence}{case.language_id}\n" + "\n".join(texts) + f"\n{fence}\n\n"


def _indented(code: str, unit: str) -> str:
    """Return the answer with tabs, if the unit has them where models write spaces."""
    if not re.search(r"^\t", unit, re.MULTILINE) or re.search(r"^ +\S", unit, re.MULTILINE):
        return code
    widths = [len(found) for found in re.findall(r"^( +)\S", code, re.MULTILINE)]
    step = min(widths, default=4)
    return re.sub(r"^( +)", lambda found: "\t" * (len(found[1]) // step), code, flags=re.MULTILINE)


def _nearest_first(case: Case, new: str, line: int) -> Iterator[str]:
    """Yield the text with what changed next to the diagnostic, then with all that changed."""
    lines = case.snapshot.lines
    every = hunks(case.text, new)
    near = [
        edit
        for edit in every
        if lines.line_of(edit.start) - _NEAR_LINES
        <= line
        <= lines.line_of(max(edit.end - 1, edit.start)) + _NEAR_LINES
    ]
    if near and len(near) < len(every):
        yield applied(case.text, near)
    yield new
