"""Whether what follows goes on well behind a completion: by indentation, and by the tree."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from midfill_server.postprocess.brackets import CLOSERS, OPENERS, brackets, without_comment
from midfill_server.postprocess.case import Case
from midfill_server.postprocess.following import passes_over
from midfill_server.postprocess.lines import lines_of
from midfill_server.postprocess.site import Site
from midfill_server.postprocess.style import spelled
from midfill_server.syntax import Language, breaks, join

__all__ = ["joins", "leaves_node", "says_again"]

# So many ends are tried; a text has seldom more lines.
_MOST_ENDS = 16
# Languages whose blocks are told by indentation alone; their parsers forgive too much of it.
_BY_INDENTATION = frozenset({"python"})
# Not one with a condition behind it, as in Ruby.
_JUMP = re.compile(
    r"(?:return|raise|break|continue|throw|goto)\b(?!.*\s(?:if|unless)\b(?!.*\belse\b))"
)
_LABEL = re.compile(
    r"(?:case|default|else|elif|except|finally|end|when|rescue|ensure)\b|[)\]};]|/\*|\w+:$"
)
_WORD = re.compile(r"[a-z]+")
_CLAUSES = {
    "elif": ("if", "elif"),
    "else": ("if", "elif", "for", "while", "try", "except", "async"),
    "except": ("try", "except"),
    "finally": ("try", "except", "else"),
}


def joins(text: str, case: Case) -> int:
    """Return the last line end of ``text`` behind which the rest of the file goes on well.

    If it does so behind none, nothing is shown where the file was whole; where it was not, that is
    not for the cut to mend. Nor is it where the model had no time to come to an end.
    """
    site = case.site
    if site.is_prose or site.open_quote:
        return len(text)
    ends, above = _ends(text), _above(site)
    fitting = [end for end in ends if _fits(text[:end], site, above)]
    if fitting and not case.met and _by_indentation(site) and not _reaches("", site, above):
        # What follows is the inside of a block that is still to be opened: best as the last thing.
        headers = [end for end in fitting if text[:end].endswith(":")]
        fitting = headers or fitting
    if not fitting:
        return 0 if not case.half and _spoils(text, site, above) else len(text)
    return len(text) if fitting[-1] == ends[-1] else fitting[-1]


def says_again(text: str, case: Case) -> int:
    """Return where ``text`` says in other words what follows, if it can end before that."""
    limit = passes_over(text, case)
    if limit == len(text):
        return limit
    site, above = case.site, _above(case.site)
    fitting = any(_fits(text[:end], site, above) for end in _ends(text[:limit]))
    return limit if fitting else len(text)


def leaves_node(text: str, case: Case) -> int:
    """Return where ``text`` closes the block of the cursor and goes on behind it, by the tree.

    Asked where indentation does not tell: in code without any that is not of a language of it.
    """
    site, bare = case.site, text.lstrip()
    if site.is_prose or site.open_quote or site.tree is None or _by_indentation(site):
        return len(text)
    if site.width(site.line_before + text.lstrip("\r\n")) or bare[:1] in tuple(CLOSERS):
        return len(text)
    joined = join(site.tree, site.cursor, text)
    return (joined.closes_at if joined is not None else None) or len(text)


def _fits(text: str, site: Site, above: _Indentation) -> bool:
    """Whether ``text``, once spelled, stands well between what is before and after the cursor."""
    text = spelled(text, site)
    if not _reaches(text, site, above):
        return False
    joined = join(site.tree, site.cursor, text)
    return joined is None or joined.fits


def _ends(text: str) -> list[int]:
    return [line.stop for line in lines_of(text) if not line.is_blank][-_MOST_ENDS:]


def _spoils(text: str, site: Site, above: _Indentation) -> bool:
    """Whether a file that is in order, as far as can be told, is not so with a text in it."""
    if site.tree is None or site.tree.errors:
        return False
    return _reaches("", site, above) or breaks(site.tree, site.cursor, spelled(text, site))


@dataclass(slots=True)
class _Indentation:
    """Follows lines of code; ``levels`` are the widths of the open blocks and their last words."""

    site: Site
    levels: dict[int, str] = field(default_factory=dict[int, str])
    opens: bool = False
    jumped: bool = False
    depth: int = 0
    quote: str = ""
    goes_on: bool = False

    def take(self, line: str) -> bool:
        """Take the next line; return whether it can stand there."""
        if self.depth or self.quote or self.goes_on:
            self._scan(line)
            return True
        at, bare = self.site.width(line), line.strip()
        marker = self.site.language.line_comment if self.site.language else ""
        if not bare or (marker and bare.startswith(marker)):
            return True
        last = max(self.levels, default=0)
        stands = not (self.jumped and at == last and not _LABEL.match(bare))
        if self.site.language is not None and self.site.language.id in _BY_INDENTATION:
            stands = stands and self._belongs(at, bare, last)
        self.levels = {level: word for level, word in self.levels.items() if level < at}
        word = _WORD.match(bare)
        self.levels[at] = word.group() if word else ""
        self.jumped = _JUMP.match(bare) is not None
        self._scan(line)
        return stands

    def _belongs(self, at: int, bare: str, last: int) -> bool:
        if self.opens:
            return at > last
        if bare[0] in CLOSERS:
            # It was opened farther up than is looked at.
            return True
        if self.levels and at not in self.levels:
            return False
        word = _WORD.match(bare)
        clause = _CLAUSES.get(word.group()) if word else None
        return clause is None or self.levels.get(at, clause[0]) in clause

    def _scan(self, line: str) -> None:
        """Follow brackets, long strings and unfinished lines over the end of a line."""
        *found, (_, self.quote) = brackets(line + "\n", self.site.language, self.quote)
        for _, bracket in found:
            self.depth = max(self.depth + (1 if bracket in OPENERS else -1), 0)
        code = without_comment(line, self.site.language)
        self.goes_on = code.endswith("\\")
        self.opens = code.endswith(":") and not self.depth


def _reaches(text: str, site: Site, above: _Indentation) -> bool:
    """Whether lines before, in and after the text follow each other by their indentation."""
    state = replace(above, levels=dict(above.levels))
    for line in lines_of(site.line_before + text):
        if not state.take(line.content):
            return False
    if state.depth or state.quote or site.rest:
        return True
    following = list(_code(site.after_lines, site.language))
    if not following:
        return not (state.opens and _by_indentation(site))
    return all(map(state.take, following))


def _above(site: Site) -> _Indentation:
    """Return the state at the start of the cursor's line."""
    state = _Indentation(site=site)
    above = (line.content for line in reversed(lines_of(site.before)[:-1]))
    levels: dict[int, str] = {}
    last, least = "", 0
    # From the cursor upwards to the margin, beyond which nothing is open.
    for line in _code(above, site.language):
        at = site.width(line)
        if not last:
            last, least = line, at + 1
        if at < least:
            word = _WORD.match(line.strip())
            levels[at] = word.group() if word else ""
            least = at
        if not least:
            break
    if not last:
        return state
    # Taken once more, the last line tells whether it opens a block.
    state.levels = {at: levels[at] for at in sorted(levels)}
    if not site.open_brackets.strip("{"):
        state.take(last)
        # Whether a string ends or begins there is not to be seen from one line; none is open.
        state.quote, state.depth = "", 0
    else:
        state.depth = len(site.open_brackets)
    return state


def _code(lines: Iterable[str], language: Language | None) -> Iterator[str]:
    """Yield the lines that are neither blank nor a comment."""
    marker = language.line_comment if language else ""
    for line in lines:
        bare = line.lstrip()
        if bare and not (marker and bare.startswith(marker)):
            yield line


def _by_indentation(site: Site) -> bool:
    return site.language is not None and site.language.id in _BY_INDENTATION
