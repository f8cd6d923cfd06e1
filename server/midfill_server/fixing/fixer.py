"""Fixes a diagnostic: tries candidates until a checker says that one of them does it.

Steps that need the engine and steps that need a checker take turns, and who drives them decides
where each runs: the engine is free while a checker works.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TypeAlias

from midfill_engine.cancel import CancelToken
from midfill_engine.errors import RequestError
from midfill_engine.types import ChatRequest, Request
from midfill_server.checking.base import CheckCancelledError, Checker, CheckFailedError
from midfill_server.checking.finding import Finding
from midfill_server.checking.verdict import line_edits, reproduced, verdict
from midfill_server.fixing.candidates import candidates
from midfill_server.fixing.case import Asked, Case, Ready
from midfill_server.fixing.diagnostic import Diagnostic, Kind, kind_of
from midfill_server.fixing.edits import TextEdit, edits_between, summary
from midfill_server.fixing.findings import diagnostic_of, finding_of

__all__ = ["Ask", "Check", "Fix", "Limits", "Step", "fix", "steps"]

# A fix is not a new program.
_MAX_ADDED_CHARS = 2000
_MAX_PARSE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much may be tried: answers of a model, checks of texts, seconds for all of it.

    ``only_verified``: what no checker confirmed is not worth anything.
    """

    answers: int = 8
    checks: int = 20
    timeout_s: float = 30.0
    check_timeout_s: float = 10.0
    only_verified: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """A fix: ``edits`` of the text make ``text`` of it. ``verified_by`` is the checker's name.

    ``title`` says in a few words what is changed. ``tried`` counts the texts that were looked at.
    """

    edits: tuple[TextEdit, ...]
    text: str
    title: str
    verified_by: str | None
    tried: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A step for the engine. It is answered with the model's text, or ``None`` if it has none.

    Once ``enough`` is true of what there is of the text, the rest would not be looked at.
    """

    request: Request
    enough: Callable[[str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A step for a checker. It is answered with its findings, or ``None`` if it says nothing."""

    checker: Checker
    text: str


