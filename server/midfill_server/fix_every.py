"""All diagnostics of one kind in a text, fixed one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from midfill_server.checking.base import CheckCancelledError, Checker, CheckFailedError
from midfill_server.checking.finding import Finding
from midfill_server.checking.verdict import reproduced
from midfill_server.document import Snapshot
from midfill_server.fixes import Desk, Wish
from midfill_server.fixing import Case, fix
from midfill_server.fixing.findings import diagnostic_of, finding_of

__all__ = ["Every", "fix_every"]

_MAX_FIXED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """The text with ``fixed`` diagnostics less; ``left`` are those that could not be fixed."""

    text: str
    fixed: int
    left: int


def fix_every(wish: Wish, desk: Desk, report: Callable[[int, int], None]) -> Every | None:
    """Fix whatever is of the kind of the wish's diagnostic; ``None`` if no checker finds that one.

    Only what the checker confirms is done, and it is asked again after each fix. ``report`` hears
    how many are done, and how many there are. Blocking; raises as ``find_fix``.
    """
    snapshot = wish.snapshot
    for checker in wish.checkers(desk.residents):
        found = _check(checker, wish, snapshot.text, desk)
        target = reproduced(found, finding_of(wish.diagnostic, snapshot))
        if target is not None:
            return _fix_like(target, found, checker, wish, desk, report)
    return None


def _fix_like(
    target: Finding,
    found: Sequence[Finding],
    checker: Checker,
    wish: Wish,
    desk: Desk,
    report: Callable[[int, int], None],
) -> Every:
    snapshot, fixed = wish.snapshot, 0
    given_up: set[tuple[str, str]] = set()
    limits = replace(wish.limits, only_verified=True)
    while fixed + len(given_up) < _MAX_FIXED:
        same = [one for one in found if (one.source, one.code) == (target.source, target.code)]
        rest = [one for one in same if _name(one, snapshot) not in given_up]
        report(fixed + len(given_up), fixed + len(given_up) + len(rest))
        if not rest:
            break
        # From the last one up: what is above stays where it is.
        one = rest[-1]
        case = Case.of(
            diagnostic_of(one, snapshot),
            snapshot,
            path=wish.path,
            others=[diagnostic_of(other, snapshot) for other in found if other is not one],
            definitions=wish.definitions,
            context=wish.context,
        )
        done = fix(case, (checker,), desk.ask, desk.cancel, limits)
        if done is None:
            given_up.add(_name(one, snapshot))
            continue
        fixed += 1
        snapshot = Snapshot.of(
            done.text,
            uri=snapshot.uri,
            version=snapshot.version,
            language_id=snapshot.language_id,
        )
        found = _check(checker, wish, snapshot.text, desk)
    return Every(text=snapshot.text, fixed=fixed, left=len(given_up))


def _check(checker: Checker, wish: Wish, text: str, desk: Desk) -> tuple[Finding, ...]:
    try:
        return checker.check(wish.path, text, desk.cancel, wish.limits.check_timeout_s)
    except CheckCancelledError:
        raise
    except CheckFailedError:
        # It says nothing, so there is nothing that it could confirm.
        return ()


def _name(one: Finding, snapshot: Snapshot) -> tuple[str, str]:
    """Return what a finding is known by while lines above it come and go."""
    line = min(one.first_line, snapshot.lines.count - 1)
    return one.message, snapshot.text[slice(*snapshot.lines.span(line, snapshot.text))]
