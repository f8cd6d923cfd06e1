"""Guesses that take something away: what is not used, arguments that are too many."""

from __future__ import annotations

import re
from collections.abc import Iterator

from midfill_server.fixing.case import Case, Ready
from midfill_server.fixing.diagnostic import lacks_arguments
from midfill_server.syntax import imports
from midfill_server.syntax.spans import Span, arguments_at, statement_at

__all__ = ["last_arguments", "repeated_arguments", "surplus_arguments", "unused", "wrong_piece"]

_MAX_SURPLUS = 3
_MAX_ARGUMENT_CHARS = 40
_HAS_EFFECT = re.compile(r"\(|\bawait\b|\byield\b|:=|<-|\bnew\b|\+\+|--")
# ``name = value`` with what may stand before it in one language or another.
_ASSIGNMENT = re.compile(
    r"(?:(?:export\s+)?(?:const|let|var|auto|final|static|mut)\s+)*[^\W\d]\w*"
    r"(?:\s*:(?!=)\s*[^=\n]+?)?\s*(?::=|=(?!=))\s*"
)


def unused(case: Case) -> Iterator[Ready]:
    """Yield the text without an import or a variable that is not used."""
    text, tree = case.text, case.tree
    at = case.diagnostic.start
    place = case.wrong_name() or (at, case.diagnostic.end)
    # An import with names in lines of its own may be named as a whole.
    found = next((one for one in imports(tree) if one.start <= place[0] < one.end), None)
    held = statement_at(tree, *place)
    line = text[slice(*case.line_span(at))]
    is_import = re.match(r"\s*(?:import|from|use|using|#\s*include)\b", line) is not None
    if found is not None or is_import:
        start, end = (found.start, found.end) if found else case.line_span(at)
        if held is not None and found is None:
            start, end = held.start, held.end
        yield from _without_import(case, Span(start=start, end=end), place)
        return
    yield from _without_variable(case, held, place)


def surplus_arguments(case: Case) -> Iterator[Ready]:
    """Yield the text without arguments: from the one that is wrong on, then that one alone.

    Where the call as a whole is wrong, the last ones were too many: one of them, or a few.
    """
    if lacks_arguments(case.diagnostic):
        return
    items, places, wrong = _given(case)
    written = [case.text[one.start : one.end] for one in items]
    if wrong is None:
        short = [n for n in places if len(written[n]) <= _MAX_ARGUMENT_CHARS]
        tries = [short[-count:] for count in range(1, min(len(places), _MAX_SURPLUS + 1))]
    else:
        after = [n for n in places if n >= wrong]
        same = [n for n in places if written[n] == written[wrong]]
        tries = [after, same, [wrong]]
    for gone in tries:
        if gone and (len(gone) < len(items) or len(gone) == 1):
            yield Ready(text=_without_items(case, items, gone), drops=True)


def repeated_arguments(case: Case) -> Iterator[Ready]:
    """Yield the text without the wrong argument and those behind it, if they are all the same."""
    items, places, wrong = _given(case)
    after = [n for n in places if wrong is not None and n >= wrong]
    written = {case.text[items[n].start : items[n].end] for n in after}
    if 1 < len(after) < len(items) and len(written) == 1:
        yield Ready(text=_without_items(case, items, after), drops=True)


def last_arguments(case: Case) -> Iterator[Ready]:
    """Yield the text without the last argument of a call, the last two, and so on."""
    items, places, _ = _given(case)
    if lacks_arguments(case.diagnostic):
        return
    for n in reversed(places):
        gone = [one for one in places if one >= n]
        yield Ready(text=_without_items(case, items, gone), drops=True)


def _given(case: Case) -> tuple[tuple[Span, ...], list[int], int | None]:
    """Return the arguments of the call that is wrong, which have no name, and the wrong one."""
    start, end = case.diagnostic.start, case.diagnostic.end
    given = arguments_at(case.tree, start, end)
    if given is None:
        return (), [], None
    items = given.items
    wrong = next((n for n, one in enumerate(items) if one.start <= start < one.end), None)
    return items, [n for n, one in enumerate(items) if one not in given.named], wrong


def wrong_piece(case: Case) -> Iterator[Ready]:
    """Yield the text without what the checker points at."""
    start, end = case.diagnostic.start, case.diagnostic.end
    if start < end and "\n" not in case.text[start:end]:
        yield Ready(text=case.replaced(start, end, ""), drops=True)


def _without_items(case: Case, items: tuple[Span, ...], gone: list[int]) -> str:
    """Return the text without some items of a list, and without the commas between."""
    text = case.text
    for n in sorted(gone, reverse=True):
        one = items[n]
        if n:
            start, end = items[n - 1].end, one.end
        elif len(items) > 1:
            start, end = one.start, items[1].start
        else:
            trailing = re.compile(r"\s*,").match(text, one.end)
            start, end = one.start, trailing.end() if trailing else one.end
        text = text[:start] + text[end:]
    return text


