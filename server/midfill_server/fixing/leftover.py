"""What nobody uses at the end of a function: that is what its lost ``return`` gave away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from midfill_server.fixing.brackets import is_balanced
from midfill_server.fixing.case import Case
from midfill_server.syntax import Unit, enclosing

__all__ = ["Body", "certain_values", "left_over", "maker", "values_left"]

_MAX_NAMES = 40
_MAX_VALUES = 3
_MAX_STATEMENT_LINES = 30
_MAX_OPEN_CHARS = 2000
_TEXTS = re.compile(
    r"(?P<prefix>\b[a-zA-Z]{1,2})?(?:\"\"\".*?\"\"\"|\'\'\'.*?\'\'\'"
    r"|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')|/\*.*?\*/|(?<!\S)(?:#|//)[^\n]*",
    re.DOTALL,
)
_WRITTEN = re.compile(
    r"^[ \t]*(?:(?:const|let|var|mut|auto)\s+)*([^\W\d]\w*)(?:[ \t]*:[ \t]*[^=\n(){}]+?)?[ \t]*"
    r"(?:[-+*/|&%@^]|\*\*|//|<<|>>)?(?::=|=(?![=>]))|\(([^\W\d]\w*)[ \t]*:="
    r"|^[ \t]*(\w+(?:[ \t]*,[ \t]*\w+)+)[ \t]*:?=(?!=)",
    re.MULTILINE,
)
_RETURNED = re.compile(r"^[ \t]*return\b[ \t]*(.*?)[ \t]*;?[ \t]*$", re.MULTILINE)
_OPENS_BLOCK = re.compile(
    r"(?:if|for|while|with|try|switch|match|async|else|elif|except|finally)\b"
)
_NOTHING = re.compile(r"\b(?:None|Optional|null|undefined)\b")
_OR_NOTHING = re.compile(r"\s*\|\s*(?:None|null|undefined)\b")
_ABSTRACT = re.compile(
    r"(?:Any|Optional|Union|Literal|Callable|Iterable|Iterator|Generator|Sequence|Mapping|Awaitable"
    r"|Coroutine|AsyncIterator|AsyncIterable|AsyncGenerator|Self|Tuple|List|Dict|Set|Type\w*)\Z"
)
_TUPLE = re.compile(r"[\"']?(?:typing\.)?[Tt]uple\[|readonly \[|\[")


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The body of a function up to where a last statement goes; ``code`` has no words in quotes.

    ``indent`` is that of its statements, ``promised`` the type that the function says it returns.
    """

    unit: Unit
    code: str
    header: str
    indent: str
    promised: str

    @classmethod
    def of(cls, case: Case, unit: Unit, at: int, indent: str) -> Body:
        """Look at the function ``unit``, which ends at ``at``."""
        header = case.text[unit.start : unit.header_end]
        return cls(
            unit=unit,
            code=_TEXTS.sub(_blank, case.text[unit.header_end : at]),
            header=header,
            indent=indent,
            promised=header.rpartition(")")[2].strip(" :{\n\t").removeprefix("->").strip(),
        )

    @property
    def last(self) -> str:
        """The last statement: from its line on."""
        starts = [
            *re.finditer(rf"^{re.escape(self.indent)}(?=[^\s)\]}}])", self.code, re.MULTILINE)
        ]
        return self.code[starts[-1].end() :] if starts else ""


def values_left(case: Case, body: Body) -> Iterator[str]:
    """Yield what is left over: all of it where that is promised, one by one, made the type."""
    names = left_over(body)
    yield from _all_of(case, body, names)
    yield from list(reversed(names))[:_MAX_VALUES]
    if names and (made := maker(case, body)):
        yield f"{made}({', '.join(names[-_MAX_VALUES:])})"


def certain_values(case: Case, body: Body) -> Iterator[str]:
    """Yield what must be returned; nothing where code does not tell."""
    names = left_over(body)
    if names:
        if body.promised.count(",") + 1 == len(names):
            yield from _all_of(case, body, names)
        return
    yield from _touched_parameters(body)
    yield from _own(case, body)
    yield from _constants(case, body)


def maker(case: Case, body: Body) -> str:
    """Return what is called to make an object of the class that is promised; ``""`` if none is."""
    name = re.match(r"[\"']?([A-Z]\w*)[\w\[\]<>, .|@\"']*\Z", body.promised)
    if name is None or _ABSTRACT.match(name[1]) or _NOTHING.search(body.promised):
        return ""
    if case.language_id == "python":
        return name[1]
    return f"new {name[1]}" if re.search(rf"\b(?:new|class) {name[1]}\b", case.text) else ""


def _all_of(case: Case, body: Body, names: list[str]) -> Iterator[str]:
    if len(names) > 1 and _TUPLE.match(body.promised):
        listed = ", ".join(names)
        yield listed if case.language_id == "python" else f"[{listed}]"


