"""What a text imports, as it is written there. By patterns: they need no text without mistakes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

__all__ = ["ImportStatement", "import_statements"]

# Imports stand at the top; those of a function far below are not worth looking for at each key.
_MAX_CHARS = 64 * 1024

Names = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportStatement:
    """One module, as its language spells it, and what is taken from it.

    ``names`` are pairs: the name in the module (``*`` for all, ``default`` for JavaScript's), and
    what it is called here. ``alias`` is what the module as a whole is called here, or ``""``.
    """

    module: str
    names: Names = ()
    alias: str = ""


def import_statements(text: str, language_id: str) -> tuple[ImportStatement, ...]:
    """Return what the beginning of a text imports, in order; nothing in a language not known."""
    read = _LANGUAGES.get(language_id)
    return tuple(read(text[:_MAX_CHARS])) if read is not None else ()


def _pairs(names: str, renames: str = r"\s+as\s+") -> Names:
    """Return ``a, b as c`` as pairs; what is no such list gives nothing."""
    found: list[tuple[str, str]] = []
    for name in names.split(","):
        match = re.fullmatch(rf"\s*(?:type\s+)?([\w$*]+)(?:(?:{renames})([\w$]+))?\s*", name)
        if match is not None:
            found.append((match[1], match[2] or match[1]))
    return tuple(found)


_PYTHON = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<module>\.*[\w.]*)[ \t]+import[ \t]*"
    r"(?P<names>\([^()=:]*\)|(?:\\\r?\n|[^\r\n#;])*)"
    r"|import[ \t]+(?P<modules>(?:\\\r?\n|[\w., \t])+))",
    re.MULTILINE,
)


def _python(text: str) -> Iterator[ImportStatement]:
    for match in _PYTHON.finditer(text):
        if match["module"]:
            names = re.sub(r"#.*|[()\\]", "", match["names"])
            yield ImportStatement(module=match["module"], names=_pairs(names))
            continue
        for part in (match["modules"] or "").replace("\\", "").split(","):
            words = part.split()
            if words:
                alias = words[2] if len(words) == 3 and words[1] == "as" else words[0]
                yield ImportStatement(module=words[0], alias=alias)


_SCRIPT = re.compile(
    r"^[ \t]*(?:(?:import|export)\b(?P<clause>[^'\"`;=()]*?)\bfrom\s*"
    r"['\"](?P<module>[^'\"\r\n]+)['\"]|(?:const|let|var)\s+(?P<bound>\{[^}]*\}|[\w$]+)\s*=\s*(?:await\s+import|require)\s*"
    r"\(\s*['\"](?P<required>[^'\"\r\n]+)['\"])",
    re.MULTILINE,
)


def _script(text: str) -> Iterator[ImportStatement]:
    for match in _SCRIPT.finditer(text):
        module = match["module"] or match["required"]
        clause = (match["clause"] or match["bound"] or "").strip()
        clause = re.sub(r"^type\b\s*|//.*", "", clause)
        before, brace, inside = clause.partition("{")
        names = _pairs(inside.rpartition("}")[0], r"\s+as\s+|\s*:\s*") if brace else ()
        whole = re.search(r"\*\s*as\s+([\w$]+)", before)
        default = re.match(r"[\w$]+", before)
        alias = whole[1] if whole else ""
        if default is not None and match["required"]:
            alias = default[0]
        elif default is not None:
            names = (("default", default[0]), *names)
        if "*" in before and not whole:
            names = (("*", "*"),)
        if names or alias:
            yield ImportStatement(module=module, names=names, alias=alias)


_JAVA = re.compile(r"^[ \t]*import\s+(static\s+)?([\w.]+?)(\.\*)?\s*;", re.MULTILINE)


def _java(text: str) -> Iterator[ImportStatement]:
    for match in _JAVA.finditer(text):
        path = match[2]
        parent, _, last = path.rpartition(".")
        if match[3]:
            yield ImportStatement(module=path if match[1] else f"{path}.*", names=(("*", "*"),))
        else:
            yield ImportStatement(module=parent if match[1] else path, names=((last, last),))


_GO = re.compile(
    r"^import\s*(?:\((?P<block>[^)]*)\)|(?P<single>[^\r\n(]+))",
    re.MULTILINE,
)
_GO_LINE = re.compile(r"^[ \t]*([\w.]+[ \t]+)?\"([^\"\r\n]+)\"", re.MULTILINE)


def _go(text: str) -> Iterator[ImportStatement]:
    for match in _GO.finditer(text):
        for line in _GO_LINE.finditer(match["block"] or match["single"] or ""):
            alias = (line[1] or "").strip()
            if alias == ".":
                yield ImportStatement(module=line[2], names=(("*", "*"),))
            elif alias != "_":
                yield ImportStatement(module=line[2], alias=alias or line[2].rpartition("/")[2])


_C = re.compile(r"^[ \t]*#[ \t]*(?:include|import)[ \t]*[\"<]([^\">\r\n]+)[\">]", re.MULTILINE)


def _c(text: str) -> Iterator[ImportStatement]:
    for match in _C.finditer(text):
        yield ImportStatement(module=match[1], names=(("*", "*"),))


_CSHARP = re.compile(
    r"^[ \t]*(?:global\s+)?using\s+(static\s+)?(?:(\w+)\s*=\s*)?([\w.]+)\s*;", re.MULTILINE
)


def _csharp(text: str) -> Iterator[ImportStatement]:
    for match in _CSHARP.finditer(text):
        parent, _, last = match[3].rpartition(".")
        if match[1] or match[2]:
            yield ImportStatement(module=parent, names=((last, match[2] or last),))
        else:
            yield ImportStatement(module=match[3], names=(("*", "*"),))


_RUST = re.compile(
    r"^[ \t]*(?:pub(?:\([^)]*\))?\s+)?(?:use\s+(?P<use>[^;=]+);|mod\s+(?P<mod>\w+)\s*;)",
    re.MULTILINE,
)


def _rust(text: str) -> Iterator[ImportStatement]:
    for match in _RUST.finditer(text):
        if match["mod"]:
            yield ImportStatement(module=f"self::{match['mod']}", alias=match["mod"])
            continue
        for path in _spread(re.sub(r"\s+", " ", match["use"])):
            path, _, alias = path.partition(" as ")
            parent, _, last = path.removesuffix("::self").rpartition("::")
            if parent:
                yield ImportStatement(module=parent, names=((last, alias.strip() or last),))


def _spread(path: str) -> Iterator[str]:
    """Yield ``a::b`` and ``a::c`` for ``a::{b, c}``."""
    before, brace, inside = path.partition("{")
    if not brace:
        yield path.strip()
        return
    depth, start = 0, 0
    inside = inside.rpartition("}")[0] + ","
    for at, character in enumerate(inside):
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 0:
            if inside[start:at].strip():
                yield from _spread(before.strip() + inside[start:at].strip())
            start = at + 1


_PHP = re.compile(
    r"^[ \t]*(?:use\s+(?:function\s+|const\s+)?(?P<use>[\w\\]+[^;(]*);"
    r"|(?:require|include)(?:_once)?\s*\(?\s*(?:__DIR__\s*\.\s*)?['\"](?P<file>[^'\"\r\n]+)['\"])",
    re.MULTILINE,
)


def _php(text: str) -> Iterator[ImportStatement]:
    for match in _PHP.finditer(text):
        if match["file"]:
            yield ImportStatement(module=f"./{match['file'].lstrip('/')}", names=(("*", "*"),))
            continue
        paths = match["use"] if "{" in match["use"] else "{" + match["use"] + "}"
        for path in _spread(re.sub(r"\s+", " ", paths)):
            path, _, alias = path.partition(" as ")
            last = path.rpartition("\\")[2]
            yield ImportStatement(module=path.lstrip("\\"), names=((last, alias.strip() or last),))


_RUBY = re.compile(
    r"^[ \t]*(require_relative|require)[ \t(]+['\"]([^'\"\r\n#]+)['\"]", re.MULTILINE
)


def _ruby(text: str) -> Iterator[ImportStatement]:
    for match in _RUBY.finditer(text):
        module = match[2] if match[1] == "require" else f"./{match[2]}"
        yield ImportStatement(module=module, names=(("*", "*"),))


_SHELL = re.compile(
    r"^[ \t]*(?:\.|source)[ \t]+[\"']?(?:\$\{?\w+\}?/|\$\(dirname[^)]*\)/)?([\w./-]+)", re.MULTILINE
)


def _shell(text: str) -> Iterator[ImportStatement]:
    for match in _SHELL.finditer(text):
        yield ImportStatement(module=f"./{match[1].removeprefix('./')}", names=(("*", "*"),))


# By the ids of ``syntax.LANGUAGES``.
_LANGUAGES: Mapping[str, Callable[[str], Iterator[ImportStatement]]] = {
    "python": _python,
    "typescript": _script,
    "typescriptreact": _script,
    "javascript": _script,
    "javascriptreact": _script,
    "java": _java,
    "go": _go,
    "c": _c,
    "cpp": _c,
    "csharp": _csharp,
    "rust": _rust,
    "php": _php,
    "ruby": _ruby,
    "shellscript": _shell,
}
