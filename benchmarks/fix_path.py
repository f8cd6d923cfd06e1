"""One fix on the server's whole path: all but the protocol. And what a fresh check says of it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fix_answers import Answers
from benchmarks.fix_cases import FixCase
from benchmarks.fix_checks import Finding, FreshChecks, added, contradicts
from benchmarks.fix_same import is_same
from midfill_engine.cancel import CancelToken
from midfill_server.checking.resident import Residents
from midfill_server.checking.syntax import SYNTAX
from midfill_server.checking.table import checkers_for
from midfill_server.context.index import WorkspaceIndex
from midfill_server.document import Snapshot
from midfill_server.fixing import Case, Definitions, Diagnostic, Fix, Limits, fix

__all__ = ["Desk", "Outcome", "judged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a case. ``text`` is the fixed one, ``None`` if nothing was offered.

    ``message`` is the diagnostic's, ``title`` says what the fix changes. ``verified_by``
    is the checker that the server names; ``restored``: the text means what the file did without the
    mistake. ``contradiction`` is what a fresh run of that checker says against the label,
    ``elsewhere`` what other checkers find that was not there. ``seconds`` passed until the offer,
    or until the search was given up.
    """

    kind: str
    id: str
    message: str
    title: str
    text: str | None
    verified_by: str | None
    restored: bool
    contradiction: str | None
    elsewhere: str | None
    tried: int
    seconds: float


class Desk:
    """What a session has for fixes in one project: its index, and checkers that stay.

    ``programs`` are folders in which the checkers are, before those of the PATH. To be closed.
    """

    def __init__(self, folder: Path, programs: Iterable[Path], limits: Limits) -> None:
        self._limits = limits
        self._roots = (str(folder),)
        path = os.pathsep.join([*map(str, programs), os.environ.get("PATH", "")])
        self._environ = {**os.environ, "PATH": path}
        self._residents = Residents()
        # By this clock it is never time to look at the disk again.
        self._index = WorkspaceIndex(clock=lambda: 0.0)
        self._index.open(list(self._roots))
        while self._index.step():
            pass

    @property
    def definitions(self) -> Definitions:
        """What the files of the project define."""
        return self._index

    def fix(self, case: FixCase, answers: Answers) -> tuple[Fix | None, float]:
        """Return the fix that the server offers, and after how many seconds."""
        began_s = answers.clock()
        path = str(case.tree.folder / case.path)
        snapshot = Snapshot.of(case.text, uri=Path(path).as_uri(), language_id=case.tree.language)
        target = case.target
        others = [_diagnostic(one) for one in case.findings if one != target]
        known = Case.of(
            _diagnostic(target), snapshot, path=path, others=others, definitions=self.definitions
        )
        checkers = checkers_for(
            target.source,
            case.tree.language,
            path,
            trusted=False,
            roots=self._roots,
            code=target.code or None,
            residents=self._residents,
            environ=self._environ,
        )
        found = fix(known, checkers, answers.ask, CancelToken(), self._limits, clock=answers.clock)
        return found, answers.clock() - began_s

    def close(self) -> None:
        """End the checkers that stay."""
        self._residents.close()


def judged(case: FixCase, found: Fix | None, seconds: float, fresh: FreshChecks) -> Outcome:
    """Return the outcome of a case: what was offered is checked anew."""
    text = None if found is None else found.text
    verified_by = None if found is None or found.verified_by == SYNTAX else found.verified_by
    contradiction = elsewhere = None
    if text is not None and verified_by is not None:
        after = fresh.run(case.path, text)
        contradiction = contradicts(case.findings, after, case.target, case.text, text)
        new = [one for one in added(case.findings, after) if one.source != case.target.source]
        elsewhere = f"{new[0].source}: {new[0].message}" if new else None
    return Outcome(
        kind=case.kind,
        id=case.id,
        message=f"{case.target.source} {case.target.code}: {case.target.message}",
        title="" if found is None else found.title,
        text=text,
        verified_by=verified_by,
        restored=text is not None and is_same(case.tree.language, text, case.original),
        contradiction=contradiction,
        elsewhere=elsewhere,
        tried=0 if found is None else found.tried,
        seconds=seconds,
    )


def _diagnostic(finding: Finding) -> Diagnostic:
    return Diagnostic(
        start=finding.start,
        end=finding.end,
        message=finding.message,
        code=finding.code,
        source=finding.source,
        severity=finding.severity,
    )