def left_over(body: Body) -> list[str]:
    """Return the variables that are written last and not read any more, in that order."""
    last: dict[str, int] = {}
    for found in _WRITTEN.finditer(body.code):
        if not found[2] and not _is_outside(body.code, found.start()):
            # It is an argument that is given by name.
            continue
        for name in re.findall(r"\b[^\W\d_]\w*", found[found.lastindex or 0]):
            last.pop(name, None)
            last[name] = found.start(found.lastindex or 0)
    return [name for name, at in list(last.items())[-_MAX_NAMES:] if _is_left(body.code, name, at)]


def _is_outside(code: str, at: int) -> bool:
    """Return whether no round or square bracket of a statement is open at ``at``."""
    start = max(at - _MAX_OPEN_CHARS, 0)
    depth = 0
    for character in reversed(code[start:at]):
        depth += (character in ")]") - (character in "([")
        if depth < 0:
            return False
    return True


def _is_left(code: str, name: str, at: int) -> bool:
    """Return whether a variable that is written last at ``at`` is not read behind that.

    What is written in a loop may be read in it the next time.
    """
    word = re.escape(name)
    loop = _loop_around(code, at)
    before = "" if loop is None else code[loop : code.rfind("\n", 0, at) + 1]
    rest = before + code[_statement_end(code, at) :]
    # To fill it, to count on, and to refuse what it must not be, is no use.
    rest = re.sub(rf"^[ \t]*{word}(?:(?=[.\[])|[^\n]*[^=!<>]=(?!=)[^\n]*)", "", rest, flags=re.M)
    nothing = r"(?:is (?:not )?None|[!=]==? (?:null|undefined))"
    rest = re.sub(rf"\bif[ (]+(?:(?:not |!){word}|{word} {nothing})[:)]", "", rest)
    return re.search(rf"(?<![\w.]){word}\b", rest) is None


def _loop_around(code: str, at: int) -> int | None:
    """Return where the outermost loop starts that ``at`` is in, by indentation."""
    found: int | None = None
    start = code.rfind("\n", 0, at) + 1
    indent = _width(code[start:at])
    for line in reversed([*re.finditer(r"^([ \t]*)(\S[^\n]*)", code[:start], re.MULTILINE)]):
        width = _width(line[1])
        if width < indent and not line[2].startswith((")", "]")):
            indent = width
            if re.match(r"(?:async )?(?:for|while|do)\b", line[2]):
                found = line.start()
    return found


def _width(blanks: str) -> int:
    return len(blanks) - len(blanks.lstrip())


def _statement_end(code: str, at: int) -> int:
    start = code.rfind("\n", 0, at) + 1
    end = at
    for _ in range(_MAX_STATEMENT_LINES):
        end = code.find("\n", end + 1)
        if end < 0:
            return len(code)
        if is_balanced(code[start:end].rstrip("{ ")):
            return end
    return end


def _touched_parameters(body: Body) -> Iterator[str]:
    """Yield the parameters that statements fill or change, if they are of the promised type."""
    promised = _OR_NOTHING.sub("", body.promised).strip()
    touched = re.findall(
        rf"^{re.escape(body.indent)}([^\W\d]\w*)(?:\.\w+\([^\n]*\);?|[.\[][^\n]*?[^=!<>\n]=(?!=)[^\n]*)$",
        body.code,
        re.MULTILINE,
    )
    for name in dict.fromkeys(reversed(touched)):
        type_ = re.escape(promised)
        if promised and re.search(rf"\b{name}\s*\??:\s*{type_}\s*(?=[,)=])", body.header):
            yield name


def _own(case: Case, body: Body) -> Iterator[str]:
    """Yield the object itself, if that is promised, or what the other branches return."""
    owners = [one.name for one in enclosing(case.tree, body.unit.start) if one.kind == "class"]
    promised = body.promised.strip("\"'")
    own = "self" if case.language_id == "python" else "this"
    others = set(_RETURNED.findall(body.code))
    if others == {own} or (not others and promised in ("Self", "this", *owners[-1:])):
        yield own


def _constants(case: Case, body: Body) -> Iterator[str]:
    """Yield what is left to be returned where the other branches return something."""
    others = _RETURNED.findall(body.code)
    python = case.language_id == "python"
    yes, no = ("True", "False") if python else ("true", "false")
    if re.match(r"bool(?:ean)?\b|Type(?:Is|Guard)\b|\w+ is ", body.promised):
        if others and set(others) <= {yes, no} and len(set(others)) == 1:
            yield yes if others[0] == no else no
        return
    nothing = _NOTHING.search(body.promised)
    if nothing is None or not _OPENS_BLOCK.match(body.last):
        return
    if any(
        other not in ("", "None", "null", "undefined") for other in _RETURNED.findall(body.last)
    ):
        yield "None" if python else nothing[0]


def _blank(found: re.Match[str]) -> str:
    if "f" in (found["prefix"] or "").lower():
        # What is in its braces is read.
        return found[0]
    return re.sub(r"[^\n]", " ", found[0])
