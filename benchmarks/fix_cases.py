"""The cases of the mutation set: a file with one mistake, and what a checker says of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from benchmarks import fix_python, fix_typescript
from benchmarks.fix_checks import Finding, FreshChecks, added
from benchmarks.fix_mutation import BREAKING, CLASSES, Mutation
from benchmarks.fix_projects import SourceFile, Tree
from benchmarks.kept import key_of

__all__ = ["FixCase", "cases", "chosen"]

_TRIES = 3
"""So many mistakes of a class are tried in a file until a checker notices one."""

_FAR = frozenset({"missing import", "missing return", *BREAKING})

_MAKERS: Mapping[str, Callable[[str, str, random.Random], Iterator[Mutation]]] = {
    "python": fix_python.mutations,
    "typescript": fix_typescript.mutations,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FixCase:
    """A file with a mistake. ``target`` is what is to be fixed; ``findings`` is all that was found.

    ``original`` is the file without the mistake.
    """

    kind: str
    tree: Tree
    path: str
    original: str
    text: str
    target: Finding
    findings: tuple[Finding, ...]

    @property
    def id(self) -> str:
        """Names the case."""
        return f"{self.kind} {self.path} {key_of(self.text)[:8]}"


def cases(
    tree: Tree, fresh: FreshChecks, per_class: int, seed: int, heard: Callable[[], None]
) -> Iterator[FixCase]:
    """Yield ``per_class`` cases of each class, at most one of a class in a file.

    Fewer are among more. ``heard`` is called after each one.
    """
    for kind in CLASSES:
        found = _of_class(kind, tree, fresh, seed)
        for case in islice(found, per_class):
            heard()
            yield case


def chosen(
    kind: str, findings: list[Finding], mutation: Mutation, rng: random.Random
) -> Finding | None:
    """Return which of the new findings is fixed: one of the line of the mistake, if there is one.

    What is missing is missed elsewhere, but of another mistake nobody would be told to look for it
    there. What breaks the syntax has many consequences: there it is what says so.
    """
    errors = [
        one
        for one in findings
        if one.severity in ("error", "warning") and (one.is_syntax or kind not in BREAKING)
    ]
    line = mutation.text.count("\n", 0, mutation.at)
    near = [one for one in errors if mutation.text.count("\n", 0, one.start) == line]
    pool = near or (errors if kind in _FAR else [])
    if not pool:
        return None
    # Where several checkers found it, each of them is asked about some cases.
    source = rng.choice(sorted({one.source for one in pool}))
    return min((one for one in pool if one.source == source), key=lambda one: one.start)


def _of_class(kind: str, tree: Tree, fresh: FreshChecks, seed: int) -> Iterator[FixCase]:
    for file in tree.files(f"{seed} {kind}"):
        case = _in_file(kind, tree, file, fresh, seed)
        if case is not None:
            yield case


def _in_file(
    kind: str, tree: Tree, file: SourceFile, fresh: FreshChecks, seed: int
) -> FixCase | None:
    """Return the first mistake in a file that a checker notices, if one does."""
    rng = random.Random(f"{seed} {kind} {file.path}")
    for mutation in islice(_MAKERS[tree.language](kind, file.text, rng), _TRIES):
        before = fresh.run(file.path, file.text)
        findings = fresh.run(file.path, mutation.text)
        target = chosen(kind, added(before, findings), mutation, rng)
        if target is not None:
            return FixCase(
                kind=kind,
                tree=tree,
                path=file.path,
                original=file.text,
                text=mutation.text,
                target=target,
                findings=findings,
            )
    return None
