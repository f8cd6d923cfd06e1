"""What a model must see to explain code: the code, who uses it, what it imports and uses."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from midfill_server.context.gather import Surroundings
from midfill_server.context.visible import may_be_shown, path_of, shown_path
from midfill_server.document import Snapshot
from midfill_server.explaining.facts import WRAPPER, Facts, facts_between, facts_of
from midfill_server.explaining.meaning import Meaning, Symbol, outdented
from midfill_server.syntax import (
    Definition,
    Language,
    SyntaxTree,
    definitions,
    enclosing,
    identifiers,
    imports,
    language_of,
)

__all__ = ["Grounding", "ground", "ground_selection"]

_MAX_CALLERS = 3
_MAX_CALLS_OF_A_FILE = 2
_MAX_IMPORTS = 4
_MAX_USED = 4
_MAX_LINE_CHARS = 120
# Their methods are parsed within a class only.
_IN_CLASSES = frozenset(
    {
        "javascript",
        "javascriptreact",
        "typescript",
        "typescriptreact",
        "java",
        "csharp",
        "php",
    }
)
# A hover does not wait for more than some milliseconds of it.
_MAX_SEARCHED_CHARS = 1_000_000
# Long enough for all there is: whether there are facts must not depend on how busy the machine is.
_MAX_PARSE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounding:
    """Code with what is known around it; all texts are those of files, and so data.

    ``code`` is what is to be explained, in the language ``language_id`` of the file ``shown``.
    ``inside`` is the header of what holds it, ``callers`` are lines that use it, each with the file
    it is in, ``imports`` statements that it needs, ``used`` signatures of what it uses. ``facts``
    are what syntax says of the code, ``None`` where it says nothing.
    """

    name: str
    language_id: str
    shown: str
    code: str
    inside: str = ""
    callers: tuple[tuple[str, str], ...] = ()
    imports: tuple[str, ...] = ()
    used: tuple[str, ...] = ()
    facts: Facts | None = None


def ground(
    symbol: Symbol,
    snapshot: Snapshot,
    tree: SyntaxTree | None,
    surroundings: Surroundings | None = None,
    documents: Iterable[Snapshot] = (),
) -> Grounding | None:
    """Gather what explains the likeliest meaning of a symbol; ``None`` if there is no code of it.

    ``documents`` are the open ones; those that a model must not see are left out.
    """
    meaning = next((one for one in symbol.meanings if one.source), None)
    if meaning is None:
        # Of a signature alone a model would have to guess.
        return None
    code = meaning.source
    is_here = meaning.path == (path_of(snapshot.uri) or "")
    name = f"{meaning.owner}.{meaning.name}" if meaning.owner else meaning.name
    inside = ""
    facts = _facts(meaning, symbol.language_id)
    if meaning.kind in ("variable", "parameter"):
        # Its line says little; the function around it tells what it is for.
        units = enclosing(tree, symbol.start) if is_here else ()
        if units:
            code = outdented(snapshot.text, units[-1].start, units[-1].end)
        name = meaning.name
    elif meaning.owner and is_here:
        inside = _header_of(tree, meaning.owner)
    return Grounding(
        name=name,
        language_id=symbol.language_id,
        shown=meaning.shown,
        code=code,
        inside=inside,
        callers=tuple(_callers(meaning, snapshot, surroundings, documents)),
        imports=_imports(code, snapshot, tree) if is_here else (),
        used=_used(code, meaning.name, snapshot, tree, surroundings) if is_here else (),
        facts=facts,
    )


def ground_selection(
    snapshot: Snapshot,
    tree: SyntaxTree | None,
    start: int,
    end: int,
    surroundings: Surroundings | None = None,
) -> Grounding:
    """Gather what explains the text ``[start, end)`` of a document, widened to whole lines."""
    text = snapshot.text
    start, end = min(start, end), max(start, end)
    start = text.rfind("\n", 0, start) + 1
    if end > start and text[end - 1] == "\n":
        end -= 1
    behind = text.find("\n", end)
    code = textwrap.dedent(text[start : behind if behind >= 0 else len(text)]).strip("\n")
    first = (
        start + len(text[start:]) - len(text[start:].lstrip()) if text[start:].strip() else start
    )
    units = [unit for unit in enclosing(tree, first) if unit.start < start]
    inside = _one_line(text[units[-1].start : units[-1].header_end]) if units else ""
    path = path_of(snapshot.uri) or ""
    roots = surroundings.index.roots if surroundings is not None else ()
    language = language_of(snapshot.language_id, snapshot.uri)
    return Grounding(
        name="",
        language_id=language.id if language is not None else "",
        shown=shown_path(path, roots) if path else "",
        code=code,
        inside=inside,
        imports=_imports(code, snapshot, tree),
        used=_used(code, "", snapshot, tree, surroundings),
        facts=facts_between(tree, start, behind if behind >= 0 else len(text))
        or _facts_of(code, language),
    )


def _facts(meaning: Meaning, language_id: str) -> Facts | None:
    """Return what is certain of a definition."""
    if meaning.kind in ("variable", "parameter"):
        return Facts(kind="name", inputs=(meaning.signature,))
    language = language_of(language_id)
    if meaning.kind not in ("function", "method", "class"):
        return None
    code = meaning.source
    if meaning.owner and meaning.kind != "class" and language_id in _IN_CLASSES:
        code = f"class {WRAPPER} {{\n{code}\n}}"
    return _facts_of(code, language)


def _facts_of(code: str, language: Language | None) -> Facts | None:
    if language is None or language.grammar is None:
        return None
    return facts_of(
        SyntaxTree.parse(language.grammar.prologue + code, language, limit_s=_MAX_PARSE_S)
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_MAX_LINE_CHARS]


def _header_of(tree: SyntaxTree | None, name: str) -> str:
    found = [one for one in definitions(tree) if one.name == name and one.kind == "class"]
    return found[0].signature[:_MAX_LINE_CHARS] if found else ""


def _callers(
    meaning: Meaning,
    snapshot: Snapshot,
    surroundings: Surroundings | None,
    documents: Iterable[Snapshot],
) -> Iterator[tuple[str, str]]:
    """Yield lines that use what is explained, of this file and others that are open."""
    if meaning.kind in ("variable", "parameter", "module") or len(meaning.name) < 2:
        return
    called = r"\s*!?\(" if meaning.kind in ("function", "method") else ""
    pattern = re.compile(rf"(?<![\w$]){re.escape(meaning.name)}(?![\w$]){called}")
    shell = meaning.kind == "function" and snapshot.language_id == "shellscript"
    if shell:
        pattern = re.compile(rf"(?<![\w$]){re.escape(meaning.name)}(?![\w$(])")
    count, searched = 0, 0
    for one in (snapshot, *(other for other in documents if other.uri != snapshot.uri)):
        searched += len(one.text)
        if searched > _MAX_SEARCHED_CHARS:
            return
        path = path_of(one.uri) or ""
        is_own = path == meaning.path
        if one.uri != snapshot.uri and not (
            surroundings is not None and may_be_shown(path, one.text, surroundings.index)
        ):
            continue
        roots = surroundings.index.roots if surroundings is not None else ()
        shown = shown_path(path, roots) if path else ""
        for line in _lines_with(pattern, one, meaning if is_own else None):
            yield shown, line
            count += 1
            if count == _MAX_CALLERS:
                return


def _lines_with(pattern: re.Pattern[str], snapshot: Snapshot, own: Meaning | None) -> Iterator[str]:
    """Yield the first lines that match, none of the definition itself."""
    text = snapshot.text
    first, last = -1, -2
    if own is not None and own.line is not None:
        first, last = own.line, own.line + own.source.count("\n")
    seen: set[str] = set()
    for match in pattern.finditer(text):
        line = snapshot.lines.line_of(match.start())
        start, end = snapshot.lines.span(line, text)
        written = text[start:end].strip()[:_MAX_LINE_CHARS]
        told = written.startswith(("#", "//", "*", "/*", "import ", "from ", "use ", "export {"))
        if first <= line <= last or told or written in seen:
            continue
        seen.add(written)
        yield written
        if len(seen) == _MAX_CALLS_OF_A_FILE:
            return


def _imports(code: str, snapshot: Snapshot, tree: SyntaxTree | None) -> tuple[str, ...]:
    """Return the import statements that bring a name which the code uses."""
    used = identifiers(code)
    found: list[str] = []
    for one in imports(tree):
        written = _one_line(snapshot.text[one.start : one.end])
        if any(name in used for name in identifiers(written)) and len(written) > 2:
            found.append(written)
    return tuple(found[:_MAX_IMPORTS])


def _used(
    code: str,
    name: str,
    snapshot: Snapshot,
    tree: SyntaxTree | None,
    surroundings: Surroundings | None,
) -> tuple[str, ...]:
    """Return the signatures of what the code uses, of this file and of what it imports."""
    counts = identifiers(code)
    here: Sequence[Definition] = [one for one in definitions(tree) if one.name != name]
    # A name that is defined often may be any of them.
    signatures: dict[str, str] = {}
    several: set[str] = set()
    for one in here:
        if one.name in signatures:
            several.add(one.name)
        of = f"{one.container}." if one.kind == "field" else ""
        signatures[one.name] = of + one.signature
    language = language_of(snapshot.language_id, snapshot.uri)
    path = path_of(snapshot.uri)
    if surroundings is not None and path is not None and language is not None:
        for imported in surroundings.imported(path, snapshot.text, language.id):
            for one in imported.definitions[:1] if imported.name not in ("", "*") else ():
                signatures.setdefault(imported.alias, one.text)
    own = _plain(code)
    wanted = [
        one
        for one in signatures
        if one in counts and one not in several and _plain(signatures[one]) not in own
    ]
    wanted.sort(key=lambda one: -counts[one])
    return tuple(signatures[one][:_MAX_LINE_CHARS] for one in wanted[:_MAX_USED])


def _plain(code: str) -> str:
    return "".join(code.split()).removesuffix("...")
