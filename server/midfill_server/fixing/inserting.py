"""Guesses at what the syntax lacks: a colon, a bracket, another indentation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from midfill_server.fixing.brackets import CLOSERS, OPENERS
from midfill_server.fixing.case import Case, Ready
from midfill_server.fixing.diagnostic import expected_tokens

__all__ = [
    "missing_arrow",
    "missing_brackets",
    "missing_marks",
    "missing_tokens",
    "other_indentation",
]

_MAX_INDENTATIONS = 6
_MAX_QUOTES = 4
_MAX_LINES_ABOVE = 30
_MAX_PLACES = 16
# Where a bracket may be opened, and where one may be closed.
_STARTS = re.compile(r"(?<![\w.$])(?=[\w\"'`.$<([{])|(?<=\w)(?=\s*[)\]])")
# Where one value stands behind another.
_GAP = re.compile(r"(?<=[\w)\]}\"'`])(?= +[\w(\[{\"'`-])")
# Those of an arrow function, at the end: in brackets, with a type behind, or one alone.
_PARAMETERS = re.compile(r"\(([^()]*)\)(?:\s*:[^()=]*)?\Z|(?<![\w.])([^\W\d]\w*)\Z")
_ENDS = re.compile(r"(?<=[\w\"'`)\]}>])(?![\w.$])")
_ABOUT_INDENTATION = re.compile(
    r"indent|block|decorator|expected (?:an )?(?:expression|statement)", re.IGNORECASE
)
_COMMENT = r"(?:\s*(?:#|//).*)?\s*\Z"


def missing_arrow(case: Case) -> Iterator[Ready]:
    """Yield the text with an arrow behind parameters that are used behind the gap."""
    if not case.language_id.startswith(("typescript", "javascript")):
        return
    line_start, line_end = case.line_span(min(case.diagnostic.start, len(case.text)))
    line = case.text[line_start:line_end]
    for gap in _GAP.finditer(line):
        before, after = line[: gap.start()], line[gap.start() :]
        parameters = _PARAMETERS.search(before)
        # A function may as well have none: then there is nothing to go by.
        named = "" if parameters is None else parameters[1] or parameters[2] or ""
        names = re.findall(r"[^\W\d]\w*", named)
        if any(re.search(rf"(?<![\w.]){name}\b", after) for name in names):
            place = line_start + gap.start()
            yield Ready(text=case.replaced(place, place, " =>"))


def missing_tokens(case: Case) -> Iterator[Ready]:
    """Yield the text with what the checker expects, where it may belong."""
    text, start = case.text, min(case.diagnostic.start, len(case.text))
    for token in expected_tokens(case.diagnostic.message):
        for place in _unclosed(case, token, start):
            yield Ready(text=case.replaced(place, place, token))
        places = [len(text[:start].rstrip()), _code_end(case, start), start]
        for place in dict.fromkeys(places):
            blank = " " if token.isalpha() else ""
            yield Ready(text=case.replaced(place, place, blank + token + blank))
        if case.diagnostic.end == start + 1:
            yield Ready(text=case.replaced(start, start + 1, token))


def missing_marks(case: Case) -> Iterator[Ready]:
    """Yield the text with the quote or the comma that nobody names, where one may belong."""
    text, start = case.text, min(case.diagnostic.start, len(case.text))
    line_start, line_end = case.line_span(start)
    line = text[line_start:line_end]
    quote = next((one for one in "\"'`" if line.count(one) % 2), None)
    if quote is not None:
        opened = line.rfind(quote)
        ends = [found.start() for found in re.finditer(r"[,)\]}:;]|\Z", line[opened:])]
        for end in ends[:_MAX_QUOTES]:
            place = line_start + opened + end
            yield Ready(text=case.replaced(place, place, quote))
    if re.search(r"quote|unterminated|string", case.diagnostic.message, re.IGNORECASE):
        return
    above = text[:line_start].rstrip()
    if above and above[-1] not in ",;([{:":
        yield Ready(text=case.replaced(len(above), len(above), ","))
    gaps = [line_start + gap.start() for gap in _GAP.finditer(line)]
    for gap in sorted(gaps, key=lambda gap: abs(gap - start))[:_MAX_PLACES]:
        yield Ready(text=case.replaced(gap, gap, ","))


def missing_brackets(case: Case) -> Iterator[Ready]:
    """Yield the text with the partner of a bracket that has none in its line put in there.

    What is expected there instead is no help: a comma, mostly.
    """
    start = min(case.diagnostic.start, len(case.text))
    above = case.text[: case.line_span(start)[0]].rstrip()
    places: list[tuple[int, str]] = []
    for at in dict.fromkeys((start, len(above))):
        places += _partners(case, at)
    places.sort(key=lambda one: abs(one[0] - start))
    for place, bracket in places[:_MAX_PLACES]:
        yield Ready(text=case.replaced(place, place, bracket))


def _partners(case: Case, at: int) -> Iterator[tuple[int, str]]:
    """Yield where in the line of ``at`` which bracket may be missing."""
    first, end = case.line_span(at)
    line = case.text[first:end]
    open_: list[tuple[int, str]] = []
    for found in re.finditer(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[()\[\]{}]", line):
        bracket, place = found[0], found.start()
        if bracket in CLOSERS:
            open_.append((place, bracket))
        elif bracket not in OPENERS:
            continue
        elif open_ and open_[-1][1] == OPENERS[bracket]:
            open_.pop()
        else:
            for one in _STARTS.finditer(line, 0, place + 1):
                yield first + one.start(), OPENERS[bracket]
    for place, bracket in open_:
        # What is open at the end of a line goes on in the next one.
        if place < len(line.rstrip()) - 1:
            for one in _ENDS.finditer(line, place + 1):
                yield first + one.start(), CLOSERS[bracket]


def _code_end(case: Case, at: int) -> int:
    """Return where the code of a line ends, before its comment."""
    start, end = case.line_span(at)
    code = re.search(_COMMENT, case.text[start:end])
    return start + code.start() if code is not None else end


def _unclosed(case: Case, closer: str, start: int) -> Iterator[int]:
    """Yield where lines end in which a bracket is open that the next line does not go on with."""
    opener = OPENERS.get(closer)
    if opener is None:
        return
    lines = case.snapshot.lines
    here = lines.line_of(start)
    for number in range(here, max(here - _MAX_LINES_ABOVE, -1), -1):
        first, last = lines.span(number, case.text)
        line = case.text[first:last]
        below = _lines(case, range(number + 1, min(number + 4, lines.count)))
        indent = len(line) - len(line.lstrip())
        if line.count(opener) <= line.count(closer) or (below and len(below[0][0]) > indent):
            continue
        end = _code_end(case, first)
        # What stands between items, or opens a block, comes behind the bracket.
        yield end - len(case.text[first:end]) + len(case.text[first:end].rstrip(",:;{ "))
        yield end


def other_indentation(case: Case) -> Iterator[Ready]:
    """Yield the text with a line indented as the lines around it are."""
    if case.tree is None or not case.tree.grammar.dedents:
        return
    if not _ABOUT_INDENTATION.search(case.diagnostic.message):
        return
    lines = case.snapshot.lines
    here = lines.line_of(min(case.diagnostic.start, len(case.text)))
    unit = _unit(case.text)
    found: list[tuple[bool, bool, int, str]] = []
    for line in _with_neighbours(case, here):
        own = _indent(case, line)
        for indent in _likely(case, line, own):
            # The line that is not where lines are is the wrong one.
            found.append((_is_even(own, unit), not _is_even(indent, unit), line, indent))
    found.sort(key=lambda one: one[:2])
    for _, _, line, indent in found[:_MAX_INDENTATIONS]:
        start = lines.start_of(line)
        yield Ready(text=case.replaced(start, start + len(_indent(case, line)), indent))


def _with_neighbours(case: Case, here: int) -> list[int]:
    """Return a line and the next ones above and below it that are not blank."""
    count = case.snapshot.lines.count
    above, below = range(here - 1, max(here - 5, -1), -1), range(here + 1, min(here + 5, count))
    found = [here, *_written(case, above)[:1], *_written(case, below)[:1]]
    return [line for line in found if _written(case, (line,))]


def _written(case: Case, numbers: Iterable[int]) -> list[int]:
    lines = case.snapshot.lines
    return [one for one in numbers if case.text[slice(*lines.span(one, case.text))].strip()]


def _indent(case: Case, line: int) -> str:
    start, end = case.snapshot.lines.span(line, case.text)
    text = case.text[start:end]
    return text[: len(text) - len(text.lstrip())]


def _unit(text: str) -> int:
    """Return how many blanks a step of the indentation has."""
    widths = [len(blanks) for blanks in re.findall(r"^( +)\S", text, re.MULTILINE)]
    return 2 if sum(width % 4 == 2 for width in widths) * 4 > len(widths) > 3 else 4


def _is_even(indent: str, unit: int) -> bool:
    return "\t" in indent or len(indent) % unit == 0


def _likely(case: Case, line: int, own: str) -> list[str]:
    """Return the indentations of the lines around one, and a step more where a block opens."""
    above = _lines(case, range(line - 1, max(line - 30, -1), -1))
    below = _lines(case, range(line + 1, min(line + 6, case.snapshot.lines.count)))
    found: list[str] = []
    if above:
        indent, last = above[0]
        unit = "\t" if "\t" in indent + own else "    "
        found.append(indent + unit if last.rstrip().endswith(":") else indent)
    found += [indent for indent, _ in below[:1]]
    found += [indent for indent, _ in above]
    return [indent for indent in dict.fromkeys(found) if indent != own]


def _lines(case: Case, numbers: range) -> list[tuple[str, str]]:
    """Return indentation and text of lines that are not blank."""
    found: list[tuple[str, str]] = []
    for number in numbers:
        start, end = case.snapshot.lines.span(number, case.text)
        text = case.text[start:end]
        if text.strip():
            found.append((text[: len(text) - len(text.lstrip())], text))
    return found
