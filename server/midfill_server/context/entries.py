"""What is remembered of a file: its definitions and its identifiers, in little memory."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["FileEntry", "Signature"]

# Characters that no source text has any use for: they stand between what is packed.
_FIELD = "\x1f"
_RECORD = "\x1e"

# What Python and the index spend on an entry and on each name in it, besides the packed text.
_ENTRY_BYTES = 500
_NAME_BYTES = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What others must know to use a definition; ``text`` is one line.

    ``kind`` and ``container`` (the class that it is in, or ``""``) are those of
    ``syntax.Definition``; ``path`` is the file.
    """

    name: str
    kind: str
    container: str
    text: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """A file as it was when it was read.

    Definitions and identifiers are packed and compressed: of 10,000 files they would be a million
    objects, which Python's garbage collection would have to look at again and again. Unpacking
    takes some microseconds.
    """

    path: str
    language_id: str
    changed_ns: int
    cost_bytes: int
    """An estimate of the memory that the entry takes in an index."""
    _definitions: bytes
    _identifiers: bytes

    @classmethod
    def packed(
        cls,
        *,
        path: str,
        language_id: str,
        changed_ns: int,
        definitions: Sequence[Signature],
        identifiers: Sequence[str],
    ) -> FileEntry:
        """Return an entry of these definitions, which are all of the file ``path``."""
        records = (
            (_clean(one.name), _clean(one.kind), _clean(one.container), _clean(one.text))
            for one in definitions
        )
        packed = (
            _pack(_RECORD.join(map(_FIELD.join, records))),
            _pack(_RECORD.join(map(_clean, identifiers))),
        )
        cost_bytes = _ENTRY_BYTES + sys.getsizeof(path) + sum(map(sys.getsizeof, packed))
        return cls(
            path=path,
            language_id=language_id,
            changed_ns=changed_ns,
            cost_bytes=cost_bytes + len({one.name for one in definitions}) * _NAME_BYTES,
            _definitions=packed[0],
            _identifiers=packed[1],
        )

    @property
    def definitions(self) -> tuple[Signature, ...]:
        """What the file defines, in order; computed by every call."""
        return tuple(self._signatures())

    @property
    def identifiers(self) -> frozenset[str]:
        """The names of at least three characters that are used most; computed by every call."""
        return frozenset(_records(self._identifiers))

    @property
    def names(self) -> frozenset[str]:
        """The names of all definitions; computed by every call."""
        return frozenset(record.partition(_FIELD)[0] for record in _records(self._definitions))

    def named(self, name: str) -> tuple[Signature, ...]:
        """Return the definitions called ``name``."""
        return tuple(self._signatures(name + _FIELD))

    def _signatures(self, start: str = "") -> Iterator[Signature]:
        for record in _records(self._definitions):
            if record.startswith(start):
                name, kind, container, text = record.split(_FIELD)
                yield Signature(
                    name=name, kind=kind, container=container, text=text, path=self.path
                )


def _clean(text: str) -> str:
    return text.replace(_FIELD, " ").replace(_RECORD, " ")


def _pack(text: str) -> bytes:
    # The fastest level: the others save little more.
    return zlib.compress(text.encode("utf-8", "replace"), 1)


def _records(packed: bytes) -> list[str]:
    text = zlib.decompress(packed).decode("utf-8")
    return text.split(_RECORD) if text else []