def _without_import(case: Case, statement: Span, place: tuple[int, int]) -> Iterator[Ready]:
    written = case.text[statement.start : statement.end]
    names = _listed(written)
    if names is not None:
        here = [n for n, one in enumerate(names) if _within(one, statement.start, place)]
        if len(names) > 1 and here:
            items = tuple(
                Span(start=statement.start + one.start, end=statement.start + one.end)
                for one in names
            )
            yield _without_name(case, items, here[0])
            return
        before = written[: names[0].start].rpartition("{")[0]
        if here and (default := re.fullmatch(r"(import\s+[\w$]+)\s*,\s*", before)):
            # ``import a, { b } from``: what is left of it.
            rest = written[written.index("}") + 1 :]
            new = default[1] + rest
            yield Ready(text=case.replaced(statement.start, statement.end, new))
            return
    yield from _without_lines(case, statement)


def _within(one: Span, base: int, place: tuple[int, int]) -> bool:
    return base + one.start <= place[0] < base + one.end


def _listed(written: str) -> list[Span] | None:
    """Return where the names of an import are, if it is one that lists names."""
    head = re.match(
        r"(?:from\s+[\w.]+\s+import\s*\(?|import\s+(?=[\w.]+(?:\s+as\s+\w+)?\s*,)(?![^\n]*\{)"
        r"|(?:import|export)\b[^{'\"]*\{|use\s[^{]*\{)",
        written,
    )
    if head is None:
        return None
    stop = re.compile(r"[)}]|#[^\n]*\Z|\Z").search(written, head.end())
    end = stop.start() if stop else len(written)
    blank = re.sub(r"#[^\n]*", lambda found: " " * len(found[0]), written[:end])
    items = re.finditer(r"[^\s,][^,]*?(?=\s*(?:,|\Z))", blank[head.end() :])
    found = [Span(start=head.end() + one.start(), end=head.end() + one.end()) for one in items]
    return found or None


def _without_name(case: Case, items: tuple[Span, ...], gone: int) -> Ready:
    one = items[gone]
    start, end = case.line_span(one.start)
    if re.fullmatch(r"\s*[\w$. ]+,?\s*(?:#.*)?", case.text[start:end]) and (
        gone > 0 or case.line_span(items[1].start)[0] != start
    ):
        # It has a line of its own, which goes with it.
        return Ready(text=case.replaced(start, case.next_line(one.start), ""))
    return Ready(text=_without_items(case, items, [gone]))


def _without_variable(case: Case, held: Span | None, place: tuple[int, int]) -> Iterator[Ready]:
    text = case.text
    name = text[slice(*place)]
    handler = re.compile(rf"\s+as\s+{re.escape(name)}\b").search(text, max(place[0] - 8, 0))
    if handler is not None and handler.end() == place[1]:
        yield Ready(text=case.replaced(handler.start(), handler.end(), ""))
    if held is None:
        held = Span(start=case.line_span(place[0])[0], end=case.line_span(place[0])[1])
    written = text[held.start : held.end]
    assigned = _ASSIGNMENT.match(written)
    is_whole = assigned is not None and held.start <= place[0] < held.start + assigned.end()
    if assigned is not None and is_whole:
        value = written[assigned.end() :]
        if not _HAS_EFFECT.search(value):
            yield from _without_lines(case, held)
        elif case.language_id == "go":
            yield Ready(text=case.replaced(held.start, held.start + assigned.end(), "_ = "))
        else:
            yield Ready(text=case.replaced(held.start, held.start + assigned.end(), ""))
            yield from _without_lines(case, held, drops=True)
    elif not written[place[1] - held.start :].strip(" ;"):
        # A declaration without a value.
        yield from _without_lines(case, held, drops=True)
    if name.isidentifier() and not name.startswith("_") and case.language_id != "go":
        # What must be there all the same, such as a parameter, is called so where it is unused.
        yield Ready(text=case.replaced(*place, f"_{name}"))


def _without_lines(case: Case, span: Span, *, drops: bool = False) -> Iterator[Ready]:
    """Yield the text without a statement and its lines; with one that does nothing, if need be."""
    text = case.text
    start, end = case.line_span(span.start)[0], case.line_span(max(span.end - 1, span.start))[1]
    alone = not text[start : span.start].strip() and not text[span.end : end].strip(" \t;")
    if alone:
        after = case.next_line(max(span.end - 1, span.start))
        yield Ready(text=case.replaced(start, after, ""), drops=drops)
    else:
        yield Ready(text=case.replaced(span.start, span.end, ""), drops=drops)
    if case.language_id == "python":
        yield Ready(text=case.replaced(span.start, span.end, "pass"), drops=True)
