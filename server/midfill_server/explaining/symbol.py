"""What is at a cursor: a name, and what defines it here or in another file of the project."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from midfill_server.context.gather import Surroundings
from midfill_server.document import Snapshot
from midfill_server.explaining.documentation import documentation
from midfill_server.explaining.files import Files
from midfill_server.explaining.meaning import MAX_MEANINGS, Meaning, Symbol, defined
from midfill_server.explaining.search import OWN, Search
from midfill_server.syntax import SyntaxTree
from midfill_server.syntax.nodes import is_one, upwards

__all__ = ["symbol_at", "with_sources"]

_WORD_END = re.compile(r"[\w$]*[?!]?")
# How grammars call the nodes of names: others are keywords.
_NAMES = re.compile(r"identifier|name|word|constant|variable|self|this|super|property|field|ERROR")
_WORD_START = re.compile(r"[\w$@]*\Z")


def symbol_at(
    snapshot: Snapshot,
    tree: SyntaxTree | None,
    cursor: int,
    surroundings: Surroundings | None = None,
) -> Symbol | None:
    """Return the name at the offset ``cursor`` (one right behind it counts too) with its meanings.

    ``None`` where there is none: on a keyword, in a comment or string, and without a tree. Looks
    at what is in memory only; ``with_sources`` reads what is on disk.
    """
    if tree is None or tree.text != snapshot.text:
        return None
    found = _name_at(tree, cursor)
    if found is None:
        return None
    name, start, end = found
    search = Search(snapshot, tree, name, start, surroundings)
    meanings = tuple(dict.fromkeys(search.meanings()))[:MAX_MEANINGS]
    if not meanings:
        return None
    language_id = tree.language.id
    return Symbol(name=name, start=start, end=end, language_id=language_id, meanings=meanings)


def with_sources(symbol: Symbol, files: Files, opened: Mapping[str, str] | None = None) -> Symbol:
    """Return the symbol with the lines, documentation and text of meanings in other files.

    It may read up to three files, so it is not for the event loop. ``opened`` are texts by path
    that an editor has.
    """
    return replace(
        symbol, meanings=tuple(_with_source(one, files, opened) for one in symbol.meanings)
    )


def _with_source(meaning: Meaning, files: Files, opened: Mapping[str, str] | None) -> Meaning:
    if meaning.source or not meaning.path or meaning.kind == "import":
        return meaning
    read = files.read(meaning.path, opened)
    if read is None:
        return meaning
    if meaning.kind == "module":
        about = documentation(read.text, start=0, header_end=0, language=read.language)
        return replace(meaning, documentation=about)
    for one in read.definitions:
        if (one.name, one.container) == (meaning.name, meaning.owner):
            return defined(one, read, meaning.path, meaning.shown)
    return meaning


def _name_at(tree: SyntaxTree, cursor: int) -> tuple[str, int, int] | None:
    """Return the name that ``cursor`` touches, with its start and end."""
    text = tree.text
    low = max(cursor - 200, 0)
    before = _WORD_START.search(text[low:cursor])
    behind = _WORD_END.match(text, cursor)
    start = cursor - len(before[0] if before is not None else "")
    end = behind.end() if behind is not None else cursor
    if tree.language.id != "ruby":
        end = start + len(text[start:end].rstrip("?!"))
    # The marks of variables are no part of their names.
    marks = "$@" if tree.language.id in ("php", "ruby", "shellscript", "python", "java") else "@"
    start += len(text[start:end]) - len(text[start:end].lstrip(marks))
    name = text[start:end]
    if not name or name[0].isdigit() or not start <= cursor <= end:
        return None
    byte = tree.byte_of(start)
    leaf = tree.root.descendant_for_byte_range(byte, byte + 1)
    grammar = tree.grammar
    for node in upwards(leaf):
        if is_one(node, grammar.interpolations) or node.type == "variable_name":
            break
        if is_one(node, grammar.comments) or is_one(node, grammar.strings):
            return None
    if leaf is None or not (leaf.is_named or (leaf.type == name and name in OWN)):
        return None
    return name, start, end
