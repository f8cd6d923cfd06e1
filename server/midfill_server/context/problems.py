"""What checkers found wrong near the cursor, as long as the lines are those that they looked at."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from midfill_server.context.edits import Edit

__all__ = ["Problem", "Problems"]

_MAX_DOCUMENTS = 32
_MAX_PROBLEMS = 200
_MAX_EDITS = 100
_NEAR_LINES = 12
_MAX_NEAR = 3
_MAX_MESSAGE_CHARS = 160
# Of LSP's severities: errors and warnings. Hints are for people.
_WORST_TOLD = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One diagnostic: lines are 0-based, the last one included; ``severity`` counts as in LSP."""

    first_line: int
    last_line: int
    message: str
    severity: int = 1
    code: str = ""


@dataclass(slots=True, kw_only=True)
class _Document:
    problems: tuple[Problem, ...] = ()
    # The edits since, with the versions that they made: a report may be older than the text.
    edits: deque[tuple[int, Edit]] = field(default_factory=lambda: deque(maxlen=_MAX_EDITS))


class Problems:
    """The latest diagnostics of the documents that had some lately. Belongs to one thread."""

    def __init__(self) -> None:
        self._documents: OrderedDict[str, _Document] = OrderedDict()

    def told(self, uri: str, problems: Sequence[Problem], version: int | None = None) -> None:
        """Take what a client says is wrong now, in place of what it said before.

        ``version``: of the text that it speaks of; without one it is the present one.
        """
        document = self._document(uri)
        document.problems = tuple(problems[:_MAX_PROBLEMS])
        if version is None:
            return
        known = len(document.edits) < _MAX_EDITS or document.edits[0][0] <= version + 1
        if not known:
            document.problems = ()
        for made, edit in document.edits:
            if made > version:
                document.problems = _after(document.problems, edit)

    def changed(self, uri: str, edit: Edit, version: int) -> None:
        """Hear of an edit: what was said of the lines that it touched may not be true any more."""
        document = self._document(uri)
        document.edits.append((version, edit))
        document.problems = _after(document.problems, edit)

    def forget(self, uri: str) -> None:
        """Forget a document that was closed."""
        self._documents.pop(uri, None)

    def near(self, uri: str, line: int) -> tuple[str, ...]:
        """Return what is wrong in the lines around ``line``, one line of text each, in order."""
        document = self._documents.get(uri)
        if document is None:
            return ()
        found = [
            problem
            for problem in document.problems
            if problem.severity <= _WORST_TOLD and _distance(problem, line) <= _NEAR_LINES
        ]
        found.sort(key=lambda problem: (problem.severity, _distance(problem, line)))
        nearest = sorted(found[:_MAX_NEAR], key=lambda problem: problem.first_line)
        return tuple(dict.fromkeys(map(_described, nearest)))

    def _document(self, uri: str) -> _Document:
        document = self._documents.setdefault(uri, _Document())
        self._documents.move_to_end(uri)
        if len(self._documents) > _MAX_DOCUMENTS:
            self._documents.popitem(last=False)
        return document


def _after(problems: tuple[Problem, ...], edit: Edit) -> tuple[Problem, ...]:
    """Return those problems whose lines an edit left as they are, where these are now."""
    found: list[Problem] = []
    for problem in problems:
        first, last = edit.moved(problem.first_line), edit.moved(problem.last_line)
        # Inside of a problem of many lines an edit touches it too.
        if first is not None and last is not None and last - first == _height(problem):
            inside = problem.first_line < edit.first <= problem.last_line
            if not inside:
                found.append(replace(problem, first_line=first, last_line=last))
    return tuple(found)


def _height(problem: Problem) -> int:
    return problem.last_line - problem.first_line


def _distance(problem: Problem, line: int) -> int:
    return max(problem.first_line - line, line - problem.last_line, 0)


def _described(problem: Problem) -> str:
    kind = "error" if problem.severity <= 1 else "warning"
    message = " ".join(problem.message.split())[:_MAX_MESSAGE_CHARS]
    code = f" ({problem.code})" if problem.code else ""
    # No line number: it would change with every line that is typed above.
    return f"{kind}: {message}{code}"
