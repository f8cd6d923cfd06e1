"""Texts of other files with their definitions, read when somebody asks and kept for a while."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from midfill_server.exclusion.secrets import holds_private_key, keeps_secrets
from midfill_server.syntax import Definition, Language, SyntaxTree, definitions, language_of

__all__ = ["Files", "ReadFile"]

_MAX_FILES = 16
_MAX_BYTES = 400_000
# Nobody waits longer for what is only nice to have; the signature is known without it.
_MAX_PARSE_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFile:
    """A file's text, its tree (``None`` where it has none, or not soon) and what it defines."""

    text: str
    language: Language
    tree: SyntaxTree | None
    definitions: tuple[Definition, ...]


class Files:
    """The files that were asked for last. Safe to use from several threads; it reads the disk."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[tuple[int, int], ReadFile]] = OrderedDict()
        self._lock = Lock()

    def read(self, path: str, opened: Mapping[str, str] | None = None) -> ReadFile | None:
        """Return a file; ``opened`` are texts by path that an editor has, which count instead.

        ``None`` for what cannot be read, is too large, in no known language, or keeps secrets.
        """
        language = language_of("", path)
        if language is None or keeps_secrets(path):
            return None
        text = opened.get(path) if opened is not None else None
        try:
            status = os.stat(path) if text is None else None
        except (OSError, ValueError):
            return None
        stamp = (status.st_mtime_ns, status.st_size) if status is not None else (hash(text), 0)
        with self._lock:
            known = self._known.get(path)
            if known is not None and known[0] == stamp:
                self._known.move_to_end(path)
                return known[1]
        if text is None:
            text = _text(path) if status is not None and status.st_size <= _MAX_BYTES else None
        if text is None or holds_private_key(text):
            return None
        tree = SyntaxTree.parse(text, language, limit_s=_MAX_PARSE_S)
        read = ReadFile(text=text, language=language, tree=tree, definitions=definitions(tree))
        with self._lock:
            self._known[path] = stamp, read
            if len(self._known) > _MAX_FILES:
                self._known.popitem(last=False)
        return read


def _text(path: str) -> str | None:
    try:
        return Path(path).read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")
    except (OSError, ValueError):
        return None
