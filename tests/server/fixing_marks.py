"""Cases of diagnostics for tests: the text with the diagnostic between ``<|`` and ``|>``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from midfill_server.checking.base import CheckFailedError
from midfill_server.checking.finding import Finding
from midfill_server.context.entries import FileEntry, Signature
from midfill_server.document import Snapshot
from midfill_server.fixing import Case, Diagnostic

if TYPE_CHECKING:
    from midfill_engine.cancel import CancelToken

__all__ = ["Known", "Strict", "case_of", "finding", "plain"]

_EXTENSIONS = {"python": "py", "typescript": "ts", "javascript": "js", "go": "go", "rust": "rs"}


def plain(marked: str) -> str:
    """Return the text without marks."""
    return marked.replace("<|", "").replace("|>", "")


def case_of(
    marked: str,
    message: str,
    *,
    code: str = "",
    language: str = "python",
    path: str = "",
    others: Sequence[str] = (),
    definitions: Known | None = None,
) -> Case:
    """Return the case of a text with marks; ``others`` are messages about the whole of it."""
    text = plain(marked)
    start = marked.index("<|")
    diagnostic = Diagnostic(
        start=start,
        end=marked.index("|>") - 2,
        message=message,
        code=code,
        source="tester",
    )
    file = path or f"/project/here.{_EXTENSIONS[language]}"
    return Case.of(
        diagnostic,
        Snapshot.of(text, uri=f"file://{file}", language_id=language),
        path=file,
        others=[Diagnostic(start=0, end=len(text), message=other) for other in others],
        definitions=definitions,
    )


@dataclass(frozen=True)
class Known:
    """Definitions of a project without one: names of classes with the files that have them."""

    names: dict[str, str] = field(default_factory=dict[str, str])
    members: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    roots: tuple[str, ...] = ("/project",)

    def definitions_named(self, name: str) -> tuple[Signature, ...]:
        """Return the one of that name."""
        path = self.names.get(name)
        return () if path is None else (_signature(name, path, ""),)

    def file(self, path: str) -> FileEntry | None:
        """Return the entry of a file in which something is."""
        here = [name for name, file in self.names.items() if file == path]
        found = [_signature(name, path, "") for name in here]
        found += [_signature(m, path, name) for name in here for m in self.members.get(name, ())]
        if not found:
            return None
        return FileEntry.packed(
            path=path, language_id="python", changed_ns=0, definitions=found, identifiers=()
        )


def _signature(name: str, path: str, container: str) -> Signature:
    kind = "field" if container else "class"
    return Signature(name=name, kind=kind, container=container, text=name, path=path)


def finding(case: Case, message: str = "", line: int | None = None) -> Finding:
    """Return what a checker says of the case, or something else."""
    lines = case.snapshot.lines
    first = lines.line_of(case.diagnostic.start) if line is None else line
    return Finding(
        first_line=first,
        first_column=None,
        last_line=first,
        last_column=None,
        message=message or case.diagnostic.message,
        code=case.diagnostic.code,
        source=case.diagnostic.source,
    )


@dataclass
class Strict:
    """A checker that finds the diagnostic of a case in all texts but the right ones.

    ``also``: what it finds in each text besides.
    """

    case: Case
    right: Callable[[str], bool]
    also: Callable[[str], Iterable[Finding]] = field(default=lambda text: ())
    fails: bool = False
    name: str = "strict"
    asked: list[str] = field(default_factory=list[str])

    def check(
        self, path: str, text: str, cancel: CancelToken, timeout_s: float
    ) -> tuple[Finding, ...]:
        """Look at a text."""
        assert path == self.case.path
        del cancel, timeout_s
        self.asked.append(text)
        if self.fails:
            raise CheckFailedError("It is not in the mood.")
        found = () if self.right(text) else (finding(self.case),)
        return (*found, *self.also(text))
