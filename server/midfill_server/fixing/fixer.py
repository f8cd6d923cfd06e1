"""Fixes a diagnostic: tries candidates until a checker says that one of them does it.

Steps that need the engine and steps that need a checker take turns, and who drives them decides
where each runs: the engine is free while a checker works.
"""

from __future__ import annotations

import math
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
from midfill_server.checking.verdict import is_apart, line_edits, reproduced, verdict
from midfill_server.fixing.candidates import candidates
from midfill_server.fixing.case import Asked, Case, Idea, Ready
from midfill_server.fixing.diagnostic import Kind, kind_of
from midfill_server.fixing.edits import TextEdit, edits_between, summary
from midfill_server.fixing.findings import diagnostic_of, finding_of
from midfill_server.fixing.sieve import Sieve

__all__ = ["Ask", "Check", "Fix", "Limits", "Step", "fix", "steps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much may be tried: answers of a model, checks of texts, seconds for all of it.

    ``timeout_s`` ends an answer or a check in its midst; ``check_timeout_s`` ends a single check.
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

    Once ``enough`` is true of what there is of the text, the rest would not be looked at. After
    ``limit_s`` seconds nobody waits for it any more.
    """

    request: Request
    enough: Callable[[str], bool]
    limit_s: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A step for a checker. It is answered with its findings, or ``None`` if it says nothing.

    It hangs if it takes longer than ``timeout_s``; after ``limit_s`` nobody waits any more.
    """

    checker: Checker
    text: str
    timeout_s: float
    limit_s: float


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

    ``ask`` has the engine answer one request, which may end once ``enough`` is true of its text;
    it raises ``TimeoutError`` after the step's ``limit_s``, and something else when it is
    cancelled. That ends this too, as ``cancel`` does while a checker works
    (``CheckCancelledError``).
    """
    run = steps(case, checkers, limits or Limits(), clock=clock)
    answer: str | tuple[Finding, ...] | None = None
    can_chat = True
    try:
        step = next(run)
        while True:
            if isinstance(step, Check):
                answer = _checked(step, case, cancel)
            elif isinstance(step.request, ChatRequest) and not can_chat:
                answer = None
            else:
                try:
                    answer = ask(step)
                except TimeoutError:
                    answer = None
                except RequestError:
                    # A base model does not chat; it fills in all the same.
                    can_chat, answer = False, None
            step = run.send(answer)
    except StopIteration as end:
        return end.value


def _checked(step: Check, case: Case, cancel: CancelToken) -> tuple[Finding, ...] | None:
    # A checker that stays is kept when it is cancelled, and ended when it hangs.
    over = cancel.child(deadline_s=time.monotonic() + step.limit_s)
    try:
        return step.checker.check(case.path, step.text, over, min(step.timeout_s, step.limit_s))
    except CheckCancelledError:
        if cancel.cancelled:
            raise
        return None
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
    diagnostic and adds another, where nothing better is found. Of wrong syntax every text is
    verified that adds nothing but what the checker could not have seen before.
    """
    budget = _Budget(limits, clock)
    judge = yield from _judge(case, checkers, budget)
    if judge is None and limits.only_verified:
        return None
    if judge is not None:
        seen = (diagnostic_of(one, case.snapshot) for one in judge.before)
        case = replace(case, others=(*case.others, *seen))
    sieve = Sieve(case)
    best = _Best()
    for idea in candidates(case, limits.answers):
        if case.kind is Kind.SYNTAX and best.is_whole and isinstance(idea, Asked):
            # What the syntax hid is there after every right fix: no answer would be better.
            break
        drops = isinstance(idea, Ready) and idea.drops
        texts = yield from _texts_of(idea, budget)
        for text in (one for one in texts if sieve.keeps(one, budget.left_s)):
            if judge is None and not drops:
                return _fix(case, text, None, sieve.tried)
            if judge is None or not budget.may_check:
                continue
            budget.checks += 1
            worth, added = yield from _worth_of(case, judge, text, budget, drops=drops)
            name = judge.checker.name if worth in _VERIFIED else None
            best.add(worth, added, _fix(case, text, name, sieve.tried))
            if worth is _Worth.GOOD:
                break
        if budget.is_over or best.is_good:
            break
    return best.fix(only_verified=limits.only_verified)


class _Budget:
    """What may still be spent of the limits."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._deadline_s = clock() + limits.timeout_s
        self.answers = 0
        self.checks = 0

    @property
    def left_s(self) -> float:
        """Seconds until all of it has to be over."""
        return max(self._deadline_s - self._clock(), 0.0)

    @property
    def is_over(self) -> bool:
        """Whether there is no time left."""
        return self.left_s <= 0

    @property
    def may_ask(self) -> bool:
        """Whether the model may be asked once more."""
        return self.answers < self._limits.answers and not self.is_over

    @property
    def may_check(self) -> bool:
        """Whether one more text may be checked."""
        return self.checks < self._limits.checks and not self.is_over

    def check(self, checker: Checker, text: str) -> Check:
        """Return the step that checks a text in what time there is."""
        timeout_s = self._limits.check_timeout_s
        return Check(checker=checker, text=text, timeout_s=timeout_s, limit_s=self.left_s)


def _texts_of(
    idea: Idea, budget: _Budget
) -> Generator[Step, str | tuple[Finding, ...] | None, Iterable[str]]:
    """Return the texts of an idea; of a question, once it is answered."""
    if isinstance(idea, Ready):
        return (idea.text,)
    if not budget.may_ask:
        return ()
    answer = yield Ask(request=idea.request, enough=idea.enough, limit_s=budget.left_s)
    if not isinstance(answer, str):
        return ()
    budget.answers += 1
    return idea.read(answer)


class _Worth(Enum):
    """What a checker's word makes of a text; the best first."""

    GOOD = auto()
    """The diagnostic is gone and nothing came."""
    UNCOVERED = auto()
    """Wrong syntax is gone, and what came has nothing to do with the fix: it was hidden before."""
    ELSEWHERE = auto()
    """The diagnostic is gone and another one came."""
    PARTIAL = auto()
    """The diagnostic is gone and nothing came, but the syntax around it is still wrong."""
    NOTHING = auto()


_VERIFIED = frozenset({_Worth.GOOD, _Worth.UNCOVERED, _Worth.PARTIAL})


class _Best:
    """The best text of each worth: that to which the least was added, the first of those."""

    def __init__(self) -> None:
        self._found: dict[_Worth, tuple[int, Fix]] = {}

    def add(self, worth: _Worth, added: int, fix: Fix) -> None:
        """Take note of a text after which there are so many findings more."""
        if worth not in self._found or added < self._found[worth][0]:
            self._found[worth] = added, fix

    @property
    def is_good(self) -> bool:
        """Whether nothing better can be found."""
        return _Worth.GOOD in self._found

    @property
    def is_whole(self) -> bool:
        """Whether there is one that leaves no wrong syntax."""
        return any(worth in self._found for worth in (_Worth.UNCOVERED, _Worth.ELSEWHERE))

    def fix(self, *, only_verified: bool) -> Fix | None:
        """Return the best one of all."""
        for worth in _Worth:
            if worth in self._found and (worth in _VERIFIED or not only_verified):
                return self._found[worth][1] if worth is not _Worth.NOTHING else None
        return None


def _worth_of(
    case: Case, judge: _Judge, text: str, budget: _Budget, *, drops: bool
) -> Generator[Step, str | tuple[Finding, ...] | None, tuple[_Worth, int]]:
    """Have a text checked; returns how many findings were added, too."""
    after = yield budget.check(judge.checker, text)
    if not isinstance(after, tuple):
        return _Worth.NOTHING, 0
    edits = line_edits(case.text, text)
    said = verdict(judge.before, after, judge.target, edits)
    wrong = [one for one in after if kind_of(diagnostic_of(one, case.snapshot)) is Kind.SYNTAX]
    is_broken = case.kind is Kind.SYNTAX and any(_is_inside(case, one) for one in wrong)
    if said.is_good:
        return (_Worth.PARTIAL if is_broken else _Worth.GOOD), 0
    count = len(said.added)
    if not said.removed or drops or is_broken:
        return _Worth.NOTHING, count
    was_hidden = case.kind is Kind.SYNTAX and all(
        one not in wrong and is_apart(one, edits, case.text, text) for one in said.added
    )
    return (_Worth.UNCOVERED if was_hidden else _Worth.ELSEWHERE), count


def _is_inside(case: Case, one: Finding) -> bool:
    """Return whether a finding is where the fix may be, or a line below, where it may be told."""
    start = diagnostic_of(one, case.snapshot).start
    return case.scope.start <= start <= case.next_line(case.scope.end)


def _judge(
    case: Case, checkers: Sequence[Checker], budget: _Budget
) -> Generator[Step, str | tuple[Finding, ...] | None, _Judge | None]:
    """Find the checker that says of the text what the diagnostic says."""
    wanted = finding_of(case.diagnostic, case.snapshot)
    for checker in checkers:
        if budget.is_over:
            break
        before = yield budget.check(checker, case.text)
        if not isinstance(before, tuple):
            continue
        target = reproduced(before, wanted)
        if target is not None:
            return _Judge(checker=checker, before=before, target=target)
    return None


def _fix(case: Case, text: str, verified_by: str | None, tried: int) -> Fix:
    edits = edits_between(case.text, text)
    return Fix(
        edits=edits,
        text=text,
        title=summary(case.text, edits),
        verified_by=verified_by,
        tried=tried,
    )
