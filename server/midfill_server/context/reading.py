"""Reading a file for the index: in pieces that are done in a moment."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from midfill_server.context.entries import FileEntry, Signature
from midfill_server.exclusion.ignore import MAX_FILE_BYTES
from midfill_server.syntax import Definition, SyntaxTree, definitions, identifiers, language_of

__all__ = ["read_entry", "read_text"]

_MAX_DEFINITIONS = 300
_MAX_IDENTIFIERS = 256
_MAX_SIGNATURE_CHARS = 240
_MIN_IDENTIFIER_CHARS = 3
_PART_CHARS = 8 * 1024

# Parsed in one to three milliseconds; the second is the most, where there is no good place to cut.
_PIECE_CHARS = 16 * 1024
_MAX_PIECE_CHARS = 32 * 1024
_BEGINS = re.compile(r"\n(?:[ \t]*|[}\])].*)\r?\n(?=[A-Za-z@#/\[])")
_MEMBER = re.compile(r"\n[ \t]*\r?\n(?=(?: {1,4}|\t)[A-Za-z@#/\[])")
_TOP_LINE = re.compile(r"^[A-Za-z].*\n", re.MULTILINE)


def read_text(path: str) -> str | None:
    """Return what is in a file of text; ``None`` if it cannot be read, is binary, or too large."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError):
        return None
    if len(data) > MAX_FILE_BYTES or b"\0" in data:
        return None
    return data.decode("utf-8", "replace").removeprefix("\ufeff")


def read_entry(path: str, rest: Callable[[], None] = lambda: None) -> FileEntry | None:
    """Read a file and find out what is in it; ``rest`` is called often. What it raises is raised.

    ``None`` for what cannot be read, is binary, too large, or in no known language.
    """
    language = language_of("", path)
    if language is None:
        return None
    try:
        changed_ns = os.stat(path).st_mtime_ns
    except OSError:
        return None
    text = read_text(path)
    if text is None:
        return None
    rest()
    # What begins a long class is there again in each of its pieces.
    found: dict[tuple[str, str, str], Definition] = {}
    for piece in _pieces(text):
        # Only after its tag is PHP code: without it, a piece would be text for the page.
        start = "<?php\n" if language.id == "php" and piece is not text else ""
        tree = SyntaxTree.parse(start + piece, language)
        rest()
        for one in definitions(tree):
            found.setdefault((one.name, one.container, one.signature), one)
        rest()
        if len(found) >= _MAX_DEFINITIONS:
            break
    counts: Counter[str] = Counter()
    for part in _parts(text):
        counts.update(identifiers(part, language))
        rest()
    used = [word for word, _ in counts.most_common() if len(word) >= _MIN_IDENTIFIER_CHARS]
    return FileEntry.packed(
        path=path,
        language_id=language.id,
        changed_ns=changed_ns,
        definitions=[
            Signature(
                name=one.name,
                kind=one.kind,
                container=one.container,
                text=one.signature[:_MAX_SIGNATURE_CHARS],
                path=path,
            )
            for one in islice(found.values(), _MAX_DEFINITIONS)
        ],
        identifiers=used[:_MAX_IDENTIFIERS],
    )


def _pieces(text: str) -> Iterator[str]:
    """Yield what is parsed at once: nothing else runs meanwhile.

    A long text is cut where something begins at the left margin, else before a member of what
    began there last, whose first line is then repeated. Where there is neither, only the beginning
    of the long stretch is looked at.
    """
    start, header = 0, ""
    while len(text) - start > _MAX_PIECE_CHARS:
        least, most = start + _PIECE_CHARS, start + _MAX_PIECE_CHARS
        cut = _BEGINS.search(text, least, most)
        if cut is not None:
            yield header + text[start : cut.end()]
            start, header = cut.end(), ""
            continue
        cut = _MEMBER.search(text, least, most)
        if cut is not None:
            yield header + text[start : cut.end()]
            tops = _TOP_LINE.findall(text, start, cut.end())
            start, header = cut.end(), tops[-1] if tops else header
            continue
        yield header + text[start:most]
        cut = _BEGINS.search(text, most)
        start, header = cut.end() if cut is not None else len(text), ""
    if start < len(text):
        yield header + text[start:]


def _parts(text: str) -> Iterator[str]:
    """Yield the text in parts that are looked through in a moment, each of whole lines."""
    start = 0
    while start < len(text):
        end = text.find("\n", start + _PART_CHARS)
        end = len(text) if end < 0 else end + 1
        yield text[start:end]
        start = end