Step: TypeAlias = Ask | Check
Steps: TypeAlias = Generator[Step, str | tuple[Finding, ...] | None, Fix | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judge:
    """The checker that sees the diagnostic too, and what it says of the text as it is."""

    checker: Checker
    before: tuple[Finding, ...]
    target: Finding


def fix(
    case: Case,
    checkers: Sequence[Checker],
    ask: Callable[[Ask], str],
    cancel: CancelToken,
    limits: Limits | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Fix | None:
    """Return a fix, or ``None`` if none is found in time. Blocking: for a thread of its own.

    ``ask`` has the engine answer one request, which may end once ``enough`` is true of its text,
    and raises when it is cancelled. That ends this too, as ``cancel`` does while a checker works
    (``CheckCancelledError``).
    """
    bounds = limits or Limits()
    run = steps(case, checkers, bounds, clock=clock)
    answer: str | tuple[Finding, ...] | None = None
    can_chat = True
    try:
        step = next(run)
        while True:
            if isinstance(step, Check):
                answer = _checked(step, case, cancel, bounds.check_timeout_s)
            elif isinstance(step.request, ChatRequest) and not can_chat:
                answer = None
            else:
                try:
                    answer = ask(step)
                except RequestError:
                    # A base model does not chat; it fills in all the same.
                    can_chat, answer = False, None
            step = run.send(answer)
    except StopIteration as end:
        return end.value


def _checked(
    step: Check, case: Case, cancel: CancelToken, timeout_s: float
) -> tuple[Finding, ...] | None:
    try:
        return step.checker.check(case.path, step.text, cancel, timeout_s)
    except CheckCancelledError:
        raise
    except CheckFailedError:
        return None


def steps(
    case: Case,
    checkers: Sequence[Checker],
    limits: Limits,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Steps:
    """Yield what is to be done next, and return the fix.

    The first checker that finds the diagnostic itself decides. Without any a text is as good as its
    syntax, and the first one that is not worse is the fix, unverified. So is one that removes the
    diagnostic and adds another, where nothing better is found.
    """
    deadline_s = clock() + limits.timeout_s
    judge = yield from _judge(case, checkers)
    if judge is None and limits.only_verified:
        return None
    if judge is not None:
        case = replace(
            case,
            others=(*case.others, *(diagnostic_of(one, case.snapshot) for one in judge.before)),
        )
    sieve = _Sieve(case)
    best: dict[_Worth, Fix] = {}
    answers = checks = 0
    for idea in candidates(case, limits.answers):
        texts: Iterable[str] = (idea.text,) if isinstance(idea, Ready) else ()
        if isinstance(idea, Asked) and answers < limits.answers:
            answer = yield Ask(request=idea.request, enough=idea.enough)
            answers += isinstance(answer, str)
            texts = idea.read(answer) if isinstance(answer, str) else ()
        drops = isinstance(idea, Ready) and idea.drops
        for text in filter(sieve.keeps, texts):
            if judge is None and not drops:
                return _fix(case, text, None, sieve.tried)
            if judge is None or checks == limits.checks:
                continue
            checks += 1
            worth = yield from _worth_of(case, judge, text, drops)
            name = judge.checker.name if worth in _VERIFIED else None
            best.setdefault(worth, _fix(case, text, name, sieve.tried))
            if worth is _Worth.GOOD:
                return best[worth]
            if worth is _Worth.ELSEWHERE and case.kind is Kind.SYNTAX:
                # What the syntax hid is there after every right fix: none of them is verified.
                return None if limits.only_verified else best[worth]
        if clock() >= deadline_s:
            break
    found = best.get(_Worth.ELSEWHERE) or best.get(_Worth.PARTIAL)
    return None if found is None or (limits.only_verified and not found.verified_by) else found


class _Worth(Enum):
    """What a checker's word makes of a text."""

    GOOD = auto()
    """The diagnostic is gone and nothing came."""
    PARTIAL = auto()
    """The same, but the syntax around it is still wrong."""
    ELSEWHERE = auto()
    """The diagnostic is gone and another one came: with wrong syntax that may have been hidden."""
    NOTHING = auto()


_VERIFIED = frozenset({_Worth.GOOD, _Worth.PARTIAL})


def _worth_of(
    case: Case, judge: _Judge, text: str, drops: bool
) -> Generator[Step, str | tuple[Finding, ...] | None, _Worth]:
    """Have a text checked."""
    after = yield Check(checker=judge.checker, text=text)
    if not isinstance(after, tuple):
        return _Worth.NOTHING
    said = verdict(judge.before, after, judge.target, line_edits(case.text, text))
    is_broken = case.kind is Kind.SYNTAX and any(
        kind_of(one) is Kind.SYNTAX and _is_inside(case, one)
        for one in (diagnostic_of(each, case.snapshot) for each in after)
    )
    if said.is_good:
        return _Worth.PARTIAL if is_broken else _Worth.GOOD
    if said.removed and not drops and not is_broken:
        return _Worth.ELSEWHERE
    return _Worth.NOTHING


def _is_inside(case: Case, one: Diagnostic) -> bool:
    """Return whether a finding is where the fix may be, or a line below, where it may be told."""
    return case.scope.start <= one.start <= case.next_line(case.scope.end)


def _judge(
    case: Case, checkers: Sequence[Checker]
) -> Generator[Step, str | tuple[Finding, ...] | None, _Judge | None]:
    """Find the checker that says of the text what the diagnostic says."""
    wanted = finding_of(case.diagnostic, case.snapshot)
    for checker in checkers:
        before = yield Check(checker=checker, text=case.text)
        if not isinstance(before, tuple):
            continue
        target = reproduced(before, wanted)
        if target is not None:
            return _Judge(checker=checker, before=before, target=target)
    return None


class _Sieve:
    """Knows which texts were there already, and which are no fixes at a glance."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._seen = {case.text}
        self.tried = 0

    def keeps(self, text: str) -> bool:
        """Return whether a text is new, differs where it may, and is no worse in its syntax."""
        if text in self._seen:
            return False
        self._seen.add(text)
        case = self._case
        scope = case.scope
        edits = edits_between(case.text, text)
        if not scope.holds(edits) or sum(len(edit.new) for edit in edits) > _MAX_ADDED_CHARS:
            return False
        if case.tree is not None:
            tree = case.tree.edited_within(text, limit_s=_MAX_PARSE_S)
            if tree is None:
                # A busy machine is no reason to refuse what a checker will look at.
                self.tried += 1
                return True
            if tree.errors > case.tree.errors:
                return False
            if case.kind is Kind.SYNTAX and case.tree.errors == tree.errors > 0:
                # A checker may only say something else of the same mistake.
                return False
        self.tried += 1
        return True


def _fix(case: Case, text: str, verified_by: str | None, tried: int) -> Fix:
    edits = edits_between(case.text, text)
    return Fix(
        edits=edits,
        text=text,
        title=summary(case.text, edits),
        verified_by=verified_by,
        tried=tried,
    )
